"""Results and ledger in SQLite or Postgres.

``Store.open(url)`` reads and writes results, ``Journal(store)`` writes the ledger, ``upgrade(url)`` migrates an old database.
``Reservations(store)`` and ``Purse(store)`` are limits and budgets that several processes share. ``Baselines(store)`` is what
regression checks compare with. ``Schedules(store)`` keeps what is done when, and alerts on their way.
"""

from storage.baselines import Baseline, BaselineProbe, Baselines, CheckRecord
from storage.errors import (
    Ambiguous,
    CannotOpen,
    Closed,
    ConnectionLost,
    Contended,
    Damaged,
    DiskFull,
    DriverMissing,
    Locked,
    NotFound,
    ReadOnly,
    Refused,
    SchemaTooNew,
    SchemaTooOld,
    StorageError,
    Unstorable,
)
from storage.ledger import Journal
from storage.limits import Lease, Purse, Reservations, Spent
from storage.questions import Filter, Share
from storage.records import (
    Attribution,
    Endpoint,
    Entry,
    EntryState,
    Instance,
    InstanceKind,
    Probe,
    ProbeStatus,
    Run,
    RunStatus,
    Usage,
)
from storage.schedules import Alert, Fire, Schedule, Schedules
from storage.store import Store, upgrade

__all__ = [
    "Alert",
    "Ambiguous",
    "Attribution",
    "Baseline",
    "BaselineProbe",
    "Baselines",
    "CannotOpen",
    "CheckRecord",
    "Closed",
    "ConnectionLost",
    "Contended",
    "Damaged",
    "DiskFull",
    "DriverMissing",
    "Endpoint",
    "Entry",
    "EntryState",
    "Filter",
    "Fire",
    "Instance",
    "InstanceKind",
    "Journal",
    "Lease",
    "Locked",
    "NotFound",
    "Probe",
    "ProbeStatus",
    "Purse",
    "ReadOnly",
    "Refused",
    "Reservations",
    "Run",
    "RunStatus",
    "Schedule",
    "Schedules",
    "SchemaTooNew",
    "SchemaTooOld",
    "Share",
    "Spent",
    "StorageError",
    "Store",
    "Unstorable",
    "Usage",
    "upgrade",
]

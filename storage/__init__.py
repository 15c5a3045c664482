"""Results and ledger in SQLite or Postgres.

``Store.open(url)`` reads and writes results, ``Journal(store)`` writes the ledger, ``upgrade(url)`` migrates an old database.
``Reservations(store)`` and ``Purse(store)`` are limits and budgets that several processes share.
"""

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
from storage.store import Store, upgrade

__all__ = [
    "Ambiguous",
    "Attribution",
    "CannotOpen",
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

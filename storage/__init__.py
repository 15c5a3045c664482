"""Results and ledger in SQLite or Postgres.

``Store.open(url)`` reads and writes results, ``Journal(store)`` writes the ledger, ``upgrade(url)`` migrates an old database.
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
    SchemaTooNew,
    SchemaTooOld,
    StorageError,
    Unstorable,
)
from storage.ledger import Journal
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
    "Instance",
    "InstanceKind",
    "Journal",
    "Locked",
    "NotFound",
    "Probe",
    "ProbeStatus",
    "ReadOnly",
    "Run",
    "RunStatus",
    "SchemaTooNew",
    "SchemaTooOld",
    "StorageError",
    "Store",
    "Unstorable",
    "Usage",
    "upgrade",
]

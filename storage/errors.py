"""What can go wrong between us and the database.

    StorageError
    ├── CannotOpen           wrong URL, missing directory or file, refused login, not one of our databases
    │   ├── DriverMissing    a Postgres URL, and the driver for it is not installed
    │   ├── SchemaTooOld     made by an earlier version: `probe db upgrade`
    │   └── SchemaTooNew     made by a later version: update the program
    ├── Locked               someone else held the database for longer than we were told to wait
    │   └── Contended        our transaction was the one chosen to give way (already repeated a few times)
    ├── DiskFull             no space left for the database
    ├── ReadOnly             the file, directory or account may only read
    ├── ConnectionLost       the server went away in the middle
    ├── Damaged              what is stored is not what was written
    ├── Unstorable           a value the schema refuses: the caller's mistake, nothing else is affected
    ├── NotFound             no run, instance, endpoint of that id
    │   └── Ambiguous        several runs begin like that
    ├── Refused              somebody's own SQL that is wrong, does more than read, or takes too long (readonly.py)
    └── Closed               the journal was closed before

Messages are shown to users as they are: each says what was seen, where, and what to do. They never hold a password.
"""

from __future__ import annotations


class StorageError(Exception):
    """Base of everything this package raises on purpose."""


class CannotOpen(StorageError):
    """The database cannot be opened."""


class DriverMissing(CannotOpen):
    """The driver for this kind of database is not installed."""


class SchemaTooOld(CannotOpen):
    """The database was made by an earlier version."""


class SchemaTooNew(CannotOpen):
    """The database was made by a later version."""


class Locked(StorageError):
    """Someone else held the database for longer than we were told to wait."""


class Contended(Locked):
    """The transaction was undone in favour of another one; it may be repeated as it is."""


class DiskFull(StorageError):
    """No space is left for the database."""


class ReadOnly(StorageError):
    """The database may be read but not written."""


class ConnectionLost(StorageError):
    """The server went away."""


class Damaged(StorageError):
    """What is stored is not what was written."""


class Unstorable(StorageError):
    """A value does not fit the schema."""


class NotFound(StorageError):
    """Nothing of that id is stored."""


class Ambiguous(NotFound):
    """More than one thing is meant."""


class Refused(StorageError):
    """The statement does something else than reading, is wrong, or takes too long."""


class Closed(StorageError):
    """The journal was closed before."""

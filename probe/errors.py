"""What users of ``probe`` can run into, and the exit code that each comes to.

    ProbeError
    ├── ConfigError          2  the config, an option or an input file is wrong; nothing was sent
    ├── BudgetReached        3  budget or quota reached, or too little data: go on with the same command
    ├── EndpointDown         4  the endpoint is unreachable, refuses the credentials, or is not what was described
    ├── StorageError         5  the database cannot be reached, read or written
    └── EvidenceBroken       6  a bundle or a stored run is not what it was, or its numbers do not follow from its answers

Every message is one line: what was seen, where, and what to do.
"""

from __future__ import annotations

from typing import ClassVar


class ProbeError(Exception):
    """Base of everything ``probe`` raises on purpose."""

    exit_code: ClassVar[int] = 2


class ConfigError(ProbeError):
    """The config, an option or an input file is wrong."""

    exit_code = 2


class BudgetReached(ProbeError):
    """Budget or quota is used up, or there is too little data: partial results are kept."""

    exit_code = 3


class EndpointDown(ProbeError):
    """The endpoint is unreachable, refuses the credentials, or is not what was described."""

    exit_code = 4


class StorageError(ProbeError):
    """The database cannot be reached, read or written."""

    exit_code = 5


class EvidenceBroken(ProbeError):
    """A bundle or a stored run is not what it was, or its numbers do not follow from its answers."""

    exit_code = 6

"""Which database is meant, and opening it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import storage
from probe.config import Config, expand
from probe.errors import StorageError
from storage import Store

_SQLITE = "sqlite:///"


def configured_url(config: Config, *, environment: Mapping[str, str], base: Path) -> str:
    """The URL that ``PROBE_STORAGE`` or else the config names, with secrets filled in.

    A relative SQLite path is relative to ``base`` in the config, and to the working directory in the environment.

    Raises:
        ConfigError: a secret that the URL refers to is not set.
    """
    if given := environment.get("PROBE_STORAGE"):
        return storage_url(given, base=Path())
    return storage_url(expand(config.storage, environment, where="storage"), base=base)


def storage_url(url: str, *, base: Path) -> str:
    """``url`` with a relative SQLite path made relative to ``base``."""
    if url.startswith(_SQLITE) and not url.startswith((_SQLITE + "/", _SQLITE + ":memory:")):
        return _SQLITE + str((base / url.removeprefix(_SQLITE)).resolve())
    return url


def open_store(url: str, *, create: bool = True) -> Store:
    """The database, checked, and made if it is not there and ``create``. Raises ``storage.StorageError``."""
    return Store.open(url, create=create)


@contextmanager
def storage_errors() -> Iterator[None]:
    """The database's failures as :class:`probe.StorageError`, so that callers need not know the package ``storage``."""
    try:
        yield
    except storage.StorageError as error:
        raise StorageError(str(error)) from error

"""Reading the ledger, wherever an evaluation is: a row while it may still change, in a pack when it is over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from storage import packs, rows
from storage.accounts import both
from storage.connect import chunks
from storage.pack import KEY_BYTES
from storage.records import Entry
from storage.schema import evaluation


def found(connection: sa.Connection, shown: str, keys: Sequence[bytes]) -> dict[bytes, list[Entry]]:
    """What there is of ``keys`` (of 32 bytes, or cut to 12), by key, oldest generation first. Raises ``Damaged``.

    An answer that was put away stays; a second one of its generation, which another process asked for at the same time,
    only counts.
    """
    known: dict[bytes, dict[int, Entry]] = {}
    for entry in _entries(connection, shown, keys):
        generations = known.setdefault(entry.key, {})
        first = generations.get(entry.generation)
        generations[entry.generation] = entry if first is None else both(first, entry)
    return {key: [entry for _, entry in sorted(generations.items())] for key, generations in known.items()}


def _entries(connection: sa.Connection, shown: str, keys: Sequence[bytes]) -> Iterator[Entry]:
    yield from packs.look_up(connection, shown, keys)
    for some in chunks([key for key in keys if len(key) > KEY_BYTES]):
        for row in connection.execute(rows.ENTRY_SELECT.where(evaluation.c.key.in_(some))):
            yield rows.to_entry(row)
    for some in chunks([key for key in keys if len(key) == KEY_BYTES], 200):
        begins = sa.or_(*(evaluation.c.key.between(key, key + b"\xff" * 20) for key in some))
        for row in connection.execute(rows.ENTRY_SELECT.where(begins)):
            entry = rows.to_entry(row)
            yield entry.but(key=entry.key[:KEY_BYTES])

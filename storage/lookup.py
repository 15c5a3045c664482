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
    """What there is of ``keys`` (of 32 bytes, or cut to 11), by key, oldest generation first. Raises ``Damaged``.

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
    short = [key for key in keys if len(key) == KEY_BYTES]
    if short and connection.scalar(sa.select(evaluation.c.key).limit(1)) is not None:
        for some in chunks(short, _AT_ONCE):
            padded = [*some, *[some[0]] * (_AT_ONCE - len(some))]
            low = {f"low{place}": key for place, key in enumerate(padded)}
            high = {f"high{place}": key + b"\xff" * 20 for place, key in enumerate(padded)}
            for row in connection.execute(_BEGINS, low | high):
                entry = rows.to_entry(row)
                yield entry.but(key=entry.key[:KEY_BYTES])


_AT_ONCE = 200
#: Rows by the beginning of their keys; made once, because putting it together takes longer than the answer.
_BEGINS = sa.text(
    f"SELECT {', '.join(column.name for column in rows.ENTRY_SELECT.selected_columns)} FROM evaluation WHERE "  # noqa: S608
    + " OR ".join(f"key BETWEEN :low{place} AND :high{place}" for place in range(_AT_ONCE))
).columns(*rows.ENTRY_SELECT.selected_columns)

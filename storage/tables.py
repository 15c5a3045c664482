"""What a probe refers to: its features, its coalitions, and where in the packs the answers are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import get_args

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from storage import asked, lookup, packs
from storage.columns import feature_key
from storage.connect import Database, chunks
from storage.errors import Damaged
from storage.pack import KEY_BYTES
from storage.records import Entry, EntryState, Probe
from storage.schema import body, coalitions, endpoint, evaluation, feature, instance, pack, probe, run

_WHERE = "the coalitions of a probe"


def fold(
    database: Database,
    connection: sa.Connection,
    value: Probe,
    keys: Sequence[bytes],
    prepared: Sequence[packs.Prepared],
) -> bytes:
    """Put the evaluations of ``keys``, and those that are ``prepared``, into packs; return the SHA-256 under which the probe's
    table is kept, with the places of its keys instead of the keys."""
    packs.take_turn(connection)
    places: packs.Places = {}
    for each in prepared:
        places |= packs.insert(connection, each)
    open_ = [key for key in keys if key[:KEY_BYTES] not in places]
    places |= packs.fold(connection, evaluation.c.endpoint_id == value.endpoint_id, keys=open_)
    left = [key[:KEY_BYTES] for key in keys if key[:KEY_BYTES] not in places]
    content = asked.slim(value.table, places | packs.locate(connection, database.shown, left))
    sha = hashlib.sha256(content).digest()
    row = {"sha256": sha, "content": content}
    connection.execute(database.insert(coalitions).values(row).on_conflict_do_nothing())
    return sha


def whole(connection: sa.Connection, shown: str, stored: bytes) -> bytes:
    """The table of a probe as the engine gave it, its keys cut to 11 bytes. Raises :class:`Damaged`."""

    def keys_of(numbers: Sequence[int]) -> Mapping[int, NDArray[np.uint8]]:
        found = packs.load(connection, shown, pack.c.number.in_(numbers), bodies=False)
        return {each.number: each.keys for each in found}

    return asked.whole(_kept(connection, shown, stored), keys_of, where=f"{shown}: {_WHERE}")


def evaluations(connection: sa.Connection, shown: str, stored: bytes) -> list[Entry]:
    """What the table names, in no order. Raises :class:`Damaged`."""
    places, left = asked.places_in(_kept(connection, shown, stored), where=f"{shown}: {_WHERE}")
    found = packs.load(connection, shown, pack.c.number.in_(list(places)))
    entries = [each.entry(row) for each in found for row in places[each.number]]
    known = lookup.found(connection, shown, left)
    return entries + [entry for generations in known.values() for entry in generations]


def _kept(connection: sa.Connection, shown: str, stored: bytes) -> bytes:
    """``stored``, or what it is the SHA-256 of."""
    if len(stored) != hashlib.sha256().digest_size:
        return stored
    found = connection.scalar(sa.select(coalitions.c.content).where(coalitions.c.sha256 == stored))
    if found is None or hashlib.sha256(found).digest() != stored:
        raise Damaged(f"{shown}: the coalitions {stored.hex()} are not there, or not what was stored")
    content: bytes = found
    return content


def feature_ids(database: Database, connection: sa.Connection, keys: Sequence[str]) -> dict[str, int]:
    """The ids of features by name, new ones included."""

    def known() -> dict[str, int]:
        return {
            key: number
            for some in chunks(list(stored.values()))
            for key, number in connection.execute(sa.select(feature.c.key, feature.c.id).where(feature.c.key.in_(some)))
        }

    stored = {key: feature_key(key) for key in keys}
    ids = known()
    # sorted, so that two writers meeting the same new words wait for each other instead of deadlocking
    if new := sorted({key for key in stored.values() if key not in ids}):
        connection.execute(database.insert(feature).on_conflict_do_nothing(), [{"key": key} for key in new])
        ids = known()
    return {key: ids[kept] for key, kept in stored.items()}


def counts(connection: sa.Connection) -> dict[str, int]:
    """How many of each thing are stored, in rows and in packs."""
    tables = {"runs": run, "endpoints": endpoint, "instances": instance, "probes": probe}
    tables |= {"features": feature, "bodies": body}
    counted = {
        name: connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0 for name, table in tables.items()
    }
    states = sa.select(evaluation.c.state, sa.func.count()).group_by(evaluation.c.state)
    by_state: dict[str, int] = dict.fromkeys(get_args(EntryState), 0)
    by_state |= {str(state): count for state, count in connection.execute(states)}
    away = connection.execute(
        sa.select(*(sa.func.sum(pack.c[name]) for name in ("evaluations", "answered", "body_count")))
    ).one()
    every, answers, kept = (int(count or 0) for count in away)
    by_state["answered"] += answers
    by_state["rejected"] += every - answers
    counted["bodies"] += kept
    return counted | {"evaluations": sum(by_state.values())} | by_state

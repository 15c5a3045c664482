"""Packs in the database: putting evaluations in, finding them again, folding rows into them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from storage import evidence, index, rows
from storage.connect import chunks
from storage.pack import KEY_BYTES, MOST_ROWS, Pack, body_order, read_bodies, write_bodies, write_rows
from storage.records import Entry
from storage.schema import body, evaluation, pack, probe

#: States in which nothing more is to come.
OVER = ("answered", "rejected")
#: One at a time puts evaluations away, as SQLite has it anyway; the journal takes the same lock. Any number that is ours.
ONE_WRITER = sa.text("SELECT pg_advisory_xact_lock(7236836371)")

Places = dict[bytes, tuple[int, int]]  #: pack and row by key


def take_turn(connection: sa.Connection) -> None:
    """Wait until no other transaction writes the ledger."""
    if connection.dialect.name == "postgresql":
        connection.execute(ONE_WRITER)


@dataclass(frozen=True, slots=True)
class Prepared:
    """Evaluations of one run and endpoint as rows of ``pack``, with their keys (m, 11)."""

    rows: tuple[rows.Row, ...]
    keys: tuple[NDArray[np.uint8], ...]


def prepare(entries: Sequence[Entry], contents: Mapping[bytes, bytes]) -> Prepared:
    """``entries`` of one run and endpoint, and those of ``contents`` (bodies by digest) that they refer to. Pure."""
    parts = list(chunks(entries, MOST_ROWS))
    raw = [b"".join([entry.key[:KEY_BYTES] for entry in part]) for part in parts]
    keys = tuple(np.frombuffer(each, np.uint8).reshape(-1, KEY_BYTES) for each in raw)
    return Prepared(tuple(_row(part, contents) for part in parts), keys)


def grouped(entries: Sequence[Entry], *, over: bool = True) -> list[list[Entry]]:
    """``entries`` by run and endpoint. Raises ``ValueError`` for one that is not ``over``, if it must be."""
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        if over and entry.state not in OVER:
            raise ValueError(f"an entry that is {entry.state} cannot be put away")
        groups.setdefault((entry.run_id, entry.endpoint_id), []).append(entry)
    return list(groups.values())


def insert(connection: sa.Connection, prepared: Prepared) -> Places:
    """Store them, and where their keys are."""
    places: Places = {}
    numbers: list[NDArray[np.int64]] = []
    for row, keys in zip(prepared.rows, prepared.keys, strict=True):
        number = connection.execute(pack.insert().values(row).returning(pack.c.number)).scalar_one()
        numbers.append(np.full(len(keys), number))
        raw = keys.tobytes()
        short = [raw[start : start + KEY_BYTES] for start in range(0, len(raw), KEY_BYTES)]
        places.update(zip(short, [(number, place) for place in range(len(short))], strict=True))
    if numbers:
        index.add(connection, np.concatenate(prepared.keys), np.concatenate(numbers))
    return places


def _row(entries: Sequence[Entry], contents: Mapping[bytes, bytes]) -> rows.Row:
    shas = body_order(entries)
    return {
        "run_id": entries[0].run_id,
        "endpoint_id": entries[0].endpoint_id,
        "evaluations": len(entries),
        "answered": sum(entry.state == "answered" for entry in entries),
        "requests": sum(entry.attempts for entry in entries if entry.item == 0),
        "cost_micro": sum(entry.cost_micro for entry in entries),
        "first_sent": min(entry.sent_at for entry in entries),
        "last_sent": max(entry.sent_at for entry in entries),
        "content": write_rows(entries),
        "root": evidence.entries_root(entries),
        "body_count": sum(sha in contents for sha in shas),
        "bodies": write_bodies(shas, contents) if shas else None,
        "bodies_root": evidence.root(map(evidence.leaf, shas)) if shas else None,
    }


_WANTED = (pack.c.number, pack.c.run_id, pack.c.endpoint_id, pack.c.content, pack.c.bodies)


def load(
    connection: sa.Connection, shown: str, which: sa.ColumnElement[bool], *, bodies: bool = True
) -> Iterator[Pack]:
    """The packs of which ``which`` holds, in order; ``bodies``: with the digests of their bodies. Raises ``Damaged``."""
    columns = _WANTED if bodies else _WANTED[:-1]
    numbers = connection.scalars(sa.select(pack.c.number).where(which).order_by(pack.c.number)).all()
    for some in chunks(numbers, 64):  # a pack may be large
        question = sa.select(*columns).where(pack.c.number.in_(some)).order_by(pack.c.number)
        for number, run_id, endpoint_id, content, *rest in connection.execute(question):
            where = f"{shown}: pack {number}"
            kept = read_bodies(rest[0], where=where) if rest and rest[0] is not None else []
            yield Pack.of(number, run_id, endpoint_id, content, [sha for sha, _ in kept], where=where)


def contents(connection: sa.Connection, shown: str, numbers: Sequence[int]) -> dict[bytes, bytes]:
    """The bodies that the packs of these ``numbers`` keep, by digest. Raises ``Damaged``."""
    found: dict[bytes, bytes] = {}
    for some in chunks(numbers, 64):
        question = sa.select(pack.c.number, pack.c.bodies).where(pack.c.number.in_(some) & pack.c.bodies.is_not(None))
        for number, blob in connection.execute(question):
            kept = read_bodies(blob, where=f"{shown}: pack {number}")
            found |= {sha: content for sha, content in kept if content is not None}
    return found


def look_up(connection: sa.Connection, shown: str, keys: Sequence[bytes]) -> Iterator[Entry]:
    """Every entry that packs have of ``keys``, each with the key that was asked for."""
    if not keys:
        return
    whole = {key[:KEY_BYTES]: key for key in keys}
    asked = np.frombuffer(b"".join(whole), np.uint8).reshape(-1, KEY_BYTES)
    numbers = index.find(connection, asked)
    for some in chunks(numbers, 500):
        for found in load(connection, shown, pack.c.number.in_(some)):
            by_key = found.rows_by_key
            for short in by_key.keys() & whole.keys():
                yield from (found.entry(row, whole[short]) for row in by_key[short])


def locate(connection: sa.Connection, shown: str, keys: Sequence[bytes]) -> Places:
    """Pack and row of those of ``keys`` (11 bytes each) that packs have; of several the latest."""
    places: Places = {}
    if not keys:
        return places
    wanted = set(keys)
    numbers = index.find(connection, np.frombuffer(b"".join(keys), np.uint8).reshape(-1, KEY_BYTES))
    for some in chunks(numbers, 500):
        for found in load(connection, shown, pack.c.number.in_(some), bodies=False):
            by_key = found.rows_by_key
            places.update((key, (found.number, by_key[key][-1])) for key in by_key.keys() & wanted)
    return places


def fold(connection: sa.Connection, which: sa.ColumnElement[bool], *, keys: Sequence[bytes] | None = None) -> Places:
    """Put the rows of ``evaluation`` of which ``which`` holds and that are over into packs: in the order of ``keys``, of
    which they must be, or in that of sending. Bodies move along, but for those that other rows refer to.

    The caller has taken its turn.
    """
    which = which & evaluation.c.state.in_(OVER)
    found: list[Entry] = []
    for some in [None] if keys is None else chunks(keys):
        mine = which if some is None else which & evaluation.c.key.in_(some)
        found += [rows.to_entry(row) for row in connection.execute(rows.ENTRY_SELECT.where(mine))]
    order = {key: place for place, key in enumerate(keys or ())}
    found.sort(key=lambda entry: (order.get(entry.key, 0), entry.sent_at, entry.item, entry.key, entry.generation))
    places: Places = {}
    for group in grouped(found):
        places |= insert(connection, prepare(group, dict(_bodies(connection, body_order(group)))))
    for part in chunks(found):
        gone = which & evaluation.c.key.in_([entry.key for entry in part])
        connection.execute(evaluation.delete().where(gone))
    unused = ~sa.exists().where(evaluation.c.body_sha == body.c.sha256)
    not_a_map = ~sa.exists().where(probe.c.segments_sha == body.c.sha256)  # superpixels are kept there too
    for few in chunks(body_order(found), 500):
        connection.execute(body.delete().where(body.c.sha256.in_(few) & unused & not_a_map))
    return places


def _bodies(connection: sa.Connection, shas: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    columns = (body.c.sha256, body.c.encoding, body.c.size, body.c.content)
    for some in chunks(shas, 500):
        for sha, encoding, size, content in connection.execute(sa.select(*columns).where(body.c.sha256.in_(some))):
            yield sha, rows.to_body(sha, encoding, size, content)


def summed(connection: sa.Connection, run_id: str) -> tuple[int, int]:
    """Requests and micro-units of the packs of a run."""
    question = sa.select(sa.func.sum(pack.c.requests), sa.func.sum(pack.c.cost_micro)).where(pack.c.run_id == run_id)
    requests, micro = connection.execute(question).one()
    return int(requests or 0), int(micro or 0)

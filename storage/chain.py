"""The chain of evidence in the database: what was there when, each link holding the one before."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime

import sqlalchemy as sa

from storage import evidence
from storage.pack import micros
from storage.records import Run
from storage.schema import chain, pack, run


def run_leaf(value: Run) -> bytes:
    """The hash of what a run is besides its evaluations."""
    said = [value.id, value.name, value.config_sha.hex(), value.config, value.code_version, value.seed]
    return evidence.leaf(json.dumps([*said, micros(value.started)], separators=(",", ":")).encode())


def run_root(value: Run, roots: Sequence[tuple[bytes, bytes | None]]) -> bytes:
    """Over the run and, for each of its packs in order, its evaluations and its bodies."""
    return evidence.root([run_leaf(value), *(each for pair in roots for each in pair if each is not None)])


def roots_of(connection: sa.Connection, run_id: str) -> list[tuple[bytes, bytes | None]]:
    """The roots of the packs of a run, in order."""
    question = sa.select(pack.c.root, pack.c.bodies_root).where(pack.c.run_id == run_id).order_by(pack.c.number)
    return [(root, bodies) for root, bodies in connection.execute(question)]


def add_run(connection: sa.Connection, run_id: str, *, at: datetime, note: str) -> None:
    """A link for a run as it is now. The caller has taken its turn."""
    found = connection.execute(sa.select(run).where(run.c.id == run_id)).mappings().one()
    value = Run(**{column.name: found[column.name] for column in run.columns})
    add(connection, at=at, what="run", run_id=run_id, note=note, root=run_root(value, roots_of(connection, run_id)))


def add(connection: sa.Connection, *, at: datetime, what: str, run_id: str | None, note: str, root: bytes) -> None:
    """One more link. The caller has taken its turn."""
    last = connection.execute(sa.select(chain.c.seq, chain.c.hash).order_by(chain.c.seq.desc()).limit(1)).first()
    seq, previous = (1, evidence.BEGINNING) if last is None else (last.seq + 1, last.hash)
    new = evidence.link(seq=seq, at=at, what=what, run_id=run_id, note=note, root=root, previous=previous)
    row = {"seq": new.seq, "at": new.at, "what": new.what, "run_id": new.run_id, "note": new.note}
    connection.execute(chain.insert().values(row | {"root": new.root, "previous": new.previous, "hash": new.hash}))


def links(connection: sa.Connection) -> Iterator[evidence.Link]:
    """All of them, in order."""
    names = ("seq", "at", "what", "run_id", "note", "root", "previous", "hash")
    for row in connection.execute(sa.select(*(chain.c[name] for name in names)).order_by(chain.c.seq)):
        yield evidence.Link(*row)


def broken(all_links: Sequence[evidence.Link]) -> evidence.Link | None:
    """The first link that is not what it says, or does not hold the one before."""
    previous = evidence.BEGINNING
    for number, each in enumerate(all_links, 1):
        if each.seq != number or each.previous != previous or each.expected() != each.hash:
            return each
        previous = each.hash
    return None

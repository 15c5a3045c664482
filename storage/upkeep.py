"""Looking after a database: what it holds, whether it is whole, dropping what is old, moving it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import sqlalchemy as sa

from storage import chain, evidence, index, packs
from storage.columns import Count
from storage.connect import chunks
from storage.errors import Damaged, Unstorable
from storage.pack import read_bodies, write_bodies
from storage.rows import to_run
from storage.schema import body, evaluation, index_page, limiter, metadata, pack, probe, run
from storage.store import Store

_AT_ONCE = 64  #: packs in memory


def stats(store: Store) -> dict[str, int]:
    """What is stored, and in how many bytes: :meth:`Store.counts`, ``packs``, and ``bytes`` of the whole and its parts."""
    sizes = {
        "bytes_packs": sa.select(sa.func.sum(sa.func.length(pack.c.content))),
        "bytes_pack_bodies": sa.select(sa.func.sum(sa.func.length(pack.c.bodies))),
        "bytes_index": sa.select(sa.func.sum(sa.func.length(index_page.c.content))),
        "bytes_bodies": sa.select(sa.func.sum(sa.func.length(body.c.content))),
        "packs": sa.select(sa.func.count()).select_from(pack),
        "rows": sa.select(sa.func.count()).select_from(evaluation),
    }
    found = store.counts()
    with store.database.reading() as connection:
        found |= {name: int(connection.scalar(question) or 0) for name, question in sizes.items()}
        found["bytes"] = _size(store, connection)
    return found


def _size(store: Store, connection: sa.Connection) -> int:
    if store.database.is_sqlite:
        pages, free, size = (
            int(connection.exec_driver_sql(f"PRAGMA {name}").scalar() or 0)
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size
    tables = ", ".join(f"pg_total_relation_size('{name}')" for name in metadata.tables)
    return sum(connection.exec_driver_sql(f"SELECT {tables}").one())


def check(store: Store, *, repair: bool = False) -> Iterator[str]:
    """What is wrong, in words; nothing if all is whole. ``repair``: make the index anew first, which holds nothing of its own.

    Packs and bodies are hashed again, every key must be found, and the chain must hold.
    """
    if repair:
        rebuild_index(store)
    with store.database.reading() as connection:
        if store.database.is_sqlite:
            for (said,) in connection.exec_driver_sql("PRAGMA integrity_check"):
                if said != "ok":
                    yield f"SQLite: {said}"
            for row in connection.exec_driver_sql("PRAGMA foreign_key_check"):
                yield f"a row of {row[0]} refers to a row of {row[2]} that is not there"
        numbers = connection.scalars(sa.select(pack.c.number).order_by(pack.c.number)).all()
        for number in numbers:
            yield from _check_pack(store, connection, number)
        for (sha,) in connection.execute(sa.select(body.c.sha256)):
            try:
                store.body(sha)
            except Damaged as error:
                yield str(error)
        if (link := chain.broken(list(chain.links(connection)))) is not None:
            yield f"the chain is broken at link {link.seq} ({link.what} {link.run_id or ''})"
        yield from _check_roots(connection)


def _check_pack(store: Store, connection: sa.Connection, number: int) -> Iterator[str]:
    row = connection.execute(sa.select(pack).where(pack.c.number == number)).mappings().one()
    try:
        (found,) = packs.load(connection, store.url, pack.c.number == number)
        entries = list(found.entries())
        if evidence.entries_root(entries) != row["root"]:
            yield f"pack {number}: an evaluation was altered"
        if row["bodies"] is not None:
            shas = [sha for sha, _ in read_bodies(row["bodies"], where=f"pack {number}")]
            if evidence.root(map(evidence.leaf, shas)) != row["bodies_root"]:
                yield f"pack {number}: a response body was altered"
        if unknown := int((~index.held(connection, found.keys, number)).sum()):
            yield f"pack {number}: {unknown} keys are not in the index; `probe db check --repair` makes it anew"
    except Damaged as error:
        yield str(error)
    except (KeyError, IndexError, ValueError, TypeError) as error:
        yield f"pack {number}: it cannot be read ({error!r})"


def _check_roots(connection: sa.Connection) -> Iterator[str]:
    last = {link.run_id: link for link in chain.links(connection) if link.what == "run"}
    for run_id, link in last.items():
        row = connection.execute(sa.select(run).where(run.c.id == run_id)).mappings().first()
        if row is None:
            yield f"run {run_id} is in the chain and not in the database"
            continue
        value = to_run(row)
        if chain.run_root(value, chain.roots_of(connection, str(run_id))) != link.root:
            yield f"run {run_id}: its settings or packs are not those of link {link.seq} of the chain"


def rebuild_index(store: Store) -> int:
    """Make the index of keys anew from the packs; returns the number of packs."""

    def work(connection: sa.Connection) -> int:
        packs.take_turn(connection)
        index.drop(connection)
        numbers = connection.scalars(sa.select(pack.c.number).order_by(pack.c.number)).all()
        for some in chunks(numbers, _AT_ONCE):
            found = list(packs.load(connection, store.url, pack.c.number.in_(some), bodies=False))
            keys = np.concatenate([each.keys for each in found])
            index.add(connection, keys, np.concatenate([np.full(len(each.keys), each.number) for each in found]))
        return len(numbers)

    return store.database.write(work)


def compact(store: Store) -> int:
    """Put the evaluations of finished runs that are still rows into packs; returns how many. A transaction a run."""
    question = sa.select(run.c.id).where(run.c.status == "finished").order_by(run.c.started)
    with store.database.reading() as connection:
        finished = connection.scalars(question.where(sa.exists().where(evaluation.c.run_id == run.c.id))).all()
    count = 0
    for run_id in finished:

        def work(connection: sa.Connection, run_id: str = run_id) -> int:
            packs.take_turn(connection)
            return len(packs.fold(connection, evaluation.c.run_id == run_id))

        count += store.database.write(work)
    return count


@dataclass(frozen=True, slots=True)
class Pruned:
    """``kept``: bodies that are old enough but hold scores that are kept nowhere else."""

    bodies: int
    kept: int
    bytes: int


def prune(store: Store, *, before: datetime, at: datetime, dry_run: bool = False) -> Pruned:
    """Drop the response bodies of evaluations sent before ``before``; the numbers stay. A link of the chain says so.

    ``at``: now.
    """

    def work(connection: sa.Connection) -> Pruned:
        packs.take_turn(connection)
        dropped = kept = size = 0
        roots: list[bytes] = []
        old = (pack.c.last_sent < before) & (pack.c.body_count > 0)
        for number in connection.scalars(sa.select(pack.c.number).where(old).order_by(pack.c.number)).all():
            gone, left, freed, root = _prune_pack(store, connection, number, dry_run=dry_run)
            dropped, kept, size = dropped + gone, kept + left, size + freed
            if gone:
                roots.append(root)
        gone, freed, shas = _prune_rows(connection, before, dry_run=dry_run)
        dropped, size = dropped + gone, size + freed
        if dropped and not dry_run:
            root = evidence.root([*map(evidence.leaf, [*roots, *shas])])
            note = f"{dropped} bodies of evaluations sent before {before.isoformat()}"
            chain.add(connection, at=at, what="prune", run_id=None, note=note, root=root)
        return Pruned(dropped, kept, size)

    return store.database.write(work)


def _prune_pack(store: Store, connection: sa.Connection, number: int, *, dry_run: bool) -> tuple[int, int, int, bytes]:
    """Bodies dropped and kept, bytes freed, and the root of the bodies."""
    (found,) = packs.load(connection, store.url, pack.c.number == number)
    blob, root = connection.execute(sa.select(pack.c.bodies, pack.c.bodies_root).where(pack.c.number == number)).one()
    needed = {
        entry.body_sha for entry in found.entries() if entry.state == "answered" and entry.scores is None
    }  # wide answers, whose scores are nowhere else
    bodies = read_bodies(blob, where=f"{store.url}: pack {number}")
    stay = {sha: content for sha, content in bodies if content is not None and sha in needed}
    gone = sum(content is not None for _, content in bodies) - len(stay)
    new = write_bodies([sha for sha, _ in bodies], stay) if stay else None
    if gone and not dry_run:
        change = pack.update().where(pack.c.number == number)
        connection.execute(change.values(bodies=new, body_count=len(stay)))
    return gone, len(stay), len(blob) - len(new or b"") if gone else 0, root


def _prune_rows(connection: sa.Connection, before: datetime, *, dry_run: bool) -> tuple[int, int, list[bytes]]:
    needed = sa.exists().where(
        (evaluation.c.body_sha == body.c.sha256)
        & ((evaluation.c.sent_at >= before) | (evaluation.c.scores.is_(None) & (evaluation.c.state == "answered")))
    )
    a_map = sa.exists().where(probe.c.segments_sha == body.c.sha256)
    of_a_row = sa.exists().where(evaluation.c.body_sha == body.c.sha256)
    question = sa.select(body.c.sha256, sa.func.length(body.c.content)).where(of_a_row & ~needed & ~a_map)
    found = connection.execute(question.order_by(body.c.sha256)).all()
    if not dry_run:
        for some in chunks([sha for sha, _ in found], 500):
            connection.execute(body.delete().where(body.c.sha256.in_(some)))
    return len(found), sum(size for _, size in found), [sha for sha, _ in found]


def vacuum(store: Store) -> None:
    """Give freed space back to the disk (SQLite; Postgres does so by itself)."""
    if store.database.is_sqlite:
        bare = store.database.engine.execution_options(begin="")
        with store.database.worded(), bare.connect() as connection:
            connection.exec_driver_sql("VACUUM")


def copy(source: Store, target: Store, *, told: Callable[[str, int], None] = lambda _name, _count: None) -> int:
    """Everything in ``source`` into ``target``, which must be empty, in one transaction; returns the number of rows.

    Limits that processes share are left out: they are about the clock of their database. ``told``: hears of each table.
    Raises :class:`Unstorable` if something is there already.
    """
    if target.runs(1) or target.counts()["evaluations"]:
        raise Unstorable(f"{target.url}: something is stored there already; copy into an empty database")

    def work(connection: sa.Connection) -> int:
        count = 0
        with source.database.reading() as reading:
            for table in metadata.sorted_tables:
                if table is limiter:
                    continue
                moved = _copy_table(reading, connection, table)
                told(table.name, moved)
                count += moved
        return count

    return target.database.write(work)


def _copy_table(source: sa.Connection, target: sa.Connection, table: sa.Table) -> int:
    count = 0
    result = source.execution_options(yield_per=_AT_ONCE if "content" in table.c else 1000).execute(sa.select(table))
    for some in result.mappings().partitions():
        target.execute(table.insert(), [dict(row) for row in some])
        count += len(some)
    number = next((column for column in table.primary_key if column.type is Count), None)
    if target.dialect.name == "postgresql" and number is not None and len(table.primary_key) == 1:
        last = sa.func.coalesce(sa.select(sa.func.max(number)).scalar_subquery(), 0) + 1
        sequence = sa.func.pg_get_serial_sequence(table.name, number.name)
        target.execute(sa.select(sa.func.setval(sequence, last, False)))
    return count

"""Runs, probes, inputs, bodies, and reading the ledger. Writing the ledger is ``ledger.py``'s."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

from storage import asked, chain, lookup, migrations, packs, rows, tables
from storage.connect import Database, chunks
from storage.errors import Ambiguous, NotFound
from storage.records import Asked, Endpoint, Entry, Instance, Probe, Run, RunStatus, Usage
from storage.schema import (
    attribution,
    body,
    endpoint,
    evaluation,
    feature,
    instance,
    probe,
    run,
    usage_day,
)

_RESUMABLE: tuple[RunStatus, ...] = ("running", "interrupted", "partial")


class Store:
    """One database. Every method may be called from any thread, blocks, and raises :class:`StorageError`."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @classmethod
    def open(cls, url: str, *, create: bool = True, timeout: float = 10.0) -> Store:
        """Open ``sqlite:///path`` or ``postgresql://user@host/database``; an empty one gets its tables if ``create``.

        ``timeout``: seconds to wait for a server, or for someone else's lock. Raises :class:`CannotOpen` and its kinds
        :class:`SchemaTooOld`, :class:`SchemaTooNew`, :class:`DriverMissing`; :class:`ReadOnly`, :class:`Locked`.
        """
        database = Database(url, timeout=timeout)
        try:
            database.prepare(create=create)
            migrations.ensure(database, create=create)
        except BaseException:
            database.close()
            raise
        return cls(database)

    @property
    def url(self) -> str:
        """Where it is, fit to be shown: without the password."""
        return self.database.shown

    def close(self) -> None:
        """Give back every connection. Close a journal on this store first."""
        self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- the ledger, read ---

    def lookup(self, keys: Sequence[bytes]) -> dict[bytes, Entry]:
        """The newest generation of each of ``keys`` that is in the ledger. Keys may be cut to 11 bytes. Raises ``Damaged``."""
        return {key: found[-1] for key, found in self._found(keys).items()}

    def entries(self, keys: Sequence[bytes]) -> list[Entry]:
        """Every generation of each of ``keys``: in the order of ``keys``, oldest generation first. Raises ``Damaged``."""
        found = self._found(keys)
        return [entry for key in dict.fromkeys(keys) for entry in found.get(key, ())]

    def _found(self, keys: Sequence[bytes]) -> dict[bytes, list[Entry]]:
        with self.database.reading() as connection:
            return lookup.found(connection, self.url, keys)

    def bodies(self, shas: Sequence[bytes]) -> dict[bytes, bytes]:
        """The stored bodies by SHA-256; those that were pruned, never stored or put into packs are missing. Raises
        :class:`Damaged`."""
        found: dict[bytes, bytes] = {}
        with self.database.reading() as connection:
            for some in chunks(shas, 500):  # a body may be megabytes
                for sha, encoding, size, content in connection.execute(
                    sa.select(body.c.sha256, body.c.encoding, body.c.size, body.c.content).where(
                        body.c.sha256.in_(some)
                    )
                ):
                    found[sha] = rows.to_body(sha, encoding, size, content)
        return found

    def body(self, sha: bytes) -> bytes | None:
        """One stored body by SHA-256, as :meth:`bodies`. Raises :class:`Damaged`."""
        return self.bodies([sha]).get(sha)

    def bodies_of(self, entries: Sequence[Entry]) -> dict[bytes, bytes]:
        """The response bodies of ``entries``, by SHA-256; those that were pruned are missing. Raises :class:`Damaged`."""
        wanted = {entry.body_sha: entry.pack for entry in entries if entry.body_sha is not None}
        numbers = sorted({number for number in wanted.values() if number is not None})
        found: dict[bytes, bytes] = {}
        if numbers:
            with self.database.reading() as connection:
                found = packs.contents(connection, self.url, numbers)
        found = {sha: found[sha] for sha in wanted if sha in found}
        return found | self.bodies(sorted(sha for sha in wanted if sha not in found))

    def spent(self, run_id: str) -> tuple[int, int]:
        """Requests that the evaluations of a run took, and what they cost in micro-units, as far as the ledger knows."""
        first = sa.func.sum(sa.case((evaluation.c.item == 0, evaluation.c.attempts), else_=0))
        question = sa.select(first, sa.func.sum(evaluation.c.cost_micro)).where(evaluation.c.run_id == run_id)
        with self.database.reading() as connection:
            requests, micro = connection.execute(question).one()
            away = packs.summed(connection, run_id)
        return int(requests or 0) + away[0], int(micro or 0) + away[1]

    def put_away(self, entries: Sequence[Entry], bodies: Sequence[bytes] = ()) -> None:
        """Store evaluations that are over, with their bodies, in packs: quicker than a :class:`Journal`, for very many at a
        time that were answered elsewhere. They must not be in the ledger yet; usage does not count them."""
        contents = {hashlib.sha256(content).digest(): content for content in bodies}
        prepared = [packs.prepare(group, contents) for group in packs.grouped(entries)]

        def work(connection: sa.Connection) -> None:
            packs.take_turn(connection)
            for each in prepared:
                packs.insert(connection, each)

        self.database.write(work)

    # --- results, written ---

    def start_run(self, value: Run) -> None:
        """Store a new run."""
        self.database.write(lambda connection: connection.execute(run.insert().values(rows.simple_row(value))))

    def finish_run(self, run_id: str, status: RunStatus, finished: datetime, totals: Mapping[str, int]) -> None:
        """Say how a run ended; a resumed run may end several times. Raises :class:`NotFound`.

        Evaluations of a finished run that no probe asked for are put into packs, and the run becomes a link of the chain.
        """
        change = run.update().where(run.c.id == run_id)

        def work(connection: sa.Connection) -> None:
            done = connection.execute(change.values(status=status, finished=finished, totals=dict(totals)))
            if not done.rowcount:
                raise NotFound(f"{self.url}: no run {run_id!r}")
            packs.take_turn(connection)
            if status == "finished":
                packs.fold(connection, evaluation.c.run_id == run_id)
            chain.add_run(connection, run_id, at=finished, note=status)

        self.database.write(work)

    def put_endpoint(self, value: Endpoint) -> None:
        """Store an endpoint; one of that id is brought up to date (its name in the config may have changed)."""
        row = rows.simple_row(value)
        statement = self.database.insert(endpoint).values(row)
        change = {name: statement.excluded[name] for name in row if name != "id"}
        self._run(statement.on_conflict_do_update(index_elements=["id"], set_=change))

    def put_instance(self, value: Instance) -> None:
        """Store an input; one of that id is left as it is."""
        self._run(self.database.insert(instance).values(rows.simple_row(value)).on_conflict_do_nothing())

    def put_body(self, content: bytes) -> bytes:
        """Store ``content`` once, however often it comes; return its SHA-256."""
        row = rows.body_row(content)
        self._run(self.database.insert(body).values(row).on_conflict_do_nothing())
        sha: bytes = row["sha256"]
        return sha

    def save_probe(self, value: Probe, *, evaluations: Sequence[Entry] = (), bodies: Sequence[bytes] = ()) -> None:
        """Store a probe with its attributions. The same probe of the same run saved again takes the place of the first.

        "The same": equal run, name, instance, endpoint, method and ``params_hash``. Unless it is partial, its evaluations
        are put into packs. ``evaluations`` that were answered elsewhere, with their ``bodies``, are added as by
        :meth:`put_away`. All of it is stored, or nothing.
        """
        contents = {hashlib.sha256(content).digest(): content for content in bodies}
        prepared = [packs.prepare(group, contents) for group in packs.grouped(evaluations)]
        row = rows.probe_row(value)
        same = ("run_id", "name", "instance_id", "endpoint_id", "method", "params_hash")
        keys = [] if value.status == "partial" else asked.keys_in(value.table)

        def work(connection: sa.Connection) -> None:
            kept = tables.fold(self.database, connection, value, keys, prepared) if keys or prepared else value.table
            statement = self.database.insert(probe).values(row | {"asked": kept})
            change = {name: statement.excluded[name] for name in row if name not in same}
            upsert = statement.on_conflict_do_update(index_elements=same, set_=change)
            number = connection.execute(upsert.returning(probe.c.number)).scalar_one()
            connection.execute(attribution.delete().where(attribution.c.probe_number == number))
            if value.attributions:
                ids = tables.feature_ids(self.database, connection, [one.feature for one in value.attributions])
                connection.execute(
                    attribution.insert(),
                    [
                        {"feature_id": ids[one.feature], "probe_number": number, "position": position}
                        | {"value": one.value, "std_error": one.std_error}
                        for position, one in enumerate(value.attributions)
                    ],
                )

        self.database.write(work)

    # --- questions ---

    def resumable_run(self, config_sha: bytes, seed: int) -> Run | None:
        """The newest run of this config and seed that has not come to its end."""
        wanted = (run.c.config_sha == config_sha) & (run.c.seed == seed) & run.c.status.in_(_RESUMABLE)
        found = self._all(sa.select(run).where(wanted).order_by(run.c.started.desc(), run.c.id.desc()).limit(1))
        return rows.to_run(found[0]) if found else None

    def runs(self, limit: int = 20) -> list[Run]:
        """The newest runs, newest first."""
        newest = sa.select(run).order_by(run.c.started.desc(), run.c.id.desc()).limit(limit)
        return [rows.to_run(row) for row in self._all(newest)]

    def run(self, id_or_prefix: str) -> Run:
        """The run of that id, or the only one whose id begins like that. Raises :class:`NotFound`, :class:`Ambiguous`."""
        begins = run.c.id.startswith(id_or_prefix, autoescape=True)
        found = self._all(sa.select(run).where(begins).order_by(run.c.id).limit(6)) if id_or_prefix else []
        found = [row for row in found if row["id"].startswith(id_or_prefix)]  # SQLite's LIKE ignores case
        exact = [row for row in found if row["id"] == id_or_prefix]
        if not found:
            raise NotFound(f"{self.url}: no run {id_or_prefix!r}; `probe ls` shows the runs")
        if len(found) > 1 and not exact:
            ids = ", ".join(row["id"] for row in found[:5]) + (", …" if len(found) > 5 else "")
            raise Ambiguous(
                f"{self.url}: several runs begin with {id_or_prefix!r}: {ids}; write more of the one you mean"
            )
        return rows.to_run((exact or found)[0])

    def probes(self, run_id: str) -> list[Probe]:
        """The probes of a run (its full id), in the order in which they were first saved."""
        mine = probe.c.run_id == run_id
        shares: dict[int, list[tuple[str, float | None, float | None]]] = {}
        with self.database.reading() as connection:
            found = connection.execute(sa.select(probe).where(mine).order_by(probe.c.number)).mappings().all()
            for number, key, value, error in connection.execute(
                sa.select(attribution.c.probe_number, feature.c.key, attribution.c.value, attribution.c.std_error)
                .join(feature)
                .join(probe)
                .where(mine)
                .order_by(attribution.c.probe_number, attribution.c.position)
            ):
                shares.setdefault(number, []).append((key, value, error))
        return [rows.to_probe(row, shares.get(row["number"], ())) for row in found]

    def asked(self, instance_ids: Sequence[str], *, before: datetime) -> list[Asked]:
        """What probes of these inputs asked that ended until ``before``, oldest first.

        Of probes with equal instance, endpoint, method and ``params_hash`` the newest of each status.
        """
        same = (probe.c.instance_id, probe.c.endpoint_id, probe.c.method, probe.c.params_hash)
        found: list[tuple[int, Asked]] = []
        with self.database.reading() as connection:
            for some in chunks(instance_ids, 500):
                newest = (
                    sa.select(sa.func.max(probe.c.number))
                    .where(probe.c.instance_id.in_(some) & (probe.c.finished <= before))
                    .group_by(*same, probe.c.status)
                )
                question = (
                    sa.select(probe.c.number, *same, probe.c.params, probe.c.status, run.c.code_version, probe.c.asked)
                    .join(run)
                    .where(probe.c.number.in_(newest))
                )
                for (
                    number,
                    instance_id,
                    endpoint_id,
                    method,
                    digest,
                    params,
                    status,
                    version,
                    table,
                ) in connection.execute(question):
                    finished = status == "finished"
                    whole = tables.whole(connection, self.url, table)
                    one = Asked(instance_id, endpoint_id, method, digest, params, finished, version, whole)
                    found.append((number, one))
        return [one for _, one in sorted(found, key=lambda each: each[0])]

    def table(self, value: Probe) -> bytes:
        """The coalitions of a stored probe and their ledger keys, cut to 11 bytes: ``.npz``. Raises :class:`Damaged`."""
        with self.database.reading() as connection:
            return tables.whole(connection, self.url, value.table)

    def evaluations(self, value: Probe) -> list[Entry]:
        """What a stored probe was explained from, keys cut to 11 bytes, in no order; the very records, whatever was asked
        since. Where its table names none, every generation of its keys. Raises :class:`Damaged`."""
        with self.database.reading() as connection:
            return tables.evaluations(connection, self.url, value.table)

    def instance(self, instance_id: str) -> Instance:
        """The input of that id. Raises :class:`NotFound`."""
        return rows.to_instance(self._one(instance, instance_id))

    def endpoint(self, endpoint_id: str) -> Endpoint:
        """The endpoint of that id. Raises :class:`NotFound`."""
        return rows.to_endpoint(self._one(endpoint, endpoint_id))

    def usage(self, since: date | None = None) -> list[Usage]:
        """Requests, errors and cost by day (UTC) and model, oldest first, from the day ``since`` on."""
        columns = (usage_day.c.day, usage_day.c.provider, usage_day.c.model)
        question = sa.select(*columns, usage_day.c.requests, usage_day.c.errors, usage_day.c.cost_micro).order_by(
            *columns
        )
        if since is not None:
            question = question.where(usage_day.c.day >= since)
        return [Usage(**row) for row in self._all(question)]

    def counts(self) -> dict[str, int]:
        """How many of each thing are stored: ``runs``, ``probes``, …, ``evaluations`` and, of those, each state."""
        with self.database.reading() as connection:
            return tables.counts(connection)

    # --- how ---

    def _run(self, statement: sa.Executable) -> None:
        self.database.write(lambda connection: connection.execute(statement))

    def _all(self, question: sa.Select[*tuple[Any, ...]]) -> Sequence[sa.RowMapping]:
        with self.database.reading() as connection:
            return connection.execute(question).mappings().all()

    def _one(self, table: sa.Table, wanted: str) -> sa.RowMapping:
        found = self._all(sa.select(table).where(table.c.id == wanted))
        if not found:
            raise NotFound(f"{self.url}: no {table.name} {wanted!r}")
        return found[0]


def upgrade(url: str, *, timeout: float = 10.0) -> tuple[str | None, str]:
    """Bring the database at ``url`` to the newest schema; return the revisions before and after.

    ``None`` before: it was empty. All of it in one transaction. Raises :class:`CannotOpen`, :class:`SchemaTooNew`.
    """
    database = Database(url, timeout=timeout)
    try:
        database.prepare(create=True)
        return migrations.bring_up(database)
    finally:
        database.close()

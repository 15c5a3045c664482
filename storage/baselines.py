"""What later checks of an endpoint compare with, and what they found. Three tables, and values for their rows.

A baseline is written once and never changed: what unchanged checks add to it is in their own rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from storage.columns import Count, Json, Moment, Words
from storage.errors import NotFound
from storage.records import Instance
from storage.rows import plain
from storage.schema import instance, metadata, one_of
from storage.store import Store

BaselineStatus = Literal["building", "ready", "accepted", "replaced"]
Finding = Literal["alarm", "no change found", "inconclusive"]

baseline = sa.Table(
    "baseline",
    metadata,
    sa.Column("id", Words, primary_key=True),
    sa.Column("name", Words, nullable=False),
    sa.Column("endpoint_id", Words, sa.ForeignKey("endpoint.id"), nullable=False),
    sa.Column("run_id", Words, sa.ForeignKey("run.id"), nullable=False),
    sa.Column("status", Words, nullable=False),
    sa.Column("started", Moment, nullable=False),
    sa.Column("finished", Moment),
    sa.Column("settings", Json, nullable=False),
    sa.Column("noise", Json, nullable=False),
    sa.Column("accepted_at", Moment),  # the change that a check found was taken as it is …
    sa.Column("accepted_check", Words),  # … by that check's id
    sa.Column("note", Words),  # … and why
    sa.Index(None, "name", "started"),
    one_of("status", BaselineStatus),
)

baseline_probe = sa.Table(
    "baseline_probe",
    metadata,
    sa.Column("baseline_id", Words, sa.ForeignKey("baseline.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("role", Words, nullable=False),
    sa.Column("name", Words, nullable=False),
    sa.Column("instance_id", Words, sa.ForeignKey("instance.id"), nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("answers", Json, nullable=False),
)

baseline_check = sa.Table(
    "baseline_check",
    metadata,
    sa.Column("number", Count, primary_key=True),  # the order in which they began
    sa.Column("id", Words, nullable=False),
    sa.Column("baseline_id", Words, sa.ForeignKey("baseline.id", ondelete="CASCADE"), nullable=False),
    sa.Column("run_id", Words, sa.ForeignKey("run.id"), nullable=False),
    sa.Column("started", Moment, nullable=False),
    sa.Column("finished", Moment),
    sa.Column("verdict", Words),
    sa.Column("cost_micro", sa.BigInteger, nullable=False),
    sa.Column("result", Json, nullable=False),
    sa.UniqueConstraint("id"),
    sa.Index(None, "baseline_id", "number"),
    one_of("verdict", Finding),
)


@dataclass(frozen=True, slots=True)
class BaselineProbe:
    """One stored input with its answers, JSON-ready."""

    role: str
    name: str
    instance_id: str
    tries: int
    answers: Sequence[Mapping[str, Any]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Baseline:
    """What checks of ``name`` compare with, from ``finished`` until it is ``accepted`` that the endpoint has changed, or
    ``replaced`` by a newer one."""

    id: str
    name: str
    endpoint_id: str
    run_id: str
    status: BaselineStatus
    started: datetime
    finished: datetime | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    noise: Mapping[str, Any] = field(default_factory=dict)
    accepted_at: datetime | None = None
    accepted_check: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class CheckRecord:
    """One check. ``verdict`` is ``None`` while it runs, or if it was killed."""

    id: str
    baseline_id: str
    run_id: str
    started: datetime
    finished: datetime | None = None
    verdict: Finding | None = None
    cost_micro: int = 0
    result: Mapping[str, Any] = field(default_factory=dict)


class Baselines:
    """Baselines and checks in ``store``. Every method blocks, and raises :class:`StorageError`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, value: Baseline) -> None:
        """Store a baseline; one of that id is brought up to date."""
        self._upsert(baseline, value)

    def finish(self, value: Baseline, probes: Sequence[BaselineProbe], instances: Sequence[Instance]) -> None:
        """Store the probes of a baseline and say that it is ready; those of its name that were ready are replaced. All of it
        is stored, or nothing."""
        row = _row(value)
        positions = [
            {"baseline_id": value.id, "position": position} | _row(probe) for position, probe in enumerate(probes)
        ]
        older = (baseline.c.name == value.name) & (baseline.c.id != value.id)

        def work(connection: sa.Connection) -> None:
            for each in instances:
                found = self._store.database.insert(instance).values(_row(each))
                connection.execute(found.on_conflict_do_nothing())
            connection.execute(
                baseline.update().where(older & baseline.c.status.in_(("ready", "building"))).values(status="replaced")
            )
            connection.execute(baseline.update().where(baseline.c.id == value.id).values(row))
            connection.execute(baseline_probe.insert(), positions)

        self._store.database.write(work)

    def accept(self, baseline_id: str, *, check_id: str, at: datetime, note: str) -> None:
        """Record that the change found by ``check_id`` is taken as it is."""
        change = {"status": "accepted", "accepted_at": at, "accepted_check": check_id, "note": note}
        statement = baseline.update().where(baseline.c.id == baseline_id).values(change)
        self._store.database.write(lambda connection: connection.execute(statement))

    def all(self, name: str | None = None) -> list[Baseline]:
        """Baselines, newest first; those of ``name`` if given."""
        question = sa.select(baseline).order_by(baseline.c.started.desc(), baseline.c.id)
        if name is not None:
            question = question.where(baseline.c.name == name)
        with self._store.database.reading() as connection:
            return [Baseline(**row) for row in connection.execute(question).mappings()]

    def current(self, name: str) -> Baseline:
        """The newest one of ``name`` that was finished. Raises :class:`NotFound`."""
        found = next((each for each in self.all(name) if each.status in ("ready", "accepted")), None)
        if found is None:
            raise NotFound(f"{self._store.url}: no baseline {name!r}; `probe baseline create {name}` makes one")
        return found

    def probes(self, baseline_id: str) -> list[tuple[BaselineProbe, Instance]]:
        """The probes of a baseline and their inputs, in order."""
        question = (
            sa.select(baseline_probe, *(column.label(f"of_{column.name}") for column in instance.columns))
            .join(instance)
            .where(baseline_probe.c.baseline_id == baseline_id)
            .order_by(baseline_probe.c.position)
        )
        names = [each.name for each in fields(BaselineProbe)]
        with self._store.database.reading() as connection:
            return [
                (
                    BaselineProbe(**{name: row[name] for name in names}),
                    Instance(**{column.name: row[f"of_{column.name}"] for column in instance.columns}),
                )
                for row in connection.execute(question).mappings()
            ]

    def put_check(self, value: CheckRecord) -> None:
        """Store a check; one of that id is brought up to date."""
        self._upsert(baseline_check, value)

    def checks(self, baseline_id: str) -> list[CheckRecord]:
        """The checks against a baseline, oldest first."""
        names = [each.name for each in fields(CheckRecord)]
        mine = baseline_check.c.baseline_id == baseline_id
        question = sa.select(*(baseline_check.c[name] for name in names)).where(mine).order_by(baseline_check.c.number)
        with self._store.database.reading() as connection:
            return [CheckRecord(**row) for row in connection.execute(question).mappings()]

    def _upsert(self, table: sa.Table, value: Baseline | CheckRecord) -> None:
        row = _row(value)
        statement = self._store.database.insert(table).values(row)
        change = {name: statement.excluded[name] for name in row if name != "id"}
        final = statement.on_conflict_do_update(index_elements=["id"], set_=change)
        self._store.database.write(lambda connection: connection.execute(final))


def _row(value: Baseline | BaselineProbe | CheckRecord | Instance) -> dict[str, Any]:
    """Mappings and sequences as JSON can say them."""
    row = {each.name: getattr(value, each.name) for each in fields(value)}
    return {name: plain(item) if isinstance(item, Mapping | list | tuple) else item for name, item in row.items()}

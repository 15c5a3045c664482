"""Schedules, each of their fires at most once whoever looks, and alerts until they are delivered.

Any number of schedulers may work on one database. A fire is a row that is unique by schedule and due time, so one of them
wins it; who holds it renews a counter, and whoever sees that counter stand still for long enough may take the fire over.
No clocks of different machines are compared, so one that is set does no harm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

import sqlalchemy as sa

from storage.columns import Count, Json, Moment, Words
from storage.errors import NotFound
from storage.schema import metadata, one_of
from storage.store import Store

Missed: TypeAlias = Literal["skip", "once", "all"]
FireState: TypeAlias = Literal["running", "done", "missed", "lost"]
AlertState: TypeAlias = Literal["pending", "delivered", "given up"]


schedule = sa.Table(
    "schedule",
    metadata,
    sa.Column("name", Words, primary_key=True),
    sa.Column("cron", Words, nullable=False),
    sa.Column("zone", Words, nullable=False),
    sa.Column("command", Json, nullable=False),
    sa.Column("config", Words, nullable=False),
    sa.Column("missed", Words, nullable=False),
    sa.Column("created", Moment, nullable=False),  # fires before this are none
    sa.Column("paused", sa.Boolean, nullable=False),
    one_of("missed", Missed),
)

fire = sa.Table(
    "fire",
    metadata,
    sa.Column("schedule", Words, sa.ForeignKey("schedule.name", ondelete="CASCADE"), primary_key=True),
    sa.Column("due", Moment, primary_key=True),
    sa.Column("state", Words, nullable=False),
    sa.Column("owner", Words, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("beat", sa.BigInteger, nullable=False),  # goes up while the owner lives
    sa.Column("began", Moment, nullable=False),
    sa.Column("ended", Moment),
    sa.Column("exit_code", sa.Integer),
    sa.Column("summary", Words, nullable=False),
    one_of("state", FireState),
    sa.Index(None, "state"),
)

alert = sa.Table(
    "alert",
    metadata,
    sa.Column("number", Count, primary_key=True),
    sa.Column("event", Words, nullable=False),
    sa.Column("target", Words, nullable=False),
    sa.Column("config", Words, nullable=False),  # where the target is described
    sa.Column("payload", Json, nullable=False),
    sa.Column("state", Words, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_try", Moment, nullable=False),
    sa.Column("error", Words),
    sa.UniqueConstraint("event", "target"),
    one_of("state", AlertState),
    sa.Index(None, "state", "next_try"),
)


@dataclass(frozen=True, slots=True)
class Schedule:
    """What is done when. ``command``: arguments of ``probe``; ``config``: absolute path of the file it works with."""

    name: str
    cron: str
    zone: str
    command: tuple[str, ...]
    config: str
    missed: Missed
    created: datetime
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Fire:
    """One time that a schedule was due, and what came of it. ``exit_code``: that of the command."""

    schedule: str
    due: datetime
    state: FireState
    owner: str
    attempt: int
    beat: int
    began: datetime
    ended: datetime | None = None
    exit_code: int | None = None
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Alert:
    """One event on its way to one target."""

    number: int
    event: str
    target: str
    config: str
    payload: Mapping[str, Any]
    state: AlertState
    attempts: int
    next_try: datetime
    error: str | None = None


class Schedules:
    """The schedules in ``store``. Methods block, may be called from any thread, and raise :class:`StorageError`."""

    def __init__(self, store: Store) -> None:
        self._database = store.database

    # --- schedules ---

    def add(self, value: Schedule, *, replace: bool = False) -> bool:
        """Store ``value``; ``False``, and nothing happens, if there is one of that name and ``replace`` is not set."""
        row = {column.name: getattr(value, column.name) for column in schedule.columns} | {
            "command": list(value.command)
        }
        statement = self._database.insert(schedule).values(row)
        if replace:
            changed = {name: statement.excluded[name] for name in row if name != "name"}
            upsert = statement.on_conflict_do_update(index_elements=["name"], set_=changed)
        else:
            upsert = statement.on_conflict_do_nothing()
        return self._changed(upsert) == 1

    def remove(self, name: str) -> None:
        """Forget a schedule and its fires. Raises :class:`NotFound`."""
        if self._changed(schedule.delete().where(schedule.c.name == name)) == 0:
            raise NotFound(f"there is no schedule {name!r}; `probe schedule ls` lists them")

    def pause(self, name: str, paused: bool) -> None:
        """Stop or go on firing. Raises :class:`NotFound`."""
        if self._changed(schedule.update().where(schedule.c.name == name).values(paused=paused)) == 0:
            raise NotFound(f"there is no schedule {name!r}; `probe schedule ls` lists them")

    def all(self) -> list[Schedule]:
        """Every schedule, by name."""
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(schedule).order_by(schedule.c.name)).mappings().all()
        return [Schedule(**{**row, "command": tuple(row["command"])}) for row in rows]

    # --- fires ---

    def last_due(self, now: datetime) -> dict[str, datetime]:
        """The latest due time up to ``now`` of every schedule that has fired or missed one."""
        question = sa.select(fire.c.schedule, sa.func.max(fire.c.due, type_=Moment).label("due"))
        question = question.where(fire.c.due <= now).group_by(fire.c.schedule)
        with self._database.reading() as connection:
            return {row.schedule: row.due for row in connection.execute(question)}

    def fires(self, name: str | None = None, *, most: int = 50, state: FireState | None = None) -> list[Fire]:
        """Fires, latest first."""
        question = sa.select(fire).order_by(fire.c.due.desc(), fire.c.schedule).limit(most)
        if name is not None:
            question = question.where(fire.c.schedule == name)
        if state is not None:
            question = question.where(fire.c.state == state)
        with self._database.reading() as connection:
            return [Fire(**row) for row in connection.execute(question).mappings()]

    def claim(
        self, name: str, due: datetime, *, owner: str, now: datetime, state: FireState = "running", summary: str = ""
    ) -> bool:
        """Make this fire ``owner``'s; ``False`` if somebody has it already, or the schedule is gone.

        One that was put down as missed by a clock that was ahead of ``now`` is free again.
        """
        row = {"schedule": name, "due": due, "state": state, "owner": owner, "attempt": 1, "beat": 0, "began": now}
        row |= {"summary": summary, "ended": None if state == "running" else now}
        there = sa.select(*(sa.literal(value, fire.c[key].type) for key, value in row.items()))
        there = there.where(sa.exists().where(schedule.c.name == name))
        statement = self._database.insert(fire).from_select(list(row), there)
        upsert = statement.on_conflict_do_update(
            index_elements=["schedule", "due"],
            set_={key: statement.excluded[key] for key in row if key not in ("schedule", "due")},
            where=(fire.c.state == "missed") & (fire.c.began > statement.excluded.began),
        )
        return self._changed(upsert) == 1

    def take_over(self, seen: Fire, *, owner: str, now: datetime) -> bool:
        """Make a running fire ``owner``'s if it is still just as ``seen``."""
        statement = (
            fire.update()
            .where(_is(seen), fire.c.state == "running", fire.c.owner == seen.owner, fire.c.beat == seen.beat)
            .values(owner=owner, attempt=fire.c.attempt + 1, beat=fire.c.beat + 1, began=now)
        )
        return self._changed(statement) == 1

    def beat(self, due: Fire, owner: str) -> bool:
        """Say that the owner lives; ``False`` if it is the owner no longer."""
        statement = fire.update().where(_is(due), fire.c.owner == owner, fire.c.state == "running")
        return self._changed(statement.values(beat=fire.c.beat + 1)) == 1

    def end(
        self, due: Fire, *, owner: str, state: FireState, exit_code: int | None, summary: str, now: datetime
    ) -> bool:
        """Say how a fire ended; ``False``, and nothing is stored, if ``owner`` is the owner no longer."""
        statement = fire.update().where(_is(due), fire.c.owner == owner, fire.c.state == "running")
        return self._changed(statement.values(state=state, exit_code=exit_code, summary=summary, ended=now)) == 1

    def release(self, due: Fire, *, owner: str) -> None:
        """Leave a running fire to whoever comes first."""
        statement = fire.update().where(_is(due), fire.c.owner == owner, fire.c.state == "running")
        self._changed(statement.values(owner="", beat=fire.c.beat + 1))

    # --- alerts ---

    def raise_alerts(
        self, event: str, targets: Sequence[str], *, config: str, payload: Mapping[str, Any], now: datetime
    ) -> int:
        """Put one alert for each target on its way; those that are there already stay. Returns how many are new."""
        new = 0
        for target in targets:
            row: dict[str, Any] = {"event": event, "target": target, "config": config, "payload": dict(payload)}
            row |= {"state": "pending", "attempts": 0, "next_try": now}
            new += self._changed(self._database.insert(alert).values(row).on_conflict_do_nothing())
        return new

    def take_alert(self, now: datetime, *, until: datetime) -> Alert | None:
        """The alert that has waited longest past its time, not to be tried by anybody else before ``until``."""
        pending = alert.c.state == "pending"
        question = sa.select(alert).where(pending, alert.c.next_try <= now).order_by(alert.c.next_try, alert.c.number)
        while True:
            with self._database.reading() as connection:
                row = connection.execute(question.limit(1)).mappings().first()
            if row is None:
                return None
            mine = alert.update().where(alert.c.number == row["number"], pending, alert.c.next_try == row["next_try"])
            if self._changed(mine.values(next_try=until, attempts=alert.c.attempts + 1)) == 1:
                return Alert(**{**row, "attempts": row["attempts"] + 1})

    def settle_alert(self, number: int, state: AlertState, *, next_try: datetime, error: str | None) -> None:
        """Say how an attempt went."""
        self._changed(
            alert.update().where(alert.c.number == number).values(state=state, next_try=next_try, error=error)
        )

    def alerts(self, *, state: AlertState | None = None, most: int = 50) -> list[Alert]:
        """Alerts, newest first."""
        question = sa.select(alert).order_by(alert.c.number.desc()).limit(most)
        if state is not None:
            question = question.where(alert.c.state == state)
        with self._database.reading() as connection:
            return [Alert(**row) for row in connection.execute(question).mappings()]

    def next_alert(self) -> datetime | None:
        """When the next attempt is due."""
        question = sa.select(sa.func.min(alert.c.next_try, type_=Moment)).where(alert.c.state == "pending")
        with self._database.reading() as connection:
            return connection.execute(question).scalar()

    def _changed(self, statement: Any) -> int:
        counted = statement.execution_options(preserve_rowcount=True)
        return self._database.write(lambda connection: connection.execute(counted).rowcount, single=True)


def _is(due: Fire) -> sa.ColumnElement[bool]:
    return sa.and_(fire.c.schedule == due.schedule, fire.c.due == due.due)

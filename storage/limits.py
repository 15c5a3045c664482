"""Limits and budgets that several processes or machines share through one database.

A limit is a row with the next free slot; whoever wants to send takes a few slots at a time. A budget is a row with what has
been spent; taking more than is left is refused. Each operation is one statement (on SQLite one short transaction).

The clock is the database's. Postgres: ``clock_timestamp()``. SQLite: all its processes are on one machine, so it is that
machine's monotonic clock, which nobody can set. Either may be found to have gone back, when the server's time was set or
the machine started again: then nobody waits longer than was left when the row was last changed, and never less than is due.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from storage.connect import Database
from storage.schema import budget, limiter
from storage.store import Store


@dataclass(frozen=True, slots=True)
class Lease:
    """``count`` slots, ``gap`` seconds apart; the first one ``starts_in`` seconds after ``now``. They are the caller's."""

    starts_in: float
    count: int
    gap: float
    name: str  #: of the limit
    now: float  #: the database's clock when the slots were taken
    end: float  #: the slot after the last, on that clock
    held_for: float = 0.0  #: seconds from ``now`` in which nobody may send, whatever they leased before


@dataclass(frozen=True, slots=True)
class Spent:
    """What was taken from a budget so far; money in micro-units."""

    requests: int
    micro: int


class Reservations:
    """The limits in ``store``. Methods block, may be called from any thread, and raise :class:`StorageError`."""

    def __init__(self, store: Store) -> None:
        self._database = store.database
        self._statements = _Statements(store.database)

    def lease(self, name: str, *, count: int, gap: float) -> Lease:
        """Take the next ``count`` (≥ 1) slots of the limit ``name``, at least ``gap`` (≥ 0) seconds apart.

        The first is the latest of: now, the slot after the last one taken by anybody, the end of a hold. They are further
        apart if another process has asked for that lately: what it found to be necessary holds for all, and is forgotten
        over 20 slots or a second, whichever is longer.
        """
        if count < 1 or not 0 <= gap < math.inf:
            raise ValueError(f"a lease is of one slot or more, any finite time apart; not {count}, {gap} s")
        found = self._change(self._statements.lease, {"name": name, "count": count, "gap": gap})
        starts_in = max(0.0, found.next_slot - count * found.gap - found.as_of)
        held_for = max(0.0, found.held_until - found.as_of)
        return Lease(starts_in, count, found.gap, name, found.as_of, found.next_slot, held_for)

    def hold(self, name: str, seconds: float) -> None:
        """Nobody takes a slot of ``name`` within the next ``seconds``; of several holds the longest counts."""
        if not 0 <= seconds < math.inf:
            raise ValueError(f"a hold is of a finite time from now, not {seconds} s")
        self._change(self._statements.hold, {"name": name, "seconds": seconds})

    def held_for(self, name: str) -> float:
        """Seconds for which ``name`` is still held; 0 if it is not."""
        with self._database.reading() as connection:
            row = connection.execute(self._statements.look, {"name": name} | self._statements.time()).first()
        # the clock may have gone back since: what was left then is the most that can be left now
        return 0.0 if row is None else max(0.0, row.held_until - max(row.now, row.as_of))

    def return_unused(self, lease: Lease, count: int) -> bool:
        """Give back the last ``count`` slots of ``lease``; ``False``, and nothing happens, if someone has leased since."""
        if not 0 < count <= lease.count:
            raise ValueError(f"{count} slots of {lease.count} cannot be given back")
        untouched = (limiter.c.name == lease.name) & (limiter.c.next_slot == lease.end)
        statement = limiter.update().where(untouched).values(next_slot=lease.end - count * lease.gap)
        return self._database.write(lambda connection: connection.execute(statement).rowcount == 1, single=True)

    def _change(self, statement: sa.Executable, parameters: dict[str, Any]) -> Any:
        def work(connection: sa.Connection) -> Any:
            # the time is read when the row, or on SQLite the file, is ours
            done = connection.execute(statement, parameters | self._statements.time())
            return done.one() if done.returns_rows else connection.execute(self._statements.read, parameters).one()

        return self._database.write(work, single=True)


class Purse:
    """The budgets in ``store``. Methods block, may be called from any thread, and raise :class:`StorageError`."""

    def __init__(self, store: Store) -> None:
        self._database = store.database

    def take(self, name: str, *, requests: int, micro: int, most_requests: int | None, most_micro: int | None) -> bool:
        """Spend ``requests`` and ``micro`` (≥ 0) of the budget ``name``; ``False``, and nothing is spent, if that would
        exceed one of its limits (``None``: no limit of that kind). Money is in micro-units.
        """
        _check(requests, micro)
        limits = [("requests", requests, most_requests), ("micro", micro, most_micro)]
        if any(most is not None and amount > most for _, amount, most in limits):
            return False
        statement = self._database.insert(budget).values(name=name, requests=requests, micro=micro)
        within = [budget.c[kind] + amount <= most for kind, amount, most in limits if most is not None]
        upsert = statement.on_conflict_do_update(
            index_elements=["name"],
            set_={kind: budget.c[kind] + amount for kind, amount, _ in limits},
            where=sa.and_(sa.true(), *within),
        ).execution_options(preserve_rowcount=True)  # SQLAlchemy does not ask the driver for an INSERT's otherwise
        return self._database.write(lambda connection: connection.execute(upsert).rowcount == 1, single=True)

    def open(self, name: str, *, requests: int, micro: int) -> None:
        """Begin the budget ``name``, or raise what was spent of it, so that at least so much counts as spent."""
        _check(requests, micro)
        statement = self._database.insert(budget).values(name=name, requests=requests, micro=micro)
        most = {
            kind: sa.case((budget.c[kind] > statement.excluded[kind], budget.c[kind]), else_=statement.excluded[kind])
            for kind in ("requests", "micro")
        }
        upsert = statement.on_conflict_do_update(index_elements=["name"], set_=most)
        self._database.write(lambda connection: connection.execute(upsert), single=True)

    def give_back(self, name: str, *, requests: int, micro: int) -> None:
        """Undo a :meth:`take` or a part of it. Raises :class:`Unstorable` for more than was spent."""
        _check(requests, micro)
        less = {"requests": budget.c.requests - requests, "micro": budget.c.micro - micro}
        statement = budget.update().where(budget.c.name == name).values(less)
        self._database.write(lambda connection: connection.execute(statement), single=True)

    def spent(self, name: str) -> Spent:
        """What was taken from ``name`` so far, by everybody."""
        question = sa.select(budget.c.requests, budget.c.micro).where(budget.c.name == name)
        with self._database.reading() as connection:
            row = connection.execute(question).first()
        return Spent(0, 0) if row is None else Spent(row.requests, row.micro)


def _check(requests: int, micro: int) -> None:
    if requests < 0 or micro < 0:
        raise ValueError(f"an amount is not negative: {requests} requests, {micro} micro-units")


class _Statements:
    """The statements of :class:`Reservations` on one kind of database."""

    def __init__(self, database: Database) -> None:
        self._sqlite = database.is_sqlite
        now = self._now()
        row = limiter.c
        back = self._latest(row.as_of - now, 0.0)  # how far the clock went back since the row was changed
        free = self._latest(now, row.next_slot - back, row.held_until - back)
        held = self._latest(now, row.held_until - back)
        count, gap, seconds = (sa.bindparam(name, type_=sa.Double) for name in ("count", "gap", "seconds"))
        # 1 / (1 + t) where it would be exp(-t), which not every SQLite has: over many small steps it is the same
        faded = (row.gap - gap) / (1 + self._latest(now - row.as_of, 0.0) / self._latest(20 * gap, 1.0))
        wide = gap + self._latest(sa.func.coalesce(faded, 0.0), 0.0)
        self.lease = self._upsert(
            database,
            first={"next_slot": now + count * gap, "held_until": now, "gap": gap},
            change={"next_slot": free + count * wide, "held_until": held, "gap": wide},
        )
        self.hold = self._upsert(
            database,
            first={"next_slot": now, "held_until": now + seconds},
            change={"next_slot": row.next_slot - back, "held_until": self._latest(held, now + seconds)},
        )
        here = row.name == sa.bindparam("name")
        self.read = sa.select(limiter).where(here)
        self.look = sa.select(row.held_until, row.as_of, now.label("now")).where(here)

    def time(self) -> dict[str, float]:
        """The parameter for now, where the database does not know it."""
        return {"now": time.monotonic()} if self._sqlite else {}

    def _now(self) -> sa.ColumnElement[float]:
        if self._sqlite:
            return sa.bindparam("now", type_=sa.Double)
        return sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Double)

    def _latest(self, *times: Any) -> sa.ColumnElement[Any]:
        # SQLite's max() of several arguments is what others call greatest()
        return sa.func.max(*times, type_=sa.Double) if self._sqlite else sa.func.greatest(*times, type_=sa.Double)

    def _upsert(self, database: Database, *, first: dict[str, Any], change: dict[str, Any]) -> sa.Executable:
        now = self._now()
        statement = database.insert(limiter).values(name=sa.bindparam("name"), as_of=now, **first)
        # In SET the clock is read once the row is locked; what VALUES says is worked out before.
        upsert = statement.on_conflict_do_update(index_elements=["name"], set_={"as_of": now} | change)
        # Old SQLite has no RETURNING; there the row is read in the same transaction.
        return upsert if self._sqlite else upsert.returning(limiter)

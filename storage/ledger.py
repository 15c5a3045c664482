"""The journal: evaluations are on disk before they are sent and before their answers are used.

One thread writes. While it commits, calls queue up; all of them go into the next transaction (natural group commit), so a
slow disk makes larger groups and not a longer queue. Where calls come so fast that a commit always finds several of them,
it waits for a few more: a transaction costs as much as a dozen rows.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

from storage import packs, rows
from storage.accounts import Standing, UsageTally, merge
from storage.connect import Database, chunks
from storage.errors import Closed, StorageError, Unstorable
from storage.records import Entry
from storage.schema import body, endpoint, evaluation, usage_day
from storage.store import Store

_STANDING = (
    sa.select(*(evaluation.c[name] for name in Standing.COLUMNS))
    .where(evaluation.c.key.in_(sa.bindparam("keys", expanding=True)))
    .order_by(evaluation.c.key, evaluation.c.generation)
    .with_for_update()  # on Postgres; on SQLite the whole file is ours already
)
#: Entries in one transaction, so that the first caller of a flood does not wait for the last.
_MOST = 5_000
#: Calls in one transaction from which on the next one waits, and for how many seconds.
_BUSY = 3
_LINGER = 0.006


@dataclass(slots=True)
class _Call:
    """One call of :meth:`Journal.intend` or :meth:`Journal.record`."""

    entries: Sequence[Entry]
    bodies: Sequence[bytes] = ()
    done: Future[None] = field(default_factory=Future)
    body_rows: list[rows.Row] | None = None

    def __post_init__(self) -> None:
        # what was asked for is written: a caller that gives up waiting cannot take it back
        self.done.set_running_or_notify_cancel()


class Journal:
    """Writes the ledger of ``store``. Its methods return at once; a future that has resolved is on disk.

    If the database fails, every waiting future and every later call gets the same :class:`StorageError`; what had not
    resolved counts as not stored. A single call whose values the schema refuses (:class:`Unstorable`) fails alone.
    """

    def __init__(self, store: Store, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._database = store.database
        self._sleep = sleep
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._error: StorageError | None = None
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)
        self._thread.start()

    def intend(self, entries: Sequence[Entry]) -> Future[None]:
        """Say what is about to be sent (``state="intended"``). An entry that is answered already is left as it is.

        Counts (attempts, maybe billed, cost) are totals of the evaluation; the larger of stored and given stays. Only the
        record that closes this very intent (same run, same time) may count fewer attempts: nothing was sent after all.
        """
        if wrong := next((entry for entry in entries if entry.state != "intended"), None):
            raise ValueError(f"intend() was given an entry that is {wrong.state}")
        return self._put(_Call(entries))

    def record(self, entries: Sequence[Entry], bodies: Sequence[bytes] = ()) -> Future[None]:
        """Say what came back (``answered``, ``rejected``, ``failed``), with the response bodies the entries refer to.

        An answered row keeps its answer; a second answer from another request only raises its counts. Bodies are kept
        once, by SHA-256. ``usage_day`` grows in the same transaction.
        """
        if any(entry.state == "intended" for entry in entries):
            raise ValueError("record() was given an entry that is only intended")
        return self._put(_Call(entries, bodies))

    def close(self) -> None:
        """Write what is queued, then stop. Later calls fail with :class:`Closed`."""
        with self._gate:
            if not isinstance(self._error, Closed):
                self._error = self._error or Closed("the journal was closed before")
                self._calls.put(None)
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _put(self, call: _Call) -> Future[None]:
        with self._gate:
            if self._error is None:
                self._calls.put(call)
                return call.done
        call.done.set_exception(self._error)
        return call.done

    # --- the writer's thread ---

    def _work(self) -> None:
        writer = _Writer(self._database)
        waiting: list[_Call] = []
        try:
            open_ = True
            while open_:
                if len(waiting) >= _BUSY:
                    self._sleep(_LINGER)
                waiting, open_ = self._gather()
                for call, failure in writer.write(waiting):
                    if failure is None:
                        call.done.set_result(None)
                    else:
                        call.done.set_exception(failure)
        except StorageError as error:
            self._fail(error, waiting)
        except BaseException as error:  # noqa: BLE001 - a bug; every caller is handed it as the cause
            stopped = StorageError(f"{self._database.shown}: the journal stopped: {error!r}")
            stopped.__cause__ = error
            self._fail(stopped, waiting)

    def _gather(self) -> tuple[list[_Call], bool]:
        """What is queued, at least one call, and whether more may come."""
        calls: list[_Call] = []
        size = 0
        while size < _MOST:
            try:
                call = self._calls.get(block=not calls)
            except queue.Empty:
                break
            if call is None:
                return calls, False
            calls.append(call)
            size += len(call.entries) + len(call.bodies)
        return calls, True

    def _fail(self, error: StorageError, waiting: list[_Call]) -> None:
        with self._gate:
            self._error = error
        while True:
            try:
                call = self._calls.get_nowait()
            except queue.Empty:
                break
            if call is not None:
                waiting.append(call)
        for call in waiting:
            if not call.done.done():
                call.done.set_exception(error)


class _Writer:
    """Turns groups of calls into transactions. Used by one thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._models: dict[str, tuple[str, str]] = {}
        self._upsert = _upsert(database)
        self._count_more = _count_more()
        self._put_body = database.insert(body).on_conflict_do_nothing()
        self._use = _use(database)

    def write(self, calls: list[_Call]) -> Iterator[tuple[_Call, Unstorable | None]]:
        """Store ``calls`` in one transaction, or each in its own if a value is refused; yield them as they are on disk.

        Raises :class:`StorageError`.
        """
        if not calls:
            return
        for call in calls:  # compressing is the slow part, so before the database is locked
            call.body_rows = call.body_rows or [rows.body_row(content) for content in call.bodies]
        try:
            self._database.write(lambda connection: self._apply(connection, calls))
        except Unstorable as refused:
            if len(calls) == 1:
                yield calls[0], refused
                return
            for call in calls:
                yield from self.write([call])
        else:
            yield from ((call, None) for call in calls)

    def _apply(self, connection: sa.Connection, calls: list[_Call]) -> None:
        packs.take_turn(connection)  # what a row changes in the accounts depends on how it stands
        entries = [entry for call in calls for entry in call.entries]
        before = self._standing(connection, entries)
        written: dict[tuple[bytes, int], Entry] = {}
        late: list[rows.Row] = []
        tally = UsageTally()
        for entry in entries:
            place = entry.key, entry.generation
            outcome = merge(before.get(place), entry)
            if outcome.usage:
                tally.add(self._model(connection, entry.endpoint_id), outcome.usage)
            if outcome.row is not None:
                written[place] = outcome.row
                before[place] = Standing.of(outcome.row)
            elif outcome.late is not None:
                late.append({"at_key": entry.key, "at_generation": entry.generation} | outcome.late)
        bodies = {row["sha256"]: row for call in calls for row in call.body_rows or ()}
        # each table in the order of its key, so that two processes wait for each other instead of deadlocking
        _many(connection, self._put_body, [bodies[sha] for sha in sorted(bodies)])
        _many(connection, self._upsert, [rows.entry_row(written[place]) for place in sorted(written)])
        _many(connection, self._count_more, sorted(late, key=lambda row: (row["at_key"], row["at_generation"])))
        _many(connection, self._use, tally.rows())

    def _standing(self, connection: sa.Connection, entries: list[Entry]) -> dict[tuple[bytes, int], Standing]:
        """How the rows of ``entries`` stand now; they stay so until we commit."""
        found: dict[tuple[bytes, int], Standing] = {}
        for some in chunks(sorted({entry.key for entry in entries})):
            for key, generation, *rest in connection.execute(_STANDING, {"keys": some}):
                found[key, generation] = Standing(key, generation, *rest)
        return found

    def _model(self, connection: sa.Connection, endpoint_id: str) -> tuple[str, str]:
        if endpoint_id not in self._models:
            found = connection.execute(
                sa.select(endpoint.c.provider, endpoint.c.model).where(endpoint.c.id == endpoint_id)
            ).first()
            if found is None:
                raise Unstorable(
                    f"{self._database.shown}: endpoint {endpoint_id!r} is not stored; put_endpoint() it first"
                )
            self._models[endpoint_id] = found.provider, found.model
        return self._models[endpoint_id]


def _many(connection: sa.Connection, statement: sa.Executable, parameters: list[rows.Row]) -> None:
    if parameters:
        connection.execute(statement, parameters)


def _upsert(database: Database) -> sa.Executable:
    """Write a row; an answered one stays, and counts fall only where an intent is closed as never sent. ``merge`` saw to
    that already, except for rows that another process added since."""
    statement = database.insert(evaluation)
    given = statement.excluded
    change: dict[str, Any] = {column.name: given[column.name] for column in evaluation.c if not column.primary_key}
    for name in ("attempts", "maybe_billed", "cost_micro"):
        stored = evaluation.c[name]
        change[name] = sa.case((stored > given[name], stored), else_=given[name])
    its_own_intent = (
        (evaluation.c.state == "intended")
        & (given.state != "intended")
        & (evaluation.c.run_id == given.run_id)
        & (evaluation.c.sent_at == given.sent_at)
    )
    change["attempts"] = sa.case((its_own_intent, given.attempts), else_=change["attempts"])
    return statement.on_conflict_do_update(
        index_elements=["key", "generation"], set_=change, where=evaluation.c.state != "answered"
    )


def _count_more() -> sa.Executable:
    at = (evaluation.c.key == sa.bindparam("at_key")) & (evaluation.c.generation == sa.bindparam("at_generation"))
    more = {
        name: evaluation.c[name] + sa.bindparam(f"more_{name}") for name in ("attempts", "maybe_billed", "cost_micro")
    }
    return evaluation.update().where(at).values(more)


def _use(database: Database) -> sa.Executable:
    statement = database.insert(usage_day)
    change = {name: usage_day.c[name] + statement.excluded[name] for name in ("requests", "errors", "cost_micro")}
    return statement.on_conflict_do_update(index_elements=["day", "provider", "model"], set_=change)

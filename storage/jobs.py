"""Runs that the service was asked for: what waits, what works, what came of it. What is left behind waits again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from storage.errors import NotFound
from storage.schema import job
from storage.store import Store

JobStatus = Literal["queued", "running", "finished", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Job:
    """One run to be carried out. Times are UTC."""

    id: str
    config: str  #: a file in the service's folder
    options: Mapping[str, Any]  #: only, budget, rate, max_time, seed, offline, as the command line has them
    by: str  #: the id of a token, or ``local``
    submitted: datetime
    status: JobStatus = "queued"
    run_id: str | None = None
    started: datetime | None = None
    finished: datetime | None = None
    exit_code: int | None = None  #: as the command line reports it
    error: str | None = None
    owner: str | None = field(default=None, repr=False)  #: the process that works on it
    beat: datetime | None = field(default=None, repr=False)  #: when that process was last heard of


_NAMES = tuple(Job.__dataclass_fields__)


def submit(store: Store, value: Job) -> None:
    """Put a job into the queue."""
    row = {name: getattr(value, name) for name in _NAMES}
    store.database.write(lambda connection: connection.execute(job.insert().values(row)))


def get(store: Store, job_id: str) -> Job:
    """Raises :class:`NotFound`."""
    with store.database.reading() as connection:
        row = connection.execute(sa.select(job).where(job.c.id == job_id)).mappings().first()
    if row is None:
        raise NotFound(f"{store.url}: no job {job_id!r}")
    return Job(**row)


def of_run(store: Store, run_id: str) -> Job | None:
    """The job that works on a run, or the last one that did."""
    question = sa.select(job).where(job.c.run_id == run_id).order_by(job.c.submitted.desc()).limit(1)
    with store.database.reading() as connection:
        row = connection.execute(question).mappings().first()
    return None if row is None else Job(**row)


def listed(store: Store, *, status: JobStatus | None = None, limit: int = 100, newest: bool = True) -> list[Job]:
    """The newest (or the oldest) jobs."""
    order = (job.c.submitted.desc(), job.c.id.desc()) if newest else (job.c.submitted, job.c.id)
    question = sa.select(job).order_by(*order).limit(limit)
    if status is not None:
        question = question.where(job.c.status == status)
    with store.database.reading() as connection:
        return [Job(**row) for row in connection.execute(question).mappings()]


def counts(store: Store) -> dict[str, int]:
    """How many jobs of each status there are; those with none are missing."""
    with store.database.reading() as connection:
        found = connection.execute(sa.select(job.c.status, sa.func.count()).group_by(job.c.status))
        return dict(found.all())


def take(store: Store, job_id: str, *, owner: str, now: datetime) -> bool:
    """Begin to work on a job that waits; ``False`` if someone else was quicker or it was cancelled."""
    waits = (job.c.id == job_id) & (job.c.status == "queued")
    change = job.update().where(waits).values(status="running", owner=owner, started=now, beat=now)
    return store.database.write(lambda connection: connection.execute(change).rowcount == 1)


def beat(store: Store, owner: str, now: datetime) -> None:
    """Say that ``owner`` is alive."""
    change = job.update().where((job.c.owner == owner) & (job.c.status == "running")).values(beat=now)
    store.database.write(lambda connection: connection.execute(change))


def put_back(store: Store, *, silent_since: datetime) -> int:
    """Let jobs wait again whose process was last heard of before ``silent_since``; returns how many."""
    gone = (job.c.status == "running") & (job.c.beat < silent_since)
    change = job.update().where(gone).values(status="queued", owner=None, beat=None)
    return store.database.write(lambda connection: connection.execute(change).rowcount)


def change(store: Store, job_id: str, *, owner: str, **values: Any) -> bool:
    """Change a job that ``owner`` works on; ``False``, and nothing changes, if it was given to someone else meanwhile."""
    mine = (job.c.id == job_id) & (job.c.owner == owner)
    statement = job.update().where(mine).values(**values)
    return store.database.write(lambda connection: connection.execute(statement).rowcount == 1)


def give_back(store: Store, job_id: str, *, owner: str) -> None:
    """Let a job that ``owner`` works on wait again."""
    mine = (job.c.id == job_id) & (job.c.owner == owner)
    statement = job.update().where(mine).values(status="queued", owner=None, beat=None)
    store.database.write(lambda connection: connection.execute(statement))


def cancel(store: Store, job_id: str, *, now: datetime) -> bool:
    """Cancel a job that waits; ``False`` if it does not (any more)."""
    waits = (job.c.id == job_id) & (job.c.status == "queued")
    change = job.update().where(waits).values(status="cancelled", finished=now)
    return store.database.write(lambda connection: connection.execute(change).rowcount == 1)

"""What the API and the pages both tell, from stored records to plain values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import HTTPException

from probe.engine.recorded import Recorded, is_survey, recorded, target_of
from probe.report.queried import COLUMNS, Found
from probe.web import models
from probe.web.rebuilt import Rebuilder, Rebuilt, off
from probe.web.service import Service
from storage import Store, browse
from storage.jobs import Job
from storage.questions import Filter, shares
from storage.records import Entry, Probe

MOST_BODY = 20_000  #: characters shown of a response


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One evaluation behind an explanation: ``number`` counts through coalitions and, in each, copies and repeats."""

    number: int
    off: tuple[str, ...]
    kept: int  #: features that were left as they are
    repeat: int
    entry: Entry | None
    score: float | None
    key: bytes

    @property
    def state(self) -> str:
        """What became of it."""
        return "missing" if self.entry is None else self.entry.state

    def line(self) -> models.EvaluationLine:
        """As a list has it."""
        return models.EvaluationLine(
            number=self.number,
            off=list(self.off),
            repeat=self.repeat,
            state=self.state,
            score=self.score,
            http_status=None if self.entry is None else self.entry.http_status,
            sent_at=None if self.entry is None else self.entry.sent_at,
            key=self.key.hex(),
        )


class Asked:
    """The evaluations of one stored explanation. A survey has none of its own: its queries are of many inputs."""

    def __init__(self, store: Store, probe: Probe) -> None:
        self.probe = probe
        self._found: Recorded | None = None
        if probe.table and not is_survey(probe):
            self._found = recorded(store, probe)
            self._scores = self._found.values(target_of(probe))

    def __len__(self) -> int:
        return 0 if self._found is None else len(self._found.keys) * self._found.width

    def __getitem__(self, number: int) -> Evaluated:
        if self._found is None or not 0 <= number < len(self):
            raise IndexError(number)
        row, column = divmod(number, self._found.width)
        coalition = self._found.coalitions[row]
        score = float(self._scores[row, column])
        return Evaluated(
            number=number,
            off=tuple(off(coalition, self.probe.features)),
            kept=int(np.count_nonzero(coalition)),
            repeat=column,
            entry=self._found.entries[row][column],
            score=score if math.isfinite(score) else None,
            key=self._found.keys[row][column],
        )

    def slice(self, start: int, count: int) -> list[Evaluated]:
        """``count`` of them from ``start`` on."""
        return [self[number] for number in range(start, min(len(self), start + count))]

    def rebuild(self, service: Service, number: int) -> Rebuilt:
        """What evaluation ``number`` sent."""
        assert self._found is not None  # noqa: S101 - for the type checker: only what was found has a number
        row, column = divmod(number, self._found.width)
        run = service.store.run(self.probe.run_id)
        instance = service.store.instance(self.probe.instance_id)
        endpoint = service.store.endpoint(self.probe.endpoint_id)
        folder = service.folder if (service.folder / Path(run.name).name).exists() else Path(run.name).parent
        rebuilder = Rebuilder(run, self.probe, instance, endpoint.name, folder=folder)
        return rebuilder.rebuilt(self._found.coalitions[row], column, self._found.keys[row][column])


def response_text(store: Store, entry: Entry | None) -> str | None:
    """The body of a stored answer, cut; ``None`` where there is none (any more)."""
    if entry is None or entry.body_sha is None:
        return None
    body = store.bodies_of([entry]).get(entry.body_sha)
    if body is None:
        return None
    text = body[: 4 * MOST_BODY].decode("utf-8", "replace")
    return text if len(text) <= MOST_BODY else text[:MOST_BODY] + "…"


def evaluation(service: Service, asked: Asked, number: int) -> models.Evaluation:
    """One evaluation with everything. Raises ``IndexError``."""
    one = asked[number]
    entry = one.entry
    return models.Evaluation(
        **one.line().model_dump(),
        scores=None if entry is None or entry.scores is None else dict(entry.scores),
        elapsed=None if entry is None else entry.elapsed,
        attempts=0 if entry is None else entry.attempts,
        cost_micro=0 if entry is None else entry.cost_micro,
        run=None if entry is None else entry.run_id,
        error=None if entry is None else entry.error,
        curl=asked.rebuild(service, number).curl or None,
        response=response_text(service.store, entry),
    )


def run_line(line: browse.RunLine) -> models.RunLine:
    """As the API tells it."""
    return models.RunLine(**asdict(line))


def probe_line(line: browse.ProbeLine) -> models.ProbeLine:
    """As the API tells it."""
    top = [models.TopFeature(feature=name, value=value, std_error=error) for name, value, error in line.top]
    fields = {name: getattr(line, name) for name in models.ProbeLine.model_fields if name not in {"top", "findings"}}
    return models.ProbeLine(**fields, top=top, findings=[dict(finding) for finding in line.findings])


def job_answer(service: Service, job: Job) -> models.Job:
    """A job and, while it works here, how it goes."""
    live = service.jobs.live(job.id)
    return models.Job(
        id=job.id,
        config=job.config,
        options=dict(job.options),
        by=job.by,
        status=job.status,
        submitted=job.submitted,
        started=job.started,
        finished=job.finished,
        run=job.run_id,
        exit_code=job.exit_code,
        error=job.error,
        progress=None if live is None else models.Progress(**live.state().as_json()),
    )


def history_of(store: Store, probe: Probe, *, limit: int = 200) -> list[browse.Point]:
    """The probes like ``probe``, oldest first."""
    return browse.history(
        store,
        name=probe.name,
        instance_id=probe.instance_id,
        endpoint_id=probe.endpoint_id,
        method=probe.method,
        limit=limit,
    )


def attribution_rows(store: Store, wanted: Filter, *, limit: int) -> tuple[list[list[Any]], bool]:
    """Rows of :data:`probe.report.queried.COLUMNS`, and whether there are more."""
    found = shares(store, wanted, limit=limit + 1, newest=True)
    return [Found.of(share).cells(COLUMNS) for share in found[:limit]], len(found) > limit


def cursor(line: browse.RunLine) -> str:
    """Where a list of runs goes on after ``line``."""
    return f"{line.started.isoformat()}_{line.id}"


def read_cursor(text: str | None) -> tuple[datetime, str] | None:
    """What :func:`cursor` made. Raises :class:`HTTPException`."""
    if not text:
        return None
    when, _, run_id = text.partition("_")
    try:
        moment = datetime.fromisoformat(when)
    except ValueError as error:
        raise HTTPException(400, "before: take the value of `next`") from error
    when_utc = in_utc(moment)
    assert when_utc is not None  # noqa: S101 - for the type checker
    return when_utc, run_id


def in_utc(moment: datetime | None) -> datetime | None:
    """``moment``, in UTC unless it says otherwise. Raises :class:`HTTPException` for one that is out of range there."""
    if moment is None:
        return None
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:
        raise HTTPException(400, "this time is out of range") from error


def features_over(points: Sequence[browse.Point], most: int) -> list[str]:
    """The features of the largest mean absolute value over ``points``."""
    sums: dict[str, float] = {}
    for point in points:
        for name, (value, _) in point.shares.items():
            sums[name] = sums.get(name, 0.0) + (0.0 if value is None else abs(value))
    return sorted(sums, key=lambda name: (-sums[name], name))[:most]

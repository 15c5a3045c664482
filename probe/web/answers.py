"""What the API and the pages both tell, from stored records to plain values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import HTTPException

from adapters import Prediction
from probe.engine.recorded import coalitions_of, is_survey, seen, target_of
from probe.engine.stored import read_predictions
from probe.methods.base import Bools
from probe.report.queried import COLUMNS, Found
from probe.targets import Target
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
    prediction: Prediction | None
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

    def __init__(self, service: Service, probe: Probe) -> None:
        self.probe = probe
        self._service = service
        self._coalitions: Bools | None = None
        self._keys: tuple[tuple[bytes, ...], ...] = ()
        if probe.table and not is_survey(probe):
            self._coalitions, self._keys = coalitions_of(service.store, probe)

    def __len__(self) -> int:
        return len(self._keys) * self._width

    @property
    def _width(self) -> int:
        return len(self._keys[0]) if self._keys else 1

    def slice(self, start: int, count: int) -> list[Evaluated]:
        """``count`` of them from ``start`` on."""
        if self._coalitions is None:
            return []
        places = [divmod(number, self._width) for number in range(start, min(len(self), start + count))]
        keys = [self._keys[row][column] for row, column in places]
        found = seen(self._service.store.entries(keys), self.probe)
        entries = [found.get(key) for key in keys]
        target = target_of(self.probe)
        return [
            Evaluated(
                number=row * self._width + column,
                off=tuple(off(self._coalitions[row], self.probe.features)),
                kept=int(np.count_nonzero(self._coalitions[row])),
                repeat=column,
                entry=entry,
                prediction=prediction,
                score=None if prediction is None else _score(target, prediction),
                key=key,
            )
            for (row, column), key, entry, prediction in zip(
                places, keys, entries, self._predictions(entries), strict=True
            )
        ]

    def one(self, number: int) -> Evaluated:
        """Number ``number``, from 0. Raises :class:`HTTPException`."""
        if not 0 <= number < len(self):
            raise HTTPException(404, f"probe {self.probe.id!r} has {len(self)} requests, numbered from 0")
        return self.slice(number, 1)[0]

    def rebuild(self, number: int) -> Rebuilt:
        """What evaluation ``number`` sent."""
        assert self._coalitions is not None  # noqa: S101 - for the type checker: only what was found has a number
        row, column = divmod(number, self._width)
        return self._rebuilder.rebuilt(self._coalitions[row], column, self._keys[row][column])

    @cached_property
    def _rebuilder(self) -> Rebuilder:
        store, folder = self._service.store, self._service.folder
        run = store.run(self.probe.run_id)
        if not (folder / Path(run.name).name).exists():
            folder = Path(run.name).parent
        instance = store.instance(self.probe.instance_id)
        endpoint = store.endpoint(self.probe.endpoint_id)
        return Rebuilder(run, self.probe, instance, endpoint.name, folder=folder)

    def _predictions(self, entries: Sequence[Entry | None]) -> list[Prediction | None]:
        """The answers; those of many labels are kept in their bodies only, which the endpoint's description reads."""
        kept = [entry for entry in entries if entry is not None and entry.state == "answered"]
        adapter = self._rebuilder.adapter if any(entry.scores is None for entry in kept) else None
        if adapter is not None:
            read = iter(read_predictions(self._service.store, [(entry, adapter) for entry in kept]))
        else:
            read = iter(
                None if entry.scores is None else Prediction(entry.scores, entry.floor, entry.censored)
                for entry in kept
            )
        return [next(read) if entry is not None and entry.state == "answered" else None for entry in entries]


def _score(target: Target, prediction: Prediction) -> float | None:
    try:
        score = target.value(prediction)
    except LookupError:
        return None
    return score if math.isfinite(score) else None


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
    """One evaluation with everything. Raises :class:`HTTPException` if there is no such one."""
    one = asked.one(number)
    entry = one.entry
    return models.Evaluation(
        **one.line().model_dump(),
        scores=None if one.prediction is None else dict(one.prediction.scores),
        elapsed=None if entry is None else entry.elapsed,
        attempts=0 if entry is None else entry.attempts,
        cost_micro=0 if entry is None else entry.cost_micro,
        run=None if entry is None else entry.run_id,
        error=None if entry is None else entry.error,
        curl=asked.rebuild(number).curl or None,
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
    when, _, run_id = (text or "").partition("_")
    moment = read_moment(when, "before")
    return None if moment is None else (moment, run_id)


def read_moment(text: str | None, name: str) -> datetime | None:
    """A day or a time, in UTC unless it says otherwise. Raises :class:`HTTPException`."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise HTTPException(400, f"{name}: {text[:40]!r} is no time; write 2026-03-01 or 2026-03-01T12:00") from error


def features_over(points: Sequence[browse.Point], most: int) -> list[str]:
    """The features of the largest mean absolute value over ``points``."""
    sums: dict[str, float] = {}
    for point in points:
        for name, (value, _) in point.shares.items():
            sums[name] = sums.get(name, 0.0) + (0.0 if value is None else abs(value))
    return sorted(sums, key=lambda name: (-sums[name], name))[:most]

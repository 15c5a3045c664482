"""What the JSON API takes and gives. Times are ISO 8601 in UTC, money is in micro-units, ``null`` is what is not known."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Word = Annotated[str, Field(min_length=1, max_length=200)]


class Answer(BaseModel):
    """Base of what is given."""

    model_config = ConfigDict(extra="forbid")


class Problem(Answer):
    """Why there is no answer, in one line."""

    error: str


class RunSummary(Answer):
    """A run without its explanations."""

    id: str
    config: str
    status: str
    seed: int
    code_version: str
    started: datetime
    finished: datetime | None
    totals: dict[str, int]


class RunLine(Answer):
    """A run as a list has it."""

    id: str
    config: str
    status: str
    seed: int
    started: datetime
    finished: datetime | None
    totals: dict[str, int]
    probes: int


class RunList(Answer):
    """Runs, newest first; ``next``: where the list goes on, for ``before``."""

    runs: list[RunLine]
    next: str | None


class TopFeature(Answer):
    """One of the strongest features."""

    feature: str
    value: float | None
    std_error: float | None


class ProbeLine(Answer):
    """An explanation as a list has it."""

    id: str
    run: str
    probe: str
    instance: str
    instance_id: str
    kind: str
    endpoint: str
    endpoint_id: str
    method: str
    target: str
    status: str
    finished: datetime
    full_value: float | None
    base_value: float | None
    exact: bool
    evaluations: int
    from_ledger: int
    requests: int
    cost_micro: int
    findings: list[dict[str, Any]]
    error: str | None
    top: list[TopFeature]


class ProbeList(Answer):
    """The explanations of a run; ``next``: for ``after``."""

    probes: list[ProbeLine]
    next: int | None


class Run(RunSummary):
    """A run with all its explanations, as ``probe show --json`` prints it."""

    probes: list[dict[str, Any]]


class Evaluation(Answer):
    """One evaluation behind an explanation. ``off``: the features that were replaced; ``curl``: with secrets by name."""

    number: int
    off: list[str]
    repeat: int
    state: str
    score: float | None
    scores: dict[str, float] | None
    http_status: int | None
    sent_at: datetime | None
    elapsed: float | None
    attempts: int
    cost_micro: int
    run: str | None
    key: str
    error: str | None
    curl: str | None
    response: str | None


class EvaluationLine(Answer):
    """The same in a list."""

    number: int
    off: list[str]
    repeat: int
    state: str
    score: float | None
    http_status: int | None
    sent_at: datetime | None
    key: str


class EvaluationList(Answer):
    """The evaluations behind an explanation, in the order in which they were asked."""

    evaluations: list[EvaluationLine]
    total: int
    next: int | None


class Rows(Answer):
    """A table. ``more``: there are more rows than were asked for."""

    columns: list[str]
    rows: list[list[Any]]
    more: bool


class HistoryPoint(Answer):
    """An explanation at one time."""

    id: str
    run: str
    finished: datetime
    target: str
    status: str
    full_value: float | None
    shares: dict[str, tuple[float | None, float | None]]


class History(Answer):
    """One probe over time, oldest first. ``shares``: value and standard error by feature."""

    probe: str
    instance: str
    endpoint: str
    method: str
    points: list[HistoryPoint]


class Submit(BaseModel):
    """A run to be carried out. The config is a file in the service's folder; the rest as the options of ``probe run``."""

    model_config = ConfigDict(extra="forbid")

    config: Word
    only: Annotated[list[Word], Field(max_length=1000)] = []
    budget: Word | None = None
    rate: Word | None = None
    max_time: Word | None = None
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = None
    surveys: bool = False


class Progress(Answer):
    """How a run goes. ``total`` may still grow; ``seconds_left`` is what the limits allow."""

    run: str | None
    over: bool
    probes: int
    explained: int
    total: int
    done: int
    from_ledger: int
    retried: int
    in_flight: int
    rate: float
    seconds_left: float | None
    holding: list[str]
    notes: list[str]


class Job(Answer):
    """A run that the service was asked for. ``exit_code``: as ``probe run`` would end."""

    id: str
    config: str
    options: dict[str, Any]
    by: str
    status: str
    submitted: datetime
    started: datetime | None
    finished: datetime | None
    run: str | None
    exit_code: int | None
    error: str | None
    progress: Progress | None = None


class JobList(Answer):
    """Jobs, newest first."""

    jobs: list[Job]


class Configs(Answer):
    """The configs that a run can be submitted from."""

    configs: list[str]


class Statement(BaseModel):
    """One ``SELECT``."""

    model_config = ConfigDict(extra="forbid")

    sql: Annotated[str, Field(min_length=1, max_length=20_000)]
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1000

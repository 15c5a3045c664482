"""What may stand under ``probes``, ``surveys``, ``baselines`` and ``alerts`` of ``probe.yaml``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    Tag,
    model_validator,
)

_LONGEST = 100 * 365 * 86400  #: seconds
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
#: how a config refers to an environment variable
REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def parse_duration(value: Any) -> timedelta:
    """``24h``, ``30m``, ``7d``, ``0`` as a timedelta."""
    if isinstance(value, timedelta):
        return value
    if value == "0" or (value == 0 and not isinstance(value, bool)):
        return timedelta(0)
    match = _DURATION.fullmatch(str(value).strip())
    if not match:
        raise ValueError("not a duration; write 30m, 24h or 7d")
    seconds = float(match.group(1)) * _SECONDS[match.group(2)]
    if seconds > _LONGEST:
        raise ValueError("longer than a century; write 30m, 24h or 7d")
    return timedelta(seconds=seconds)


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]


def _shape_of_rows(value: Any) -> str:
    return "<mapping>" if isinstance(value, list) and value and isinstance(value[0], Mapping) else "<text>"


Cell = StrictStr | StrictBool | StrictInt | StrictFloat | None
InlineItems = Annotated[
    Annotated[list[str], Field(min_length=1), Tag("<text>")] | Annotated[list[dict[str, Cell]], Tag("<mapping>")],
    Discriminator(_shape_of_rows),
]
Rows = Annotated[
    Annotated[list[StrictInt], Tag("<list>")] | Annotated[str | None, Tag("<text>")],
    Discriminator(lambda value: "<list>" if isinstance(value, list) else "<text>"),
]


class Section(BaseModel):
    """A part of the config that knows its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Files(Section):
    """Files by path or glob, relative to the config."""

    files: list[str]
    max_side: int | None = Field(
        default=None, ge=8, description="images: shrink so that the longer side has this many pixels"
    )


class Table(Section):
    """Rows of a CSV or Parquet file."""

    csv: str | None = None
    parquet: str | None = None
    rows: Rows = Field(default=None, description="row numbers from 0, or a range like 0:5")
    text: str | None = Field(default=None, description="kind text: the column that holds the text")
    columns: list[str] | None = Field(default=None, description="kind tabular: the columns the endpoint gets, in order")
    id: str | None = Field(default=None, description="the column that names a row")

    @model_validator(mode="after")
    def _one_source(self) -> Table:
        if (self.csv is None) == (self.parquet is None):
            raise ValueError("name one of csv and parquet")
        return self


class Inline(Section):
    """Inputs written in the config: texts, or rows as mappings."""

    inline: InlineItems


class Group(Section):
    """Several labels explained as one; their scores are added."""

    group: list[str] = Field(min_length=1)
    name: str

    @model_validator(mode="after")
    def _distinct(self) -> Group:
        twice = sorted({label for label in self.group if self.group.count(label) > 1})
        if twice:
            raise ValueError(f"the label {twice[0]!r} is in the group twice")
        return self


def shape_of_inputs(value: Any) -> str:
    """Which of the ways to name inputs is meant, so that what is wrong with it is said about that one alone."""
    if isinstance(value, Mapping):
        if "inline" in value:
            return "<inline>"
        return "<table>" if {"csv", "parquet"} & set(value) else "<files>"
    if isinstance(value, Section):
        return {Inline: "<inline>", Table: "<table>"}.get(type(value), "<files>")
    return "<list>" if isinstance(value, list) else "<text>"


def _text_or_mapping(value: Any) -> str:
    return "<mapping>" if isinstance(value, (Mapping, Section)) else "<text>"


Inputs = Annotated[
    Annotated[str, Tag("<text>")]
    | Annotated[list[str], Tag("<list>")]
    | Annotated[Files, Tag("<files>")]
    | Annotated[Table, Tag("<table>")]
    | Annotated[Inline, Tag("<inline>")],
    Discriminator(shape_of_inputs),
]
MethodEntry = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[dict[str, dict[str, Any] | None], Tag("<mapping>")],
    Discriminator(_text_or_mapping),
]
TargetEntry = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[Group, Tag("<mapping>")], Discriminator(_text_or_mapping)
]


class Stop(Section):
    """When fewer evaluations than the budget will do; whichever comes first if both are given."""

    half_width: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="every 95 % interval is ± this or narrower, in score units"
    )
    top: int | None = Field(default=None, ge=1, description="the order of so many strongest features is settled")

    @model_validator(mode="after")
    def _one_of_them(self) -> Stop:
        if self.half_width is None and self.top is None:
            raise ValueError("write half_width, top or both")
        return self


class ProbeConfig(Section):
    """One entry of ``probes``: instances × endpoints × methods."""

    kind: Literal["image", "text", "tabular"]
    inputs: Inputs
    endpoints: list[str] = Field(min_length=1)
    methods: list[MethodEntry] = Field(min_length=1)
    target: TargetEntry = "top1"
    budget: int = Field(
        default=300,
        ge=2,
        le=10_000_000,
        description="most evaluations per input and endpoint; methods that look at the same features share them",
    )
    stop: Stop | None = None
    masker: dict[str, Any] = Field(default_factory=dict)
    repeats: int = Field(default=1, ge=1, le=100)
    fresh: Duration = timedelta(hours=24)


class SurveyConfig(Section):
    """One entry of ``surveys``: a set of inputs × endpoints × survey methods."""

    kind: Literal["text", "tabular"] = "tabular"
    inputs: Inputs
    endpoints: list[str] = Field(min_length=1)
    methods: list[MethodEntry] = Field(min_length=1)
    target: TargetEntry = Field(default="top1", description="top1: the label that is best for most inputs")
    labels: str | None = Field(
        default=None, description="the column that holds the truth; the endpoint does not get it"
    )
    sample: int | None = Field(default=None, ge=2, description="take this many of the inputs, drawn with the seed")
    budget: int = Field(default=20_000, ge=2, le=10_000_000, description="most evaluations for each endpoint")
    masker: dict[str, Any] = Field(default_factory=dict, description="for explanations of single inputs (beeswarm)")
    fresh: Duration = timedelta(hours=24)


EventKind = Literal["finding", "inconclusive", "error", "recovered"]


class AlertConfig(Section):
    """One entry of ``alerts``: whom the scheduler tells, and of what."""

    webhook: str | None = Field(default=None, description="https address that gets a signed POST")
    secret: str | None = Field(default=None, description="with webhook: ${NAME} of a variable that holds whsec_…")
    command: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="program and arguments; the event comes on standard input as JSON"
    )
    on: tuple[EventKind, ...] = Field(default=("finding", "inconclusive", "error", "recovered"), min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _yaml_on(cls, data: Any) -> Any:
        """YAML 1.1 reads a bare ``on`` as true."""
        if isinstance(data, Mapping) and True in data and "on" not in data:
            return {"on" if key is True else key: value for key, value in data.items()}
        return data

    @model_validator(mode="after")
    def _one_way(self) -> AlertConfig:
        if (self.webhook is None) == (self.command is None):
            raise ValueError("name one of webhook and command")
        if (self.webhook is None) != (self.secret is None):
            raise ValueError("webhook and secret go together")
        if self.secret is not None and not REFERENCE.fullmatch(self.secret):
            raise ValueError("write the secret as ${NAME}, the name of an environment variable")
        if self.webhook is not None:
            _check_webhook(self.webhook)
        return self


def _check_webhook(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1", "::1"):
        return
    raise ValueError("a webhook is an https address (http only on this machine)")


class BaselineConfig(Section):
    """One entry of ``baselines``: inputs whose answers are kept, to see later whether the endpoint has changed."""

    kind: Literal["image", "text", "tabular"]
    inputs: Inputs
    endpoint: str
    answers: Literal["label", "text"] = Field(default="label", description="text: free text, where any new one counts")
    pairs: int = Field(default=20, ge=0, le=1000, description="neighbours at the boundary between two labels")
    repeats: int = Field(
        default=10, ge=4, le=1000, description="answers at each of them; with 40 fewer questions decide"
    )
    doubles: int = Field(default=500, ge=1, le=100_000, description="inputs asked twice, to measure noise")
    alpha: float = Field(default=0.01, gt=0, le=0.2, description="rate of false alarms for each check")
    band: int = Field(
        default=4, ge=1, le=1000, description="answers at each point that varies by itself, for each check"
    )
    followup: int = Field(default=100, ge=0, le=100_000, description="most inputs asked after an alarm, to measure it")
    together: int = Field(default=1, ge=1, le=1000, description="probes asked at a time: fewer rounds, more questions")
    budget: str | None = Field(default=None, description="for each check: 500req, 2usd")

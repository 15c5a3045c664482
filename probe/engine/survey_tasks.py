"""What a survey consists of: one task per set × endpoint × method, the answers it waits for, and what has to be sent.

Every task begins with the set as it is: that settles the target, and shows whether the endpoint is what it claims before
money is spent on altered rows. Tasks of one endpoint share whatever comes to equal rows.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np

from adapters import Instance, Prediction, Scalar
from probe.engine.keys import canonical, evaluation_key, plain
from probe.engine.mass import low_mass
from probe.engine.shipment import Job
from probe.engine.tasks import ProbeTask, Remote
from probe.errors import ConfigError
from probe.inputs import Item
from probe.maskers.base import Kind
from probe.methods.base import Finding
from probe.surveys import Answers, Design, Query, Reading, RowSet, SurveyMethod, settings_of
from probe.surveys.beeswarm import Beeswarm
from probe.surveys.metrics import top_label
from probe.targets import Target, TargetSpec
from storage.records import Entry

Lookup = Callable[[Sequence[bytes]], Mapping[bytes, Entry]]


@dataclass(frozen=True)
class InputSet:
    """The inputs under study, in order. ``truth``: the true label or number of each, where it is known."""

    name: str
    kind: Kind
    items: tuple[Item, ...]
    truth: tuple[Scalar, ...] | None = None

    @cached_property
    def id(self) -> str:
        """Hex digest of the content: the same set has the same id in every run."""
        digest = hashlib.sha256(b"set\0")
        for item in self.items:
            digest.update(hashlib.sha256(canonical(item.instance)).digest())
        digest.update(json.dumps(self.truth).encode())
        return digest.hexdigest()

    @cached_property
    def rows(self) -> RowSet:
        """Raises ``ValueError`` if these are no rows of one table."""
        return RowSet.of([item.instance if isinstance(item.instance, Mapping) else {} for item in self.items])

    def content(self) -> bytes:
        """The set as it is stored: a JSON object."""
        values = [
            {key: plain(cell) for key, cell in item.instance.items()}
            if isinstance(item.instance, Mapping)
            else item.instance
            for item in self.items
        ]
        truth = {} if self.truth is None else {"truth": list(self.truth)}
        return json.dumps(
            {"names": [item.name for item in self.items], "inputs": values, **truth}, ensure_ascii=False
        ).encode("utf-8", "surrogatepass")


@dataclass(frozen=True)
class SurveyTask:
    """One set × one endpoint × one method.

    ``locals_``: of a beeswarm, the explanations of single inputs that it gathers; their target is settled by the set.
    """

    probe: str  #: the survey's name in the config
    inputs: InputSet
    remote: Remote
    method: SurveyMethod | Beeswarm
    target: TargetSpec
    fresh: timedelta
    seed: int
    locals_: tuple[ProbeTask, ...] = ()

    @property
    def where(self) -> str:
        """How messages name this task."""
        return f"{self.probe} ({self.inputs.name}, {self.remote.adapter.name}, {self.method.name})"

    def params(self) -> Mapping[str, Any]:
        """Everything that shapes the reading, JSON-ready, defaults included."""
        local = self.locals_[0].params() if self.locals_ else None
        return {
            "method": settings_of(self.method),
            "target": {"name": self.target.name, "labels": list(self.target.labels)},
            "seed": self.seed,
            **(
                {}
                if local is None
                else {"local": {key: local[key] for key in ("method", "masker", "budget", "repeats")}}
            ),
        }

    def params_hash(self) -> bytes:
        """SHA-256 of :meth:`params`, and of those of every local explanation."""
        parts = [self.params(), *(dict(task.params()) for task in self.locals_)]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()

    @cached_property
    def design(self) -> Design | None:
        """What is asked beside the set as it is; ``None`` for a beeswarm.

        Raises:
            ConfigError: the set does not allow this method.
        """
        if isinstance(self.method, Beeswarm):
            return None
        try:
            return self.method.design(self.inputs.rows, self.seed)
        except ValueError as error:
            raise ConfigError(f"{self.where}: {error}") from error

    @cached_property
    def queries(self) -> tuple[Query, ...]:
        """The set as it is, then what the design asks. Raises as :attr:`design` does."""
        asked = () if self.design is None else self.design.queries
        return (*(Query(row) for row in range(len(self.inputs.items))), *asked)

    def render(self, query: Query) -> Instance:
        """The input that ``query`` asks about."""
        return self.inputs.rows.render(query) if query.changes else self.inputs.items[query.row].instance


@dataclass(slots=True)
class Need:
    """One evaluation that one or several tasks wait for."""

    key: bytes
    task: SurveyTask  #: who asked first
    query: Query
    fresh: timedelta  #: the shortest of all who wait
    of_set: bool  #: an input as it is
    entry: Entry | None = None
    known: bool = False  #: the ledger's entry counts
    probes: tuple[str, ...] = ()  #: the surveys that wait

    @property
    def unsure(self) -> bool:
        """Sent before a crash; nobody knows whether it was answered."""
        return not self.known and self.entry is not None and self.entry.state == "intended"

    def job(self) -> Job:
        """The evaluation, ready to be sent."""
        return Job.of(self.key, lambda: self.task.render(self.query), self.entry, heavy=False)


@dataclass
class SurveyState:
    """A task's evaluations and what became of them."""

    task: SurveyTask
    keys: list[bytes]  #: of every query, in order
    target: Target | None = None
    failure: str | None = None
    failure_is_usage: bool = False
    from_ledger: int = 0
    cost_micro: int = 0
    request_shares: float = 0.0
    unlabelled: str = ""  #: why an answer has no score for the target, if one has none
    explaining: int = 0  #: evaluations that explanations of single inputs used
    answers: dict[bytes, Prediction] = field(default_factory=dict)
    rejected: dict[bytes, str] = field(default_factory=dict)
    failed: dict[bytes, str] = field(default_factory=dict)

    @classmethod
    def of(cls, task: SurveyTask) -> SurveyState:
        """Raises :class:`ConfigError` if the task cannot be designed."""
        identity = task.remote.adapter.identity
        known: dict[Query, bytes] = {}
        for query in task.queries:
            if query not in known:
                known[query] = evaluation_key(identity, task.render(query))
        return cls(task, [known[query] for query in task.queries])

    @property
    def set_keys(self) -> list[bytes]:
        """The keys of the inputs as they are."""
        return self.keys[: len(self.task.inputs.items)]

    @cached_property
    def distinct(self) -> frozenset[bytes]:
        """Every evaluation once."""
        return frozenset(self.keys)

    def put(self, key: bytes, entry: Entry, prediction: Prediction | None) -> None:
        """One answer, or the reason why there is none."""
        if prediction is not None:
            self.answers[key] = prediction
        else:
            reasons = self.rejected if entry.state == "rejected" else self.failed
            reasons[key] = entry.error or "the stored answer cannot be read"

    def settle(self) -> None:
        """Fix the target on the answers to the set as it is: the label asked for, or the one that is best most often."""
        found = [self.answers[key] for key in self.set_keys if key in self.answers]
        if self.target is not None or self.failure is not None or not found:
            return
        try:
            self.target = set_target(self.task.target, found, where=self.task.where)
        except ConfigError as error:
            self.failure, self.failure_is_usage = str(error), True

    @property
    def settled(self) -> bool:
        """Whether every evaluation has an answer or was refused for good."""
        return all(key in self.answers or key in self.rejected for key in self.distinct)

    def read(self) -> Reading | None:
        """What the answers say, or ``None`` with ``failure`` saying why not."""
        if self.target is None and self.failure is None:
            reasons = [*self.failed.values(), *self.rejected.values()]
            self.failure = f"no answer for any input as it is: {reasons[0]}" if reasons else "no input was answered"
        if self.failure is not None or self.target is None or self.task.design is None:
            return None
        first = len(self.task.inputs.items)
        predictions = [self.answers.get(key) for key in self.keys]
        values = np.array([self._value(self.target, each) for each in predictions])
        try:
            answers = Answers(values[first:], predictions[first:], self.target.labels, self.task.inputs.truth)
            return self.task.design.read(answers)
        except ValueError as error:
            self.failure = str(error)
            return None

    def _value(self, target: Target, prediction: Prediction | None) -> float:
        try:
            return float("nan") if prediction is None else target.value(prediction)
        except LookupError as error:
            self.unlabelled = str(error.args[0])
            return float("nan")

    def mean_score(self) -> float:
        """The target's mean score over the set as it is; NaN without any."""
        target = self.target
        if target is None:
            return float("nan")
        values = [self._value(target, self.answers.get(key)) for key in self.set_keys]
        known = [value for value in values if not np.isnan(value)]
        return float(np.mean(known)) if known else float("nan")

    def findings(self) -> Iterator[Finding]:
        """What the user should know about how the answers came about."""
        asked = len(self.distinct)
        if self.rejected:
            reason = next(iter(self.rejected.values()))
            yield Finding("P101", f"{len(self.rejected)} of {asked} inputs were refused: {reason}")
        if missing := asked - len(self.answers) - len(self.rejected):
            reason = next((f": {why}" for why in self.failed.values()), "")
            yield Finding("P102", f"{missing} of {asked} evaluations have no answer{reason}")
        if self.unlabelled:
            yield Finding("P102", f"some answers have no score for the target: {self.unlabelled}")
        target = self.target
        if target is not None and (cut := sum(target.is_censored(each) for each in self.answers.values())):
            message = f"the target was cut off by the provider in {cut} of {asked} answers; its bound was used"
            yield Finding("P103", message)
        yield from low_mass([each.mass for each in self.answers.values() if each.mass is not None])


def set_target(spec: TargetSpec, predictions: Sequence[Prediction], *, where: str) -> Target:
    """The target of a set: as ``spec`` names it, else the label that scores best for most inputs, of equals the first by name.

    Raises:
        ConfigError: a label is unknown to the endpoint, or no answer has any label.
    """
    if spec.labels:
        return spec.resolve(predictions[0], where=where)
    tops = Counter(top for each in predictions if (top := top_label(each)) is not None)
    if not tops:
        raise ConfigError(f"{where}: the endpoint returned no labels, so there is no top1")
    best = min(tops, key=lambda label: (-tops[label], label))
    return Target(best, (best,))


def collect(
    states: Sequence[SurveyState], *, lookup: Lookup, now: datetime, run_id: str | None
) -> dict[str, dict[bytes, Need]]:
    """Per endpoint (by record id) what all its tasks need, each evaluation once, and what of it the ledger has.

    ``run_id``: answers of this run count however old they are (a run that is taken up again).
    """
    rounds: dict[str, dict[bytes, Need]] = {}
    for state in states:
        task = state.task
        needs = rounds.setdefault(task.remote.record.id, {})
        own = frozenset(state.set_keys)
        for key, query in zip(state.keys, task.queries, strict=True):
            need = needs.get(key)
            if need is None:
                need = needs[key] = Need(key, task, query, task.fresh, key in own)
            need.fresh = min(need.fresh, task.fresh)
            need.of_set |= key in own
            if task.probe not in need.probes:
                need.probes = (*need.probes, task.probe)
    for needs in rounds.values():
        entries = lookup(list(needs))
        for key, need in needs.items():
            need.entry = entry = entries.get(key)
            need.known = (
                entry is not None
                and entry.state in {"answered", "rejected"}
                and entry.answered_at is not None
                and (entry.run_id == run_id or now - entry.answered_at <= need.fresh)
            )
    return rounds

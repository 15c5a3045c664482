"""What a run is made of: one task per instance × endpoint × method, and how far each has come."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

import numpy as np

from adapters import Adapter, Prediction
from probe.engine.keys import evaluation_key
from probe.errors import ConfigError
from probe.inputs import Item
from probe.maskers.base import Masker
from probe.methods.base import Bools, BudgetTooSmall, CoalitionTable, Explanation, Finding, Floats, Method
from probe.targets import Target, TargetSpec
from storage import records


@dataclass(frozen=True, slots=True)
class Remote:
    """An endpoint that can be asked, and how it is recorded."""

    adapter: Adapter
    record: records.Endpoint


@dataclass(frozen=True, slots=True)
class ProbeTask:
    """One instance × one endpoint × one method."""

    probe: str  #: name in the config
    item: Item
    remote: Remote
    method: Method
    masker: Masker
    target: TargetSpec
    budget: int  #: most evaluations, copies and repeats included
    repeats: int
    fresh: timedelta
    seed: int

    @property
    def width(self) -> int:
        """Evaluations per coalition: the masker's copies times the repeats."""
        return self.masker.copies * self.repeats

    @property
    def where(self) -> str:
        """How messages name this task."""
        return f"{self.probe} ({self.item.name}, {self.remote.adapter.name}, {self.method.name})"

    def params(self) -> Mapping[str, Any]:
        """Everything that shapes the explanation, JSON-ready, defaults included."""
        return {
            "method": dict(self.method.settings),
            "masker": dict(self.masker.settings),
            "target": {"name": self.target.name, "labels": list(self.target.labels)},
            "budget": self.budget,
            "repeats": self.repeats,
            "seed": self.seed,
        }

    def params_hash(self) -> bytes:
        """SHA-256 of :meth:`params`."""
        return hashlib.sha256(json.dumps(self.params(), sort_keys=True).encode()).digest()

    def rng(self) -> np.random.Generator:
        """The same for every method and endpoint, so that they ask the same coalitions where their designs agree."""
        return np.random.default_rng(np.random.SeedSequence([self.seed, int(self.item.id[:16], 16)]))

    def ask(self, table: CoalitionTable) -> Bools:
        """The coalitions this task wants evaluated next.

        Raises:
            ConfigError: if the budget is too small for the method.
        """
        try:
            return self.method.ask(self.masker.features, table, self.budget // self.width, self.rng())
        except BudgetTooSmall as error:
            hint = (
                f" (each coalition is {self.width} evaluations: copies of the background × repeats)"
                if self.width > 1
                else ""
            )
            raise ConfigError(f"{self.where}: {error}{hint}") from error

    def keys(self, coalition: Bools) -> tuple[bytes, ...]:
        """The ledger keys of one coalition, copies first: (copy 0 repeat 0, copy 0 repeat 1, …)."""
        identity = self.remote.adapter.identity
        renderings = [self.masker.render(coalition, copy) for copy in range(self.masker.copies)]
        return tuple(
            evaluation_key(identity, instance, repeat) for instance in renderings for repeat in range(self.repeats)
        )


class AsksRemote(Protocol):
    """Any task that asks one endpoint."""

    @property
    def remote(self) -> Remote: ...


def check_readings(tasks: Sequence[AsksRemote]) -> None:
    """Refuse two endpoints that send the same requests and read the answers differently: they share a ledger.

    Raises:
        ConfigError: naming both.
    """
    seen: dict[str, Adapter] = {}
    for task in tasks:
        adapter = task.remote.adapter
        first = seen.setdefault(task.remote.record.id, adapter)
        if first.parser != adapter.parser:
            raise ConfigError(
                f"endpoints {first.name!r} and {adapter.name!r} send the same requests but read the answers differently; "
                "use them in runs of their own (--only), where the ledger serves both"
            )


class ProbeState:
    """A task's answers as they come in."""

    def __init__(self, task: ProbeTask) -> None:
        self.task = task
        self.coalitions: Bools = np.zeros((0, task.masker.n), dtype=bool)
        self.keys = bytearray()  # 32 bytes each, in the order of the values
        self.target: Target | None = None
        self.failure: str | None = None  #: why there will be no explanation
        self.failure_is_usage = False  #: … because the config asks for something that is not there
        self.from_ledger = 0
        self.rejected: list[str] = []
        self.failed: list[str] = []
        self.censored = 0
        self.cost_micro = 0
        self.request_shares = 0.0
        self._values: Floats = np.zeros((0, task.width))
        self._undecided: dict[tuple[int, int], Prediction] = {}

    def extend(self, coalitions: Bools, keys: list[tuple[bytes, ...]]) -> int:
        """Add the rows of one ask; returns the index of the first."""
        first = len(self.coalitions)
        self.coalitions = np.vstack([self.coalitions, coalitions])
        for row in keys:
            self.keys += b"".join(row)
        self._values = np.vstack([self._values, np.full((len(coalitions), self.task.width), np.nan)])
        return first

    def put(self, row: int, column: int, prediction: Prediction) -> None:
        """One answer. Those that come before the target is settled are the unaltered instance's, and wait for it."""
        if self.failure is not None:
            return
        if self.target is None:
            self._undecided[row, column] = prediction
            return
        try:
            self._values[row, column] = self.target.value(prediction)
        except LookupError as error:
            self.failed.append(f"{self.task.where}: {error.args[0]}")
            return
        self.censored += self.target.is_censored(prediction)

    def settle(self) -> None:
        """Fix the target on the answer to the unaltered instance: its first copy and repeat that has one, so that the order
        of arrival does not matter. Without any answer there is no target, and nothing more needs to be asked."""
        if self.target is not None or self.failure is not None or not self._undecided:
            return
        waiting, self._undecided = self._undecided, {}
        try:
            self.target = self.task.target.resolve(waiting[min(waiting)], where=self.task.where)
        except ConfigError as error:
            self.failure, self.failure_is_usage = str(error), True
            return
        for (row, column), prediction in sorted(waiting.items()):
            self.put(row, column, prediction)

    @property
    def complete(self) -> bool:
        """Whether every evaluation asked so far has an answer."""
        return not np.isnan(self._values).any()

    @property
    def settled(self) -> bool:
        """Whether every evaluation has an answer or was refused for good: asking again would bring nothing new."""
        return self.answered + len(self.rejected) >= self._values.size

    @property
    def answered(self) -> int:
        """Evaluations that have an answer."""
        return int(np.count_nonzero(~np.isnan(self._values)))

    def table(self) -> CoalitionTable:
        """The coalitions all of whose evaluations are answered: mean over copies and repeats, and its variance as far as
        repeats tell it (pooled over the table, because one row has too few)."""
        whole = ~np.isnan(self._values).any(axis=1)
        values = self._values[whole].reshape(-1, self.task.masker.copies, self.task.repeats)
        noise = np.zeros(len(values))
        if self.task.repeats > 1 and len(values):
            noise[:] = values.var(axis=2, ddof=1).mean() / (self.task.repeats * self.task.masker.copies)
        return CoalitionTable.of(self.coalitions[whole], values.mean(axis=(1, 2)), noise)

    def explain(self) -> Explanation | None:
        """The explanation, or ``None`` with ``failure`` saying why not."""
        table = self.table()
        if self.failure is None and not (table.m and table.coalitions.all(axis=1).any()):
            reasons = self.failed + self.rejected
            self.failure = (
                f"no answer for the unaltered input: {reasons[0]}"
                if reasons
                else "the unaltered input was not answered"
            )
        if self.failure is not None:
            return None
        try:
            return self.task.method.explain(self.task.masker.features, table)
        except ValueError as error:
            self.failure = f"too few answers to explain: {error}"
            return None

    def findings(self) -> tuple[Finding, ...]:
        """What the user should know about how the answers came about."""
        asked = self._values.size
        found = []
        if self.rejected:
            found.append(Finding("P101", f"{len(self.rejected)} of {asked} inputs were refused: {self.rejected[0]}"))
        missing = asked - self.answered - len(self.rejected)
        if missing > 0:
            reason = f": {self.failed[0]}" if self.failed else ""
            found.append(Finding("P102", f"{missing} of {asked} evaluations have no answer{reason}"))
        if self.censored:
            found.append(
                Finding(
                    "P103",
                    f"the target was cut off by the provider in {self.censored} of {asked} answers; its bound was used",
                )
            )
        return tuple(found)

"""The answers of one bill as they come in: what to ask next, and what the tasks are explained from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from adapters import Instance, Prediction
from probe.analysis.trust import closeness, judge
from probe.engine.bills import Bill
from probe.engine.known import Start
from probe.engine.tasks import ProbeTask
from probe.errors import ConfigError
from probe.methods.base import Bools, CoalitionTable, Explanation, Finding, Floats, Selective
from probe.targets import Target


class Unexplained(Exception):
    """There is no explanation, and this is why."""


class Answers:
    """One bill's evaluations, asked and answered."""

    def __init__(self, bill: Bill) -> None:
        task = bill.lead
        self.bill = bill
        self.task = task
        self.ended = False  #: nothing more will be asked
        self.cut_off = False  #: more would be asked, but cannot be sent
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
        self.begun_whole = False  #: what it began with is all there will be
        self._values: Floats = np.zeros((0, task.width))
        self._undecided: dict[tuple[int, int], Prediction] = {}

    def ask(self, start: Callable[[Bill], Start]) -> Bools:
        """(k, n) coalitions to evaluate next; with k = 0 the asking has ended. ``start``: what a bill begins with.

        What was refused or failed is not asked again.

        Raises:
            ConfigError: if the budget is too small.
        """
        if not len(self.coalitions):
            begin = start(self.bill)
            rows, self.begun_whole = begin.rows, begin.whole
        elif self.begun_whole:
            rows = self.coalitions[:0]
        else:
            rows = self.bill.more(self.table(), self.coalitions, enough=self._enough)
        self.ended = not len(rows)
        return rows

    def _enough(self) -> bool:
        """Whether the stopping rule is content with what the leading method makes of the answers."""
        stop, task = self.task.stop, self.task
        if stop is None:
            return False
        try:
            explanation = task.method.explain(task.masker.features, self.table())
        except ValueError:
            return False
        return stop.reason(explanation, self.bill.budget) is not None

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
            self.failed.append(f"{self.bill.where}: {error.args[0]}")
            return
        self.censored += self.target.is_censored(prediction)

    def settle(self) -> None:
        """Fix the target on the answer to the unaltered instance: its first copy and repeat that has one, so that the order
        of arrival does not matter. Without any answer there is no target, and nothing more needs to be asked."""
        if self.target is not None or self.failure is not None or not self._undecided:
            return
        waiting, self._undecided = self._undecided, {}
        try:
            self.target = self.task.target.resolve(waiting[min(waiting)], where=self.bill.where)
        except ConfigError as error:
            self.failure, self.failure_is_usage = str(error), True
            return
        for (row, column), prediction in sorted(waiting.items()):
            self.put(row, column, prediction)

    @property
    def ready(self) -> bool:
        """Whether the next coalitions can be asked for: every evaluation so far came to something."""
        if self.ended or self.cut_off or self.failure is not None:
            return False
        heard = self.answered + len(self.rejected) + len(self.failed)
        return heard >= self._values.size and (self.target is not None or not len(self.coalitions))

    @property
    def settled(self) -> bool:
        """Whether every evaluation has an answer or was refused for good: asking again would bring nothing new."""
        return self.ended and self.answered + len(self.rejected) >= self._values.size

    @property
    def answered(self) -> int:
        """Evaluations that have an answer."""
        return int(np.count_nonzero(~np.isnan(self._values)))

    def table(self) -> CoalitionTable:
        """The coalitions all of whose evaluations are answered: mean over copies and repeats, and its variance as far as
        repeats tell it (pooled over the table, because one row has too few)."""
        return averaged(self.coalitions, self._values, copies=self.task.masker.copies, repeats=self.task.repeats)

    def base_by_copy(self) -> Floats | None:
        """The score with every feature replaced, by background row (copies,); ``None`` if it is not known."""
        rows = np.flatnonzero(~self.coalitions.any(axis=1) & ~np.isnan(self._values).any(axis=1))
        if not len(rows):
            return None
        found: Floats = self._values[rows[0]].reshape(self.task.masker.copies, self.task.repeats).mean(axis=1)
        return found

    def explain(self, task: ProbeTask) -> Explanation:
        """What the method of ``task`` makes of the answers.

        Raises:
            Unexplained: it cannot make anything of them.
        """
        table = self.table()
        if self.failure is None and not (table.m and table.coalitions.all(axis=1).any()):
            reasons = self.failed + self.rejected
            self.failure = (
                f"no answer for the unaltered input: {reasons[0]}"
                if reasons
                else "the unaltered input was not answered"
            )
        if self.failure is not None:
            raise Unexplained(self.failure)
        method, masker = task.method, task.masker
        try:
            explanation = method.explain(masker.features, table)
        except ValueError as error:
            raise Unexplained(f"too few answers to explain: {error}") from error
        if task.stop is not None:
            explanation = task.stop.corrected(explanation, self.bill.budget)
        told = {finding.code for finding in explanation.findings}
        judgement = judge(
            explanation,
            table,
            explain=lambda part: method.explain(masker.features, part),
            rng=task.rng(),
            reads=method.essential(masker.features) if isinstance(method, Selective) else None,
            centre=closeness(masker.features, segments=masker.segments, shape=_shape(masker.instance)),
            copies=self.base_by_copy() if masker.kind == "tabular" else None,
        )
        return replace(
            explanation,
            trust={**judgement.trust, **explanation.trust},
            findings=(*explanation.findings, *(each for each in judgement.findings if each.code not in told)),
        )

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


def averaged(coalitions: Bools, values: Floats, *, copies: int, repeats: int) -> CoalitionTable:
    """The table of ``coalitions`` (m, n) with ``values`` (m, copies × repeats), copies first; see :meth:`Answers.table`."""
    whole = ~np.isnan(values).any(axis=1)
    values = values[whole].reshape(-1, copies, repeats)
    noise = np.zeros(len(values))
    first = values[:, :, :1]
    apart = values - first  # exactly 0 where repeats agree: a deterministic endpoint's scores stay what they are
    if repeats > 1 and len(values):
        noise[:] = apart.var(axis=2, ddof=1).mean() / (repeats * copies)
    means = first[:, :, 0] + apart.mean(axis=2)
    return CoalitionTable(coalitions[whole], means.mean(axis=1), noise, means if copies > 1 else None)


def _shape(instance: Instance) -> tuple[int, ...]:
    """Of a text its length, of a picture its height and width; a row has no middle."""
    if isinstance(instance, str):
        return (len(instance),)
    return instance.shape[:2] if isinstance(instance, np.ndarray) else ()

"""Which tasks share one set of evaluations, and what that set begins with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from probe.engine.tasks import ProbeTask, digest
from probe.errors import ConfigError
from probe.methods.base import Bools, BudgetTooSmall, CoalitionTable, Method, OwnTable
from probe.methods.design import without_known
from probe.methods.sharing import first_rows, lead_of, rows_from


@dataclass(frozen=True, slots=True)
class Bill:
    """Tasks of one probe that look at the same features of one instance: one set of evaluations serves them all.

    ``lead``: the task whose method designs the set; what is sent counts as its. ``tasks`` are in the config's order.
    """

    tasks: tuple[ProbeTask, ...]
    lead: ProbeTask

    @classmethod
    def of(cls, tasks: Sequence[ProbeTask]) -> Bill:
        """The bill of ``tasks``, which must be such as :func:`bills` puts together."""
        return cls(tuple(tasks), tasks[lead_of([task.method for task in tasks])])

    @property
    def methods(self) -> tuple[Method, ...]:
        """In the order of the tasks."""
        return tuple(task.method for task in self.tasks)

    @property
    def budget(self) -> int:
        """Most coalitions."""
        return self.lead.budget // self.lead.width

    @property
    def where(self) -> str:
        """How messages name it."""
        lead = self.lead
        names = ", ".join(dict.fromkeys(method.name for method in self.methods))
        return f"{lead.probe} ({lead.item.name}, {lead.remote.adapter.name}, {names})"

    def params(self, task: ProbeTask) -> Mapping[str, Any]:
        """Everything that shapes the explanation of ``task``, JSON-ready: its own settings, and who else the set serves."""
        if len(self.tasks) == 1:
            return task.params()
        lead = {"method": self.lead.method.name, **self.lead.method.settings}
        return {**task.params(), "shared": {"lead": lead, "with": sorted(method.name for method in self.methods)}}

    def params_hash(self, task: ProbeTask) -> bytes:
        """SHA-256 of :meth:`params`."""
        return digest(self.params(task))

    @property
    def looks(self) -> tuple[int, ...]:
        """Numbers of coalitions at which to see whether they suffice; the last is the budget."""
        stop = self.lead.stop
        return (self.budget,) if stop is None else stop.looks(self.lead.masker.n, self.budget)

    def first(self) -> Bools:
        """The coalitions to begin with.

        Raises:
            ConfigError: if the budget is too small for one of the methods.
        """
        features = self.lead.masker.features
        return self._within(self.looks, lambda look: first_rows(self.methods, features, look, self.lead.rng()))

    def first_from(self, known: Bools) -> Bools:
        """The coalitions to begin with where ``known`` (m, n) are answered already; see :meth:`first`."""
        features = self.lead.masker.features
        fresh = self.first()
        return self._within((self.budget,), lambda look: rows_from(self.methods, features, known, look, fresh=fresh))

    def more(self, table: CoalitionTable, asked: Bools, *, enough: Callable[[], bool]) -> Bools:
        """What the leading method wants next, given the answers so far; (0, n) if nothing.

        ``asked`` (m, n): all coalitions so far, also those without an answer, which are not asked again. ``enough``: whether
        the answers suffice; it is asked at the looks only.
        """
        lead = self.lead
        for look in (look for look in self.looks if look >= len(asked)):
            rows = self._within(
                (look, self.budget), lambda budget: lead.method.ask(lead.masker.features, table, budget, lead.rng())
            )
            rows = without_known(rows, asked)[: look - len(asked)]
            if len(rows):
                return rows
            if look < self.budget and enough():
                break
        return asked[:0]

    def _within(self, budgets: Sequence[int], ask: Callable[[int], Bools]) -> Bools:
        """What ``ask`` gives under the first of ``budgets`` that is not too small."""
        for budget in budgets[:-1]:
            try:
                return ask(budget)
            except BudgetTooSmall:
                continue
        with self._worded():
            return ask(budgets[-1])

    @contextmanager
    def _worded(self) -> Iterator[None]:
        try:
            yield
        except BudgetTooSmall as error:
            width = self.lead.width
            hint = f" (each coalition is {width} evaluations: copies of the background × repeats)" if width > 1 else ""
            raise ConfigError(f"{self.where}: {error}{hint}") from error


def bills(tasks: Sequence[ProbeTask]) -> list[Bill]:
    """``tasks`` by what they can share, in the order of each bill's first task.

    One bill: the same probe, instance, endpoint, masker settings, repeats, seed, target and stopping rule.
    """
    groups: dict[tuple[Any, ...], list[ProbeTask]] = {}
    for number, task in enumerate(tasks):
        apart = number if isinstance(task.method, OwnTable) else None
        groups.setdefault((*_ground(task), apart), []).append(task)
    return [Bill.of(group) for group in groups.values()]


def _ground(task: ProbeTask) -> tuple[Any, ...]:
    masker = json.dumps(task.masker.settings, sort_keys=True, default=str)
    same = (task.probe, task.item.id, task.remote.record.id, masker)
    return (*same, task.target, task.budget, task.repeats, task.fresh, task.seed, task.stop)

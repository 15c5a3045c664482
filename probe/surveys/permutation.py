"""Permutation importance: shuffle one column over the set and see how much worse, or how different, the answers become."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from probe.maskers.checks import whole
from probe.maskers.naming import one_of
from probe.surveys.base import (
    Answers,
    Floats,
    Places,
    Query,
    Reading,
    RowSet,
    freedom,
    generator,
    jackknife,
    mean_known,
)
from probe.surveys.metrics import METRICS, default_metric, truth_numbers

#: by column, (repeats, n): the row whose value each row gets
Shuffles: TypeAlias = dict[str, NDArray[np.intp]]
#: rows → importances (columns, repeats)
_Importances: TypeAlias = Callable[[Places], Floats]


@dataclass(frozen=True)
class Permutation:
    """A column's importance is the metric of the set as it is less the mean metric with that column shuffled (as
    scikit-learn defines it); without true labels, the mean absolute change of the target's score.

    ``metric``: accuracy, log_loss, roc_auc, r2, mse or mae; by default accuracy where the truth names labels of the
    endpoint and r2 where it is numbers. ``columns``: by default all.
    """

    name: ClassVar[str] = "permutation"
    source: ClassVar[str] = (
        "Fisher, Rudin & Dominici, All Models are Wrong, but Many are Useful, JMLR 2019; Breiman 2001"
    )

    repeats: int = 5
    metric: str | None = None
    columns: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        whole(self.repeats, "repeats", least=1)
        if self.metric is not None:
            one_of(self.metric, tuple(METRICS), "metric")

    def design(self, rows: RowSet, seed: int) -> PermutationDesign:
        """Each column is shuffled with a generator of its own. Raises ``ValueError`` for a set of one row."""
        if rows.n < 2:
            raise ValueError("permutation needs at least two rows to exchange values between")
        shuffles: Shuffles = {}
        for column in rows.chosen(self.columns):
            rng = generator(seed, "permutation", column)
            shuffles[column] = np.stack([rng.permutation(rows.n) for _ in range(self.repeats)])
        return PermutationDesign(rows, shuffles, self.metric, seed)


@dataclass(frozen=True)
class PermutationDesign:
    """The rows as they are, then each column's shuffles, repeat by repeat."""

    rows: RowSet
    shuffles: Shuffles
    metric: str | None
    seed: int

    @cached_property
    def queries(self) -> tuple[Query, ...]:
        asked = list(self.rows.unaltered())
        for column, donors in self.shuffles.items():
            values = self.rows.column(column)
            asked += [
                self.rows.altered(row, column, values[donor])
                for repeat in donors.tolist()
                for row, donor in enumerate(repeat)
            ]
        return tuple(asked)

    def read(self, answers: Answers) -> Reading:
        """Standard errors are a jackknife over the rows: how far the figure would differ for another sample of rows.

        ``details``: ``repeats``: by column the importance in each repeat; ``repeats_std``: their standard deviation, which
        is scikit-learn's ``importances_std``; ``metric``. Raises ``ValueError``: the truth fits no metric, or no row has an
        answer.
        """
        if np.isnan(answers.values[: self.rows.n]).all():
            raise ValueError("permutation: no row of the set has an answer as it is")
        return self._changes(answers) if answers.truth is None else self._drops(answers)

    def _split(self, figures: Floats) -> tuple[Floats, Floats]:
        """Figures (q,) as those of the set as it is (n,) and of the shuffles (columns, repeats, n)."""
        n = self.rows.n
        repeats = len(next(iter(self.shuffles.values())))
        return figures[:n], figures[n:].reshape(len(self.shuffles), repeats, n)

    def _among(self, chosen: Places, figures: Floats) -> Floats:
        """Figures (columns, repeats, n) of the ``chosen`` rows, NaN where the value came from another row: a row that is left
        out is no donor either, or the jackknife would see half of what it does."""
        if len(chosen) == self.rows.n:
            return figures
        kept = np.zeros(self.rows.n, dtype=bool)
        kept[chosen] = True
        donors = np.stack(list(self.shuffles.values()))[..., chosen]
        return np.where(kept[donors], figures[..., chosen], np.nan)

    def _changes(self, answers: Answers) -> Reading:
        before, after = self._split(answers.values)
        moved = np.abs(after - before)

        def importances(chosen: Places) -> Floats:
            return mean_known(self._among(chosen, moved))

        return self._reading(importances, "mean absolute change", float(mean_known(before)))

    def _drops(self, answers: Answers) -> Reading:
        name = self.metric or default_metric(answers)
        metric = METRICS[name]
        truth = truth_numbers(answers, metric)
        before, after = self._split(metric.of(answers, [query.row for query in self.queries]))
        there = np.where(np.isnan(after), np.nan, before)  # a row without an answer is left out on both sides
        after = np.where(np.isnan(before), np.nan, after)

        def importances(chosen: Places) -> Floats:
            as_it_is, shuffled = self._among(chosen, there), self._among(chosen, after)
            return metric.score(as_it_is, truth[chosen]) - metric.score(shuffled, truth[chosen])

        return self._reading(importances, name, float(metric.score(before, truth)))

    def _reading(self, importances: _Importances, metric: str, full: float) -> Reading:
        n = self.rows.n
        by_repeat = importances(np.arange(n))

        def means(chosen: Places) -> Floats:
            return mean_known(importances(chosen))

        return Reading(
            names=tuple(self.shuffles),
            values=mean_known(by_repeat),
            std_errors=jackknife(means, n, self.seed),
            full_value=full,
            trust=freedom(n),
            details={
                "metric": metric,
                "repeats": dict(zip(self.shuffles, by_repeat.tolist(), strict=True)),
                "repeats_std": dict(zip(self.shuffles, by_repeat.std(axis=-1).tolist(), strict=True)),
            },
        )

"""Surrogate: a small model that is readable, fitted to what the endpoint answered, and how faithful it is.

Fitted to the set's rows and to rows whose columns are drawn each from its own marginal, so that the surrogate is also held
to what the endpoint does off the beaten track; its fidelity is measured on rows of both kinds that it was not fitted to.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from probe.maskers.checks import whole
from probe.maskers.naming import one_of
from probe.surveys.base import Answers, Floats, Places, Query, Reading, RowSet, generator, jackknife, mean_known
from probe.surveys.encoding import Encoding
from probe.surveys.findings import unfaithful
from probe.surveys.fits import Fit, fit_linear, fit_tree
from probe.surveys.metrics import top_label

Form = Literal["tree", "linear"]
Of = Literal["score", "label"]

_HELD_OUT = 0.3
_FEWEST = 10  #: held-out rows below which no fidelity is told


@dataclass(frozen=True)
class Surrogate:
    """``form``: a shallow decision tree (CART) or a sparse linear model, fitted to the target's score; with ``of: label`` a
    tree is fitted to the best label.

    A column's figure: for a tree its share of the impurity that the splits take away, for a linear model the standard
    deviation of its term. ``depth``: of the tree. ``drawn``: rows drawn from the marginals beside those of the set.
    """

    name: ClassVar[str] = "surrogate"
    source: ClassVar[str] = (
        "Craven & Shavlik, Extracting Tree-Structured Representations of Trained Networks, NIPS 1995"
    )

    form: Form = "tree"
    of: Of = "score"
    depth: int = 3
    drawn: int = 400
    columns: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        one_of(self.form, get_args(Form), "form")
        one_of(self.of, get_args(Of), "of")
        if self.of == "label" and self.form != "tree":
            raise ValueError("form: linear is fitted to a score; for labels use form: tree")
        whole(self.depth, "depth", least=1)
        whole(self.drawn, "drawn", least=0)

    def design(self, rows: RowSet, seed: int) -> SurrogateDesign:
        """Raises ``ValueError`` if there are too few rows to hold some out."""
        drawn = self.drawn
        if rows.n + drawn < 2 * _FEWEST:
            raise ValueError(
                f"surrogate: {rows.n} rows and {drawn} drawn ones are too few; it needs {2 * _FEWEST}, raise drawn"
            )
        rng = generator(seed, "surrogate")
        cells = {name: rng.integers(0, rows.n, drawn).tolist() for name in rows.columns}
        values = {name: rows.column(name) for name in rows.columns}
        queries = [Query(0, tuple((name, values[name][cells[name][k]]) for name in rows.columns)) for k in range(drawn)]
        held_out = rng.random(rows.n + drawn) < _HELD_OUT
        return SurrogateDesign(rows, self, (*rows.unaltered(), *queries), held_out, seed)


@dataclass(frozen=True)
class SurrogateDesign:
    """The set's rows as they are, then the drawn ones; ``held_out`` marks those that are kept from the fit."""

    rows: RowSet
    settings: Surrogate
    queries: tuple[Query, ...]
    held_out: NDArray[np.bool_]
    seed: int

    @cached_property
    def _encoding(self) -> Encoding:
        return Encoding.of(self.rows, self.rows.chosen(self.settings.columns))

    def read(self, answers: Answers) -> Reading:
        """``trust``: ``fidelity`` (R², or for labels the share that agrees, on held-out rows), ``fidelity_se``, on the set's
        rows and the drawn ones apart (``fidelity_set``, ``fidelity_drawn``), ``held_out`` (their number), ``guess`` (for
        labels: what always saying the most frequent one would reach). ``details``: ``rules`` as lines of text, ``metric``.

        Raises ``ValueError`` if too few rows have an answer.
        """
        labels = self.settings.of == "label"
        tops = [None if each is None else top_label(each) for each in answers.predictions]
        known = np.array([top is not None for top in tops]) if labels else ~np.isnan(answers.values)
        fit, test = known & ~self.held_out, known & self.held_out
        if fit.sum() < _FEWEST or test.sum() < _FEWEST:
            raise ValueError(f"surrogate: {int(known.sum())} rows have an answer, too few to hold some out")
        cells = self._encoding.encode([self.rows.render(query) for query in self.queries])
        wanted: NDArray[Any] = np.array([top or "" for top in tops]) if labels else answers.values
        model = self._fitted(cells[fit], wanted[fit])
        said = model.predict(cells)
        metric = _agreement if labels else _r2
        drawn = np.arange(len(wanted)) >= self.rows.n

        def fidelity(chosen: Places) -> Floats:
            among = np.flatnonzero(test)[chosen]
            return np.array([metric(wanted[among], said[among])])

        count = int(test.sum())
        trust = {
            "fidelity": float(fidelity(np.arange(count))[0]),
            "fidelity_se": float(jackknife(fidelity, count, self.seed)[0]),
            "fidelity_set": metric(wanted[test & ~drawn], said[test & ~drawn]),
            "fidelity_drawn": metric(wanted[test & drawn], said[test & drawn]),
            "held_out": float(count),
        }
        if labels:
            names, counts = np.unique(wanted[fit], return_counts=True)
            trust["guess"] = float(np.mean(wanted[test] == names[counts.argmax()]))
        columns = self._encoding.columns
        own = answers.values[: self.rows.n]
        return Reading(
            names=columns,
            values=model.figures(cells[fit], self._encoding),
            std_errors=np.full(len(columns), np.nan),
            full_value=float(mean_known(own)),
            trust={name: float(value) for name, value in trust.items() if np.isfinite(value)},
            findings=unfaithful(trust["fidelity"], guess=trust.get("guess")),
            details={
                "form": self.settings.form,
                "of": self.settings.of,
                "metric": "accuracy" if labels else "r2",
                "rules": model.rules(self._encoding),
            },
        )

    def _fitted(self, cells: Floats, wanted: NDArray[Any]) -> Fit:
        if self.settings.form == "linear":
            return fit_linear(cells, wanted, self.seed)
        return fit_tree(cells, wanted, self.settings.depth, labels=self.settings.of == "label", seed=self.seed)


def _r2(wanted: NDArray[Any], said: NDArray[Any]) -> float:
    """1 where there is nothing to tell apart and the surrogate says just that; NaN for no rows."""
    if not len(wanted):
        return float("nan")
    around, missed = float(((wanted - wanted.mean()) ** 2).sum()), float(((wanted - said) ** 2).sum())
    if around > 0:
        return 1.0 - missed / around
    return 1.0 if missed <= 1e-18 else float("nan")


def _agreement(wanted: NDArray[Any], said: NDArray[Any]) -> float:
    return float(np.mean(wanted == said)) if len(wanted) else float("nan")

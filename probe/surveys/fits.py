"""The two readable models, fitted; and what they say in words."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from probe.surveys.base import Floats
from probe.surveys.encoding import Cell, Encoding

_WORTH = 1e-4  #: share of the impurity below which a split is no rule worth reading


class Fit(Protocol):
    """A fitted surrogate."""

    def predict(self, encoded: Floats) -> NDArray[Any]:
        """What it says of each encoded row."""

    def figures(self, encoded: Floats, encoding: Encoding) -> Floats:
        """A figure for each column."""

    def rules(self, encoding: Encoding) -> list[str]:
        """The whole model as lines of text."""


@dataclass(frozen=True, slots=True)
class Linear:
    """``intercept`` plus ``weights`` (features,), most of which may be 0; ``spread`` (features,) is the features' own."""

    intercept: float
    weights: Floats
    spread: Floats

    def predict(self, encoded: Floats) -> NDArray[Any]:
        result: Floats = self.intercept + encoded @ self.weights
        return result

    def figures(self, encoded: Floats, encoding: Encoding) -> Floats:
        return encoding.terms(encoded, self.weights)

    def rules(self, encoding: Encoding) -> list[str]:
        """The intercept and then one line a term, those that move the score most first, as they add up."""
        moves = np.abs(self.weights) * self.spread
        order = sorted(np.flatnonzero(self.weights).tolist(), key=lambda k: (-moves[k], k))
        return [f"score = {_number(self.intercept)}"] + [_term(self.weights[k], encoding.cells[k]) for k in order]


@dataclass(frozen=True, slots=True)
class Tree:
    """A fitted decision tree of scikit-learn."""

    model: Any

    def predict(self, encoded: Floats) -> NDArray[Any]:
        said: NDArray[Any] = self.model.predict(encoded)
        return said

    def figures(self, encoded: Floats, encoding: Encoding) -> Floats:
        del encoded  # the tree keeps what its splits took away
        return encoding.by_column(self.model.feature_importances_)

    def rules(self, encoding: Encoding) -> list[str]:
        """One line a leaf: its conditions, what it says, and how many of the fitted rows are there."""
        inner = self.model.tree_
        lines: list[str] = []

        def walk(node: int, path: list[tuple[Cell, float, bool]]) -> None:
            if inner.children_left[node] < 0:
                when = " and ".join(_conditions(path)) or "always"
                lines.append(f"{when}: {self._says(node)} ({inner.n_node_samples[node]} rows)")
                return
            cell, threshold = encoding.cells[inner.feature[node]], float(inner.threshold[node])
            walk(int(inner.children_left[node]), [*path, (cell, threshold, True)])
            walk(int(inner.children_right[node]), [*path, (cell, threshold, False)])

        walk(0, [])
        return lines

    def _says(self, node: int) -> str:
        value = self.model.tree_.value[node][0]
        if not hasattr(self.model, "classes_"):
            return _number(float(value[0]))
        best = int(np.argmax(value))
        return f"{self.model.classes_[best]} ({value[best] / value.sum():.0%})"


def fit_linear(encoded: Floats, wanted: Floats, seed: int) -> Linear:
    """The lasso chooses the features, as few as do within the error of its cross-validation, and least squares their weights
    (Meinshausen, Relaxed Lasso, CSDA 2007)."""
    from sklearn.linear_model import Lasso, LassoCV

    spread = encoded.std(axis=0)
    used = np.flatnonzero(spread > 0)
    weights = np.zeros(encoded.shape[1])
    if len(used) and np.ptp(wanted) > 0:
        scaled = (encoded[:, used] - encoded[:, used].mean(axis=0)) / spread[used]
        folds = np.random.default_rng(seed).permutation(len(scaled)) % min(5, len(scaled))
        cuts = [(np.flatnonzero(folds != k), np.flatnonzero(folds == k)) for k in range(folds.max() + 1)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the smallest penalties need not converge: the weights are fitted below
            path = LassoCV(cv=cuts, max_iter=2000).fit(scaled, wanted)
            chosen = used[Lasso(_sparsest(path), max_iter=2000).fit(scaled, wanted).coef_ != 0]
        columns = np.column_stack([np.ones(len(encoded)), encoded[:, chosen]])
        solved = np.linalg.lstsq(columns, wanted, rcond=None)[0]
        weights[chosen] = solved[1:]
        return Linear(float(solved[0]), weights, spread)
    return Linear(float(wanted.mean()), weights, spread)


def _sparsest(path: Any) -> float:
    """The largest penalty whose error is within one standard error of the least (Breiman et al., CART, 1984)."""
    errors = path.mse_path_.mean(axis=1)
    best = int(errors.argmin())
    spread = path.mse_path_[best].std(ddof=1) / math.sqrt(path.mse_path_.shape[1])
    return float(path.alphas_[errors <= errors[best] + spread].max())


def fit_tree(encoded: Floats, wanted: NDArray[Any], depth: int, *, labels: bool, seed: int) -> Tree:
    """CART with at least one in fifty rows in a leaf; a classifier for ``labels``."""
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    kind = DecisionTreeClassifier if labels else DecisionTreeRegressor
    least = max(2, math.ceil(len(encoded) / 50))
    worth = _WORTH * (1.0 if labels else float(wanted.var()))
    grown = kind(max_depth=depth, min_samples_leaf=least, min_impurity_decrease=worth, random_state=seed)
    return Tree(grown.fit(encoded, wanted))


def _conditions(path: list[tuple[Cell, float, bool]]) -> list[str]:
    """A leaf's conditions, one a column and side: of several thresholds the tightest."""
    bounds: dict[tuple[str, bool], float] = {}
    said: dict[tuple[str, bool] | tuple[str, str, bool], str] = {}
    for cell, threshold, below in path:
        if cell.kind == "number":
            place = (cell.column, below)
            best = min if below else max
            bounds[place] = best(bounds.get(place, threshold), threshold)
            said[place] = f"{cell.column} {'≤' if below else '>'} {_number(bounds[place])}"
        else:
            said[cell.column, cell.words(), below] = cell.words(holds=not below)
    return list(said.values())


def _term(weight: float, cell: Cell) -> str:
    sign = "+" if weight > 0 else "−"
    amount = _number(abs(weight))
    return f"{sign} {amount} × {cell.column}" if cell.kind == "number" else f"{sign} {amount} if {cell.words()}"


def _number(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")

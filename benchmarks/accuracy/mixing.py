"""From a model and data to a game: what keeps features and what replaces them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.truth import Bools, Floats, Tree, Value, shapley_of_products, shapley_of_trees

_ROWS = 100_000  # mixed rows given to a model at once


def mixed(
    score: Callable[[Floats], Floats], x: Floats, backgrounds: Floats, groups: NDArray[np.intp] | None = None
) -> Value:
    """Mean score over ``backgrounds`` (k, columns) of the rows that take the kept features from ``x`` (columns,).

    ``groups`` (columns,) says which feature a column belongs to; each is one of its own without.
    """
    member = np.arange(len(x)) if groups is None else groups

    def v(coalitions: Bools) -> Floats:
        keep = np.asarray(coalitions, dtype=bool)[:, member]
        step = max(1, _ROWS // len(backgrounds))
        parts = []
        for start in range(0, len(keep), step):
            part = keep[start : start + step, None, :]
            rows = np.where(part, x, backgrounds)
            parts.append(score(rows.reshape(-1, len(x))).reshape(rows.shape[:2]).mean(axis=1))
        return np.concatenate(parts) if parts else np.zeros(0)

    return v


def column(predict: Callable[[Floats], Floats], output: int) -> Callable[[Floats], Floats]:
    """One output of a model that gives several."""

    def score(rows: Floats) -> Floats:
        found: Floats = predict(rows)[:, output]
        return found

    return score


def words_kept(score: Callable[[Sequence[str]], Floats], words: Sequence[str]) -> Value:
    """Score of the text with the other words deleted."""

    def v(coalitions: Bools) -> Floats:
        return score([" ".join(word for word, keep in zip(words, row, strict=True) if keep) for row in coalitions])

    return v


def forest_trees(forest: Any, output: int = 0) -> list[Tree]:
    """Trees that sum to a fitted random forest's prediction, or its probability of class ``output``."""
    scale = 1 / len(forest.estimators_)
    trees = []
    for estimator in forest.estimators_:
        values = estimator.tree_.value[:, 0, :]
        if values.shape[1] > 1:
            values = values / values.sum(axis=1, keepdims=True)
        trees.append(Tree.of(estimator.tree_, values[:, output] * scale))
    return trees


def boosted_trees(model: Any, output: int = 0) -> list[Tree]:
    """Trees that sum to a gradient-boosted model's raw prediction of ``output``, less its constant start."""
    return [
        Tree.of(stage[output].tree_, stage[output].tree_.value[:, 0, 0] * model.learning_rate)
        for stage in model.estimators_
    ]


def tree_game(
    trees: list[Tree], score: Callable[[Floats], Floats], x: Floats, backgrounds: Floats
) -> tuple[int, Value, Floats]:
    """The game of a model whose score is the sum of ``trees`` plus a constant, with its exact φ."""
    return len(x), mixed(score, x, backgrounds), shapley_of_trees(trees, x, backgrounds)


def rbf_game(
    vectors: Floats, weights: Floats, gamma: float, constant: float, x: Floats, background: Floats
) -> tuple[int, Value, Floats]:
    """The game of Σ_j w_j exp(−γ ‖row − vectors_j‖²) + constant, with its exact φ: every term is a product of columns."""
    kept, replaced = -gamma * (x - vectors) ** 2, -gamma * (background - vectors) ** 2

    def v(coalitions: Bools) -> Floats:
        values: Floats = np.exp(coalitions @ (kept - replaced).T + replaced.sum(axis=1)) @ weights + constant
        return values

    return len(x), v, shapley_of_products(weights, np.exp(kept), np.exp(replaced))

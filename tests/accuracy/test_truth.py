"""The exact values that accuracy is measured against: three ways to them agree, on games that all three can do."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, make_classification
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor, RandomForestClassifier

from benchmarks.accuracy.mixing import boosted_trees, forest_trees, mixed, rbf_game, tree_game, words_kept
from benchmarks.accuracy.truth import (
    Bools,
    Floats,
    Value,
    all_coalitions,
    enumerate_values,
    looked_up,
    shapley_by_enumeration,
    shapley_of_products,
)
from probe.methods.base import CoalitionTable
from probe.methods.exact import exact_shapley


def enumerated(v: Value, n: int) -> Floats:
    return shapley_by_enumeration(enumerate_values(v, n))


def by_shap(model: Any, x: Floats, backgrounds: Floats) -> Floats:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import shap

        explainer = shap.TreeExplainer(model, backgrounds, feature_perturbation="interventional")
        found: Floats = explainer.shap_values(x[None])[0]
    return found


def test_two_player_game_by_hand() -> None:
    # v(∅) = 1, v(1) = 3, v(2) = 5, v(12) = 11
    assert shapley_by_enumeration(np.array([1.0, 3.0, 5.0, 11.0])).tolist() == [4.0, 6.0]


def test_enumeration_agrees_with_the_product_code() -> None:
    values = np.random.default_rng(0).normal(size=2**7)
    expected, _ = exact_shapley(CoalitionTable.of(all_coalitions(7), values))
    assert shapley_by_enumeration(values) == pytest.approx(expected, abs=1e-13)


def test_a_looked_up_game_answers_in_any_order() -> None:
    values = np.arange(16.0)
    rows = all_coalitions(4)[[7, 0, 15, 7]]
    assert looked_up(values)(rows).tolist() == [7.0, 0.0, 15.0, 7.0]


def test_products_agree_with_enumeration() -> None:
    rng = np.random.default_rng(1)
    weights, kept, replaced = rng.normal(size=6), rng.uniform(0, 1, (6, 9)), rng.uniform(0, 1, (6, 9))
    kept[0, 3] = 0.0  # a factor of 0 must not be divided by

    def v(z: Bools) -> Floats:
        values: Floats = np.where(z[:, None, :], kept, replaced).prod(axis=2) @ weights
        return values

    assert shapley_of_products(weights, kept, replaced) == pytest.approx(enumerated(v, 9), abs=1e-13)


def test_the_kernel_machine_game_is_the_machine_and_its_values_those_of_enumeration() -> None:
    rng = np.random.default_rng(2)
    vectors, weights = rng.normal(size=(12, 8)), rng.normal(size=12)
    x, background = rng.normal(size=8), rng.normal(size=8)

    def score(rows: Floats) -> Floats:
        values: Floats = np.exp(-0.1 * ((rows[:, None] - vectors) ** 2).sum(axis=2)) @ weights + 0.5
        return values

    n, v, phi = rbf_game(vectors, weights, 0.1, 0.5, x, background)
    rows = all_coalitions(n)
    assert v(rows) == pytest.approx(mixed(score, x, background[None])(rows), abs=1e-12)
    assert phi == pytest.approx(enumerated(v, n), abs=1e-12)


@pytest.mark.parametrize("backgrounds", [1, 4])
def test_leaves_agree_with_enumeration_and_with_shap(backgrounds: int) -> None:
    table, target = load_diabetes(return_X_y=True)
    table = table.astype(np.float32).astype(np.float64)  # shap compares as float64, scikit-learn's trees as float32
    model = GradientBoostingRegressor(n_estimators=20, max_depth=4, random_state=0).fit(table, target)
    background = table[20 : 20 + backgrounds]
    n, v, phi = tree_game(boosted_trees(model), model.predict, table[0], background)
    assert phi == pytest.approx(enumerated(v, n), abs=1e-9)
    assert phi == pytest.approx(by_shap(model, table[0], background), rel=1e-5, abs=1e-5)


def test_leaves_agree_with_shap_beyond_enumeration() -> None:
    table, target = make_classification(200, 40, n_informative=15, random_state=0)
    model = GradientBoostingClassifier(n_estimators=20, max_depth=5, random_state=0).fit(table, target)
    _, v, phi = tree_game(boosted_trees(model), model.decision_function, table[0], table[50:53])
    assert phi == pytest.approx(by_shap(model, table[0], table[50:53]), rel=1e-5, abs=1e-6)
    ends = v(np.array([[False] * 40, [True] * 40]))
    assert phi.sum() == pytest.approx(ends[1] - ends[0], abs=1e-12)


def test_forest_probabilities_agree_with_enumeration() -> None:
    table, target = make_classification(150, 8, n_informative=5, random_state=0)
    model = RandomForestClassifier(15, random_state=0).fit(table, target)
    n, v, phi = tree_game(forest_trees(model, 1), lambda rows: model.predict_proba(rows)[:, 1], table[0], table[1:3])
    assert phi == pytest.approx(enumerated(v, n), abs=1e-12)


def test_mixing_takes_groups_of_columns_and_the_mean_over_background_rows() -> None:
    x, backgrounds = np.array([1.0, 2.0, 4.0]), np.array([[0.0, 0.0, 0.0], [10.0, 10.0, 10.0]])
    v = mixed(lambda rows: rows.sum(axis=1), x, backgrounds, np.array([0, 0, 1]))
    assert v(np.array([[True, True], [True, False], [False, False]])).tolist() == [7.0, 8.0, 15.0]


def test_words_that_are_not_kept_are_deleted() -> None:
    v = words_kept(lambda texts: np.array([float(len(text)) for text in texts]), ["one", "three"])
    assert v(all_coalitions(2)).tolist() == [0.0, 3.0, 5.0, 9.0]

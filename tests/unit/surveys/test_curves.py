"""Partial dependence and accumulated local effects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import partial_dependence

from probe.surveys.ale import AccumulatedLocalEffects, in_order
from probe.surveys.base import RowSet
from probe.surveys.grids import grid
from probe.surveys.pdp import PartialDependence
from tests.unit.surveys.tables import Floats, ask, frame, numbers


def mixed(n: int = 80, seed: int = 0) -> RowSet:
    rng = np.random.default_rng(seed)
    colours = rng.choice(["red", "green", "blue"], n, p=[0.5, 0.3, 0.2])
    sizes = rng.integers(0, 6, n)
    weights = rng.normal(size=n) + (colours == "red")
    flags = rng.random(n) < 0.3
    cells = zip(colours.tolist(), sizes.tolist(), weights.tolist(), flags.tolist(), strict=True)
    return RowSet.of([dict(zip(("colour", "size", "weight", "new"), row, strict=True)) for row in cells])


TERM = {"red": 1.0, "green": -0.5, "blue": 2.0}


def additive(asked: Any) -> Floats:
    return np.array([TERM[r["colour"]] + r["size"] ** 2 / 10 + np.sin(r["weight"]) + 0.7 * r["new"] for r in asked])


def test_partial_dependence_is_scikit_learns() -> None:
    cells, truth = load_diabetes(return_X_y=True)
    cells, truth = cells[:90, :4], truth[:90]
    model = RandomForestRegressor(10, random_state=0).fit(cells, truth)
    rows = RowSet.of([{f"x{j}": value for j, value in enumerate(row)} for row in cells.tolist()])
    found = ask(
        rows,
        PartialDependence(points=8, curves=1000).design(rows, seed=0),
        lambda asked: model.predict(np.array([list(row.values()) for row in asked])),
    )
    for j, column in enumerate(rows.columns):
        curve = found.details["curves"][column]
        wanted = partial_dependence(
            model, cells, [j], custom_values={j: np.array(curve["values"])}, method="brute", kind="both"
        )
        np.testing.assert_allclose(curve["mean"], wanted["average"][0], rtol=1e-12)
        np.testing.assert_allclose(curve["ice"], wanted["individual"][0], rtol=1e-12)
        assert found.values[j] == pytest.approx(wanted["average"][0].std(ddof=1))


def test_of_an_additive_model_the_curve_is_the_term() -> None:
    rows = mixed()
    found = ask(rows, PartialDependence(points=6).design(rows, seed=0), additive)
    curve = found.details["curves"]["colour"]
    assert curve["values"] == ["red", "green", "blue"]
    assert np.diff(curve["mean"]).tolist() == pytest.approx([-1.5, 2.5])
    assert not curve["numeric"]
    assert found.values[0] == pytest.approx(2.5 / 4)
    for curve in found.details["curves"].values():
        assert curve["spread"] == pytest.approx(0, abs=1e-12), "no interactions: every row has the same curve"
        assert len(curve["ice"]) == len(curve["ice_rows"]) == 50


def test_interactions_spread_the_individual_curves() -> None:
    rows = numbers(50, "ab")
    found = ask(rows, PartialDependence().design(rows, 0), lambda asked: np.array([r["a"] * r["b"] for r in asked]))
    assert found.details["curves"]["a"]["spread"] > 0.5


def test_standard_errors_of_the_mean() -> None:
    rows = numbers(50, "ab")
    found = ask(
        rows, PartialDependence(points=5).design(rows, 0), lambda asked: np.array([r["a"] + r["b"] for r in asked])
    )
    spread = frame(rows)[:, 1].std(ddof=1) / np.sqrt(50)
    assert found.details["curves"]["a"]["std_errors"] == pytest.approx([spread] * 5)
    assert found.std_errors[0] == pytest.approx(0, abs=1e-12), "the shape does not depend on the rows"


def test_accumulated_effects_of_an_additive_model_are_exact() -> None:
    rows = mixed()
    found = ask(rows, AccumulatedLocalEffects(points=6).design(rows, seed=0), additive)
    terms: dict[str, Callable[[Any], Any]] = {
        "colour": lambda value: TERM[value],
        "size": lambda value: value**2 / 10,
        "weight": np.sin,
        "new": lambda value: 0.7 * value,
    }
    for column, curve in found.details["curves"].items():
        term = np.array([terms[column](value) for value in curve["values"]])
        centred = term - np.array(curve["share"]) @ term
        np.testing.assert_allclose(curve["mean"], centred, atol=1e-12)
        assert sum(curve["share"]) == pytest.approx(1)
    assert found.details["curves"]["size"]["values"] == [0, 1, 2, 3, 4, 5]
    assert found.details["curves"]["new"]["values"] == [False, True]
    own = np.array([0.7 * bool(row["new"]) for row in rows.rows])
    assert found.values[3] == pytest.approx(own.std()), "a category's figure is the standard deviation of its term"


def test_accumulated_effects_leave_out_what_comes_with_a_correlated_column() -> None:
    """Where b is a plus noise and the model is flat but for far-off combinations, ALE sees nothing and PDP does."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=200)
    rows = RowSet.of(
        [{"a": x, "b": y} for x, y in zip(a.tolist(), (a + rng.normal(0, 0.05, 200)).tolist(), strict=True)]
    )
    odd = lambda asked: np.array([10.0 * (abs(r["a"] - r["b"]) > 1.5) for r in asked])  # noqa: E731
    ale = ask(rows, AccumulatedLocalEffects().design(rows, 0), odd)
    pdp = ask(rows, PartialDependence().design(rows, 0), odd)
    assert ale.values.max() < 0.05
    assert pdp.values.min() > 1


def test_accumulated_effects_cost_two_evaluations_a_row_and_column_and_nothing_after_the_pdp() -> None:
    rows = mixed(100)
    ale, pdp = AccumulatedLocalEffects().design(rows, 0), PartialDependence().design(rows, 0)
    asked = set(ale.queries)
    assert len(asked) <= 2 * rows.n * len(rows.columns)
    for column in ("size", "weight"):
        altered = {query for query in asked if query.changes and query.changes[0][0] == column}
        assert altered <= set(pdp.queries)


def test_standard_errors_of_accumulated_effects_cover() -> None:
    """95 % intervals of a curve, over many sets: the truth is the curve of a very large one at the same places."""
    model = lambda asked: np.array([r["a"] * r["b"] + r["a"] for r in asked])  # noqa: E731
    inside = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        rows = RowSet.of([{"a": float(i % 2), "b": float(b)} for i, b in enumerate(rng.normal(size=60))])
        found = ask(rows, AccumulatedLocalEffects(columns=("a",)).design(rows, seed), model)
        curve = found.details["curves"]["a"]
        # E[b] = 0, so the step is 1 and the centred curve −½, ½
        inside.append(abs(curve["mean"][1] - 0.5) <= 1.96 * curve["std_errors"][1])
    assert 0.85 <= np.mean(inside) <= 1.0


def test_categories_are_ordered_by_the_company_they_keep() -> None:
    sizes = {"M": 2.0, "XL": 4.0, "S": 1.0, "L": 3.0}
    rows = RowSet.of([{"size": size, "weight": weight + i / 4} for i in range(16) for size, weight in sizes.items()])
    ordered = in_order(rows, "size", grid(rows, "size", 20))
    assert ordered in (["S", "M", "L", "XL"], ["XL", "L", "M", "S"])


@given(st.lists(st.integers(-50, 50) | st.none(), min_size=1, max_size=60), st.integers(2, 12))
@settings(deadline=None)
def test_a_grid_holds_values_that_occur(values: list[int | None], points: int) -> None:
    rows = RowSet.of([{"x": value} for value in values])
    found = grid(rows, "x", points)
    present = {value for value in values if value is not None}
    assert set(found) <= present
    assert len(found) == len(set(found)) <= points
    if present:
        assert found == sorted(found, key=lambda value: float(value or 0))
        assert (found[0], found[-1]) == (min(present), max(present))
    if len(present) <= points:
        assert set(found) == present


def test_missing_values_and_answers() -> None:
    rows = RowSet.of([{"x": value} for value in (1, 2, None, 3, 4)])
    model = lambda asked: np.array([np.nan if r["x"] == 3 else 0.0 if r["x"] is None else r["x"] for r in asked])  # noqa: E731
    pdp = ask(rows, PartialDependence().design(rows, 0), model)
    assert np.isnan(pdp.details["curves"]["x"]["mean"][2])
    assert pdp.values[0] == pytest.approx(np.std([1, 2, 4], ddof=1))
    ale = ask(rows, AccumulatedLocalEffects().design(rows, 0), model)
    assert ale.details["curves"]["x"]["mean"][1] - ale.details["curves"]["x"]["mean"][0] == pytest.approx(1)


def test_a_set_without_differences_is_refused() -> None:
    rows = RowSet.of([{"x": 1, "y": "a"}] * 3)
    for method in (PartialDependence(), AccumulatedLocalEffects()):
        with pytest.raises(ValueError, match="no column has two values"):
            method.design(rows, 0)
    with pytest.raises(ValueError, match="no column 'xx'"):
        PartialDependence(columns=("xx",)).design(rows, 0)

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

from probe.analysis.intervals import half_widths
from probe.methods import BudgetTooSmall, CoalitionTable
from probe.methods.design import enumerate_all, leave_one_out
from probe.methods.kernelshap import KernelShap
from probe.methods.lime import Lime
from probe.methods.limit import _Moments, _Problem
from tests.unit.methods.games import (
    Bools,
    Floats,
    Game,
    additive_game,
    network_game,
    or_game,
    play,
    sigmoid_game,
    tiles,
    words,
)


def limit(game: Game, n: int, *, law: str, width: float = 0.25) -> tuple[LinearRegression, float]:
    """lime's regression over its whole distribution, written out from its definition, and its R²."""
    rows = enumerate_all(n)
    sizes = rows.sum(axis=1)
    if law == "coin":
        probability = np.full(len(rows), 0.5**n) * 0.999
        probability[1] += 0.001
    else:
        probability = 0.9998 / n / scipy.special.comb(n, sizes)
        probability[1] = 0.0002
    cosine = np.where(sizes > 0, sizes / np.sqrt(np.maximum(sizes, 1) * n), 0.0)
    kernel = np.sqrt(np.exp(-((1 - cosine) ** 2) / width**2))
    model = LinearRegression().fit(rows, game(rows), sample_weight=probability * kernel)
    return model, model.score(rows, game(rows), sample_weight=probability * kernel)


@pytest.mark.parametrize("law", ["coin", "uniform"])
@pytest.mark.parametrize("width", [0.25, 0.7])
def test_all_coalitions_give_limes_limit(law: Any, width: float) -> None:
    n = 7
    game = sigmoid_game(n, np.random.default_rng(0))
    _, explanation = play(Lime(law=law, kernel_width=width), game, tiles(n), 2**n)
    model, r2 = limit(game, n, law=law, width=width)
    assert explanation.trust["r2"] == pytest.approx(r2)
    assert explanation.values == pytest.approx(model.coef_, abs=1e-10)
    assert explanation.details["intercept"] == pytest.approx(model.intercept_, abs=1e-10)
    assert explanation.exact
    assert explanation.std_errors.max() == 0


@settings(deadline=None, max_examples=40)
@given(n=st.integers(1, 25), per_feature=st.floats(2, 10), seed=st.integers(0, 2**32 - 1))
def test_a_linear_function_is_recovered(n: int, per_feature: float, seed: int) -> None:
    weights = np.random.default_rng(seed).normal(size=n)
    _, explanation = play(Lime(), additive_game(weights), words(n), int(per_feature * n) + 2, seed=seed)
    assert explanation.values == pytest.approx(weights, abs=1e-8)
    assert explanation.base_value == pytest.approx(0.25, abs=1e-8)
    assert explanation.details["intercept"] == pytest.approx(0.25, abs=1e-8)
    assert explanation.trust.get("r2_held_out", 1.0) == pytest.approx(1, abs=1e-9)


def test_lime_itself_tends_to_the_same_limit() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lime.lime_text import LimeTextExplainer

        n = 6
        text = " ".join(f"w{i}" for i in range(n))
        game = sigmoid_game(n, np.random.default_rng(3))

        def predict(texts: list[str]) -> Floats:
            rows = np.array([[f"w{i}" in one.split() for i in range(n)] for one in texts])
            return np.column_stack([1 - game(rows), game(rows)])

        explained = LimeTextExplainer(kernel_width=25, random_state=0).explain_instance(
            text, predict, num_features=n, num_samples=20_000, model_regressor=LinearRegression()
        )
    theirs = np.array([value for _, value in sorted(explained.as_map()[1])])
    _, ours = play(Lime(), game, words(n), 2**n)
    assert ours.values == pytest.approx(theirs, abs=0.01)


def test_the_law_follows_the_features() -> None:
    game = network_game(6, np.random.default_rng(0))
    for features, law in ((words(6), "uniform"), (tiles(6), "coin")):
        _, explanation = play(Lime(), game, features, 64)
        assert explanation.details["law"] == law
        assert explanation.values == pytest.approx(limit(game, 6, law=law)[0].coef_, abs=1e-10)


@pytest.mark.parametrize("make", [network_game, sigmoid_game, or_game])
@pytest.mark.parametrize("law", ["coin", "uniform"])
def test_samples_estimate_the_limit_within_their_intervals(make: Any, law: Any) -> None:
    n, hits, errors, gaps = 10, [], [], []
    for seed in range(20):
        game = make(n, np.random.default_rng(seed))
        model, r2 = limit(game, n, law=law)
        _, explanation = play(Lime(law=law), game, tiles(n), 150, seed=seed)
        hits.append(
            np.abs(explanation.values - model.coef_)
            <= half_widths(explanation.std_errors, dof=explanation.trust["dof"])
        )
        errors.append(np.sum((explanation.values - model.coef_) ** 2) / np.sum(model.coef_**2))
        gaps.append(explanation.trust["r2_held_out"] - r2)
    assert np.mean(hits) > 0.88
    assert np.median(errors) < 0.05
    assert abs(np.median(gaps)) < 0.06


@pytest.mark.parametrize("selection", ["forward", "lasso_path"])
def test_selection_finds_the_features_that_matter(selection: Any) -> None:
    n = 20
    weights = np.zeros(n)
    weights[[2, 7, 11]] = [0.5, -0.4, 0.3]
    _, explanation = play(Lime(features=3, selection=selection), additive_game(weights), tiles(n), 120)
    assert explanation.details["selected"] == ["tile 2", "tile 7", "tile 11"]
    assert explanation.values == pytest.approx(weights, abs=1e-9)
    assert explanation.trust["r2_held_out"] == pytest.approx(1)
    assert np.isnan(explanation.std_errors[0])


def without_each_pair(table: CoalitionTable, refit: Callable[[Bools], Floats]) -> Floats:
    """Residuals of ``refit`` on the other rows: (intercept, weights …) from a mask of them."""
    left_out = np.zeros(table.m)
    codes = table.coalitions @ (1 << np.arange(table.n))
    for pair in np.unique(np.minimum(codes, 2**table.n - 1 - codes)):
        rows = (codes == pair) | (codes == 2**table.n - 1 - pair)
        found = refit(~rows)
        left_out[rows] = table.values[rows] - found[0] - table.coalitions[rows] @ found[1:]
    return left_out


def test_held_out_fit_is_what_refitting_gives() -> None:
    """Both estimators' closed forms against leaving out each pair in turn, row weights and covariance kept."""
    n = 8
    method = Lime()
    table, explanation = play(method, network_game(n, np.random.default_rng(0)), tiles(n), 60)
    masses = method.law_and_kernel(tiles(n))
    problem = _Problem.of(table, masses)
    proxy = problem.better_proxy()
    assert proxy is not None
    assert explanation.details["estimator"] == "proxy"

    def reweighted(rows: Bools) -> Floats:
        model = LinearRegression()
        model.fit(table.coalitions[rows], table.values[rows], sample_weight=problem.weights[rows])
        return np.array([model.intercept_, *model.coef_])

    def by_proxy(rows: Bools) -> Floats:
        part = proxy.part(rows)
        found = part.read(_Moments.of(part, masses).solve(np.arange(n + 1)))
        found[0] += part.centre
        return found

    _, linear, _, _ = problem.reweighted(None)
    assert linear.held_out == pytest.approx(without_each_pair(table, reweighted), abs=1e-9)
    _, smooth, _, _ = problem.by_proxy(proxy, None)
    assert smooth.held_out == pytest.approx(without_each_pair(table, by_proxy), abs=1e-5)
    mean = np.average(table.values, weights=problem.weights)
    expected = 1 - np.sum(problem.weights * smooth.held_out**2) / np.sum(problem.weights * (table.values - mean) ** 2)
    assert explanation.trust["r2_held_out"] == pytest.approx(expected)


def test_a_poor_fit_and_a_constant_model_are_named() -> None:
    _, parity = play(Lime(), lambda rows: (-1.0) ** rows.sum(axis=1), tiles(10), 200)
    assert "P203" in {finding.code for finding in parity.findings}
    _, constant = play(Lime(), lambda rows: np.full(len(rows), 0.5), tiles(10), 200)
    assert {finding.code for finding in constant.findings} == {"P205"}
    assert np.abs(constant.values).max() < 1e-12


@pytest.mark.parametrize("features", [words(9), tiles(9)], ids=["words", "tiles"])
def test_another_width_needs_no_new_evaluations(features: Any) -> None:
    game = sigmoid_game(9, np.random.default_rng(0))
    table, _ = play(Lime(), game, features, 120)
    again, explanation = play(Lime(kernel_width=0.5), game, features, 120)
    assert again.coalitions.tobytes() == table.coalitions.tobytes()
    law = explanation.details["law"]
    assert explanation.values == pytest.approx(limit(game, 9, law=law, width=0.5)[0].coef_, abs=0.02)


@pytest.mark.parametrize("law", ["coin", "uniform"])
def test_the_coalitions_of_other_methods_give_the_same_limit(law: Any) -> None:
    """KernelSHAP's rows, leave-one-out rows and all, are weighed by lime's law: errors stay honest."""
    n, hits, errors = 10, [], []
    for seed in range(12):
        game = sigmoid_game(n, np.random.default_rng(seed))
        model, _ = limit(game, n, law=law)
        table, _ = play(KernelShap(), game, tiles(n), 120, seed=seed)
        found = Lime(law=law).explain(tiles(n), table)
        hits.append(np.abs(found.values - model.coef_) <= half_widths(found.std_errors, dof=found.trust["dof"]))
        errors.append(np.sum((found.values - model.coef_) ** 2) / np.sum(model.coef_**2))
    assert np.mean(hits) > 0.9
    assert np.median(errors) < 0.005


def test_same_seed_same_bits() -> None:
    game = network_game(15, np.random.default_rng(0))
    (table_1, first), (table_2, second) = (play(Lime(features=5), game, words(15), 101, seed=2) for _ in range(2))
    assert table_1.coalitions.tobytes() == table_2.coalitions.tobytes()
    assert first.values.tobytes() == second.values.tobytes()


def test_limits_of_settings_and_budget_are_said() -> None:
    with pytest.raises(BudgetTooSmall, match="at least 12"):
        Lime().ask(tiles(10), CoalitionTable.empty(10), 11, np.random.default_rng(0))
    with pytest.raises(ValueError, match="only the unchanged input"):
        Lime().explain(tiles(3), CoalitionTable.of(leave_one_out(3)[:1], np.ones(1)))
    bad: list[tuple[dict[str, Any], str]] = [
        ({"kernel_width": 0}, "kernel_width must be a number above 0, not 0"),
        ({"kernel_width": "wide"}, "not 'wide'"),
        ({"law": "text"}, "auto, uniform, coin, not 'text'"),
        ({"selection": "best"}, "forward, lasso_path"),
        ({"features": 0}, "whole number of at least 1"),
    ]
    for setting, message in bad:
        with pytest.raises(ValueError, match=message):
            Lime(**setting)

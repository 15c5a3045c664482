from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import probe
from probe.methods import METHODS, BudgetTooSmall
from probe.methods.base import Bools, Floats
from probe.methods.design import row_keys

WEIGHTS = np.array([0.5, -0.25, 0.0, 1.0, 0.125, 0.3])


def additive(rows: Bools) -> Floats:
    scores: Floats = 0.2 + rows @ WEIGHTS
    return scores


def wavy(rows: Bools) -> Floats:
    scores: Floats = np.tanh(rows @ WEIGHTS) + 0.3 * rows[:, 0] * rows[:, 3]
    return scores


@pytest.mark.parametrize("method", ["shapley", "kernelshap", "leverageshap", "permutation"])
def test_an_additive_game_is_its_weights(method: str) -> None:
    found = probe.explain_game(additive, n=6, budget=40, method=method)
    assert found.values == pytest.approx(WEIGHTS, abs=1e-10)
    assert found.base_value == pytest.approx(0.2)
    assert found.full_value == pytest.approx(0.2 + WEIGHTS.sum())
    assert found.evaluations <= 40
    assert not found.exact
    assert probe.explain_game(additive, n=6, budget=64, method=method).exact


SPECIAL = {"gradient", "quadtree", "rise"}  # their features are steps, regions and cells


@pytest.mark.parametrize("method", [*sorted(METHODS.keys() - SPECIAL), {"rise": {"masks": "superpixels"}}])
def test_every_method_plays(method: str | dict[str, dict[str, str]]) -> None:
    found = probe.explain_game(wavy, n=6, budget=50, method=method)
    assert found.values.shape == found.std_errors.shape == (6,)
    assert found.method == (method if isinstance(method, str) else "rise")
    assert found.full_value == pytest.approx(wavy(np.ones((1, 6), dtype=bool))[0])


@pytest.mark.parametrize("method", sorted(SPECIAL))
def test_methods_that_need_more_than_a_game_say_so(method: str) -> None:
    with pytest.raises(ValueError, match=rf"{method} reads \w+, and a bare game has none"):
        probe.explain_game(wavy, n=6, budget=50, method=method)


def test_no_coalition_is_asked_twice_and_the_budget_is_kept() -> None:
    asked: list[bytes] = []

    def v(rows: Bools) -> Floats:
        asked.extend(row_keys(rows))
        rows[:] = False  # what a value function does to its rows is its own affair
        return np.random.default_rng(len(asked)).normal(size=len(rows))

    found = probe.explain_game(v, n=8, budget=60)
    assert len(set(asked)) == len(asked) == found.evaluations == 60


def test_settings_and_seeds_reach_the_method() -> None:
    pairs = probe.explain_game(wavy, n=6, budget=40, method={"shapley": {"adaptive": "never"}})
    batches = probe.explain_game(wavy, n=6, budget=40)
    assert pairs.values.tobytes() != batches.values.tobytes()
    assert batches.values.tobytes() == probe.explain_game(wavy, n=6, budget=40).values.tobytes()
    seeded = [probe.explain_game(wavy, n=6, budget=40, seed=seed, method="leverageshap").values for seed in (0, 1)]
    assert seeded[0].tobytes() != seeded[1].tobytes()


def test_it_stops_when_the_intervals_are_narrow() -> None:
    early = probe.explain_game(additive, n=6, budget=60, stop={"half_width": 0.01})
    assert early.evaluations == 12
    assert early.details["stop"]["reason"].startswith("the widest interval is ±")
    late = probe.explain_game(wavy, n=6, budget=60, stop=probe.StopRule(half_width=1e-12))
    assert late.evaluations == 60
    assert late.details["stop"]["reason"] is None
    plain = probe.explain_game(wavy, n=6, budget=60, stop=None)
    assert (late.std_errors >= plain.std_errors).all()


def test_it_stops_when_the_order_is_settled() -> None:
    found = probe.explain_game(additive, n=6, budget=60, stop={"top_k": 2})
    assert found.evaluations < 60
    assert np.argsort(-np.abs(found.values))[:2].tolist() == [3, 0]


def test_looks_below_what_a_method_needs_are_passed_over() -> None:
    found = probe.explain_game(
        lambda rows: rows.sum(axis=1), n=3, budget=8, method="permutation", stop={"half_width": 0.5}
    )
    assert found.exact


@pytest.mark.parametrize(
    ("v", "message"),
    [
        (lambda rows: rows.sum(), r"v returned shape \(\) for \d+ coalitions; it must return \(\d+,\)"),
        (lambda rows: np.zeros((len(rows), 2)), r"v returned shape \(\d+, 2\)"),
        (
            lambda rows: np.where(rows.all(axis=1), np.nan, 0.0),
            r"v returned nan for the coalition of features \[0, 1, 2, 3\]",
        ),
        (lambda rows: np.where(rows.any(axis=1), 0.0, np.inf), r"v returned inf for the coalition of features \[\]"),
        (lambda rows: ["much"] * len(rows), "v returned list that is not an array of numbers"),
    ],
)
def test_wrong_answers_are_named(v: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        probe.explain_game(v, n=4, budget=12)


def test_wrong_requests_are_named() -> None:
    with pytest.raises(ValueError, match="at least one feature, not n = 0"):
        probe.explain_game(additive, n=0, budget=12)
    with pytest.raises(ValueError, match="did you mean 'shapley'"):
        probe.explain_game(additive, n=6, budget=12, method="shaply")
    with pytest.raises(ValueError, match="one name with its settings, not 'shapley', 'lime'"):
        probe.explain_game(additive, n=6, budget=12, method={"shapley": {}, "lime": {}})
    with pytest.raises(BudgetTooSmall, match="a budget of 7 evaluations is too small"):
        probe.explain_game(additive, n=6, budget=7)
    with pytest.raises(BudgetTooSmall):
        probe.explain_game(additive, n=6, budget=7, stop={"half_width": 0.1})

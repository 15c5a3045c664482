from __future__ import annotations

import itertools
import json
import math
from typing import Any

import numpy as np
import pytest

from probe.methods import BudgetTooSmall, CoalitionTable, Explanation
from probe.methods.design import enumerate_all
from probe.methods.interactions import Interactions
from probe.methods.kernelshap import KernelShap
from tests.unit.methods.games import Floats, Game, network_game, or_game, play, random_table_game, sigmoid_game, tiles


def definition(game: Game, n: int) -> Floats:
    """(n, n): the Shapley interaction index, summed over subsets one by one."""
    found = np.zeros((n, n))
    for i, j in itertools.combinations(range(n), 2):
        others = [k for k in range(n) if k not in (i, j)]
        for size in range(n - 1):
            for chosen in itertools.combinations(others, size):
                corners = np.zeros((4, n), dtype=bool)
                corners[:, list(chosen)] = True
                corners[[0, 1], i] = True
                corners[[0, 2], j] = True
                weight = 1 / ((n - 1) * math.comb(n - 2, size))
                found[i, j] += weight * float(game(corners) @ np.array([1, -1, -1, 1]))
    return found + found.T


def matrices(explanation: Explanation, n: int) -> tuple[Floats, Floats]:
    values, errors = np.zeros((n, n)), np.zeros((n, n))
    for i, j, value, error in explanation.details["pairs"]:
        values[i, j] = values[j, i] = value
        errors[i, j] = errors[j, i] = error
    return values, errors


def quadratic(n: int, pairs: dict[tuple[int, int], float], seed: int = 0) -> Game:
    weights = np.random.default_rng(seed).normal(size=n)
    return lambda rows: 0.1 + rows @ weights + sum(b * (rows[:, i] & rows[:, j]) for (i, j), b in pairs.items())


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_all_coalitions_give_the_definition(n: int) -> None:
    game = random_table_game(n, np.random.default_rng(n))
    table, explanation = play(Interactions(), game, tiles(n), 2**n)
    assert explanation.exact
    values, errors = matrices(explanation, n)
    assert values == pytest.approx(definition(game, n), abs=1e-12)
    assert errors.max() == 0
    shapley = KernelShap().explain(tiles(n), table).values
    assert explanation.values == pytest.approx(shapley - values.sum(axis=1) / 2, abs=1e-12)
    assert explanation.details["shapley"] == pytest.approx(shapley.tolist())


def test_mains_and_pairs_add_up() -> None:
    game = network_game(7, np.random.default_rng(0))
    _, explanation = play(Interactions(), game, tiles(7), 128)
    total = explanation.values.sum() + sum(pair[2] for pair in explanation.details["pairs"])
    assert total == pytest.approx(explanation.full_value - explanation.base_value)


def test_planted_pairs_are_found_and_sorted_by_size() -> None:
    n = 14
    planted = {(2, 9): 1.5, (0, 5): -1.0, (3, 4): 0.5}
    game = quadratic(n, planted)
    _, explanation = play(Interactions(), game, tiles(n), 220)
    pairs = explanation.details["pairs"]
    assert [tuple(pair[:2]) for pair in pairs[:3]] == [(2, 9), (0, 5), (3, 4)]
    assert [pair[2] for pair in pairs[:3]] == pytest.approx([1.5, -1.0, 0.5])
    assert abs(pairs[3][2]) < 1e-9
    assert explanation.details["estimator"] == "polynomial"
    assert len(pairs) == n * (n - 1) // 2
    json.dumps(dict(explanation.details), allow_nan=False)


@pytest.mark.parametrize("make", [network_game, sigmoid_game, or_game])
def test_any_table_estimates_the_pairs_within_their_intervals(make: Any) -> None:
    n, hits, main_hits = 8, [], []
    for seed in range(3):
        game = make(n, np.random.default_rng(seed))
        truth = definition(game, n)
        table, _ = play(KernelShap(), game, tiles(n), 100, seed=seed)
        found = Interactions().explain(tiles(n), table)
        values, errors = matrices(found, n)
        upper = np.triu_indices(n, 1)
        hits.append(np.abs(values - truth)[upper] <= 1.96 * errors[upper] + 1e-9)
        exact = Interactions().explain(tiles(n), CoalitionTable.of(enumerate_all(n), game(enumerate_all(n))))
        main_hits.append(np.abs(found.values - exact.values) <= 1.96 * found.std_errors + 1e-9)
    assert np.mean(hits) > 0.9
    assert np.mean(main_hits) > 0.9


def test_fewer_rows_than_pairs_still_find_the_strongest() -> None:
    n = 14
    _, explanation = play(Interactions(), quadratic(n, {(2, 9): 3.0}), tiles(n), 84)
    assert explanation.details["estimator"] == "proxy"
    i, j, value, error = explanation.details["pairs"][0]
    assert (i, j) == (2, 9)
    assert abs(value - 3.0) <= 1.96 * error


def test_a_constant_score_has_no_interactions() -> None:
    _, explanation = play(Interactions(), lambda rows: np.full(len(rows), 0.5), tiles(6), 30)
    assert not explanation.values.any()
    assert {pair[2] for pair in explanation.details["pairs"]} == {0.0}
    assert {finding.code for finding in explanation.findings} >= {"P205"}


def test_same_seed_same_bits_and_small_budgets_are_refused() -> None:
    game = sigmoid_game(9, np.random.default_rng(0))
    first, second = (play(Interactions(), game, tiles(9), 70, seed=4)[1] for _ in range(2))
    assert first.values.tobytes() == second.values.tobytes()
    assert first.details["pairs"] == second.details["pairs"]
    with pytest.raises(BudgetTooSmall, match="at least 12"):
        Interactions().ask(tiles(10), CoalitionTable.empty(10), 11, np.random.default_rng(0))
    with pytest.raises(ValueError, match="say nothing about pairs"):
        Interactions().explain(tiles(3), CoalitionTable.of(np.ones((1, 3), dtype=bool), np.ones(1)))

from __future__ import annotations

import numpy as np
import pytest

from probe.analysis.intervals import half_widths
from probe.methods import BudgetTooSmall, CoalitionTable
from probe.methods.design import enumerate_all
from probe.methods.exact import exact_shapley
from probe.methods.permutation import Permutation
from tests.unit.methods.games import additive_game, brute_force, network_game, or_game, play, tiles


@pytest.mark.parametrize("n", [4, 5, 9])
def test_one_order_and_its_reverse_solve_an_additive_game(n: int) -> None:
    weights = np.linspace(-1, 1, n)
    table, explanation = play(Permutation(), additive_game(weights), tiles(n), 2 * n)
    assert table.m == 2 * n
    assert explanation.values == pytest.approx(weights)
    assert np.isnan(explanation.std_errors).all()


def test_values_are_marginal_contributions_along_the_orders_asked() -> None:
    """Replayed by hand from the rows: the first order is the first n − 1 rows after ∅ and full."""
    n = 6
    game = network_game(n, np.random.default_rng(0))
    table, explanation = play(Permutation(), game, tiles(n), 2 * n)
    empty, full = np.zeros((1, n), dtype=bool), np.ones((1, n), dtype=bool)
    phi = np.zeros(n)
    for chain in (table.coalitions[2 : n + 1], table.coalitions[n + 1 :][::-1]):
        path = np.vstack([empty, chain, full])
        added = (path[1:] & ~path[:-1]).argmax(axis=1)
        phi[added] += np.diff(game(path)) / 2
    assert explanation.values == pytest.approx(phi)


def test_values_add_up_and_errors_are_those_of_a_mean() -> None:
    n = 10
    table, explanation = play(Permutation(), network_game(n, np.random.default_rng(1)), tiles(n), 300)
    gap = explanation.full_value - explanation.base_value
    assert explanation.values.sum() == pytest.approx(gap)
    assert explanation.trust["dof"] >= 13  # 2 (n − 1) evaluations an order, less what they share
    assert table.m > 300 - 2 * n


def test_intervals_cover_the_truth() -> None:
    n, hits = 10, []
    rows = enumerate_all(n)
    for seed in range(30):
        game = (network_game, or_game)[seed % 2](n, np.random.default_rng(seed))
        truth, _ = exact_shapley(CoalitionTable.of(rows, game(rows)))
        _, explanation = play(Permutation(), game, tiles(n), 200, seed=seed)
        hits.append(
            np.abs(explanation.values - truth) <= half_widths(explanation.std_errors, dof=explanation.trust["dof"])
        )
    assert 0.91 < np.mean(hits) < 0.995


def test_orders_that_share_an_end_are_told_apart_by_their_mean() -> None:
    """Far more orders than features: the layers of one feature are used up, and both beginnings are averaged."""
    n = 8
    game = network_game(n, np.random.default_rng(3))
    rows = enumerate_all(n)
    truth, _ = exact_shapley(CoalitionTable.of(rows, game(rows)))
    _, explanation = play(Permutation(), game, tiles(n), 130)
    assert explanation.trust["dof"] > n / 2
    assert np.linalg.norm(explanation.values - truth) < 0.2 * np.linalg.norm(truth)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_features_are_enumerated(n: int) -> None:
    game = network_game(n, np.random.default_rng(0))
    _, explanation = play(Permutation(), game, tiles(n), 2**n)
    assert explanation.exact
    assert explanation.values == pytest.approx(brute_force(game, n))
    with pytest.raises(BudgetTooSmall):
        Permutation().ask(tiles(n), CoalitionTable.empty(n), 2**n - 1, np.random.default_rng(0))


def test_a_table_without_an_order_says_so() -> None:
    rows = enumerate_all(6)[[0, 1, 5, 9]]
    with pytest.raises(ValueError, match=r"no complete order of the features; .* at least 12"):
        Permutation().explain(tiles(6), CoalitionTable.of(rows, np.zeros(4)))

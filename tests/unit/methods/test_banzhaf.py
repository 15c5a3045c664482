from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.analysis.intervals import half_widths
from probe.methods import BudgetTooSmall, CoalitionTable
from probe.methods.banzhaf import Banzhaf
from probe.methods.design import enumerate_all
from probe.methods.kernelshap import KernelShap
from probe.methods.lime import Lime
from tests.unit.methods.games import (
    Floats,
    Game,
    additive_game,
    network_game,
    or_game,
    play,
    random_table_game,
    sigmoid_game,
    tiles,
)


def definition(game: Game, n: int) -> Floats:
    """Mean of v(S ∪ i) − v(S) over all S without i."""
    every = enumerate_all(n)
    found = np.zeros(n)
    for i in range(n):
        without = every[~every[:, i]]
        joined = without.copy()
        joined[:, i] = True
        found[i] = np.mean(game(joined) - game(without))
    return found


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_all_coalitions_give_the_definition(n: int) -> None:
    game = random_table_game(n, np.random.default_rng(n))
    _, explanation = play(Banzhaf(), game, tiles(n), 2**n)
    assert explanation.exact
    assert explanation.values == pytest.approx(definition(game, n), abs=1e-12)
    assert explanation.std_errors.tolist() == [0] * n


def test_exact_values_do_not_depend_on_the_order_of_rows() -> None:
    game = or_game(5, np.random.default_rng(0))
    every = enumerate_all(5)
    turned = every[np.random.default_rng(1).permutation(32)]
    one, other = (Banzhaf().explain(tiles(5), CoalitionTable.of(rows, game(rows))) for rows in (every, turned))
    assert one.values.tobytes() == other.values.tobytes()


def test_measured_noise_of_a_complete_table_is_in_the_errors() -> None:
    _, explanation = play(Banzhaf(), or_game(4, np.random.default_rng(0)), tiles(4), 16, noise=0.01)
    # a mean of 8 differences of two values each of variance .01
    assert explanation.std_errors == pytest.approx(np.sqrt(2 * 0.01 / 8))


@settings(deadline=None, max_examples=25)
@given(n=st.integers(1, 20), per_feature=st.floats(2, 8), seed=st.integers(0, 2**32 - 1))
def test_a_linear_function_is_recovered(n: int, per_feature: float, seed: int) -> None:
    weights = np.random.default_rng(seed).normal(size=n)
    _, explanation = play(Banzhaf(), additive_game(weights), tiles(n), int(per_feature * n) + 2, seed=seed)
    assert explanation.values == pytest.approx(weights, abs=1e-8)


@pytest.mark.parametrize("asker", [Banzhaf(), KernelShap(), Lime()], ids=lambda method: method.name)
@pytest.mark.parametrize("make", [network_game, sigmoid_game, or_game])
def test_any_table_estimates_the_values_within_their_intervals(make: Any, asker: Any) -> None:
    n, hits, errors = 10, [], []
    for seed in range(8):
        game = make(n, np.random.default_rng(seed))
        truth = definition(game, n)
        table, _ = play(asker, game, tiles(n), 150, seed=seed)
        found = Banzhaf().explain(tiles(n), table)
        hits.append(np.abs(found.values - truth) <= half_widths(found.std_errors, dof=found.trust["dof"]) + 1e-9)
        errors.append(np.sum((found.values - truth) ** 2) / np.sum(truth**2))
    assert np.mean(hits) > 0.88
    assert np.median(errors) < 0.05


def test_same_seed_same_bits_and_small_budgets_are_refused() -> None:
    game = sigmoid_game(12, np.random.default_rng(0))
    first, second = (play(Banzhaf(), game, tiles(12), 80, seed=4)[1] for _ in range(2))
    assert first.values.tobytes() == second.values.tobytes()
    assert first.std_errors.tobytes() == second.std_errors.tobytes()
    with pytest.raises(BudgetTooSmall, match="at least 12"):
        Banzhaf().ask(tiles(10), CoalitionTable.empty(10), 11, np.random.default_rng(0))

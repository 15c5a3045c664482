from __future__ import annotations

import time
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.analysis.intervals import half_widths
from probe.methods import BudgetTooSmall, CoalitionTable, Explanation
from probe.methods.design import enumerate_all, leave_one_out
from probe.methods.exact import exact_shapley, is_complete
from probe.methods.kernelshap import KernelShap
from probe.methods.shapley import Shapley
from tests.unit.methods.games import (
    Bools,
    Floats,
    Game,
    additive_game,
    brute_force,
    network_game,
    or_game,
    play,
    random_table_game,
    sigmoid_game,
    tiles,
)


def complete(game: Game, n: int) -> CoalitionTable:
    rows = enumerate_all(n)
    return CoalitionTable.of(rows, game(rows))


def codes(explanation: Explanation) -> set[str]:
    return {finding.code for finding in explanation.findings}


@settings(deadline=None, max_examples=60)
@given(n=st.integers(1, 5), seed=st.integers(0, 2**32 - 1))
def test_enumeration_is_the_mean_over_all_orders(n: int, seed: int) -> None:
    game = random_table_game(n, np.random.default_rng(seed))
    table, explanation = play(KernelShap(), game, tiles(n), 2**n)
    assert table.m == 2**n
    assert explanation.exact
    assert explanation.values == pytest.approx(brute_force(game, n), abs=1e-12)
    assert not explanation.std_errors.any()
    assert abs(explanation.trust["efficiency_gap"]) < 1e-12


@settings(deadline=None, max_examples=40)
@given(n=st.integers(2, 9), seed=st.integers(0, 2**32 - 1))
def test_features_that_do_nothing_get_exactly_zero(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    inner = random_table_game(n - 1, rng)
    unused = int(rng.integers(n))
    _, explanation = play(Shapley(), lambda rows: inner(np.delete(rows, unused, axis=1)), tiles(n), 2**n)
    assert explanation.values[unused] == 0.0


@settings(deadline=None, max_examples=40)
@given(n=st.integers(2, 9), seed=st.integers(0, 2**32 - 1))
def test_interchangeable_features_get_the_same_value_to_the_bit(n: int, seed: int) -> None:
    """A game that sees only how many of the first two features are there, and which of the others."""
    inner = np.random.default_rng(seed).normal(size=(3, 2 ** (n - 2)))
    table = complete(lambda rows: inner[rows[:, :2].sum(axis=1), rows[:, 2:] @ (1 << np.arange(n - 2))], n)
    phi, _ = exact_shapley(table)
    assert phi[0] == phi[1]


def test_the_order_of_rows_does_not_matter_to_the_bit() -> None:
    table = complete(random_table_game(8, np.random.default_rng(0)), 8)
    order = np.random.default_rng(1).permutation(table.m)
    shuffled = CoalitionTable.of(table.coalitions[order], table.values[order])
    assert exact_shapley(table)[0].tobytes() == exact_shapley(shuffled)[0].tobytes()


def test_a_pure_interaction_is_shared_equally() -> None:
    _, explanation = play(KernelShap(), lambda rows: rows.all(axis=1).astype(float), tiles(5), 32)
    assert explanation.values == pytest.approx(np.full(5, 0.2), abs=1e-15)
    parity = complete(lambda rows: (-1.0) ** rows.sum(axis=1), 4)
    assert exact_shapley(parity)[0].tolist() == [0, 0, 0, 0]  # an even game has no Shapley value


def test_one_feature_takes_two_evaluations() -> None:
    _, explanation = play(KernelShap(), additive_game(np.array([0.5])), tiles(1), 2)
    assert explanation.values.tolist() == [0.5]
    assert (explanation.base_value, explanation.full_value, explanation.exact) == (0.25, 0.75, True)


def test_measured_noise_shows_up_in_exact_values() -> None:
    _, explanation = play(KernelShap(), additive_game(np.array([0.5, 0.1])), tiles(2), 4, noise=0.01)
    # φ₁ = ½(v(1) − v(∅)) + ½(v(12) − v(2)): four values with weight ½
    assert explanation.std_errors == pytest.approx([0.1, 0.1])


@settings(deadline=None, max_examples=60)
@given(n=st.integers(3, 12), per_feature=st.floats(2, 12), seed=st.integers(0, 2**32 - 1))
def test_additive_games_are_solved_by_any_sample(n: int, per_feature: float, seed: int) -> None:
    weights = np.random.default_rng(seed).normal(size=n)
    _, explanation = play(KernelShap(), additive_game(weights), tiles(n), int(per_feature * n) + 2, seed=seed)
    assert explanation.values == pytest.approx(weights, abs=1e-9)
    assert np.nanmax(explanation.std_errors) < 1e-9


@settings(deadline=None, max_examples=40)
@given(n=st.integers(4, 10), per_feature=st.floats(2.3, 8), seed=st.integers(0, 2**32 - 1))
def test_pairs_make_any_game_of_single_and_pair_effects_exact(n: int, per_feature: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    single, double = rng.normal(size=n), rng.normal(size=(n, n))

    def game(rows: Bools) -> Floats:
        scores: Floats = rows @ single + np.einsum("ij,jk,ik->i", rows, double, rows)
        return scores

    _, explanation = play(KernelShap(), game, tiles(n), int(per_feature * n) + 2, seed=seed)
    assert explanation.values == pytest.approx(exact_shapley(complete(game, n))[0], abs=1e-8)


@settings(deadline=None, max_examples=60)
@given(n=st.integers(2, 12), budget=st.integers(4, 200), seed=st.integers(0, 2**32 - 1))
def test_values_always_add_up(n: int, budget: int, seed: int) -> None:
    budget = max(budget, n + 2)
    _, explanation = play(KernelShap(), sigmoid_game(n, np.random.default_rng(seed)), tiles(n), budget, seed=seed)
    assert explanation.values.sum() == pytest.approx(explanation.full_value - explanation.base_value, abs=1e-9)


def test_leave_one_out_rows_alone_share_out_the_gap() -> None:
    """n + 2 rows: v(N) − v(N∖i) plus an equal share of what efficiency still asks for."""
    n = 6
    game = or_game(n, np.random.default_rng(0))
    table, explanation = play(KernelShap(), game, tiles(n), n + 2)
    single = explanation.full_value - game(leave_one_out(n)[1:])
    gap = explanation.full_value - explanation.base_value - single.sum()
    assert table.m == n + 2
    assert explanation.values == pytest.approx(single + gap / n)


def test_duplicated_features_share_and_agree_within_their_intervals() -> None:
    n = 12
    inner = network_game(n - 1, np.random.default_rng(4))

    def game(rows: Bools) -> Floats:
        return inner(np.column_stack([rows[:, 0] | rows[:, 1], rows[:, 2:]]))

    _, explanation = play(KernelShap(), game, tiles(n), 600)
    widths = half_widths(explanation.std_errors, dof=explanation.trust["dof"])
    assert abs(explanation.values[0] - explanation.values[1]) < widths[0] + widths[1]
    assert explanation.values == pytest.approx(exact_shapley(complete(game, n))[0], abs=float(widths.max()) * 1.5)


def test_a_constant_model_gets_zeros_and_is_named() -> None:
    for budget in (32, 20):
        _, explanation = play(KernelShap(), lambda rows: np.full(len(rows), 0.7), tiles(5), budget)
        assert explanation.values.tolist() == [0.0] * 5
        assert "P205" in codes(explanation)


@pytest.mark.parametrize(("n", "budget", "needed"), [(1, 1, 2), (2, 3, 4), (3, 4, 5), (10, 11, 12)])
def test_too_small_a_budget_says_what_is_needed(n: int, budget: int, needed: int) -> None:
    with pytest.raises(BudgetTooSmall, match=f"kernelshap: a budget of {budget} .* at least {needed}"):
        KernelShap().ask(tiles(n), CoalitionTable.empty(n), budget, np.random.default_rng(0))
    rows = KernelShap().ask(tiles(n), CoalitionTable.empty(n), needed, np.random.default_rng(0))
    assert len(rows) == needed


def test_missing_ends_are_named() -> None:
    rows = leave_one_out(4)
    with pytest.raises(ValueError, match="every feature replaced is missing"):
        KernelShap().explain(tiles(4), CoalitionTable.of(rows, rows.sum(axis=1)))
    with pytest.raises(ValueError, match="unchanged input is missing"):
        KernelShap().explain(tiles(4), CoalitionTable.of(rows[1:], rows[1:].sum(axis=1)))
    with pytest.raises(ValueError, match="about 4 features, the masker has 5"):
        KernelShap().explain(tiles(5), CoalitionTable.of(rows, rows.sum(axis=1)))
    with pytest.raises(ValueError, match="no feature to replace"):
        KernelShap().ask((), CoalitionTable.empty(0), 10, np.random.default_rng(0))


def test_rows_that_leave_features_undetermined_give_no_interval() -> None:
    rows = enumerate_all(6)[:4]
    explanation = KernelShap().explain(tiles(6), CoalitionTable.of(rows, rows.sum(axis=1)))
    assert np.isnan(explanation.std_errors).all()
    assert "P207" in codes(explanation)


def test_same_seed_same_bits_other_seed_other_rows() -> None:
    game = network_game(11, np.random.default_rng(0))
    (table_1, first), (table_2, second) = (play(KernelShap(), game, tiles(11), 150, seed=5) for _ in range(2))
    assert table_1.coalitions.tobytes() == table_2.coalitions.tobytes()
    assert first.values.tobytes() == second.values.tobytes()
    assert first.std_errors.tobytes() == second.std_errors.tobytes()
    assert play(KernelShap(), game, tiles(11), 150, seed=6)[0].coalitions.tobytes() != table_1.coalitions.tobytes()


def test_a_raised_budget_goes_on_from_what_is_paid_for() -> None:
    n = 9
    table, _ = play(KernelShap(), network_game(n, np.random.default_rng(0)), tiles(n), n + 4)
    rows = KernelShap().ask(tiles(n), table, 100, np.random.default_rng(1))
    both = np.vstack([table.coalitions, rows])
    assert len(np.unique(both, axis=0)) == len(both) == 100


@pytest.mark.parametrize("make", [network_game, sigmoid_game, or_game])
@pytest.mark.parametrize("per_feature", [3, 5, 10, 20])
def test_intervals_cover_the_truth(make: Callable[[int, np.random.Generator], Game], per_feature: int) -> None:
    n, hits = 12, []
    for seed in range(25):
        game = make(n, np.random.default_rng(seed))
        truth, _ = exact_shapley(complete(game, n))
        _, explanation = play(KernelShap(), game, tiles(n), per_feature * n, seed=seed)
        widths = half_widths(explanation.std_errors, dof=explanation.trust["dof"])
        hits.append(np.abs(explanation.values - truth) <= widths)
    # 300 intervals; those of one game hang together
    assert np.mean(hits) > 0.9


def test_intervals_are_not_vacuous() -> None:
    n = 12
    for make in (network_game, sigmoid_game):
        _, explanation = play(KernelShap(), make(n, np.random.default_rng(3)), tiles(n), 20 * n)
        widths = half_widths(explanation.std_errors, dof=explanation.trust["dof"])
        assert widths.max() < 0.35 * np.abs(explanation.values).max()


def test_noise_is_in_the_intervals_although_layers_are_enumerated() -> None:
    """An additive game with a noisy endpoint: all error is noise, of the end points too."""
    n, noise, errors, stated = 8, 0.04, [], []
    weights = np.linspace(-1, 1, n)
    for seed in range(200):
        rng = np.random.default_rng(seed)

        def game(rows: Bools, rng: np.random.Generator = rng) -> Floats:
            return additive_game(weights)(rows) + rng.normal(scale=noise**0.5, size=len(rows))

        _, explanation = play(KernelShap(), game, tiles(n), 80, seed=seed, noise=noise)
        errors.append(explanation.values - weights)
        stated.append(explanation.std_errors)
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.sqrt(np.mean(np.square(stated))), rel=0.15)


def test_findings_tell_small_budgets_and_disagreeing_halves() -> None:
    _, rough = play(KernelShap(), or_game(12, np.random.default_rng(1)), tiles(12), 70)
    _, fine = play(KernelShap(), network_game(12, np.random.default_rng(1)), tiles(12), 1000)
    assert {"P201", "P204"} <= codes(rough)
    assert {"P201", "P204"}.isdisjoint(codes(fine))
    assert fine.trust["half_split_spread"] < 0.1 < 0.5 < rough.trust["half_split_spread"]


def test_single_replacements_of_a_saturated_model_are_called_out() -> None:
    _, explanation = play(KernelShap(), lambda rows: rows.any(axis=1).astype(float), tiles(20), 22)
    assert "P202" in codes(explanation)


def test_hundreds_of_features_are_quick() -> None:
    n = 500
    weights = np.random.default_rng(0).normal(size=n)
    start = time.process_time()
    _, explanation = play(KernelShap(), additive_game(weights), tiles(n), 1000)
    assert time.process_time() - start < 10  # a fifth of a second here; guards against a wrong order of growth only
    assert explanation.values == pytest.approx(weights, abs=1e-6)


def test_a_table_is_complete_only_with_all_distinct_rows() -> None:
    rows = enumerate_all(3)
    assert is_complete(CoalitionTable.of(rows, np.zeros(8)))
    assert not is_complete(CoalitionTable.of(rows[:-1], np.zeros(7)))
    assert not is_complete(CoalitionTable.of(np.vstack([rows[:-1], rows[:1]]), np.zeros(8)))


@pytest.mark.filterwarnings("ignore")
def test_agrees_with_shap() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import shap

        n = 8
        game = network_game(n, np.random.default_rng(2))
        background, instance = np.zeros((1, n)), np.ones((1, n))
        kernel = shap.KernelExplainer(lambda x: game(x > 0.5), background)
        by_kernel = kernel.shap_values(instance, nsamples=2**n, l1_reg=False, silent=True)[0]
        exact = shap.explainers.Exact(lambda x: game(x > 0.5), shap.maskers.Independent(background))
        by_exact = exact(instance).values[0]
    _, ours = play(KernelShap(), game, tiles(n), 2**n)
    assert ours.values == pytest.approx(by_exact, abs=1e-6)
    assert ours.values == pytest.approx(by_kernel, abs=1e-6)
    assert ours.base_value == pytest.approx(kernel.expected_value)

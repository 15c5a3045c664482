from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import probe
from probe.analysis.intervals import half_widths
from probe.methods import BudgetTooSmall, CoalitionTable, Explanation
from probe.methods.design import enumerate_all, leave_one_out, leverage_masses, paired_design
from probe.methods.exact import exact_shapley
from probe.methods.gp_data import observe, observe_rows
from probe.methods.gp_design import candidates, greedy_batch
from probe.methods.gp_fit import Observations, Prior, fit_prior, posterior
from probe.methods.gp_kernel import signs
from probe.methods.gp_link import pair_regression, shapley_of_pairs
from probe.methods.kernelshap import KernelShap
from probe.methods.leverage import LeverageShap
from probe.methods.shapley import Shapley
from tests.unit.methods.games import (
    Bools,
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


def truth_of(game: Game, n: int) -> Floats:
    rows = enumerate_all(n)
    return exact_shapley(CoalitionTable.of(rows, game(rows)))[0]


def error(explanation: Explanation, truth: Floats) -> float:
    return float(np.sum((explanation.values - truth) ** 2) / np.sum(truth**2))


def codes(explanation: Explanation) -> set[str]:
    return {finding.code for finding in explanation.findings}


@pytest.mark.parametrize("adaptive", ["auto", "never"])
@pytest.mark.parametrize("per_feature", [4, 10])
def test_additive_games_are_recovered_to_rounding(adaptive: str, per_feature: int) -> None:
    n = 12
    weights = np.random.default_rng(0).normal(size=n)
    weights[3] = 0.0
    _, explanation = play(Shapley(adaptive), additive_game(weights), tiles(n), per_feature * n)  # type: ignore[arg-type]
    assert explanation.values == pytest.approx(weights, abs=1e-10)
    assert explanation.std_errors.max() < 1e-9
    assert explanation.trust["r2_held_out"] == 1.0


def test_additive_games_are_recovered_without_pairs() -> None:
    weights = np.random.default_rng(1).normal(size=9)
    rows = np.vstack([enumerate_all(9)[:2], leave_one_out(9)[1:], np.eye(9, dtype=bool)[:4]])
    explanation = Shapley().explain(tiles(9), CoalitionTable.of(rows, additive_game(weights)(rows)))
    assert explanation.values == pytest.approx(weights, abs=1e-10)


@settings(deadline=None, max_examples=15)
@given(n=st.integers(4, 9), seed=st.integers(0, 2**32 - 1))
def test_single_and_pair_effects_are_exact_from_pairs(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    single, double = rng.normal(size=n), rng.normal(size=(n, n))

    def game(rows: Bools) -> Floats:
        scores: Floats = rows @ single + np.einsum("ij,jk,ik->i", rows, double, rows)
        return scores

    budget = min(2**n - 2, 6 * n + 8)
    rows = paired_design(n, budget, rng, masses=leverage_masses(n))
    explanation = Shapley().explain(tiles(n), CoalitionTable.of(rows, game(rows)))
    assert explanation.values == pytest.approx(truth_of(game, n), abs=1e-8)


def test_a_planted_formula_is_found() -> None:
    """Three features that matter together, two on their own, and nine that do not matter."""
    n = 14

    def game(rows: Bools) -> Floats:
        scores: Floats = 0.5 * rows[:, 0] - 0.2 * rows[:, 1] + 0.9 * rows[:, 2:5].all(axis=1)
        return scores

    truth = np.concatenate([[0.5, -0.2], np.full(3, 0.3), np.zeros(n - 5)])
    _, explanation = play(Shapley(), game, tiles(n), 10 * n)
    assert explanation.values == pytest.approx(truth, abs=1e-6)
    assert np.abs(explanation.values[5:]).max() < 1e-7


@pytest.mark.parametrize("budget", [30, 60, 120])
def test_interchangeable_features_share_what_only_all_together_do(budget: int) -> None:
    n = 12
    _, explanation = play(Shapley(), lambda rows: rows.all(axis=1).astype(float), tiles(n), budget)
    assert explanation.values == pytest.approx(np.full(n, 1 / n), abs=0.005)
    assert (np.abs(explanation.values - 1 / n) <= half_widths(explanation.std_errors)).all()


def test_duplicated_features_agree_within_their_intervals() -> None:
    n = 12
    inner = network_game(n - 1, np.random.default_rng(4))

    def game(rows: Bools) -> Floats:
        return inner(np.column_stack([rows[:, 0] | rows[:, 1], rows[:, 2:]]))

    _, explanation = play(Shapley(), game, tiles(n), 20 * n)
    widths = half_widths(explanation.std_errors)
    assert abs(explanation.values[0] - explanation.values[1]) < widths[0] + widths[1]
    assert error(explanation, truth_of(game, n)) < 1e-2


@pytest.mark.parametrize("budget", [5, 20, 31])
def test_constant_games_get_exactly_zero(budget: int) -> None:
    n = 5 if budget < 32 else 6
    _, explanation = play(Shapley(), lambda rows: np.full(len(rows), 0.7), tiles(n), max(budget, n + 2))
    assert explanation.values.tolist() == [0.0] * n
    assert explanation.std_errors.tolist() == [0.0] * n
    assert "P205" in codes(explanation)


@settings(deadline=None, max_examples=15)
@given(n=st.integers(1, 3), seed=st.integers(0, 2**32 - 1))
def test_up_to_three_features(n: int, seed: int) -> None:
    game = random_table_game(n, np.random.default_rng(seed))
    for budget in range(min(n + 2, 2**n), 2**n + 1):
        _, explanation = play(Shapley(), game, tiles(n), budget)
        assert explanation.exact == (budget == 2**n)
        assert explanation.values.sum() == pytest.approx(explanation.full_value - explanation.base_value, abs=1e-9)
        assert np.isfinite(explanation.std_errors).all()
    assert explanation.values == pytest.approx(truth_of(game, n), abs=1e-12)


@pytest.mark.parametrize("make", [network_game, sigmoid_game, or_game])
@pytest.mark.parametrize("per_feature", [2, 5, 10])
def test_values_add_up_and_beat_regression(make: Callable[[int, np.random.Generator], Game], per_feature: int) -> None:
    n, ours, theirs = 12, [], []
    for seed in range(4):
        game = make(n, np.random.default_rng(seed))
        truth = truth_of(game, n)
        _, explanation = play(Shapley(), game, tiles(n), per_feature * n, seed=seed)
        assert abs(explanation.trust["efficiency_gap"]) < 1e-9
        ours.append(error(explanation, truth))
        theirs.append(error(play(LeverageShap(), game, tiles(n), per_feature * n, seed=seed)[1], truth))
    assert np.median(ours) < 0.8 * np.median(theirs)


@pytest.mark.parametrize("make", [network_game, sigmoid_game, or_game])
@pytest.mark.parametrize("adaptive", ["auto", "never"])
def test_intervals_cover_the_truth(make: Callable[[int, np.random.Generator], Game], adaptive: str) -> None:
    n, hits = 11, []
    for seed in range(100, 112):
        game = make(n, np.random.default_rng(seed))
        _, explanation = play(Shapley(adaptive), game, tiles(n), 10 * n, seed=seed)  # type: ignore[arg-type]
        hits.append(np.abs(explanation.values - truth_of(game, n)) <= half_widths(explanation.std_errors))
    assert np.mean(hits) > 0.88  # 132 intervals; those of one game hang together


def test_intervals_are_not_vacuous() -> None:
    n = 12
    for make in (network_game, sigmoid_game):
        game = make(n, np.random.default_rng(3))
        _, explanation = play(Shapley(), game, tiles(n), 20 * n)
        assert half_widths(explanation.std_errors).max() < 0.1 * np.abs(explanation.values).max()
        actual = np.sqrt(np.mean((explanation.values - truth_of(game, n)) ** 2))
        assert np.sqrt(np.mean(explanation.std_errors**2)) < 5 * actual


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_game_without_structure_is_not_taken_for_known(seed: int) -> None:
    """However many of its coalitions are known: the process explains none of the rest."""
    n = 8
    game = random_table_game(n, np.random.default_rng(seed))
    truth = truth_of(game, n)
    rows = paired_design(n, 2**n - 1, np.random.default_rng(0), masses=leverage_masses(n))
    for m in (64, 128, 192, 240, 254):
        explanation = Shapley().explain(tiles(n), CoalitionTable.of(rows[:m], game(rows[:m])))
        assert np.mean(np.abs(explanation.values - truth) <= half_widths(explanation.std_errors)) >= 7 / 8


def test_measured_noise_is_in_the_intervals() -> None:
    n, noise = 8, 0.0025
    weights = np.linspace(-1, 1, n)
    hits, sizes = [], []
    for seed in range(15):
        rng = np.random.default_rng(seed)

        def game(rows: Bools, rng: np.random.Generator = rng) -> Floats:
            return additive_game(weights)(rows) + rng.normal(scale=noise**0.5, size=len(rows))

        _, explanation = play(Shapley(), game, tiles(n), 80, seed=seed, noise=noise)
        hits.append(np.abs(explanation.values - weights) <= half_widths(explanation.std_errors))
        sizes.append(explanation.std_errors)
    assert np.mean(hits) > 0.9
    assert 0.003 < np.mean(sizes) < 0.05  # a mean over 80 values alone has 0.011


def test_same_seed_same_bits_other_seed_other_rows() -> None:
    game = network_game(11, np.random.default_rng(0))
    for adaptive in ("auto", "never"):
        method = Shapley(adaptive)
        (table_1, first), (table_2, second) = (play(method, game, tiles(11), 110, seed=5) for _ in range(2))
        assert table_1.coalitions.tobytes() == table_2.coalitions.tobytes()
        assert first.values.tobytes() == second.values.tobytes()
        assert first.std_errors.tobytes() == second.std_errors.tobytes()
        assert play(method, game, tiles(11), 110, seed=6)[0].coalitions.tobytes() != table_1.coalitions.tobytes()


def test_a_raised_budget_goes_on_from_what_is_paid_for() -> None:
    n = 9
    for adaptive in ("auto", "never"):
        method = Shapley(adaptive)
        table, _ = play(method, network_game(n, np.random.default_rng(0)), tiles(n), n + 4)
        assert table.m == n + 4
        rows = method.ask(tiles(n), table, 100, np.random.default_rng(1))
        both = np.vstack([table.coalitions, rows])
        assert len(np.unique(both, axis=0)) == len(both) <= 100


def test_any_table_will_do() -> None:
    """Rows that another method asked, some of them lost."""
    n = 10
    game = network_game(n, np.random.default_rng(2))
    table, _ = play(KernelShap(), game, tiles(n), 160)
    kept = np.sort(np.random.default_rng(0).permutation(table.m)[:140])
    kept = np.union1d(kept, [0, 1])
    explanation = Shapley().explain(tiles(n), CoalitionTable.of(table.coalitions[kept], table.values[kept]))
    assert error(explanation, truth_of(game, n)) < 0.05


@pytest.mark.parametrize(("n", "budget", "needed"), [(1, 1, 2), (2, 3, 4), (3, 4, 5), (10, 11, 12)])
def test_too_small_a_budget_says_what_is_needed(n: int, budget: int, needed: int) -> None:
    with pytest.raises(BudgetTooSmall, match=f"shapley: a budget of {budget} .* at least {needed}"):
        Shapley().ask(tiles(n), CoalitionTable.empty(n), budget, np.random.default_rng(0))
    table, _ = play(Shapley(), network_game(n, np.random.default_rng(0)), tiles(n), needed)
    assert table.m == needed


def test_missing_ends_and_wrong_settings_are_named() -> None:
    rows = leave_one_out(4)
    with pytest.raises(ValueError, match="shapley: the score with every feature replaced is missing"):
        Shapley().explain(tiles(4), CoalitionTable.of(rows, rows.sum(axis=1)))
    both = enumerate_all(4)[:2]
    with pytest.raises(ValueError, match="only the empty and the full coalition"):
        Shapley().explain(tiles(4), CoalitionTable.of(both, np.arange(2.0)))
    with pytest.raises(ValueError, match="adaptive is auto, always or never, not 'sometimes'"):
        Shapley("sometimes")  # type: ignore[arg-type]


def test_single_replacements_of_a_saturated_model_are_called_out() -> None:
    table, explanation = play(Shapley(), lambda rows: rows.any(axis=1).astype(float), tiles(20), 22)
    assert table.m == 22
    assert "P202" in codes(explanation)
    assert explanation.values == pytest.approx(np.full(20, 0.05))


def test_hundreds_of_features_are_quick() -> None:
    n = 500
    start = time.process_time()
    _, explanation = play(Shapley(), network_game(n, np.random.default_rng(0)), tiles(n), 1000)
    assert time.process_time() - start < 60  # a second or two here; guards against a wrong order of growth only
    assert np.isfinite(explanation.values).all()
    assert (explanation.std_errors > 0).all()


def test_pairs_are_seen_as_half_differences_and_a_few_lone_rows_are_left_out() -> None:
    rows = paired_design(8, 42, np.random.default_rng(0), masses=leverage_masses(8))
    table = CoalitionTable.of(rows, random_table_game(8, np.random.default_rng(0))(rows))
    paired = observe(table)
    assert paired.seen.odd
    assert paired.seen.m == 21
    lost = CoalitionTable.of(table.coalitions[:-1], table.values[:-1])
    assert observe(lost).seen.m == 20
    assert not observe(CoalitionTable.of(rows[:-12:2], table.values[:-12:2])).seen.odd
    assert paired.scale * np.sqrt(np.mean(paired.seen.values**2)) == pytest.approx(paired.scale)


def test_pairs_and_all_rows_give_the_same_values_under_one_prior() -> None:
    """Odd and even part of the process are independent, so what pairs lose is of no use."""
    n = 7
    rows = paired_design(n, 40, np.random.default_rng(0), masses=leverage_masses(n))
    table = CoalitionTable.of(rows, network_game(n, np.random.default_rng(0))(rows))
    odd, whole = observe(table), observe_rows(table)
    prior = fit_prior(odd.seen)
    scaled = Observations(
        whole.seen.x, whole.seen.values * whole.scale / odd.scale, 2 * whole.seen.shape, whole.seen.noise, odd=False
    )
    a, b = posterior(prior, odd.seen), posterior(prior, scaled)
    # a pair's half-difference has half the nugget of a row; the prior has no even orders, so even values look like noise
    assert a.values == pytest.approx(b.values, abs=0.2 * np.abs(a.values).max())


def test_batches_reduce_the_variance_more_than_random_rows() -> None:
    n = 10
    rng = np.random.default_rng(0)
    rows = np.vstack([np.zeros((1, n), dtype=bool), leave_one_out(n)])
    table = CoalitionTable.of(rows, sigmoid_game(n, rng)(rows))
    data = observe_rows(table)
    prior = fit_prior(data.seen)
    pool = candidates(n, rows, rng)
    assert len(np.unique(np.vstack([rows, pool]), axis=0)) == len(rows) + len(pool)

    def variance(more: Bools) -> float:
        x = signs(np.vstack([rows, more]))
        shape = 4 * ((x > 0).sum(axis=1) * (x < 0).sum(axis=1)) / n**2
        seen = Observations(x, np.zeros(len(x)), shape, np.zeros(len(x)), odd=False)
        return float(np.trace(posterior(prior, seen).covariance))

    chosen = greedy_batch(prior, data.seen, pool, 8)
    assert len(set(chosen.tolist())) == 8
    at_random = [variance(pool[rng.permutation(len(pool))[:8]]) for _ in range(20)]
    assert variance(pool[chosen]) < min(at_random)


def test_the_first_of_a_batch_is_the_best_single_row() -> None:
    n = 5
    rows = np.vstack([np.zeros((1, n), dtype=bool), leave_one_out(n)])
    data = observe_rows(CoalitionTable.of(rows, network_game(n, np.random.default_rng(1))(rows)))
    prior: Prior = fit_prior(data.seen)
    pool = candidates(n, rows, np.random.default_rng(0))

    def variance(i: int) -> float:
        x = signs(np.vstack([rows, pool[i : i + 1]]))
        shape = 4 * ((x > 0).sum(axis=1) * (x < 0).sum(axis=1)) / n**2
        seen = Observations(x, np.zeros(len(x)), shape, np.zeros(len(x)), odd=False)
        return float(np.trace(posterior(prior, seen).covariance))

    best = greedy_batch(prior, data.seen, pool, 1)[0]
    assert variance(int(best)) == pytest.approx(min(variance(i) for i in range(len(pool))))


@pytest.mark.parametrize("n", [3, 4, 5, 8])
def test_regression_over_all_pairs_is_exact(n: int) -> None:
    rows = enumerate_all(n)
    scores = np.random.default_rng(0).normal(size=2**n)
    scores[1] = scores[0]
    truth, _ = exact_shapley(CoalitionTable.of(rows, scores))
    place = {row.tobytes(): value for row, value in zip(rows, scores, strict=True)}
    half = rows[2:][rows[2:, 0]]
    odd = np.array([(place[row.tobytes()] - place[(~row).tobytes()]) / 2 for row in half])
    values, errors = shapley_of_pairs(signs(half), odd)
    assert values == pytest.approx(truth, abs=1e-12)
    assert errors.tolist() == [0.0] * n
    influence, missing = pair_regression(signs(half))
    assert influence.shape == (n, len(half))
    assert not missing.any()


def test_log_odds_help_where_the_score_saturates() -> None:
    """A steep logistic score: nearly additive in log-odds, far from it in probability."""
    n = 13
    weights = 3 * np.random.default_rng(5).normal(size=n)

    def game(rows: Bools) -> Floats:
        scores: Floats = 1 / (1 + np.exp(weights.sum() / 2 - rows @ weights))
        return scores

    truth = truth_of(game, n)
    bounded = error(play(Shapley(), game, tiles(n), 5 * n)[1], truth)
    shifted = error(play(Shapley(), lambda rows: game(rows) + 2.0, tiles(n), 5 * n)[1], truth)
    assert bounded < shifted / 3


def test_leverage_shap_asks_every_size_equally_often() -> None:
    n = 20
    table, explanation = play(LeverageShap(), network_game(n, np.random.default_rng(0)), tiles(n), 30 * n)
    counts = np.bincount(table.coalitions.sum(axis=1), minlength=n + 1)
    assert set(counts[[0, n]].tolist()) == {1}
    assert counts[[1, n - 1]].tolist() == [n, n]
    assert np.ptp(counts[2 : n - 1]) <= 2
    assert explanation.method == "leverageshap"


def test_a_game_that_is_soon_known_chooses_without_overflow() -> None:
    """The logistic of a sum of word lengths: after a few rows the rest is known to rounding, and warnings are errors."""
    steps = np.array([-0.25, 0.5, 0.0, 1.75, 0.0, 0.0, 0.0])

    def score(texts: Sequence[str]) -> Floats:
        lengths = np.array([sum((len(word) - 4) / 4 for word in text.split()) for text in texts])
        return np.asarray(0.5 * (1 + np.tanh(0.5 * lengths)))

    found = probe.explain(score, "the refund took exceedingly long this time", method="shapley", budget=60, seed=1)
    assert found.values[np.argmax(steps)] == max(found.values)
    assert found.values.sum() == pytest.approx(found.full_value - found.base_value, abs=1e-9)

"""The closed forms of the proxy against enumeration of the whole game it describes."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
from sklearn.linear_model import LinearRegression

from probe.methods import CoalitionTable
from probe.methods.banzhaf import exact_banzhaf
from probe.methods.design import enumerate_all, kernel_masses, paired_design
from probe.methods.gp_kernel import Kernel, signs
from probe.methods.limit import _Problem, linear_limit
from probe.methods.proxy import Proxy, cross_moments, pair_covariances, pair_variances, sign_moments
from probe.methods.regression import pair_partners
from tests.unit.methods.games import Floats, network_game, or_game, sigmoid_game

N = 6
EVERY = enumerate_all(N)
SIZES = EVERY.sum(axis=1)


def kernel() -> Kernel:
    rng = np.random.default_rng(0)
    return Kernel(rng.uniform(0.2, 1.5, size=N), np.array([0.3, 1.0, 0.7, 0.2, 0.5, 0.1]))


def law(masses: Floats) -> Floats:
    weights = masses[SIZES] / scipy.special.comb(N, SIZES)
    shares: Floats = weights / weights.sum()
    return shares


def sampled(m: int, *, seed: int = 0) -> CoalitionTable:
    rows = paired_design(N, m, np.random.default_rng(seed), masses=np.ones(N + 1))
    return CoalitionTable.of(rows, network_game(N, np.random.default_rng(1))(rows))


def test_moments_of_a_law_of_sizes() -> None:
    masses = np.random.default_rng(0).uniform(size=N + 1)
    moments = sign_moments(masses, N + 2)
    x = signs(EVERY)
    expected = [law(masses) @ x[:, :t].prod(axis=1) for t in range(N + 1)]
    assert moments[: N + 1] == pytest.approx(expected)
    assert moments[N + 1 :].tolist() == [0, 0]


def test_cross_moments_are_those_of_the_kernel_over_all_coalitions() -> None:
    masses = np.random.default_rng(1).uniform(size=N + 1)
    x = signs(EVERY[[1, 5, 17, 40]])
    mean, by_feature = cross_moments(kernel(), x, sign_moments(masses, 6))
    gram = kernel().gram(signs(EVERY), x)
    assert mean == pytest.approx(law(masses) @ gram)
    assert by_feature == pytest.approx(signs(EVERY).T @ (law(masses)[:, None] * gram))


def derivative_weights() -> Floats:
    """(pairs, 2ⁿ): the Shapley interaction index of every pair as weights on the game's values."""
    weights = np.zeros((N * (N - 1) // 2, len(EVERY)))
    for row, (i, j) in enumerate(zip(*np.triu_indices(N, 1), strict=True)):
        without = SIZES - EVERY[:, i] - EVERY[:, j]
        weights[row] = np.where(EVERY[:, i] == EVERY[:, j], 1, -1) / ((N - 1) * scipy.special.comb(N - 2, without))
    return weights


def test_pair_indices_are_those_of_the_kernel_over_all_coalitions() -> None:
    x = signs(EVERY[[0, 2, 9, 33]])
    weights = derivative_weights()
    assert pair_covariances(kernel(), x) == pytest.approx(weights @ kernel().gram(signs(EVERY), x))
    whole = kernel().gram(signs(EVERY), signs(EVERY))
    assert pair_variances(kernel()) == pytest.approx(np.einsum("ij,jk,ik->i", weights, whole, weights))


def test_left_out_residuals_are_what_conditioning_on_the_others_gives() -> None:
    table = sampled(24)
    partners = pair_partners(table.coalitions)
    proxy = Proxy.of(table)
    assert proxy is not None
    left_out = proxy.left_out(partners)
    for row in (2, 9, 20):
        others = np.ones(table.m, dtype=bool)
        others[[row, partners[row]]] = False
        rest = proxy.part(others)
        gram = rest.prior.kernel.gram(rest.seen.x, signs(table.coalitions[row : row + 1]))
        predicted = proxy.centre + proxy.scale * float(gram[:, 0] @ rest.weights)
        assert left_out[row] == pytest.approx(table.values[row] - predicted, abs=1e-5)


@pytest.mark.parametrize("masses", [np.ones(N + 1), kernel_masses(N) + 0.1], ids=["uniform sizes", "ends"])
def test_the_limit_of_a_proxy_is_the_linear_model_nearest_to_it(masses: Floats) -> None:
    table = sampled(30)
    proxy = Proxy.of(table)
    assert proxy is not None
    gram = proxy.prior.kernel.gram(signs(EVERY), proxy.seen.x)
    smooth = proxy.centre + proxy.scale * (gram @ proxy.weights)
    model = LinearRegression().fit(EVERY, smooth, sample_weight=law(masses))
    _, result, _, _ = _Problem.of(table, masses).by_proxy(proxy, None)
    assert result.coefficients == pytest.approx([model.intercept_, *model.coef_], abs=1e-7)
    chosen = LinearRegression().fit(EVERY[:, [1, 4]], smooth, sample_weight=law(masses))
    columns, part, _, _ = _Problem.of(table, masses).by_proxy(proxy, lambda *_: [4, 1])
    assert columns.tolist() == [0, 2, 5]
    assert part.coefficients == pytest.approx([chosen.intercept_, *chosen.coef_], abs=1e-7)


def test_features_that_do_nothing_get_equal_figures_to_the_bit() -> None:
    game = or_game(4, np.random.default_rng(0))
    rows = paired_design(9, 80, np.random.default_rng(0), masses=np.ones(10))
    table = CoalitionTable.of(rows, game(rows[:, [0, 3, 5, 8]]))
    proxy = Proxy.of(table)
    assert proxy is not None
    idle = proxy.prior.kernel.scales == 0
    assert idle.sum() >= 4
    assert not idle[[0, 3, 5, 8]].any()
    found = linear_limit(table, np.ones(10))
    assert found.estimator == "proxy"
    assert len(set(found.coefficients[1:][idle].tolist())) == 1


def test_the_proxy_is_nearer_to_the_limit_than_reweighting() -> None:
    masses, by = np.ones(11), {"proxy": 0.0, "reweighted": 0.0}
    every = enumerate_all(10)
    for seed in range(5):
        game = sigmoid_game(10, np.random.default_rng(seed))
        limit = linear_limit(CoalitionTable.of(every, game(every)), masses).coefficients
        rows = paired_design(10, 100, np.random.default_rng(seed), masses=masses)
        problem = _Problem.of(CoalitionTable.of(rows, game(rows)), masses)
        proxy = problem.better_proxy()
        assert proxy is not None
        by["proxy"] += float(np.sum((problem.by_proxy(proxy, None)[1].coefficients - limit) ** 2))
        by["reweighted"] += float(np.sum((problem.reweighted(None)[1].coefficients - limit) ** 2))
    assert by["proxy"] < 0.5 * by["reweighted"]


def test_exact_banzhaf_values_are_the_slopes_under_fair_coins() -> None:
    values = np.random.default_rng(0).normal(size=len(EVERY))
    slopes = LinearRegression().fit(EVERY, values).coef_
    assert exact_banzhaf(CoalitionTable.of(EVERY, values))[0] == pytest.approx(slopes)

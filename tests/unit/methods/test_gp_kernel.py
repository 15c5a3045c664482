from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.methods.base import CoalitionTable
from probe.methods.design import enumerate_all
from probe.methods.exact import exact_shapley
from probe.methods.gp_fit import Likelihood, Observations, Prior, factor, posterior
from probe.methods.gp_kernel import Kernel, elementary, leave_out, signs


def kernel(n: int, order: int, seed: int = 0) -> Kernel:
    rng = np.random.default_rng(seed)
    return Kernel(rng.uniform(0.1, 1.0, n), rng.uniform(0.1, 1.0, order + 1))


def test_newton_s_identities_are_sums_over_subsets() -> None:
    u = np.array([0.5, -1.0, 2.0, 3.0, -0.25])
    found = elementary([np.asarray((u**j).sum()) for j in range(1, 6)])
    wanted = [sum(math.prod(t) for t in itertools.combinations(u, k)) for k in range(6)]
    assert [float(e) for e in found] == pytest.approx(wanted)
    without_first = leave_out(found, u[0])
    assert [float(e) for e in without_first] == pytest.approx(
        [sum(math.prod(t) for t in itertools.combinations(u[1:], k)) for k in range(6)]
    )


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_the_covariance_is_a_weighted_sum_over_sets_of_features(order: int) -> None:
    n = 6
    k = kernel(n, order)
    x = signs(enumerate_all(n))[[3, 10, 40]]
    u = k.scales * x[0] * x[1]
    wanted = sum(
        k.weights[t] * sum(math.prod(u[list(some)]) for some in itertools.combinations(range(n), t))
        for t in range(order + 1)
    )
    assert k.gram(x[:1], x[1:])[0, 0] == pytest.approx(wanted)


@settings(deadline=None, max_examples=25)
@given(n=st.integers(1, 7), order=st.integers(1, 5), seed=st.integers(0, 2**32 - 1))
def test_the_read_out_is_what_enumeration_gives(n: int, order: int, seed: int) -> None:
    """x ↦ K(x, y) is a game; so is x ↦ the Shapley value of feature i of K(·, x)."""
    order = min(n, order)
    k = kernel(n, order, seed)
    rows = enumerate_all(n)
    x = signs(rows)
    y = x[:: max(1, len(x) // 3)]
    gram = k.gram(x, y)
    truth = np.column_stack([exact_shapley(CoalitionTable.of(rows, column))[0] for column in gram.T])
    assert k.shapley(y) == pytest.approx(truth, abs=1e-12)
    both = np.array([exact_shapley(CoalitionTable.of(rows, row))[0] for row in k.shapley(x)])
    assert k.shapley_covariance() == pytest.approx(both, abs=1e-12)


@pytest.mark.parametrize(("n", "order"), [(1, 1), (2, 5), (6, 3), (7, 5)])
def test_all_coalitions_at_once_are_what_the_covariance_says_of_each(n: int, order: int) -> None:
    k = kernel(n, order)
    rng = np.random.default_rng(1)
    y, alpha = np.sign(rng.normal(size=(9, n))), rng.normal(size=9)
    numbered = np.arange(2**n)[:, None] >> np.arange(n) & 1 == 1
    assert k.everywhere(y, alpha) == pytest.approx(k.gram(signs(numbered), y) @ alpha, abs=1e-12)


@pytest.mark.parametrize("odd", [True, False])
@pytest.mark.parametrize("n", [1, 2, 7])
def test_the_gradient_of_the_likelihood_is_its_slope(n: int, odd: bool) -> None:
    rng = np.random.default_rng(n)
    m = 25
    x = np.sign(rng.normal(size=(m, n)))
    seen = Observations(x, rng.normal(size=m), rng.uniform(0.1, 1, m), rng.uniform(0, 0.1, m), odd)
    likelihood = Likelihood(seen)
    theta = likelihood.start() + rng.normal(scale=0.5, size=len(likelihood.start()))
    _, gradient = likelihood(theta)
    step = 1e-6
    slopes = [
        (likelihood(theta + step * e)[0] - likelihood(theta - step * e)[0]) / (2 * step) for e in np.eye(len(theta))
    ]
    assert gradient == pytest.approx(slopes, rel=1e-4, abs=1e-5)


def test_the_posterior_is_that_of_a_normal_distribution() -> None:
    """Against conditioning of the game's 2ⁿ values themselves, all orders at once."""
    n = 5
    rng = np.random.default_rng(0)
    rows = enumerate_all(n)
    x = signs(rows)
    prior = Prior(kernel(n, 5), nugget=0.1)
    picked = rng.permutation(2**n)[:12]
    seen = Observations(x[picked], rng.normal(size=12), np.full(12, 0.5), np.full(12, 0.02), odd=False)
    whole = prior.kernel.gram(x, x)
    gain = whole[:, picked] @ np.linalg.inv(whole[np.ix_(picked, picked)] + 0.07 * np.eye(12))
    mean, covariance = gain @ seen.values, whole - gain @ whole[picked]
    functional = np.column_stack([exact_shapley(CoalitionTable.of(rows, e))[0] for e in np.eye(2**n)])
    found = posterior(prior, seen)
    assert found.values == pytest.approx(functional @ mean, abs=1e-7)
    assert found.covariance == pytest.approx(functional @ covariance @ functional.T, abs=1e-7)


def test_left_out_rows_are_predicted_from_all_others() -> None:
    n, m = 4, 9
    rng = np.random.default_rng(1)
    x = signs(enumerate_all(n)[rng.permutation(16)[:m]])
    prior = Prior(kernel(n, 3), nugget=0.05)
    seen = Observations(x, rng.normal(size=m), np.ones(m), np.zeros(m), odd=False)
    found = posterior(prior, seen)
    rest = np.arange(m) != 4
    covariance = prior.covariance(seen)
    gain = covariance[4, rest] @ np.linalg.inv(covariance[np.ix_(rest, rest)])
    assert found.left_out[4] == pytest.approx(seen.values[4] - gain @ seen.values[rest], abs=1e-7)
    spread = math.sqrt(covariance[4, 4] - gain @ covariance[rest, 4])
    assert found.standardised[4] == pytest.approx(found.left_out[4] / spread, abs=1e-6)


def test_a_covariance_that_is_only_just_one_is_factored_all_the_same() -> None:
    ones = np.ones((40, 40))
    lower = factor(ones)
    assert lower @ lower.T == pytest.approx(ones, abs=1e-4)

"""Two sets of answers compared: how often nothing is taken for something, and how often something is found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.analysis.diff import Bools, Floats, false_discovery, paired, unpaired
from probe.analysis.intervals import p_values


def design(n: int, m: int, rng: np.random.Generator) -> Bools:
    """m coalitions as Kernel SHAP draws them: the full, the empty, then pairs of complements."""
    sizes = np.arange(1, n)
    weights = 1 / (sizes * (n - sizes))
    drawn = rng.choice(sizes, (m - 2) // 2, p=weights / weights.sum())
    half = rng.permuted(np.arange(n) < drawn[:, None], axis=1)
    pairs = np.stack([half, ~half], axis=1).reshape(-1, n)
    return np.vstack([np.ones((1, n), dtype=bool), np.zeros((1, n), dtype=bool), pairs])


def game(coalitions: Bools, rng: np.random.Generator) -> Floats:
    """Main effects and interactions of all pairs."""
    n = coalitions.shape[1]
    z = coalitions.astype(float)
    found: Floats = z @ rng.normal(0, 0.2, n) + np.einsum("mi,ij,mj->m", z, rng.normal(0, 0.1, (n, n)), z)
    return found


@pytest.mark.parametrize(("n", "m"), [(14, 64), (14, 200), (30, 200), (8, 40)])
def test_noise_alone_is_taken_for_change_in_at_most_a_twentieth_of_comparisons(n: int, m: int) -> None:
    rng = np.random.default_rng(n + m)
    found = 0
    for _ in range(200):
        coalitions = design(n, m, rng)
        values = game(coalitions, rng)
        first, second = (values + rng.normal(0, 0.02, m) for _ in range(2))
        found += bool(paired(coalitions, first, second).moved(0.05).any())
    assert found <= 10


def test_without_noise_an_unchanged_endpoint_never_moves() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        coalitions = design(12, 64, rng)
        values = game(coalitions, rng)
        diff = paired(coalitions, values, values.copy())
        assert not diff.moved().any()
        assert np.array_equal(diff.change, np.zeros(12))


@pytest.mark.parametrize("n", [8, 14, 20])
def test_a_change_of_a_tenth_is_found_with_a_power_of_four_fifths_at_two_hundred_evaluations(n: int) -> None:
    rng = np.random.default_rng(n)
    found = 0
    for _ in range(100):
        coalitions = design(n, 200, rng)
        values = game(coalitions, rng)
        first = values + rng.normal(0, 0.02, len(values))
        second = values + 0.1 * coalitions[:, 3] + rng.normal(0, 0.02, len(values))
        found += bool(paired(coalitions, first, second).moved(0.05)[3])
    assert found >= 80


def test_a_change_without_noise_is_found_with_sixty_four_evaluations_and_nothing_else() -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        coalitions = design(14, 64, rng)
        values = game(coalitions, rng)
        diff = paired(coalitions, values, values + 0.1 * coalitions[:, 5])
        assert np.flatnonzero(diff.moved()).tolist() == [5]
        assert diff.change[5] == pytest.approx(0.1)
        assert diff.full == pytest.approx(0.1)


def test_the_least_change_that_could_have_been_seen_is_seen_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    seen = 0
    for _ in range(150):
        coalitions = design(10, 200, rng)
        values = game(coalitions, rng)
        first, second = (values + rng.normal(0, 0.02, len(values)) for _ in range(2))
        least = float(paired(coalitions, first, second).least[4])
        seen += bool(paired(coalitions, first, second + least * coalitions[:, 4]).moved(0.05)[4])
    assert seen / 150 >= 0.75


def test_changes_add_up_to_the_change_of_the_score() -> None:
    rng = np.random.default_rng(4)
    coalitions = design(9, 100, rng)
    first, second = game(coalitions, rng), game(coalitions, rng)
    diff = paired(coalitions, first, second)
    assert diff.change.sum() == pytest.approx(diff.full - diff.base)
    assert diff.full == pytest.approx(second[0] - first[0])


def test_single_deletions_without_repeats_are_not_judged_unless_nothing_changed() -> None:
    coalitions = np.vstack([np.ones(4), np.zeros(4), 1 - np.eye(4)]).astype(bool)
    first = np.array([0.9, 0.1, 0.5, 0.8, 0.9, 0.9])
    assert paired(coalitions, first, first).judged
    later = first - np.array([0, 0, 0.2, 0, 0, 0])
    changed = paired(coalitions, first, later)
    assert not changed.judged
    assert not changed.moved().any()
    noisy = paired(coalitions, first, later, noise=np.full(6, 1e-4))
    assert noisy.judged
    assert noisy.change == pytest.approx([0.2, 0, 0, 0])
    assert noisy.moved().tolist() == [True, False, False, False]


def test_the_full_and_the_empty_coalition_are_needed() -> None:
    with pytest.raises(ValueError, match="full or the empty"):
        paired(np.array([[True, False], [False, True]]), np.zeros(2), np.zeros(2))


def test_attributions_alone_are_compared_by_their_own_errors() -> None:
    diff = unpaired(np.array([0.1, 0.4]), np.array([0.1, 0.7]), np.array([0.02, 0.03]), np.array([0.02, 0.04]))
    assert diff.std_errors == pytest.approx([np.hypot(0.02, 0.02), 0.05])
    assert diff.moved().tolist() == [False, True]
    unknown = unpaired(np.array([0.1]), np.array([0.9]), np.array([np.nan]), np.array([0.1]))
    assert not unknown.judged
    assert not unknown.moved().any()


def test_q_values_are_those_of_benjamini_and_hochberg() -> None:
    # the worked example of the paper's section 3.2: four of fifteen are rejected at 0.05
    p = [
        0.0001,
        0.0004,
        0.0019,
        0.0095,
        0.0201,
        0.0278,
        0.0298,
        0.0344,
        0.0459,
        0.3240,
        0.4262,
        0.5719,
        0.6528,
        0.7590,
        1.0,
    ]
    q = false_discovery(np.array([*p, np.nan]))
    assert (q[:15] <= 0.05).sum() == 4
    assert np.isnan(q[15])
    assert q[0] == pytest.approx(0.0015)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_q_values_keep_the_order_and_are_never_below_p(p: list[float]) -> None:
    q = false_discovery(np.array(p))
    assert (q >= np.array(p) - 1e-15).all()
    assert (np.diff(q[np.argsort(p, kind="stable")]) >= -1e-15).all()


def test_p_values_of_what_is_certain() -> None:
    found = p_values(np.array([0.0, 1.0, 1.96, np.nan, 1.0]), np.array([0.0, 0.0, 1.0, 1.0, np.nan]))
    assert found[:3] == pytest.approx([1.0, 0.0, 0.05], abs=1e-4)
    assert np.isnan(found[3:]).all()
    assert p_values(np.array([2.0]), np.array([1.0]), dof=5)[0] == pytest.approx(0.1019, abs=1e-4)

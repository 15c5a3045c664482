from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.methods.design import (
    enumerate_all,
    find_rows,
    kernel_masses,
    layer_sizes,
    layers_of,
    leave_one_out,
    paired_design,
    paired_kernel_design,
    share_out,
    singles_first_design,
    without_known,
)


def test_leave_one_out_is_full_then_each_single_gap() -> None:
    assert leave_one_out(3).astype(int).tolist() == [[1, 1, 1], [0, 1, 1], [1, 0, 1], [1, 1, 0]]


@pytest.mark.parametrize("n", [1, 2, 5])
def test_all_coalitions_begin_with_empty_and_full(n: int) -> None:
    rows = enumerate_all(n)
    assert len(np.unique(rows, axis=0)) == len(rows) == 2**n
    assert not rows[0].any()
    assert rows[1].all()


def test_too_many_features_to_enumerate_is_said() -> None:
    with pytest.raises(ValueError, match="too many to list"):
        enumerate_all(25)


def test_layers_add_up_to_all_pairs() -> None:
    for n in range(1, 12):
        assert sum(layer_sizes(n)) == 2 ** (n - 1) - 1


@settings(deadline=None, max_examples=150)
@given(n=st.integers(1, 20), budget=st.integers(2, 300), seed=st.integers(0, 2**32 - 1))
def test_paired_designs_are_distinct_paired_and_within_budget(n: int, budget: int, seed: int) -> None:
    rows = paired_kernel_design(n, budget, np.random.default_rng(seed))
    assert len(np.unique(rows, axis=0)) == len(rows)
    assert len(rows) == min(2**n, budget - budget % 2)
    assert not rows[0].any()
    assert rows[1].all()
    assert (rows[2::2] == ~rows[3::2]).all() or len(rows) == 2**n
    assert (find_rows(rows, ~rows) >= 0).all()


@settings(deadline=None, max_examples=100)
@given(n=st.integers(2, 12), first=st.integers(2, 80), more=st.integers(0, 80), seed=st.integers(0, 2**32 - 1))
def test_a_design_goes_on_from_what_is_known(n: int, first: int, more: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    known = enumerate_all(n)[rng.permutation(2**n)[:first]]
    rows = paired_kernel_design(n, len(known) + more, rng, known=known)
    both = np.vstack([known, rows])
    assert len(np.unique(both, axis=0)) == len(both) <= max(len(known), min(2**n, len(known) + more))
    assert len(rows) >= min(more, 2**n - len(known)) - 1


def test_same_generator_same_design() -> None:
    one, two = (paired_kernel_design(30, 200, np.random.default_rng(7)) for _ in range(2))
    other = paired_kernel_design(30, 200, np.random.default_rng(8))
    assert one.tobytes() == two.tobytes() != other.tobytes()


def test_layers_are_enumerated_once_their_share_covers_them() -> None:
    n, budget = 10, 200
    layers = np.bincount(layers_of(paired_kernel_design(n, budget, np.random.default_rng(0))), minlength=6)
    assert layers[1] == 2 * n
    masses = kernel_masses(n)[2:6] * [2, 2, 2, 1]
    assert layers[2:] == pytest.approx((budget - 2 - 2 * n) * masses / masses.sum(), abs=2)


def test_features_are_dealt_evenly_within_a_layer() -> None:
    n = 40
    rows = paired_design(n, 402, np.random.default_rng(3), masses=np.where(np.arange(n + 1) == 8, 1.0, 0.0))
    counts = rows[rows.sum(axis=1) == 8].sum(axis=0)
    assert counts.sum() == 200 * 8
    assert np.ptp(counts) <= 2  # drawn independently, it would be about 25


def test_known_rows_are_taken_away_in_order() -> None:
    rows = leave_one_out(4)
    assert without_known(rows, rows[[1, 3]]).tolist() == rows[[0, 2, 4]].tolist()


def test_singles_come_first_and_are_cut_at_the_budget() -> None:
    n = 9
    rows = singles_first_design(n, n + 6, np.random.default_rng(0), masses=kernel_masses(n))
    assert rows.sum(axis=1).tolist() == [0, n, *[n - 1] * n, 1, 1, 1, 1]


@given(
    total=st.integers(0, 60),
    strata=st.lists(st.tuples(st.floats(0, 10), st.integers(0, 20)), min_size=1, max_size=8),
    seed=st.integers(0, 2**32 - 1),
)
def test_shares_fill_up_to_the_total_within_capacities(total: int, strata: list[tuple[float, int]], seed: int) -> None:
    capacities = [capacity for _, capacity in strata]
    counts = share_out(total, np.array([mass for mass, _ in strata]), capacities, np.random.default_rng(seed))
    assert sum(counts) == min(total, sum(capacities))
    assert all(0 <= count <= capacity for count, capacity in zip(counts, capacities, strict=True))


def test_large_designs_are_quick() -> None:
    start = time.process_time()
    rows = paired_kernel_design(500, 5000, np.random.default_rng(0))
    assert time.process_time() - start < 5  # a fifth of a second here; guards against a quadratic blow-up only
    assert rows.shape == (5000, 500)
    assert math.isclose(rows.mean(), 0.5)

"""Bounds against enumeration: every order in which the answers could have come."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from probe.drift.exact import (
    interval,
    needed,
    needed_unseen,
    partitions,
    rejections,
    selected,
    unseen,
    upper_bound,
)


@pytest.mark.parametrize(("n", "k", "r"), [(4, 0, 2), (5, 1, 2), (6, 2, 3), (3, 3, 2), (7, 0, 1)])
def test_rejections_counts_the_orders_in_which_the_new_answers_are_all_off(n: int, k: int, r: int) -> None:
    off = [True] * (k + r) + [False] * (n - k)
    chosen = list(itertools.combinations(range(n + r), r))
    hits = sum(all(off[place] for place in new) for new in chosen)
    assert rejections(n, k, r) == pytest.approx(hits / len(chosen), rel=1e-12)


@pytest.mark.parametrize(("old", "new"), [((4,), (1, 1)), ((3, 1), (2,)), ((2, 2, 1), (1, 1, 1)), ((1, 1, 1), (2, 1))])
def test_unseen_counts_the_choices_that_share_no_value_with_the_rest(
    old: tuple[int, ...], new: tuple[int, ...]
) -> None:
    values = [name for name, size in enumerate((*old, *new)) for _ in range(size)]
    chosen = list(itertools.combinations(range(len(values)), sum(new)))
    whole = Counter(values)

    def apart(places: tuple[int, ...]) -> bool:
        mine = Counter(values[place] for place in places)
        return all(whole[name] == count for name, count in mine.items())

    assert unseen(old, new) == pytest.approx(sum(map(apart, chosen)) / len(chosen), rel=1e-12)


def test_few_answers_in_a_row_are_enough_for_forty_probes() -> None:
    level = 0.005 / 40
    assert [needed(n, 0, level) for n in (10, 20, 40)] == [6, 4, 3]
    assert needed(0, 0, level) is None
    assert needed(10, 10, level) is None


def test_texts_that_never_repeat_prove_nothing_and_texts_that_always_do_prove_as_much_as_labels() -> None:
    level = 0.005 / 40
    assert needed_unseen((10,), level) == needed(10, 0, level)
    assert needed_unseen((1,) * 10, level) is None


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 16), st.floats(0.001, 0.999))
def test_a_point_chosen_for_agreeing_leads_astray_no_more_often_than_said(n: int, r: int, tries: int, q: float) -> None:
    assert selected(n, r, tries) >= min(1.0, tries * (1 - q) ** n * q**r) * (1 - 1e-9)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 10))
def test_rejections_fall_with_more_stored_answers_and_rise_with_more_of_them_off(n: int, k: int, r: int) -> None:
    k = min(k, n)
    assert rejections(n + 1, k, r) <= rejections(n, k, r) + 1e-15
    assert rejections(n + 1, k + 1, r) >= rejections(n, k, r) - 1e-15
    assert rejections(n, k, r + 1) <= rejections(n, k, r) + 1e-15


def test_partitions_are_all_ways_to_write_a_number_as_a_sum() -> None:
    assert [len(list(partitions(total))) for total in range(1, 9)] == [1, 2, 3, 5, 7, 11, 15, 22]
    assert set(partitions(4)) == {(4,), (3, 1), (2, 2), (2, 1, 1), (1, 1, 1, 1)}


@pytest.mark.parametrize(("k", "n"), [(0, 20), (3, 20), (20, 20), (1, 500)])
def test_intervals_are_clopper_and_pearsons(k: int, n: int) -> None:
    found = stats.binomtest(k, n).proportion_ci(0.95, method="exact")
    assert interval(k, n) == pytest.approx((found.low, found.high), rel=1e-9)
    assert math.isclose(upper_bound(k, n, 0.025), found.high, rel_tol=1e-9)


def test_a_false_alarm_is_as_rare_as_its_bound_over_all_rates_of_noise() -> None:
    rng = np.random.default_rng(0)
    n, level = 10, 0.02
    alarms = 0
    for q in rng.random(4000):  # each input has a rate of its own
        old = rng.random(n) < q
        usual = old.mean() <= 0.5
        k = int(min(old.sum(), n - old.sum()))
        r = needed(n, k, level)
        alarms += r is not None and bool(((rng.random(r) < q) == usual).all())
    assert alarms / 4000 <= level

"""What a check says it would have seen, against checks that look for it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special

from probe.drift.answers import Seen
from probe.drift.canary import Watch
from probe.drift.exact import needed
from probe.drift.noise import NoRepeats, measured, spread
from probe.drift.power import Cost, check_cost, score_seen, seen
from tests.unit.drift.endpoints import built, checked, straight


def test_the_stated_share_of_flips_is_found_nine_times_in_ten() -> None:
    rng = np.random.default_rng(0)
    r, noise, probes = 5, 0.05, 20
    sight = seen([(Watch(r, None), noise)] * probes)
    assert sight.flips is not None
    flipped = rng.random((20_000, probes)) < sight.flips
    holds = rng.random((20_000, probes)) < (1 - noise) ** r
    assert (flipped & holds).any(axis=1).mean() == pytest.approx(0.9, abs=0.01)


def test_what_cannot_be_seen_is_said() -> None:
    sight = seen([(Watch(None, 6), 0.0)] * 5)
    assert (sight.probes, sight.flips) == (0, None)
    assert "no change of labels, however large" in sight.words()
    assert seen([(Watch(6, None), 0.5)]).flips is None


def test_the_stated_change_of_scores_is_found_nine_times_in_ten() -> None:
    rng = np.random.default_rng(1)
    counts, variance, level = [10] * 12, 0.04, 0.01
    freedom = sum(count - 1 for count in counts)
    size = score_seen(variance, freedom, counts, level=level)
    assert size is not None
    trials = 4000
    scaled = (size + rng.normal(0, math.sqrt(variance * 1.1), (trials, 12))) ** 2 / 1.1
    pooled = variance * rng.chisquare(freedom, trials) / freedom
    p = scipy.special.fdtrc(12, freedom, scaled.mean(axis=1) / pooled)
    assert np.mean(p <= level) == pytest.approx(0.9, abs=0.015)
    assert score_seen(0.0, 9, [10], level=level) is None


def test_a_check_costs_what_is_expected_and_never_more_than_the_most() -> None:
    suite = built(straight())
    watches = [Watch(needed(10, 0, 0.005 / 20), None)] * 20
    assert check_cost(suite, watches, per_point=5, followup=60) == Cost(20, 20 * 6 + 60)
    assert checked(suite, straight(shift=9.0)).asked <= 20 * 6
    noisy = built(straight(noise=0.1))
    found = [Watch(6, None)] * len(noisy.canary)
    cost = check_cost(noisy, found, per_point=5, followup=0)
    asked = [checked(noisy, straight(noise=0.1, seed=seed)).asked for seed in range(20)]
    assert np.mean(asked) == pytest.approx(cost.expected, rel=0.1)


def test_double_calls_measure_labels_texts_and_scores_apart() -> None:
    def answer(p: float) -> Seen:
        found = Seen.of({"a": p, "b": 1 - p})
        assert found is not None
        return found

    noise = measured(
        [(answer(0.6), answer(0.6)), (answer(0.6), answer(0.7)), (answer(0.6), answer(0.4)), (answer(0.6), None)]
    )
    assert (noise.pairs, noise.unequal, noise.unequal_raw) == (3, 1, 2)
    steps = [0.0, math.log(0.7 / 0.3) - math.log(0.6 / 0.4), math.log(0.4 / 0.6) - math.log(0.6 / 0.4)]
    assert noise.deviation == pytest.approx(math.sqrt(sum(step**2 for step in steps) / 6))
    assert 1 / 3 < noise.most() < 1
    with pytest.raises(NoRepeats):
        measured([]).most()


def test_equal_repeats_have_no_spread_at_all() -> None:
    assert spread([[0.1 + 0.2] * 3, [7.0, math.nan]]) == (0.0, 2)
    variance, freedom = spread([[1.0, 3.0], [5.0, 5.0, 5.0]])
    assert (variance, freedom) == (2.0 / 3, 3)
    assert math.isnan(spread([[1.0]])[0])

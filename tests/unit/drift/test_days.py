"""Days on which answers have something in common although nothing has changed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from probe.drift.answers import Reference, Seen
from probe.drift.band import figure, judged
from probe.drift.check import Past
from probe.drift.daily import out_of_the_ordinary
from probe.drift.guard import Guard
from tests.unit.drift.endpoints import after, built, checked, straight

CALL, DAY = 0.1, 0.07  #: noise of one call, and what all calls of one day share


def days(seed: int, count: int) -> tuple[Counter[str], list[float | None]]:
    """Alarms by channel in ``count`` days, and what the band said on each."""
    rng = np.random.default_rng(seed)
    common = rng.normal(0, DAY, count + 1)

    def on(day: int) -> object:
        return straight(shift=float(common[day]), noise=CALL, seed=1000 * seed + day)

    suite, past = built(on(0)), Past()  # type: ignore[arg-type]
    alarms: Counter[str] = Counter()
    told = []
    for day in range(1, count + 1):
        verdict = checked(suite, on(day), past)  # type: ignore[arg-type]
        if verdict.channel is not None:
            alarms[verdict.channel] += 1
            past = replace(past, band_suspect=False)
        else:
            suite, past = after(suite, past, verdict)
        assert verdict.band is not None
        told.append(verdict.band.p)
    return alarms, told


def test_days_that_differ_are_no_change() -> None:
    alarms, told = days(seed=2, count=200)
    assert alarms["canary"] == 0
    assert alarms["guard"] == 0
    assert alarms["band"] <= 2
    assert told[:5] == [None] * 5  # not calibrated, and says so
    assert all(p is not None for p in told[6:])


def test_a_textbook_test_of_single_answers_would_have_raised_many() -> None:
    rng = np.random.default_rng(0)
    points = [{"a": 0.0, "b": float(b)} for b in rng.normal(0, 0.1, 10)]

    def shares(day: float, times: int) -> list[list[Seen]]:
        endpoint = straight(shift=day, noise=CALL, seed=int(rng.integers(1 << 30)))
        return [[each for each in (endpoint(point) for _ in range(times)) if each is not None] for point in points]

    first = [Reference.of(answers) for answers in shares(0.0, 40)]
    figures = [figure(first, shares(float(day), 10)) for day in rng.normal(0, DAY, 60)]
    from scipy import stats

    textbook = [stats.chi2.sf(value, points) < 0.01 for value, points in figures]
    assert np.mean(textbook) > 0.2


def test_nothing_is_said_before_five_days_and_then_by_the_mean_and_then_by_rank() -> None:
    rng = np.random.default_rng(1)
    past = rng.chisquare(20, 200).tolist()
    assert judged(100.0, 20, past[:4], level=0.002).p is None
    assert not judged(100.0, 20, past[:4], level=0.002).suspect
    assert judged(100.0, 20, past[:8], level=0.002).suspect
    assert not judged(20.0, 20, past[:8], level=0.002).suspect
    ranked = out_of_the_ordinary(1e9, past[:40], freedom=20, level=0.05)
    assert ranked == pytest.approx(1 / 41)


@pytest.mark.parametrize("freedom", [1, 20])
def test_a_day_like_the_others_is_suspect_as_rarely_as_promised(freedom: int) -> None:
    """Figures that are multiples of chi-squared ones, with one degree of freedom (all points move together) or as many as
    there are points."""
    rng = np.random.default_rng(2)
    level = 0.05
    for count in (6, 15, 40):
        figures = 7.0 * rng.chisquare(freedom, (1500, count + 1))
        p = [out_of_the_ordinary(row[0], row[1:].tolist(), freedom=20, level=level) for row in figures]
        assert np.mean([each is not None and each <= level for each in p]) <= level + 0.015


def test_the_guard_grows_with_a_change_too_small_for_one_check_and_not_without() -> None:
    rng = np.random.default_rng(0)
    quiet = late = Guard.new(0.02)
    for check in range(400):
        quiet = quiet.after(int(rng.binomial(40, 0.02)), 40)
        late = late.after(int(rng.binomial(40, 0.02 if check < 300 else 0.08)), 40)
    assert quiet.value < 20
    assert late.value > 1000


def test_the_guard_exceeds_its_limit_in_no_more_than_alpha_of_all_histories() -> None:
    rng = np.random.default_rng(5)
    limit, exceeded = 1 / 0.05, 0
    for _ in range(200):
        guard, highest = Guard.new(0.05), 0.0
        for off in rng.binomial(20, 0.05, 100):
            guard = guard.after(int(off), 20)
            highest = max(highest, guard.value)
        exceeded += highest >= limit
    assert exceeded / 200 <= 0.05


def test_one_step_of_the_guard_is_fair_at_the_bound_and_loses_below_it() -> None:
    from scipy import stats

    start = Guard.new(0.1).after(1, 10).after(0, 10)
    for rate, relation in ((0.1, pytest.approx(start.value, rel=1e-9)), (0.05, None)):
        chances = stats.binom.pmf(np.arange(11), 10, rate)
        mean = sum(p * start.after(off, 10).value for off, p in enumerate(chances))
        assert mean == relation if relation is not None else mean < start.value
        damped = sum(p * start.after(off, 10, dispersion=3.0).value for off, p in enumerate(chances))
        assert damped <= start.value * (1 + 1e-9)


def test_the_band_compares_shares_point_by_point() -> None:
    reference = Reference.of([Seen("a", "")] * 15 + [Seen("b", "")] * 5)
    today = [Seen("a", "")] * 2 + [Seen("b", "")] * 8
    mean = 17 / 30
    expected = (0.75 - 0.2) ** 2 / (mean * (1 - mean) * (1 / 20 + 1 / 10))
    always = Reference.of([Seen("a", "")] * 9)
    value, points = figure([reference, always, reference], [today, [Seen("a", "")] * 3, []])
    assert value == pytest.approx(expected)
    assert points == 1

from __future__ import annotations

import asyncio
import bisect
import itertools
import random
from collections.abc import Callable

import pytest
from asyncio_throttle.throttler import Throttler
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.engine.throttle import PacedThrottler, Unlimited
from tests.engine.clocks import HandClock


def sends(throttler: Throttler, hand: HandClock, count: int) -> list[float]:
    """When each of ``count`` sends, all asked for at once, was let through."""
    times: list[float] = []

    async def one() -> None:
        async with throttler:
            times.append(hand.time)

    async def all_() -> None:
        await asyncio.gather(*(one() for _ in range(count)))

    asyncio.run(all_())
    return times


def paced(
    rate: float, period: float = 1.0, *, oversleep: Callable[[float], float] | None = None, guard: float = 0.02
) -> tuple[PacedThrottler, HandClock]:
    hand = HandClock(oversleep)
    return PacedThrottler(rate, period, clock=hand.clock, guard=guard), hand


def most_in_a_window(times: list[float], seconds: float) -> int:
    """Most sends in any half-open window of this length."""
    ends = (bisect.bisect_left(times, start + seconds) for start in times)
    return max(end - index for index, end in enumerate(ends))


def test_it_is_an_asyncio_throttle() -> None:
    throttler, _ = paced(5)
    assert isinstance(throttler, Throttler)
    assert (throttler.rate_limit, throttler.period) == (5, 1.0)


def test_slots_are_exact_and_even() -> None:
    throttler, hand = paced(10, guard=0.0)
    assert sends(throttler, hand, 25) == pytest.approx([1000 + k / 10 for k in range(25)])


def test_first_come_first_served() -> None:
    throttler, hand = paced(50)
    order: list[int] = []

    async def one(number: int) -> None:
        async with throttler:
            order.append(number)

    async def all_() -> None:
        await asyncio.gather(*(one(number) for number in range(100)))

    asyncio.run(all_())
    assert order == list(range(100))
    assert all(seconds > 0 for seconds in hand.slept)
    assert len(hand.slept) <= 100  # one sleeper at a time, none of them polling


@pytest.mark.parametrize(
    ("rate", "period", "seconds"),
    [
        (0.5, 1, 2.0),
        (2.5, 1, 0.4),
        (300, 60, 0.2),
        (0.1, 60, 600.0),
        (10_000, 86_400, 8.64),
        (3.3333, 1, 0.30000300003),
    ],
)
def test_any_rate_has_its_gap(rate: float, period: float, seconds: float) -> None:
    throttler, hand = paced(rate, period, guard=0.0)
    times = sends(throttler, hand, 12)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps == pytest.approx([seconds] * 11)


@pytest.mark.parametrize(("rate", "count", "seconds"), [(2.5, 5, 2.0), (0.5, 1, 2.0), (7, 7, 1.0), (0.3, 3, 10.0)])
def test_fractions_are_whole_counts_over_longer_periods(rate: float, count: int, seconds: float) -> None:
    throttler, hand = paced(rate)
    assert (throttler.rate_limit, throttler.period) == (count, pytest.approx(seconds))
    assert most_in_a_window(sends(throttler, hand, 4 * count), seconds) <= count


@settings(max_examples=150, deadline=None)
@given(
    rate=st.one_of(st.integers(1, 40), st.integers(1, 99).map(lambda tenths: tenths / 10)),
    period=st.sampled_from([0.5, 1.0, 60.0]),
    seed=st.integers(0, 2**16),
    late=st.sampled_from([0.0, 0.001, 0.05, 0.7]),
)
def test_never_more_than_the_rate_in_any_window(rate: float, period: float, seed: int, late: float) -> None:
    chance = random.Random(seed)
    throttler, hand = paced(rate, period, oversleep=lambda seconds: chance.random() * late * period)
    times = sends(throttler, hand, 3 * throttler.rate_limit + 2)
    assert times == sorted(times)
    assert most_in_a_window(times, throttler.period * 1.02 - 1e-6) <= throttler.rate_limit


@pytest.mark.parametrize("rate", [1, 20, 100])
def test_oversleeping_is_made_up_and_does_not_accumulate(rate: int) -> None:
    """Every sleep 5 % of a gap too long: without making up, the end would be 5 % late."""
    throttler, hand = paced(rate, oversleep=lambda _seconds: 0.05 / rate)
    count = 10 * rate
    times = sends(throttler, hand, count)
    on_time = (count - 1) / rate * (1.02 + 2 * 0.05 / rate if rate > 1 else 1.045)
    # what the window remembers of each late send is one lateness for every window, not one for every send
    assert times[-1] - times[0] <= on_time + 11 * 0.05 / rate + 1e-6


@pytest.mark.parametrize(("count", "margin"), [(3, 0.03), (200, 0.02)])
def test_waking_up_late_widens_the_margin_for_a_while(count: int, margin: float) -> None:
    late = iter([0.0, 0.03, *[0.0] * 500])
    throttler, hand = paced(10, oversleep=lambda _seconds: next(late))
    sends(throttler, hand, count)
    assert throttler.margin == pytest.approx(margin, abs=0.001)


def test_idle_time_is_not_saved_up() -> None:
    throttler, hand = paced(10, guard=0.0)
    sends(throttler, hand, 1)
    hand.time += 30
    later = sends(throttler, hand, 3)
    assert later == pytest.approx([1030, 1030.1, 1030.2])


def test_a_hold_holds_everyone() -> None:
    throttler, hand = paced(10, guard=0.0)
    times: list[float] = []

    async def one(number: int) -> None:
        async with throttler:
            times.append(hand.time)
            if number == 2:
                throttler.hold(5.0)
                throttler.hold(1.0)  # a shorter one does not undo it

    async def all_() -> None:
        await asyncio.gather(*(one(number) for number in range(6)))

    asyncio.run(all_())
    assert times[:3] == pytest.approx([1000, 1000.1, 1000.2])
    assert times[3] == pytest.approx(1005.2)
    assert all(later - earlier >= 0.1 for earlier, later in itertools.pairwise(times))


def test_holds_slow_down_and_calm_forgives() -> None:
    throttler, hand = paced(10)
    for _ in range(5):
        throttler.hold(1.0)  # five requests report the same refusal
    assert throttler.guard == pytest.approx(0.04)
    hand.time += 2
    for _ in range(12):
        throttler.hold(0.5)
        hand.time += 1
    assert throttler.guard == 4.0
    sends(throttler, hand, 400)
    assert throttler.guard == pytest.approx(0.02, abs=0.001)


def test_a_landing_counts_from_the_answer() -> None:
    throttler, hand = paced(2, guard=0.0)
    sends(throttler, hand, 1)
    hand.time += 0.3
    throttler.landed()
    times = sends(throttler, hand, 2)
    assert times == pytest.approx([1000.5, 1001.3])


def test_a_cancelled_wait_takes_no_slot() -> None:
    throttler = PacedThrottler(1000, 1.0)
    throttler.hold(30)

    async def work() -> None:
        waiting = asyncio.create_task(throttler.acquire())
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        throttler._held_until = float("-inf")
        await asyncio.wait_for(throttler.acquire(), 1)

    asyncio.run(work())


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_an_impossible_rate_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="needs to be positive"):
        PacedThrottler(rate)


def test_without_a_limit_only_holds_count() -> None:
    hand = HandClock()
    throttler = Unlimited(clock=hand.clock)
    assert sends(throttler, hand, 50) == [1000.0] * 50
    throttler.hold(3)
    assert sends(throttler, hand, 2) == [1003.0] * 2

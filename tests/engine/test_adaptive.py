"""How many requests are under way at once, where nobody says how many may be."""

from __future__ import annotations

import asyncio

import pytest

from adapters import HttpResponse, Limits, MaybeBilled, SpecError, Verdict
from probe.engine.adaptive import MOST, AdaptiveCap, Cap, FixedCap, Places, RatedCap, cap_of, is_too_much
from storage import Store
from tests.engine.clocks import HandClock
from tests.engine.harness import Sending, text, text_adapter
from tests.servers import RunningServer


def adaptive(start: int = 16) -> tuple[AdaptiveCap, HandClock]:
    hand = HandClock()
    return AdaptiveCap(monotonic=lambda: hand.time, start=start), hand


def rounds(cap: Cap, hand: HandClock, count: int, *, latency: float = 0.1) -> list[int]:
    """The limit after each round of answers to as many requests as it allows."""
    limits = []
    for _ in range(count):
        hand.time += latency
        for _ in range(cap.limit):
            cap.answered(latency, full=True)
        limits.append(cap.limit)
    return limits


def test_it_doubles_every_round_until_the_most() -> None:
    cap, hand = adaptive()
    assert rounds(cap, hand, 5) == [32, 64, 128, 256, MOST]


def test_it_grows_only_where_places_are_wanted() -> None:
    cap, _ = adaptive()
    for _ in range(100):
        cap.answered(0.1, full=False)
    assert cap.limit == 16


def test_all_refusals_of_one_round_halve_it_once() -> None:
    cap, hand = adaptive()
    sent_at = hand.time
    hand.time += 0.1
    for _ in range(16):
        cap.refused(sent_at)
    assert cap.limit == 8
    cap.refused(hand.time + 0.1)
    assert cap.limit == 4


def test_it_comes_back_to_just_below_what_was_too_much_and_then_feels_its_way() -> None:
    cap, hand = adaptive()
    cap.refused(hand.time)
    assert rounds(cap, hand, 6) == [9, 10, 11, 12, 13, 14], "one a round, up to 0.9 of 16"
    assert rounds(cap, hand, 20)[-1] == 16, "then one a second"
    assert rounds(cap, hand, 10)[-1] == 17
    cap.refused(hand.time + 0.1)
    steps = rounds(cap, hand, 30)
    assert steps[:3] == [9, 10, 11]
    assert steps[-1] == 16, "… and one in two seconds after the next refusal"


def test_it_never_falls_below_one() -> None:
    cap, hand = adaptive()
    for _ in range(20):
        hand.time += 1
        cap.refused(hand.time)
    assert cap.limit == 1
    hand.time += 60
    cap.answered(0.1, full=True)
    assert cap.limit == 2


def test_a_server_that_only_queues_is_not_given_more() -> None:
    cap, hand = adaptive()
    cap.answered(0.1, full=False)
    assert max(rounds(cap, hand, 30, latency=0.6)) < 40
    assert rounds(cap, hand, 1, latency=0.6)[0] == cap.limit


@pytest.mark.parametrize(
    ("rate", "latency", "expected"), [(100, 0.1, 20), (5, 0.1, 8), (5, 30.0, 256), (500, 1.0, 256), (0.5, 60, 60)]
)
def test_a_known_rate_needs_twice_what_it_brings_within_the_latency(rate: float, latency: float, expected: int) -> None:
    cap = RatedCap(rate, spare=3)
    assert cap.limit == 8 + 3
    for _ in range(40):
        cap.answered(latency, full=True)
    cap.answered(100 * latency, full=True)  # one in forty is no measure
    assert cap.limit == expected + 3


def test_a_known_rate_follows_the_latency() -> None:
    cap = RatedCap(100)
    for latency in [0.1] * 20 + [0.5] * 20:
        cap.answered(latency, full=True)
    assert cap.limit == 100
    for _ in range(150):
        cap.answered(0.2, full=True)
    assert cap.limit == 40


def test_which_cap_for_which_limits() -> None:
    kinds = [
        (Limits(concurrency=3, rate=5.0), FixedCap, 3),
        (Limits(rate=300.0, period=60.0), RatedCap, 8),
        (Limits(), AdaptiveCap, 16),
        (Limits(tokens=((100.0, 1.0),)), AdaptiveCap, 16),
    ]
    for limits, kind, first in kinds:
        cap = cap_of(limits, monotonic=lambda: 0.0, spare=0)
        assert (type(cap), cap.limit) == (kind, first)


@pytest.mark.parametrize(
    ("outcome", "throttled", "expected"),
    [
        (HttpResponse(429, (), b""), True, True),
        (HttpResponse(503, (), b""), False, True),
        (HttpResponse(500, (), b""), False, False),
        (HttpResponse(200, (), b""), False, False),
        (MaybeBilled("no answer within 60 s"), False, True),
        (SpecError("not the server's doing"), False, False),
    ],
)
def test_what_is_too_much(outcome: HttpResponse | Exception, throttled: bool, expected: bool) -> None:
    assert is_too_much(Verdict("retry", throttled=throttled), outcome) is expected


def test_places_are_given_in_order_and_grow_with_the_cap() -> None:
    async def work() -> None:
        cap = FixedCap(2)
        places = Places(cap)
        order: list[int] = []

        async def one(number: int) -> None:
            await places.acquire()
            order.append(number)

        tasks = [asyncio.create_task(one(number)) for number in range(6)]
        await asyncio.sleep(0)
        assert (order, places.taken, places.full) == ([0, 1], 2, True)
        tasks[2].cancel()
        await asyncio.gather(tasks[2], return_exceptions=True)
        cap.limit = 3
        places.admit()
        await asyncio.sleep(0)
        assert order == [0, 1, 3]
        cap.limit = 1
        places.release()
        places.release()
        await asyncio.sleep(0)
        assert order == [0, 1, 3], "two gave theirs back, and only one place is left, which is taken"
        places.release()
        await asyncio.gather(tasks[4])
        places.release()
        await asyncio.gather(tasks[5])
        assert places.taken == 1

    asyncio.run(work())


def test_a_place_that_is_granted_to_somebody_who_gave_up_is_free() -> None:
    async def work() -> None:
        places = Places(FixedCap(1))
        await places.acquire()
        waiting = asyncio.create_task(places.acquire())
        await asyncio.sleep(0)
        places.release()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert places.taken == 0

    asyncio.run(work())


TEXTS = [text(number) for number in range(300)]


def test_a_hidden_limit_on_concurrency_is_found(server: RunningServer, store: Store) -> None:
    """6 at once, of which nothing is announced: everything is answered, and few requests are refused on the way."""
    server.set_strict({"concurrency": 6, "latency": {"mean": 0.04}})
    sending = Sending(text_adapter(server.url), store)
    sending.run(TEXTS)
    counts = server.counts()
    assert (counts["billed_items"], counts["billed_by_item_max"]) == (300, 1)
    assert sending.by_state() == {"answered": 300}
    assert counts["refused_429"] <= 45


def test_a_hidden_rate_loses_nothing(server: RunningServer, store: Store) -> None:
    server.set_strict({"rate": {"limit": 60, "window": 1.0}, "latency": {"mean": 0.05}})
    sending = Sending(text_adapter(server.url), store)
    sending.run(TEXTS[:200])
    counts = server.counts()
    assert sending.by_state() == {"answered": 200}
    assert counts["refused_429"] <= 60

"""What holds requests back, as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from adapters import Announcement, Usage
from probe.engine.binding import Binding, per
from probe.engine.throttle import PacedThrottler, Unlimited
from probe.engine.tokens import TokenLimiter
from storage import Store
from tests.engine.clocks import HandClock
from tests.engine.harness import Sending, text, text_adapter
from tests.servers import RunningServer


@pytest.mark.parametrize(
    ("limit", "period", "words"),
    [(5, 1.0, "5/s"), (0.5, 1.0, "0.5/s"), (200, 60.0, "200/min"), (5e6, 86_400.0, "5000000/day"), (7, 3.0, "7/3 s")],
)
def test_limits_in_words(limit: float, period: float, words: str) -> None:
    assert per(limit, period) == words


def seen(throttler: PacedThrottler, hand: HandClock, count: int) -> list[Binding | None]:
    """What binds at the beginning of each sleep of ``count`` sends."""
    bindings: list[Binding | None] = []
    sleep = hand.sleep

    async def watched(seconds: float) -> None:
        bindings.append(throttler.binding())
        await sleep(seconds)

    async def all_() -> None:
        object.__setattr__(throttler._clock, "sleep", watched)
        for _ in range(count):
            await throttler.acquire()

    asyncio.run(all_())
    return bindings


def test_pacing_a_full_window_and_a_hold() -> None:
    hand = HandClock()
    throttler = PacedThrottler(5, more=[(8, 3600.0)], clock=hand.clock, guard=0.0)
    assert throttler.binding() is None
    assert seen(throttler, hand, 8) == [Binding("rate", "5/s")] * 7
    throttler.hold(12)
    assert throttler.binding() == Binding("held", "", 12.0)


def test_the_time_a_limit_takes_at_least() -> None:
    hand = HandClock()
    throttler = PacedThrottler(10, more=[(120, 60.0), (150, 3600.0)], clock=hand.clock, guard=0.0)
    assert throttler.least_seconds(100) == pytest.approx(50), "two a second is what the limit per minute comes to"
    assert throttler.least_seconds(200) == pytest.approx(3600), "50 of them have to wait for the next hour"
    throttler.hold(30)
    assert throttler.least_seconds(10) == pytest.approx(30 + 5 * 1.02)


def test_tokens_that_are_waited_for() -> None:
    async def work(limit: tuple[float, float]) -> tuple[Binding | None, Binding | None]:
        tokens, slot = TokenLimiter([limit]), Unlimited()
        await tokens.acquire(Usage(int(limit[0])), slot)
        waiting = asyncio.create_task(tokens.acquire(Usage(5), slot))
        await asyncio.sleep(0.01)
        during = tokens.binding()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        return during, tokens.binding()

    assert asyncio.run(work((100, 3.0))) == (Binding("rate", "100 tokens/3 s"), None)
    during, after = asyncio.run(work((100, 60.0)))
    assert during is not None
    assert (during.kind, during.limit, after) == ("used up", "100 tokens/min", None)
    assert during.wait == pytest.approx(60.5, abs=1.0)


def test_an_announced_remainder_is_named() -> None:
    hand = HandClock()
    throttler = PacedThrottler(100, clock=hand.clock)
    throttler.announce([Announcement("requests", remaining=0, reset_after=30.0)], in_flight=0)
    assert seen(throttler, hand, 1) == [Binding("used up", "what the server allows", 30.0)]


@pytest.mark.parametrize(
    ("limits", "binding", "limit"),
    [
        ({"rate": "20/s"}, "rate", "20/s"),
        ({"concurrency": 3}, "in flight", "3 of 3"),
    ],
)
def test_a_dispatcher_says_what_binds_it(
    server: RunningServer, store: Store, limits: dict[str, object], binding: str, limit: str
) -> None:
    server.set_strict({"latency": {"mean": 0.1}})
    sending = Sending(text_adapter(server.url, limits=limits), store)
    told: list[tuple[str | None, str]] = []

    async def watch(dispatcher: object) -> None:
        standing: Callable[[int], object] = dispatcher.standing  # type: ignore[attr-defined]
        for _ in range(40):
            await asyncio.sleep(0.02)
            event = standing(5)
            told.append((event.binding, event.limit))  # type: ignore[attr-defined]

    sending.run([text(number) for number in range(30)], meanwhile=watch)
    assert (binding, limit) in told
    assert sending.dispatcher is not None
    assert sending.dispatcher.standing(0).binding is None

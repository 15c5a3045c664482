"""Limits on tokens: exact on a clock held in hand, then judged by the server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from adapters import Announcement, Usage
from probe.engine.throttle import LimitFar, PacedThrottler, Unlimited
from probe.engine.tokens import Grant, TokenLimiter
from storage import Store
from tests.engine.clocks import HandClock
from tests.engine.harness import Sending, text_adapter
from tests.servers import RunningServer

MINUTE = (600.0, 60.0)


def limiter(*limits: tuple[float, float]) -> tuple[TokenLimiter, HandClock]:
    hand = HandClock()
    return TokenLimiter(limits, clock=hand.clock), hand


def take(tokens: TokenLimiter, hand: HandClock, *amounts: int, rate: float | None = None) -> list[Grant]:
    """One request after the other, each of so many tokens."""
    slot = Unlimited(clock=hand.clock) if rate is None else PacedThrottler(rate, clock=hand.clock, guard=0.0)

    async def all_() -> list[Grant]:
        return [await tokens.acquire(Usage(amount), slot) for amount in amounts]

    return asyncio.run(all_())


def times(grants: list[Grant]) -> list[float]:
    return [grant.at for grant in grants]


def test_tokens_are_paced_by_their_number() -> None:
    tokens, hand = limiter((100, 1.0))
    # the first may catch up with 5 % of the window, and everything goes 1 % slower than the limit
    assert times(take(tokens, hand, 10, 40, 10, 10)) == pytest.approx(
        [1000, 1000 + 0.101 - 0.05, 1000 + 0.505 - 0.05, 1000 + 0.606 - 0.05]
    )


def test_no_window_holds_more_than_the_limit() -> None:
    tokens, hand = limiter((100, 1.0), (150, 3.0))
    grants = take(tokens, hand, *[30, 7, 50, 13] * 10)
    for period, limit in ((1.0, 100), (3.0, 150)):
        for first in grants:
            inside = [grant.tokens for grant in grants if first.at <= grant.at < first.at + period]
            assert sum(inside) <= limit


def test_the_slot_and_the_tokens_are_taken_together() -> None:
    tokens, hand = limiter((100, 1.0))
    assert list(times(take(tokens, hand, 1, 1, 90, 1, rate=10))) == pytest.approx(
        [1000, 1000.1, 1000.2, 1000.2 - 0.05 + 90 * 0.0101]
    ), "whichever limit is later counts"


def test_what_was_not_used_is_free_again() -> None:
    tokens, hand = limiter(MINUTE)
    (first,) = take(tokens, hand, 300)
    tokens.settle(first, Usage(20, 10))
    hand.time += 2.5
    (second,) = take(tokens, hand, 300)
    assert first.tokens == 30.0
    assert second.at == pytest.approx(1000 + 30 * 0.101 - 0.25), "30 tokens later, not 300"
    assert second.tokens == pytest.approx(30.0), "the next estimate is corrected by what the last one turned out to be"
    tokens.refund(second)
    assert take(tokens, hand, 300)[0].at == pytest.approx(second.at), "a refused request used nothing"


def test_a_first_request_counts_from_when_it_left() -> None:
    tokens, hand = limiter((100, 1.0))
    (first,) = take(tokens, hand, 100)
    hand.time += 0.5
    tokens.landed(first, 0.2)
    assert take(tokens, hand, 100)[0].at == pytest.approx(1000.3 + 1.01)


def test_an_answer_that_reports_more_than_estimated_slows_down() -> None:
    tokens, hand = limiter((100, 1.0))
    (first,) = take(tokens, hand, 10)
    tokens.settle(first, Usage(60))
    assert take(tokens, hand, 1)[0].at == pytest.approx(1000.6, abs=0.06)


def test_one_request_larger_than_the_limit_waits_for_the_whole_of_it() -> None:
    tokens, hand = limiter((100, 1.0))
    assert times(take(tokens, hand, 50, 500)) == pytest.approx([1000, 1001.01])


def test_a_settled_request_wakes_whoever_waits_for_its_tokens() -> None:
    async def work() -> float:
        tokens = TokenLimiter([(100.0, 30.0)])
        slot = Unlimited()
        first = await tokens.acquire(Usage(100), slot)
        waiting = asyncio.create_task(tokens.acquire(Usage(1), slot))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        tokens.refund(first)
        return (await asyncio.wait_for(waiting, 5)).at - first.at

    assert asyncio.run(work()) < 5


def test_a_used_up_limit_per_day_is_no_pause() -> None:
    tokens, hand = limiter((100, 86_400.0))
    with pytest.raises(LimitFar) as far:
        take(tokens, hand, 60, 60)
    assert far.value.seconds == pytest.approx(86_400 * 1.01)


@pytest.mark.parametrize("kind", ["tokens", "input-tokens"])
def test_what_the_server_says_is_left_is_not_overdrawn(kind: str) -> None:
    tokens, hand = limiter()
    (pending,) = take(tokens, hand, 20)
    tokens.announce([Announcement(kind, limit=1000, remaining=100, reset_after=30.0)])  # type: ignore[arg-type]
    assert times(take(tokens, hand, 50, 30, 1, 1)) == pytest.approx([1000, 1000, 1030, 1030])
    assert pending.tokens == 20


def test_an_announced_limit_with_a_window_holds() -> None:
    tokens, hand = limiter((1000, 1.0))
    tokens.announce([Announcement("tokens", limit=100, window=1.0), Announcement("requests", limit=1, window=1.0)])
    assert times(take(tokens, hand, 50, 50, 1))[2] == pytest.approx(1001, abs=0.06)


@pytest.mark.parametrize("limit", [(0, 1.0), (5, float("inf")), (float("nan"), 1.0)])
def test_an_impossible_limit_is_refused(limit: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="needs to be positive"):
        TokenLimiter([limit])


TEXTS = [f"{number:03d} " + "word " * (3 + number % 17) for number in range(120)]
USAGE = {"input": "usage.prompt_tokens", "output": "usage.completion_tokens"}


@pytest.mark.parametrize("kind", ["bucket", "sliding"])
def test_a_server_that_counts_tokens_never_refuses(server: RunningServer, tmp_path: Path, kind: str) -> None:
    """1200 tokens in any three seconds. Nothing may be refused, and at least 0.95 of the limit be used; three tries, because
    other work on the machine may starve both sides for a moment."""
    shares = []
    for number in range(3):
        server.reset()
        server.set_strict(
            {
                "rate": {"limit": 1200, "window": 3.0, "kind": kind, "unit": "tokens"},
                "latency": {"mean": 0.05},
            }
        )
        with Store.open(f"sqlite:///{tmp_path / str(number)}.db") as store:
            limits = {"tokens": {"requests": 1200, "period": 3.0}}
            sending = Sending(text_adapter(server.url, limits=limits, usage=USAGE), store)
            sending.run(TEXTS)
        counts = server.counts()
        assert counts["billed_items"] == len(TEXTS)
        used = sum(arrival["tokens"] for arrival in server.arrivals()[:-1])
        shares.append((counts["refused_429"], used / 400 / (counts["span"] - 0.05)))
        if counts["refused_429"] == 0 and shares[-1][1] >= 0.95:
            return
    raise AssertionError(f"refused, and share of the limit used: {shares}")


def test_limits_on_tokens_and_requests_hold_at_once(server: RunningServer, store: Store) -> None:
    server.set_strict(
        {"rate": [{"limit": 300, "window": 1.0, "unit": "tokens"}, {"limit": 30, "window": 1.0}], "announce": "openai"}
    )
    limits = {"rate": "30/s", "tokens": ["300/s", "100000/day"]}
    sending = Sending(text_adapter(server.url, limits=limits, usage=USAGE), store)
    sending.run(TEXTS[:60])
    counts = server.counts()
    assert (counts["billed_items"], counts["refused_429"]) == (60, 0)

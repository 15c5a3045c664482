"""Several limits at once, those that a server announces, and a limit shared through the database."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import probe
from adapters import Announcement, HttpRequest, SpecError, endpoint_from_config
from probe.engine.shipment import Job
from probe.engine.throttle import FAR, LimitFar, PacedThrottler
from storage import Store
from tests.engine.clocks import HandClock
from tests.engine.harness import Sending, text, text_adapter
from tests.engine.test_throttle import most_in_a_window, sends
from tests.servers import RunningServer

TEXTS = [text(number) for number in range(60)]


def limited(rate: float, *more: tuple[float, float]) -> tuple[PacedThrottler, HandClock]:
    hand = HandClock()
    return PacedThrottler(rate, more=more, clock=hand.clock, guard=0.0), hand


def test_every_limit_holds() -> None:
    throttler, hand = limited(10, (120, 60.0), (150, 3600.0))
    times = sends(throttler, hand, 150)
    assert most_in_a_window(times, 1.0) <= 10
    assert most_in_a_window(times, 60.0) <= 120
    assert times[149] == pytest.approx(1000 + 149 / 2), "two a second is what the limit per minute comes to"
    with pytest.raises(LimitFar) as far:
        sends(throttler, hand, 1)
    assert far.value.seconds == pytest.approx(3600 - 74.5, abs=1)
    assert far.value.seconds > FAR


def test_a_lower_limit_that_is_announced_holds_from_then_on() -> None:
    throttler, hand = limited(100)
    throttler.announce([Announcement("requests", limit=20, window=1.0)], in_flight=0)
    throttler.announce([Announcement("requests", limit=500, window=1.0)], in_flight=0)
    throttler.announce([Announcement("tokens", limit=1, window=1.0, remaining=0, reset_after=60.0)], in_flight=0)
    assert sends(throttler, hand, 41)[-1] == pytest.approx(1002)


def test_what_is_left_of_an_announced_window_is_not_overdrawn() -> None:
    throttler, hand = limited(100)
    throttler.announce([Announcement("requests", remaining=5, reset_after=30.0)], in_flight=2)
    times = sends(throttler, hand, 6)
    assert [time < 1001 for time in times] == [True] * 3 + [False] * 3
    assert times[3] == pytest.approx(1030)


@pytest.mark.parametrize("family", ["ietf", "ietf-draft", "openai", "github"])
def test_a_server_that_announces_less_than_the_config_says(server: RunningServer, store: Store, family: str) -> None:
    server.set_strict({"rate": {"limit": 20, "window": 1.0}, "announce": family, "latency": {"mean": 0.05}})
    sending = Sending(text_adapter(server.url, limits={"rate": "60/s"}), store)
    sending.run(TEXTS)
    counts = server.counts()
    assert counts["billed_items"] == len(TEXTS)
    assert counts["refused_429"] <= (0 if family == "ietf" else 1), "a family without a window needs to be told once"


def test_a_used_up_quota_stops_the_endpoint(server: RunningServer, store: Store) -> None:
    sending = Sending(text_adapter(server.url, limits={"rate": "200/s", "also": ["25/day"]}), store)
    dispatcher = sending.run(TEXTS)
    assert dispatcher.stopped is not None
    assert dispatcher.stopped.kind == "quota"
    assert "used up" in dispatcher.stopped.reason
    assert server.counts()["requests"] == 25
    assert sending.by_state()["answered"] == 25
    assert "intended" not in sending.by_state()


def test_a_shared_limit_is_kept_by_two_predictors(server: RunningServer, tmp_path: Path) -> None:
    server.set_strict({"rate": {"limit": 50, "window": 1.0}})
    url = f"sqlite:///{tmp_path}/probe.db"
    limits = {"rate": "50/s", "shared": "vendor-key"}

    async def both() -> list[int]:
        def one(which: int) -> int:
            adapter = text_adapter(server.url, name=f"user-{which}", limits=limits)
            with probe.predict_fn(adapter, storage=url) as predict:
                return len(predict([text(1000 * which + number) for number in range(60)]))

        return list(await asyncio.gather(asyncio.to_thread(one, 1), asyncio.to_thread(one, 2)))

    assert asyncio.run(both()) == [60, 60]
    counts = server.counts()
    assert (counts["billed_items"], counts["refused_429"]) == (120, 0)


def test_an_idempotency_key_is_the_same_for_every_attempt(store: Store) -> None:
    adapter = text_adapter("http://127.0.0.1:9", idempotency="Idempotency-Key")
    sending = Sending(adapter, store)
    first, second = sending.job("a"), sending.job("b")

    def header(job: Job) -> str:
        request = adapter.request([job.render()])
        assert isinstance(request, HttpRequest)
        return dict(request.keyed(job.key.hex()).headers)["Idempotency-Key"]

    assert header(first) == header(first) != header(second)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"shared": "key"}, "shared needs one rate"),
        ({"rate": "5/s", "also": ["nonsense"]}, r"limits.also\[0\]: not a rate"),
        ({"also": ["5/s"]}, "write the first limit as rate"),
    ],
)
def test_limits_that_make_no_sense(limits: dict[str, object], said: str) -> None:
    config = {"url": "http://127.0.0.1:9/", "json": {"t": "{{ x }}"}, "scores": {"map": "@"}, "limits": limits}
    with pytest.raises(SpecError, match=said):
        endpoint_from_config("e", config, environment={}, base=Path())

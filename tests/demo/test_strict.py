"""The demo server's limits, faults and account, over real sockets."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import numpy as np
import pytest

from probe.demo.strict import Faults, Limiter, RateLimit
from tests.demo.asking import ask, b64, encoded, error_of, picture
from tests.servers import RunningServer

# --- limits


def most_in_any_window(times: list[float], window: float) -> int:
    return max(sum(start <= other < start + window for other in times) for start in times)


def test_sliding_window_is_exact(server: RunningServer, client: httpx.Client) -> None:
    server.set_strict({"rate": {"limit": 7, "window": 0.4, "retry_after": "exact"}})
    deadline = time.monotonic() + 1.3
    while time.monotonic() < deadline:
        answer = ask(client, "a")
        if answer.status_code == 429:
            assert 0 <= float(answer.headers["retry-after"]) <= 0.4
    arrivals = server.arrivals()
    admitted = [arrival["at"] for arrival in arrivals if arrival["status"] == 200]
    refused = [arrival["at"] for arrival in arrivals if arrival["status"] == 429]
    assert most_in_any_window(admitted, 0.4) == 7
    assert all(sum(at - 0.4 < other <= at for other in admitted) == 7 for at in refused), "refused only a full window"
    counts = server.counts()
    assert counts["refused_429"] == len(refused) > 0
    assert counts["requests"] == len(arrivals) == len(admitted) + len(refused)
    assert counts["billed_requests"] == counts["answered"] == len(admitted)
    assert counts["billed_by_item_max"] == len(admitted)


def admit(limiter: Limiter, now: float) -> bool:
    free = limiter.wait(now) == 0
    limiter.take(admitted=free)
    return free


def test_more_at_once_than_allowed_are_refused(server: RunningServer) -> None:
    server.set_strict({"concurrency": 3, "latency": {"mean": 0.3}})

    async def all_() -> list[int]:
        async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
            body = {"inputs": ["a"]}
            answers = await asyncio.gather(*(client.post("/v1/echo-length/predict", json=body) for _ in range(8)))
        return sorted(answer.status_code for answer in answers)

    assert asyncio.run(all_()) == [200] * 3 + [429] * 5


@pytest.mark.parametrize("kind", ["sliding", "bucket"])
def test_tokens_count_as_many_as_a_request_has(kind: str) -> None:
    limiter = RateLimit.model_validate({"limit": 10, "window": 2.0, "kind": kind, "unit": "tokens"}).limiter()
    assert limiter.wait(1000.0, 6) == 0
    limiter.take(admitted=True)
    assert limiter.wait(1000.0, 4) == 0, "what was asked and not taken does not count"
    assert limiter.wait(1000.0, 5) == pytest.approx({"sliding": 2.0, "bucket": 0.2}[kind])
    assert limiter.standing().remaining == 4
    assert limiter.wait(1010.0, 25) == 0, "one that is larger than the limit waits for the whole of it"
    limiter.take(admitted=True)
    assert limiter.standing().remaining == 0


def test_answers_report_the_tokens_they_were_judged_by(server: RunningServer, client: httpx.Client) -> None:
    server.set_strict({"rate": {"limit": 12, "window": 60, "unit": "tokens"}, "announce": "openai"})
    answer = ask(client, "one two three")
    assert answer.json()["usage"] == {"prompt_tokens": 4, "completion_tokens": 1, "total_tokens": 5}
    assert answer.headers["x-ratelimit-remaining-tokens"] == "7"
    assert ask(client, "four five six seven eight nine ten").status_code == 429
    assert ask(client, "four five").status_code == 200
    assert [arrival["tokens"] for arrival in server.arrivals()] == [5, 9, 4]


@pytest.mark.parametrize("kind", ["sliding", "bucket"])
def test_waiting_as_long_as_told_is_enough_and_less_is_not(kind: str) -> None:
    limiter = RateLimit.model_validate({"limit": 3, "window": 2.0, "kind": kind}).limiter()
    now = 1000.0
    assert [admit(limiter, now + k / 10) for k in range(4)] == [True, True, True, False]
    now += 0.3
    for _ in range(10):
        wait = limiter.wait(now)
        assert 0 < wait <= 2
        assert not admit(limiter, now + 0.99 * wait)
        now += wait + 1e-9
        assert admit(limiter, now)


def test_refused_requests_use_up_the_window_if_told() -> None:
    times = (0.0, 0.1, 0.9, 1.05, 2.2)
    for told, fourth in ((True, False), (False, True)):
        limiter = RateLimit(limit=2, window=1.0, count_refused=told).limiter()
        assert [admit(limiter, at) for at in times] == [True, True, False, fourth, True]


def test_bucket_refills_steadily_up_to_its_burst() -> None:
    limiter = RateLimit(limit=10, window=1.0, kind="bucket", burst=3).limiter()
    assert [admit(limiter, 0.0) for _ in range(4)] == [True, True, True, False]
    assert [admit(limiter, 0.21) for _ in range(3)] == [True, True, False]
    assert sum(admit(limiter, 60.0) for _ in range(10)) == 3


def test_bucket_on_the_wire(server: RunningServer, client: httpx.Client) -> None:
    server.set_strict({"rate": {"limit": 1, "window": 60, "kind": "bucket", "burst": 3}})
    assert [ask(client, "a").status_code for _ in range(5)] == [200, 200, 200, 429, 429]


def test_two_limits_must_both_admit(server: RunningServer, client: httpx.Client) -> None:
    server.set_strict({"rate": [{"limit": 100}, {"limit": 2, "window": 60}]})
    assert [ask(client, "a").status_code for _ in range(3)] == [200, 200, 429]


@pytest.mark.parametrize(
    ("setting", "header", "value"),
    [
        ("whole", "retry-after", "60"),
        ("none", "retry-after", None),
        (2.5, "retry-after", "2.5"),
    ],
)
def test_retry_after_as_configured(
    server: RunningServer, client: httpx.Client, setting: object, header: str, value: str | None
) -> None:
    server.set_strict({"rate": {"limit": 1, "window": 60, "retry_after": setting}})
    ask(client, "a")
    refused = ask(client, "a")
    assert refused.status_code == 429
    assert "1 requests in 60 s" in error_of(refused)
    assert refused.headers.get(header) == value


def test_control_routes_are_neither_limited_nor_counted(server: RunningServer, client: httpx.Client) -> None:
    server.set_strict({"rate": {"limit": 1, "window": 60}, "api_key": "k"})
    for _ in range(5):
        assert client.get("/_control/strict").status_code == 200
        assert client.get("/models").status_code == 200
    assert server.counts()["requests"] == 0


def test_key_in_each_usual_place(server: RunningServer, client: httpx.Client) -> None:
    server.set_strict({"api_key": "s3cret"})
    assert ask(client, "a", headers={"Authorization": "Bearer s3cret"}).status_code == 200
    assert ask(client, "a", headers={"x-api-key": "s3cret"}).status_code == 200
    assert ask(client, "a", params={"key": "s3cret"}).status_code == 200
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic s3cret"}):
        refused = ask(client, "a", headers=headers)
        assert refused.status_code == 401
        assert "s3cret" not in refused.text
    assert server.counts()["billed_items"] == 3


@pytest.mark.parametrize("status", [400, 413])
def test_max_batch(server: RunningServer, client: httpx.Client, status: int) -> None:
    server.set_strict({"max_batch": 2, "max_batch_status": status})
    assert ask(client, "a", "b").status_code == 200
    refused = ask(client, "a", "b", "c")
    assert refused.status_code == status
    assert "3 inputs; at most 2" in error_of(refused)


# --- answers made worse


def test_labels_only(server: RunningServer, client: httpx.Client) -> None:
    server.set_strict({"labels_only": True})
    assert ask(client, "so").json()["predictions"] == [{"label": "short"}]
    assert ask(client, "so", route="pairs").json() == {"results": [{"labels": [{"name": "short"}]}]}
    assert ask(client, "so", route="vector").json() == {"classes": ["short"]}
    assert ask(client, "so", route="value", params={"label": "long"}).json() == {"values": [False]}
    assert client.post("/v1/echo-length/raw", content=b"so").json() == {"label": "short"}


def test_top_k_rounding_and_missing_label(server: RunningServer, client: httpx.Client) -> None:
    body = {"inputs": [b64(encoded(picture()))]}
    full = client.post("/v1/brightness/predict", json=body).json()["predictions"][0]["scores"]
    server.set_strict({"top_k": 2, "rounding": 2, "drop_label": "bottom-left"})
    cut = client.post("/v1/brightness/predict", json=body).json()["predictions"][0]["scores"]
    assert len(cut) == 2
    assert "bottom-left" not in cut
    assert all(score == round(full[label], 2) for label, score in cut.items())
    vector = client.post("/v1/brightness/vector", json=body).json()
    assert vector["labels"] == ["top-left", "top-right", "bottom-right"]
    assert vector["rows"] == [[round(full[label], 2) for label in vector["labels"]]]
    assert client.post("/v1/brightness/value?label=bottom-left", json=body).status_code == 400


def test_fewer_rows_and_nan(server: RunningServer, client: httpx.Client) -> None:
    server.set_strict({"faults": {"fewer_rows": True, "nan": True}})
    answer = ask(client, "a", "b", "c", route="vector")
    assert "NaN" in answer.text
    assert len(answer.json()["rows"]) == 2
    counts = server.counts()
    assert counts["faults"] == {"fewer_rows": 1, "nan": 1}
    assert counts["billed_items"] == 3


# --- faults


def outcomes(server: RunningServer, faults: dict[str, Any], texts: list[str]) -> list[object]:
    server.set_strict({"faults": faults})
    server.reset()
    seen: list[object] = []
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        for text in texts:
            try:
                seen.append(client.post("/v1/echo-length/raw", content=text.encode()).status_code)
            except httpx.TransportError as error:
                seen.append(type(error).__name__)
    return seen


def test_faults_depend_on_input_attempt_and_seed_only(server: RunningServer) -> None:
    faults = {"status500": 0.3, "drop_before": 0.2, "seed": 5}
    texts = [f"text {k}" for k in range(40)]
    once = outcomes(server, faults, texts)
    expected = server.counts()["faults"]
    backwards = outcomes(server, faults, texts[::-1])
    assert once == backwards[::-1]
    assert server.counts()["faults"] == expected
    assert set(once) == {200, 500, "ReadError"}
    assert outcomes(server, {**faults, "seed": 6}, texts) != once
    assert 200 not in outcomes(server, {"status500": 1.0}, texts)


def test_only_first_attempts_fail_unless_told(server: RunningServer) -> None:
    assert outcomes(server, {"status500": 1.0}, ["a", "a", "b", "a"]) == [500, 200, 500, 200]
    assert outcomes(server, {"status500": 1.0, "attempts": 2}, ["a"] * 3) == [500, 500, 200]
    assert outcomes(server, {"status500": 1.0, "attempts": None}, ["a"] * 4) == [500] * 4


def test_refused_requests_use_up_no_attempt(server: RunningServer, client: httpx.Client) -> None:
    server.set_strict({"faults": {"status500": 1.0}, "rate": {"limit": 1, "window": 0.8}})
    assert ask(client, "b").status_code == 500
    assert ask(client, "a").status_code == 429
    time.sleep(0.81)
    assert ask(client, "a").status_code == 500


def test_dropped_before_is_not_billed_and_dropped_after_is(server: RunningServer, client: httpx.Client) -> None:
    for kind, billed in (("drop_before", 0), ("drop_after", 1)):
        server.set_strict({"faults": {kind: 1.0}})
        server.reset()
        with pytest.raises(httpx.ReadError, match="reset"):
            ask(client, "a")
        counts = server.counts()
        assert counts["faults"] == {kind: 1}
        assert (counts["billed_items"], counts["answered"], counts["statuses"]) == (billed, 0, {})
        assert ask(client, "a").status_code == 200
        counts = server.counts()
        assert (counts["billed_items"], counts["billed_twice"], counts["answered"]) == (billed + 1, billed, 1)
        assert [arrival["status"] for arrival in server.arrivals()] == [None, 200]


def test_truncated_answer_is_billed(server: RunningServer, client: httpx.Client) -> None:
    server.set_strict({"faults": {"truncate": 1.0}})
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        ask(client, "a")
    counts = server.counts()
    assert (counts["billed_items"], counts["answered"], counts["faults"]) == (1, 0, {"truncate": 1})


def test_html_page_with_status_200_is_not_billed(server: RunningServer, client: httpx.Client) -> None:
    server.set_strict({"faults": {"html": 1.0}})
    answer = ask(client, "a")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    counts = server.counts()
    assert (counts["billed_items"], counts["answered"], counts["faults"]) == (0, 0, {"html": 1})


def test_hanging_answer_is_billed_though_the_client_left(server: RunningServer, client: httpx.Client) -> None:
    server.set_strict({"faults": {"hang": {"share": 1.0, "seconds": 0.5}}})
    with pytest.raises(httpx.ReadTimeout):
        ask(client, "a", timeout=0.1)
    deadline = time.monotonic() + 5
    while not server.counts()["abandoned"] and time.monotonic() < deadline:
        time.sleep(0.05)
    counts = server.counts()
    assert (counts["billed_items"], counts["abandoned"], counts["answered"], counts["in_flight"]) == (1, 1, 0, 0)


def test_poison_always_fails_and_takes_its_batch_along(server: RunningServer, client: httpx.Client) -> None:
    server.set_strict({"faults": {"poison": "arsenic"}})
    assert [ask(client, "old arsenic").status_code for _ in range(3)] == [500] * 3
    assert ask(client, "fine", "old arsenic").status_code == 500
    assert ask(client, "fine").status_code == 200
    counts = server.counts()
    assert (counts["faults"], counts["billed_items"]) == ({"poison": 4}, 1)
    digest = server.arrivals()[-1]["digest"]
    server.set_strict({"faults": {"poison": digest}})
    assert ask(client, "fine").status_code == 500
    assert ask(client, "fine too").status_code == 200
    server.set_strict({"faults": {"poison": ['"c": 13']}})
    assert client.post("/v1/sum/predict", json={"inputs": [[1, 2, 13, 4]]}).status_code == 500
    assert client.post("/v1/sum/predict", json={"inputs": [[13, 2, 1, 4]]}).status_code == 200


def test_share_of_first_attempts_is_as_configured() -> None:
    faults = Faults.model_validate({"status500": 0.01, "drop_after": 0.02})
    drawn = [faults.draw(str(k).encode(), 1) for k in range(20_000)]
    assert drawn.count("status500") == pytest.approx(200, abs=60)
    assert drawn.count("drop_after") == pytest.approx(400, abs=80)
    assert drawn.count(None) == 20_000 - drawn.count("status500") - drawn.count("drop_after")


# --- billing


def test_an_item_is_known_by_its_content(server: RunningServer, client: httpx.Client) -> None:
    ask(client, "a", "b")
    ask(client, "b", "c", route="pairs")
    client.post("/v1/echo-length/raw", content=b"b")
    counts = server.counts()
    assert counts["billed_requests"] == 3
    assert counts["billed_items"] == 5
    assert counts["distinct_items"] == 3
    assert counts["billed_twice"] == 1
    assert counts["billed_by_item_max"] == 3
    server.reset()
    pixels = picture()
    alpha = np.dstack([pixels, np.full(pixels.shape[:2], 255, dtype=np.uint8)])
    client.post("/v1/brightness/predict", json={"inputs": [b64(encoded(pixels)), b64(encoded(alpha))]})
    client.post("/v1/sum/predict", json={"inputs": [[1, 2, 3, 4], {"d": 4, "c": 3, "b": 2, "a": 1}, [4, 3, 2, 1]]})
    counts = server.counts()
    assert (counts["billed_items"], counts["distinct_items"], counts["billed_twice"]) == (5, 3, 2)


def test_reset_empties_the_account(server: RunningServer, client: httpx.Client) -> None:
    ask(client, "a")
    server.reset()
    counts = server.counts()
    assert counts["requests"] == counts["billed_items"] == counts["in_flight_max"] == 0
    assert counts["first_arrival"] is counts["last_answer"] is counts["span"] is None
    assert server.arrivals() == []


def test_span_in_flight_and_latency(server: RunningServer) -> None:
    server.set_strict({"latency": {"mean": 0.5, "jitter": 0.05, "seed": 1}})

    async def many() -> list[float]:
        async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
            sent = [client.post("/v1/echo-length/raw", content=f"text {k}".encode()) for k in range(8)]
            return [answer.elapsed.total_seconds() for answer in await asyncio.gather(*sent)]

    before = time.monotonic()
    elapsed = asyncio.run(many())
    after = time.monotonic()
    counts = server.counts()
    assert counts["in_flight_max"] == 8
    assert min(elapsed) >= 0.45
    assert before < counts["first_arrival"] < counts["last_answer"] < after, "one clock for all processes"
    assert counts["span"] == pytest.approx(counts["last_answer"] - counts["first_arrival"])
    assert 0.45 <= counts["span"] < after - before

"""The demo server as a client meets it: a real process, real sockets."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import math
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from probe.demo.strict import Faults, Limiter, RateLimit
from tests.servers import RunningServer, running_server

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def running() -> Iterator[RunningServer]:
    with running_server() as server:
        yield server


@pytest.fixture
def server(running: RunningServer) -> RunningServer:
    running.set_strict({})
    running.reset()
    return running


@pytest.fixture(scope="module")
def connected(running: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.url, trust_env=False, timeout=20) as client:
        yield client


@pytest.fixture
def client(server: RunningServer, connected: httpx.Client) -> httpx.Client:
    return connected


def ask(client: httpx.Client, *texts: str, route: str = "predict", **options: Any) -> httpx.Response:
    return client.post(f"/v1/echo-length/{route}", json={"inputs": list(texts)}, **options)


def error_of(answer: httpx.Response) -> str:
    message = answer.json()["error"]["message"]
    assert isinstance(message, str)
    assert "\n" not in message
    return message


def p_long(text: str) -> float:
    return 1 / (1 + math.exp(-sum((len(word) - 4) / 4 for word in text.split())))


def picture() -> Pixels:
    pixels = np.full((20, 30, 3), 40, dtype=np.uint8)
    pixels[10:, :15] = 250
    return pixels


def encoded(pixels: Pixels, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


# --- routes


def test_models_are_listed(client: httpx.Client) -> None:
    models = {model["name"]: model for model in client.get("/models").json()["models"]}
    assert set(models) == {"echo-length", "sum", "brightness"}
    assert models["sum"] == {
        "name": "sum",
        "kind": "tabular",
        "labels": ["positive", "negative"],
        "columns": ["a", "b", "c", "d"],
    }


def test_predict_text(client: httpx.Client) -> None:
    body = ask(client, "an extraordinary film", "so so").json()
    assert body["model"] == "echo-length"
    first, second = (prediction["scores"] for prediction in body["predictions"])
    assert first == {"long": pytest.approx(p_long("an extraordinary film")), "short": pytest.approx(1 - first["long"])}
    assert second["long"] == pytest.approx(p_long("so so"))
    assert second["long"] < 0.5 < first["long"]


def test_predict_rows_as_objects_and_lists(client: httpx.Client) -> None:
    rows: list[Any] = [{"d": 1, "a": 0.5, "b": 1, "c": 1}, [0.5, 1, 1, 1]]
    body = client.post("/v1/sum/predict", json={"inputs": rows}).json()
    first, second = body["predictions"]
    assert first == second
    assert first["scores"]["positive"] == pytest.approx(0.5)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_predict_pictures(client: httpx.Client, kind: str) -> None:
    body = client.post("/v1/brightness/predict", json={"inputs": [b64(encoded(picture(), kind))]}).json()
    scores = body["predictions"][0]["scores"]
    assert sum(scores.values()) == pytest.approx(1)
    assert scores["bottom-left"] > 0.8


def test_pairs_are_sorted_percentages(client: httpx.Client) -> None:
    pairs = ask(client, "so", route="pairs").json()["results"][0]["labels"]
    assert [pair["name"] for pair in pairs] == ["short", "long"]
    assert sum(pair["confidence"] for pair in pairs) == pytest.approx(100)
    assert pairs[1]["confidence"] == pytest.approx(100 * p_long("so"))


def test_vector(client: httpx.Client) -> None:
    body = ask(client, "so", "wonderful", route="vector").json()
    assert body["labels"] == ["long", "short"]
    assert [row[0] for row in body["rows"]] == pytest.approx([p_long("so"), p_long("wonderful")])


def test_value_of_one_label(client: httpx.Client) -> None:
    answer = ask(client, "so", "wonderful", route="value", params={"label": "short"})
    assert answer.json()["values"] == pytest.approx([1 - p_long("so"), 1 - p_long("wonderful")])
    assert "long, short" in error_of(ask(client, "so", route="value", params={"label": "medium"}))
    assert "?label=" in error_of(ask(client, "so", route="value"))


def test_value_of_one_label_counts_as_its_own_item(server: RunningServer, client: httpx.Client) -> None:
    for label in ("long", "short"):
        ask(client, "so", route="value", params={"label": label})
    assert server.counts()["billed_twice"] == 0
    ask(client, "so", route="value", params={"label": "long"})
    assert server.counts()["billed_twice"] == 1


def test_raw_text_and_picture(client: httpx.Client) -> None:
    text = client.post("/v1/echo-length/raw", content="schöne Grüße".encode(), headers={"content-type": "text/plain"})
    assert text.json()["long"] == pytest.approx(p_long("schöne Grüße"))
    image = client.post("/v1/brightness/raw", content=encoded(picture()), headers={"content-type": "image/png"})
    assert max(image.json(), key=image.json().get) == "bottom-left"


def test_multipart_picture(client: httpx.Client) -> None:
    files = {"image": ("a.png", encoded(picture()), "image/png")}
    by_form = client.post("/v1/brightness/multipart", files=files, data={"threshold": "0.5"})
    by_raw = client.post("/v1/brightness/raw", content=encoded(picture()))
    assert by_form.json() == by_raw.json()
    wrong = client.post("/v1/brightness/multipart", files={"picture": files["image"]})
    assert wrong.status_code == 400
    assert "'image'" in error_of(wrong)
    assert client.post("/v1/brightness/multipart", json={}).status_code == 400
    assert client.post("/v1/echo-length/multipart", files=files).status_code == 400


# --- refusals


@pytest.mark.parametrize(
    ("model", "body", "names"),
    [
        ("echo-length", b"{", "not JSON"),
        ("echo-length", b"[" * 100_000, "not JSON"),
        ("echo-length", b"\xff", "not JSON"),
        ("echo-length", b'{"inputs": []}', "at least one"),
        ("echo-length", b'{"texts": ["a"]}', "inputs"),
        ("echo-length", b'{"inputs": ["a", 1]}', "inputs[1]: expected a text, got int"),
        ("sum", b'{"inputs": [{"a": 1, "b": 2, "d": 3}]}', "inputs[0]: missing column 'c'"),
        ("sum", b'{"inputs": [{"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}]}', "unknown column 'e'"),
        ("sum", b'{"inputs": [[1, 2, 3]]}', "3 values for 4 columns"),
        ("sum", b'{"inputs": [{"a": 1, "b": 2, "c": 3, "d": "x"}]}', "column 'd' is 'x'"),
        ("sum", b'{"inputs": [[1, 2, 3, NaN]]}', "column 'd' is 'nan'"),
        ("sum", b'{"inputs": [[1, 2, 3, 1' + b"0" * 400 + b"]]}", "column 'd' is '1000"),
        ("sum", b'{"inputs": ["a"]}', "expected an object or a list"),
        ("brightness", b'{"inputs": ["****"]}', "not base64"),
        ("brightness", b'{"inputs": ["aGVsbG8="]}', "not a readable PNG or JPEG"),
        ("brightness", b'{"inputs": [{}]}', "expected a base64"),
    ],
)
def test_bad_input_is_named(server: RunningServer, client: httpx.Client, model: str, body: bytes, names: str) -> None:
    answer = client.post(f"/v1/{model}/predict", content=body)
    assert answer.status_code == 400
    assert names in error_of(answer)
    assert server.counts()["billed_items"] == 0


def test_truncated_picture_is_refused(client: httpx.Client) -> None:
    answer = client.post("/v1/brightness/raw", content=encoded(picture())[:-40])
    assert answer.status_code == 400
    assert "not a readable" in error_of(answer)


@pytest.mark.parametrize("side", [6_000, 60_000])
def test_huge_picture_is_refused_by_its_header(client: httpx.Client, side: int) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )
    answer = client.post("/v1/brightness/raw", content=bomb)
    assert answer.status_code == 400
    assert "too large" in error_of(answer)


def test_unknown_model_route_method_and_path(client: httpx.Client) -> None:
    unknown = client.post("/v1/nope/predict", json={"inputs": ["a"]})
    assert unknown.status_code == 404
    assert "echo-length" in error_of(unknown)
    assert ask(client, "a", route="nope").status_code == 404
    assert client.get("/v1/echo-length/predict").status_code == 405
    elsewhere = client.get("/elsewhere")
    assert elsewhere.status_code == 404
    error_of(elsewhere)


@pytest.mark.parametrize("route", ["raw", "multipart"])
def test_body_over_the_cap_is_413(client: httpx.Client, route: str) -> None:
    big = b"\0" * (33 * 2**20)
    where = f"/v1/brightness/{route}"
    answer = client.post(where, files={"image": big}) if route == "multipart" else client.post(where, content=big)
    assert answer.status_code == 413
    error_of(answer)


def test_wrong_strictness_is_refused_in_words(server: RunningServer, client: httpx.Client) -> None:
    answer = client.post("/_control/strict", json={"rate": {"limit": 0}, "latencies": 1})
    assert answer.status_code == 400
    assert "rate.0.limit" in error_of(answer)
    assert "latencies" in error_of(answer)
    with pytest.raises(ValueError, match="must not exceed 1"):
        server.set_strict({"faults": {"html": 0.7, "truncate": 0.7}})
    assert ask(client, "a").status_code == 200


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


# --- the process


def test_sigterm_stops_it_cleanly_even_while_a_request_hangs() -> None:
    with running_server({"faults": {"hang": {"share": 1.0, "seconds": 60}}}, models=["echo-length"]) as server:
        port = int(server.url.rpartition(":")[2])
        body = b"a"
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"POST /v1/echo-length/raw HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n" + body)
            while not server.counts()["billed_items"]:
                time.sleep(0.01)
            assert server.stop() == 0
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port))


def test_models_and_strictness_from_the_command_line() -> None:
    with running_server({"api_key": "k", "max_batch": 3}, models=["sum"], preload=True) as server:
        assert [model["name"] for model in httpx.get(f"{server.url}/models").json()["models"]] == ["sum"]
        assert httpx.post(f"{server.url}/v1/sum/predict", json={"inputs": [[1, 2, 3, 4]]}).status_code == 401
        assert httpx.get(f"{server.url}/_control/strict").json()["max_batch"] == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--strict", '{"rat": 1}'], "--strict: rat: Extra inputs"),
        (["--strict", "{"], "--strict: settings: Invalid JSON"),
        (["--models", "echo-length,nope"], "unknown model 'nope'"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(arguments: list[str], message: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "probe.demo", *arguments],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 2
    assert message in result.stderr.splitlines()[-1]


def test_taken_port_is_said(server: RunningServer) -> None:
    port = server.url.rpartition(":")[2]
    result = subprocess.run(
        [sys.executable, "-m", "probe.demo", "--models", "sum", "--port", port],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1
    assert f"port {port}" in result.stderr


def test_interrupt_stops_it_too() -> None:
    with running_server(models=["sum"]) as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(timeout=10) == 0


def test_strict_answer_says_what_is_in_force(server: RunningServer) -> None:
    in_force = server.set_strict({"faults": {"poison": "x"}, "rate": {"limit": 3}})
    assert in_force["faults"]["poison"] == ["x"]
    assert in_force["rate"][0]["kind"] == "sliding"
    assert json.loads(json.dumps(in_force)) == server.set_strict(in_force), "what it says it takes"

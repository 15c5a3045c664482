"""The demo server's routes, refusals and process, over real sockets."""

from __future__ import annotations

import json
import math
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.demo.asking import ask, b64, encoded, error_of, picture
from tests.servers import RunningServer, running_server


def p_long(text: str) -> float:
    return 1 / (1 + math.exp(-sum((len(word) - 4) / 4 for word in text.split())))


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


def test_client_that_leaves_in_the_middle_of_its_request_is_not_billed(server: RunningServer) -> None:
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"POST /v1/echo-length/raw HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
        while not server.counts()["in_flight"]:
            time.sleep(0.01)
    deadline = time.monotonic() + 5
    while server.counts()["in_flight"] and time.monotonic() < deadline:
        time.sleep(0.01)
    counts = server.counts()
    assert (counts["requests"], counts["in_flight"], counts["billed_items"], counts["statuses"]) == (1, 0, 0, {})


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

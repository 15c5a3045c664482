"""The demo server's lost answers, slow answers, closed connections and bad spells, over real sockets."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from probe.demo.strict import Spell
from tests.demo.asking import ask
from tests.servers import RunningServer


def settled(server: RunningServer) -> dict[str, object]:
    """The account once nothing is under way."""
    deadline = time.monotonic() + 5
    while (counts := server.counts())["in_flight"] and time.monotonic() < deadline:
        time.sleep(0.02)
    return counts


@pytest.fixture
def connection(server: RunningServer) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=5) as opened:
        yield opened


def post(connection: socket.socket, text: str = "a") -> None:
    body = text.encode()
    head = f"POST /v1/echo-length/raw HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)


def read_answer(connection: socket.socket) -> bytes:
    """One whole answer, as it came."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(1)
    length = int(received.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    body = b""
    while len(body) < length:
        body += connection.recv(length - len(body))
    return received + body


# --- answers that do not come, or not as they should


def test_closed_in_order_without_an_answer_is_billed(server: RunningServer, connection: socket.socket) -> None:
    server.set_strict({"faults": {"close": 1.0}})
    post(connection)
    assert connection.recv(100) == b"", "an orderly end, where a reset would raise"
    counts = server.counts()
    assert (counts["billed_items"], counts["answered"], counts["statuses"]) == (1, 0, {})
    assert counts["faults"] == {"close": 1}
    assert server.arrivals()[0]["status"] is None


def test_cut_answer_is_whole_for_http_and_no_json(server: RunningServer, client: httpx.Client) -> None:
    server.set_strict({"faults": {"cut": 1.0}})
    cut, whole = ask(client, "a"), ask(client, "a")
    assert (cut.status_code, cut.headers["content-type"]) == (200, whole.headers["content-type"])
    assert cut.content == whole.content[: len(whole.content) // 2]
    with pytest.raises(json.JSONDecodeError):
        cut.json()
    counts = server.counts()
    assert (counts["billed_items"], counts["answered"], counts["faults"]) == (2, 1, {"cut": 1})


def test_dripping_body_comes_in_pieces_over_the_time_given(server: RunningServer, client: httpx.Client) -> None:
    server.set_strict({"faults": {"drip": {"share": 1.0, "seconds": 0.6}}})
    times, received = [], b""
    started = time.monotonic()
    with client.stream("POST", "/v1/echo-length/predict", json={"inputs": ["a"]}) as answer:
        head_after = time.monotonic() - started
        for piece in answer.iter_raw():
            times.append(time.monotonic() - started)
            received += piece
    assert head_after < 0.3, "the head is not late"
    assert len(times) >= 6
    assert times[-1] >= 0.6
    assert json.loads(received) == ask(client, "a").json()
    counts = server.counts()
    assert (counts["billed_items"], counts["answered"], counts["abandoned"]) == (2, 2, 0)
    assert counts["faults"] == {"drip": 1}


def test_dripping_answer_is_billed_though_the_client_left(server: RunningServer, client: httpx.Client) -> None:
    server.set_strict({"faults": {"drip": {"share": 1.0, "seconds": 0.5}}})
    with client.stream("POST", "/v1/echo-length/predict", json={"inputs": ["a"]}) as answer:
        assert answer.status_code == 200
    counts = settled(server)
    assert (counts["billed_items"], counts["answered"], counts["abandoned"]) == (1, 0, 1)


# --- connections


def test_closed_right_after_an_answer_that_says_nothing_of_it(server: RunningServer, connection: socket.socket) -> None:
    server.set_strict({"idle_close": 0})
    post(connection)
    answer = read_answer(connection)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" not in answer.lower()
    assert connection.recv(100) == b""


def test_idle_connection_is_closed_and_a_busy_one_is_not(server: RunningServer, connection: socket.socket) -> None:
    server.set_strict({"idle_close": 0.5, "latency": {"mean": 0.7}})
    for number in range(3):
        post(connection, f"text {number}")
        assert read_answer(connection).startswith(b"HTTP/1.1 200"), "a slow answer is not idleness"
        time.sleep(0.2)
    idle_since = time.monotonic()
    assert connection.recv(100) == b""
    assert 0.2 <= time.monotonic() - idle_since < 2


def test_refused_answers_close_their_connections_too(server: RunningServer, connection: socket.socket) -> None:
    server.set_strict({"idle_close": 0, "rate": {"limit": 1, "window": 60}, "faults": {"status500": 1.0}})
    post(connection)
    assert read_answer(connection).startswith(b"HTTP/1.1 500")
    assert connection.recv(100) == b""


def knock(connection: socket.socket) -> str:
    """What becomes of one more connection to where ``connection`` goes."""
    try:
        socket.create_connection(connection.getpeername()).close()
    except ConnectionRefusedError:
        return "refused"
    return "open"


def test_nothing_listens_for_a_while(server: RunningServer, connection: socket.socket) -> None:
    server.set_strict({"refuse": {"from": 0.2, "seconds": 0.5}})
    started = time.monotonic()
    seen = []
    while (elapsed := time.monotonic() - started) < 1.2:
        seen.append((elapsed, knock(connection)))
        time.sleep(0.02)
    refused = [at for at, what in seen if what == "refused"]
    assert 0.15 < refused[0] < 0.5
    assert refused[-1] - refused[0] == pytest.approx(0.5, abs=0.25)
    assert (seen[0][1], seen[-1][1]) == ("open", "open")
    post(connection)
    assert read_answer(connection).startswith(b"HTTP/1.1 200"), "a connection that was open goes on"


def test_new_rules_shut_the_door_and_open_it(server: RunningServer, connection: socket.socket) -> None:
    def until(state: str) -> bool:
        deadline = time.monotonic() + 5
        while (seen := knock(connection)) != state and time.monotonic() < deadline:
            time.sleep(0.01)
        return seen == state

    server.set_strict({"refuse": {"seconds": 60}})
    assert until("refused")
    server.set_strict({})
    assert until("open")


# --- storms


def test_spell_has_a_beginning_and_an_end() -> None:
    spell = Spell.model_validate({"from": 2, "seconds": 3})
    assert [spell.left(at) for at in (0.0, 1.99, 2.0, 3.5, 4.75, 5.0, 9.0)] == [0, 0, 3, 1.5, 0.25, 0, 0]


@pytest.mark.parametrize("status", [429, 503])
def test_storm_refuses_everything_while_it_lasts(server: RunningServer, client: httpx.Client, status: int) -> None:
    server.set_strict(
        {
            "storm": {"from": 0.2, "seconds": 0.4, "status": status, "retry_after": "exact"},
            "rate": {"limit": 2, "window": 60},
            "faults": {"status500": 1.0},
        }
    )
    assert ask(client, "before").status_code == 500
    time.sleep(0.25)
    first, second = ask(client, "a"), ask(client, "a")
    assert [first.status_code, second.status_code] == [status] * 2
    assert 0 < float(second.headers["retry-after"]) < float(first.headers["retry-after"]) <= 0.4
    time.sleep(float(second.headers["retry-after"]) + 0.01)
    assert ask(client, "a").status_code == 500, "the refused were no attempts, and took nothing from the limit"
    counts = server.counts()
    assert counts["faults"] == {"status500": 2, "storm": 2}
    assert (counts["billed_items"], counts["statuses"]) == (0, {"500": 2, str(status): 2})


def test_storm_says_how_long_as_it_is_told_to(server: RunningServer, client: httpx.Client) -> None:
    for form, told in (("none", None), (7, "7"), ("whole", "60")):
        server.set_strict({"storm": {"seconds": 60, "retry_after": form}})
        assert ask(client, "a").headers.get("retry-after") == told


def test_spells_say_what_they_take(server: RunningServer) -> None:
    in_force = server.set_strict({"storm": {"from": 1, "seconds": 2}, "refuse": {"from": 50, "seconds": 1}})
    assert in_force["storm"] == {"from": 1, "seconds": 2, "status": 429, "retry_after": "whole"}
    assert in_force == server.set_strict(in_force)


def test_each_request_tells_when_it_was_over(server: RunningServer, client: httpx.Client) -> None:
    server.set_strict({"latency": {"mean": 0.2}})
    ask(client, "a")
    (arrival,) = server.arrivals()
    assert arrival["at"] + 0.2 <= arrival["left"] <= time.monotonic()

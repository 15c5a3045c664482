"""Killed or stopped in the middle: the same command goes on, pays for nothing twice, and ends with the same numbers."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import Done, here, started, texts_config, timeless, write
from tests.servers import RunningServer

WORDS = "after eleven exhausting days nobody answered my complaint about the refund"


def config(url: str) -> dict[str, Any]:
    return texts_config(
        url,
        endpoint={"batch": 1, "limits": {"rate": "80/s", "concurrency": 6}, "price": {"request": 0.001}},
        inputs={"inline": [WORDS]},
        methods=["occlusion", "lime", "kernelshap"],
        budget=120,
    )


@pytest.fixture(scope="module")
def undisturbed(running: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("undisturbed")
    running.set_strict({})
    write(folder, config(running.url))
    done = here("run", "--json", "--rate", "1000/s", cwd=folder)
    assert done.code == 0, done.err
    results: dict[str, Any] = done.json
    return results


def stop_in_the_middle(server: RunningServer, folder: Path, number: signal.Signals, *options: str) -> tuple[Done, int]:
    """The run's end after ``number`` at about half of the bill, and how many requests were open then."""
    process = started("run", "--json", *options, cwd=folder)
    deadline = time.monotonic() + 60
    while (before := server.counts())["billed_items"] < 100:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    return Done(process.returncode, out, err), before["in_flight"]


def assert_nothing_lost(server: RunningServer, resumed: Done, undisturbed: dict[str, Any]) -> None:
    assert resumed.code == 0, resumed.err
    assert "taken up again" in resumed.err
    assert timeless(resumed.json, counters=False) == timeless(undisturbed, counters=False)
    counts = server.counts()
    assert counts["distinct_items"] == undisturbed["totals"]["sent"]
    assert set(counts["statuses"]) == {"200"}


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_killed(
    server: RunningServer, undisturbed: dict[str, Any], tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    options = ("--storage", request.getfixturevalue("postgres_url")) if kind == "postgres" else ()
    server.set_strict({"latency": {"mean": 0.05, "jitter": 0.03}})
    write(tmp_path, config(server.url))
    killed, open_ = stop_in_the_middle(server, tmp_path, signal.SIGKILL, *options)
    assert killed.code == -signal.SIGKILL
    assert not killed.out
    resumed = here("run", "--json", *options, cwd=tmp_path)
    assert_nothing_lost(server, resumed, undisturbed)
    totals, counts = resumed.json["totals"], server.counts()
    # between our look at the server and the kill a request or two may have left
    assert counts["billed_twice"] <= totals["unsure"] <= max(open_, counts["in_flight_max"]) + 3
    assert counts["billed_items"] - counts["distinct_items"] == counts["billed_twice"]
    assert resumed.json["totals"]["from_ledger"] > 0
    assert here("run", *options, cwd=tmp_path).code == 0
    assert server.counts()["requests"] == counts["requests"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_stopped(server: RunningServer, undisturbed: dict[str, Any], tmp_path: Path, number: signal.Signals) -> None:
    server.set_strict({"latency": {"mean": 0.05, "jitter": 0.03}})
    write(tmp_path, config(server.url))
    stopped, _ = stop_in_the_middle(server, tmp_path, number)
    assert stopped.code == 130
    assert "same command" in stopped.error
    assert stopped.json["status"] == "interrupted"
    told = stopped.json["totals"]
    counts = server.counts()
    assert told["sent"] == counts["requests"] == counts["answered"], "what was in flight was waited for"
    resumed = here("run", "--json", cwd=tmp_path)
    assert_nothing_lost(server, resumed, undisturbed)
    assert server.counts()["billed_twice"] == 0
    assert resumed.json["totals"]["unsure"] == 0
    assert resumed.json["id"] == stopped.json["id"]


def test_a_second_signal_ends_at_once(server: RunningServer, tmp_path: Path) -> None:
    server.set_strict({"latency": {"mean": 20}})
    write(tmp_path, config(server.url))
    with started("run", cwd=tmp_path) as process:
        deadline = time.monotonic() + 60
        while not server.counts()["in_flight"]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=15)
    assert process.returncode == 130
    assert Done(process.returncode, "", err).error == "interrupted; the same command goes on where it stopped"


def test_a_run_whose_time_is_up_goes_on_with_the_same_command(
    server: RunningServer, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    write(tmp_path, config(server.url))
    stopped = here("run", "--json", "--max-time", "1s", cwd=tmp_path)
    assert stopped.code == 3
    assert "words: stopped (time)" in stopped.err
    assert "the 1 s that it may take are over; run the same command to go on" in stopped.err
    assert 0 < server.counts()["billed_items"] < undisturbed["totals"]["sent"]
    assert_nothing_lost(server, here("run", "--json", "--rate", "1000/s", cwd=tmp_path), undisturbed)
    assert server.counts()["billed_by_item_max"] == 1


@pytest.mark.parametrize(("text", "says"), [("soon", "max-time: "), ("0", "leaves no time to send anything")])
def test_a_time_that_makes_no_sense(server: RunningServer, tmp_path: Path, text: str, says: str) -> None:
    write(tmp_path, config(server.url))
    done = here("plan", "--max-time", text, cwd=tmp_path)
    assert done.code == 2
    assert says in done.error

"""``probe schedule`` as a user runs it: processes, a real endpoint, a real receiver of webhooks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from storage import Schedule, Schedules, Store
from tests.cli.program import Done, here, probe, started, texts_config, write
from tests.servers import RunningServer

KEY = b"0123456789abcdef0123456789abcdef"
SECRET = {"PROBE_TEST_WEBHOOK": "whsec_" + base64.b64encode(KEY).decode()}


class Receiver(HTTPServer):
    """Keeps what is posted to it: headers and body. ``answers``: statuses to give first, then 204."""

    def __init__(self) -> None:
        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.heard.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.server.answers.pop(0) if self.server.answers else 204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Says nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def config(server: RunningServer, storage: str, receiver: Receiver | None = None, **endpoint: Any) -> dict[str, Any]:
    made = {"storage": storage, **texts_config(server.url, endpoint=endpoint)}
    if receiver is not None:
        made["alerts"] = {"team": {"webhook": receiver.url, "secret": "${PROBE_TEST_WEBHOOK}"}}
    return made


def due(storage: str, path: Path, *command: str) -> None:
    """A schedule of every minute that has been there for a while, so that something is due at once."""
    with Store.open(storage) as store:
        ago = datetime.now(UTC) - timedelta(minutes=2)
        Schedules(store).add(Schedule("nightly", "* * * * *", "UTC", command, str(path), "once", ago))


def fires(storage: str) -> list[tuple[str, int | None, int]]:
    """State, exit code and attempts of what was not missed."""
    with Store.open(storage) as store:
        return [(f.state, f.exit_code, f.attempt) for f in Schedules(store).fires() if f.state != "missed"]


def test_a_schedule_is_added_listed_and_removed(tmp_path: Path, server: RunningServer) -> None:
    write(tmp_path, config(server, "sqlite:///probe.db"))
    added = here(
        "schedule",
        "add",
        "nightly",
        "0 3 * * *",
        "--zone",
        "Europe/Berlin",
        "--",
        "run",
        "--budget",
        "50req",
        cwd=tmp_path,
    )
    assert added.code == 0
    assert added.out.startswith("nightly: probe run --budget 50req, next at ")
    listed = here("schedule", "ls", "--json", cwd=tmp_path).json
    assert [(each["name"], each["command"], each["last"]) for each in listed] == [
        ("nightly", ["run", "--budget", "50req"], None)
    ]
    assert "Europe/Berlin" in here("schedule", "ls", cwd=tmp_path).out
    assert here("schedule", "add", "nightly", "0 4 * * *", "run", cwd=tmp_path).error.startswith(
        "there is a schedule 'nightly'"
    )
    assert here("schedule", "rm", "nightly", cwd=tmp_path).out == "nightly: removed\n"
    assert here("schedule", "ls", cwd=tmp_path).out == "no schedules yet; `probe schedule add` makes one\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "x", "0 25 * * *", "run"), "is not a cron expression (bad hour)"),
        (("add", "x", "0 2 * * *", "--zone", "Moon", "run"), "there is no time zone 'Moon'"),
        (("add", "x", "0 2 * * *", "rm", "-rf"), "a schedule does one of run, survey, check, not 'rm'"),
        (("rm", "x"), "there is no schedule 'x'; `probe schedule ls` lists them"),
        (("run", "--look", "30", "--stall", "31"), "must be at least twice --look 30"),
    ],
)
def test_slips_are_one_line(tmp_path: Path, server: RunningServer, arguments: tuple[str, ...], said: str) -> None:
    write(tmp_path, config(server, "sqlite:///probe.db"))
    done = here("schedule", arguments[0], *_options_first(arguments[1:]), cwd=tmp_path)
    assert done.code == 2
    assert said in done.error


def _options_first(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """With ``--`` before the command, whose options are not ours."""
    return (*arguments[:-2], "--", *arguments[-2:]) if arguments[-2:-1] == ("rm",) else arguments


def test_two_schedulers_on_one_database_fire_once_and_tell_once(
    tmp_path: Path, server: RunningServer, postgres_url: str, receiver: Receiver
) -> None:
    path = write(tmp_path, config(server, postgres_url, receiver, url=f"{server.url}/nowhere"))
    due(postgres_url, path, "run")
    both = [started("schedule", "run", "--once", cwd=tmp_path, env=SECRET) for _ in range(2)]
    ended = [Done(each.wait(), *each.communicate()) for each in both]
    assert sorted(done.code for done in ended) == [0, 4], [done.err for done in ended]
    assert fires(postgres_url) == [("done", 4, 1)]
    assert len(receiver.heard) == 1
    headers, body = receiver.heard[0]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    signature = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{signature}"
    told = json.loads(body)
    assert told["type"] == "probe.error"
    assert told["data"]["exit_code"] == 4
    assert "HTTP 404" in told["data"]["summary"]


def test_a_receiver_that_fails_gets_the_same_event_again(
    tmp_path: Path, server: RunningServer, receiver: Receiver
) -> None:
    storage = f"sqlite:///{tmp_path}/probe.db"
    path = write(tmp_path, config(server, storage, receiver))
    receiver.answers = [500]
    with Store.open(storage) as store:
        about = {"config": str(path), "payload": {"type": "probe.finding", "data": {"schedule": "nightly"}}}
        Schedules(store).raise_alerts("evt_1", ["team"], now=datetime.now(UTC), **about)  # type: ignore[arg-type]
    first = probe("schedule", "run", "--once", cwd=tmp_path, env=SECRET)
    assert "alert evt_1 to team: HTTP 500; again at " in first.err
    time.sleep(5)
    second = probe("schedule", "run", "--once", cwd=tmp_path, env=SECRET)
    assert "alert evt_1 to team: delivered" in second.err
    assert [headers["webhook-id"] for headers, _ in receiver.heard] == ["evt_1", "evt_1"]
    assert "whsec_" not in first.err + second.err


def test_a_scheduler_that_is_killed_takes_its_command_along_and_the_next_one_pays_for_nothing_twice(
    tmp_path: Path, server: RunningServer
) -> None:
    storage = f"sqlite:///{tmp_path}/probe.db"
    path = write(tmp_path, config(server, storage, limits={"rate": "5/s"}, batch=1))
    due(storage, path, "run")
    first = started("schedule", "run", "--look", "0.5", "--stall", "2", cwd=tmp_path)
    _until(lambda: server.counts()["requests"] >= 2)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    _until(lambda: not _children())
    second = probe("schedule", "run", "--once", "--look", "0.5", "--stall", "2", cwd=tmp_path)
    assert second.code == 0, second.err
    assert ("done", 0, 2) in fires(storage)
    with Store.open(storage) as store:
        sent = sum(run.totals.get("sent", 0) for run in store.runs(10))
        assert [run.status for run in store.runs(10)] == ["finished"]
    assert server.counts()["requests"] <= sent + 6  # what was in flight may be asked twice


def _until(holds: Any) -> None:
    deadline = time.monotonic() + 100
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _children() -> list[str]:
    """Commands that a scheduler started."""
    shown = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in shown.splitlines() if "probe.schedules.child" in line and str(os.getpid()) not in line]

"""The keeper of servers: shared by all who hold it, gone with the last of them, and it says what went wrong."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.endpoints import keeper
from tests.endpoints.software import ROOT, SOFTWARE, Software

HOLDER = """
import sys
from pathlib import Path
from tests.endpoints import keeper
with keeper.holding(Path(sys.argv[1])):
    keeper.ask_for("fastapi", Path(sys.argv[1]))
    print(keeper.address("fastapi", Path(sys.argv[1])), flush=True)
    sys.stdin.read()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    """Another process of the session. It lets go when its input ends."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_one_server_for_all_who_hold_it_until_the_last_has_gone(fastapi: str, tmp_path: Path) -> None:
    folder = tmp_path / "session"
    with holder(folder) as first, holder(folder) as second:
        url = said(first)
        assert said(second) == url != fastapi
        first.kill()
        first.wait()
        time.sleep(1)
        assert httpx.get(f"{url}/openapi.json").status_code == 200
        second.communicate("")
    until = time.monotonic() + 20
    while folder.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not folder.exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/openapi.json")


def test_a_server_that_does_not_come_up_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-c", "print('the port is taken'); raise SystemExit(3)"]
    monkeypatch.setitem(SOFTWARE, "broken", Software("none", lambda *_: command, "/"))
    folder = tmp_path / "session"
    with keeper.holding(folder):
        thread = threading.Thread(target=keeper.main, args=("broken", str(folder)))
        thread.start()
        with pytest.raises(RuntimeError, match="the server broken ended with 3:\nthe port is taken"):
            keeper.address("broken", folder)
    thread.join(20)
    assert not folder.exists()

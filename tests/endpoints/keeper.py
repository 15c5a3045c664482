"""Keeps one server up for as long as anyone holds it: ``python keeper.py NAME FOLDER``.

The processes of one test session share a folder. Who needs a server starts its keeper, whoever comes first, and holds a shared
lock on ``FOLDER/held``; the keeper writes the server's address to ``FOLDER/NAME.url`` once it answers, or what it said to
``FOLDER/NAME.failed``, and takes it down when the last holder is gone, however that ended.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import httpx

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.endpoints.software import APPS, SOFTWARE, Software

STARTUP_SECONDS = 180.0
TRIES = 3
HELD = "held"


def ask_for(name: str, folder: Path) -> subprocess.Popen[bytes] | None:
    """The keeper of server ``name``, or None if someone else has asked for it before. The caller holds the folder."""
    try:
        (folder / f"{name}.asked").touch(exist_ok=False)
    except FileExistsError:
        return None
    return subprocess.Popen(
        [sys.executable, __file__, name, str(folder)],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # an interrupt is for the tests, which then let go
    )


def address(name: str, folder: Path) -> str:
    """The URL of a server that was asked for, without a trailing slash. Raises ``RuntimeError`` if it does not come up."""
    deadline = time.monotonic() + STARTUP_SECONDS + 10
    while time.monotonic() < deadline:
        if (folder / f"{name}.url").exists():
            return (folder / f"{name}.url").read_text()
        if (folder / f"{name}.failed").exists():
            raise RuntimeError((folder / f"{name}.failed").read_text())
        time.sleep(0.05)
    raise RuntimeError(f"nobody says what became of the server {name}")


@contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Keep all servers of ``folder`` up meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / HELD).open("a") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        yield


def free_ports(count: int) -> tuple[int, ...]:
    """Ports of the loopback interface that nobody listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return tuple(each.getsockname()[1] for each in sockets)


def main(name: str, given: str) -> None:
    folder = Path(given)
    own = folder / name
    own.mkdir()
    with (folder / HELD).open() as held, (own / "log").open("wb") as log:
        for attempt in range(1, TRIES + 1):
            ports = free_ports(SOFTWARE[name].ports)
            url = f"http://127.0.0.1:{ports[0]}"
            process = _start(SOFTWARE[name], own / str(attempt), ports, log)
            try:
                trouble = _wait(process, url + SOFTWARE[name].ready)
                if trouble and attempt < TRIES and process.poll() is not None:
                    continue  # someone else may have taken a port in the meantime
                if trouble:
                    said = (own / "log").read_text(errors="replace")[-3000:]
                    _tell(folder / f"{name}.failed", f"the server {name} {trouble}:\n{said}")
                else:
                    _tell(folder / f"{name}.url", url)
                while _is_held(held.fileno()):
                    time.sleep(0.2)
                break
            finally:
                _stop(process)
    shutil.rmtree(folder, ignore_errors=True)


def _start(software: Software, folder: Path, ports: tuple[int, ...], log: IO[bytes]) -> subprocess.Popen[bytes]:
    folder.mkdir()
    return subprocess.Popen(
        software.command(folder, ports),
        cwd=folder,
        env=_variables(software),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _variables(software: Software) -> dict[str, str]:
    """Ours, without what would make that Python load what is installed for this one."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV", "AWS_"))}
    return kept | {"PYTHONPATH": str(APPS), "NO_PROXY": "127.0.0.1", **dict(software.variables)}


def _wait(process: subprocess.Popen[bytes], url: str) -> str:
    """Empty once ``url`` answers 200, else what is wrong."""
    deadline = time.monotonic() + STARTUP_SECONDS
    with httpx.Client(trust_env=False, timeout=5.0) as client:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                return f"ended with {process.returncode}"
            try:
                if client.get(url).status_code == 200:
                    return ""
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
    return f"did not answer within {STARTUP_SECONDS:g} s"


def _tell(path: Path, text: str) -> None:
    """``text`` in ``path``, complete from the first moment that it can be seen."""
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").rename(path)


def _is_held(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and the processes that it started."""
    for each, seconds in ((signal.SIGTERM, 2.0), (signal.SIGKILL, 5.0)):
        try:
            os.killpg(process.pid, each)
        except ProcessLookupError:
            break
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])

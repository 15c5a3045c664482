"""Real servers in their own processes, for tests and benchmarks."""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx

_ROOT = Path(__file__).resolve().parent.parent
BUILT_IN_MODELS = ("echo-length", "sum", "brightness")


class RunningServer:
    """A demo server that is up. ``url`` has no trailing slash."""

    def __init__(self, process: subprocess.Popen[str], url: str, client: httpx.Client) -> None:
        self.process = process
        self.url = url
        self._client = client

    def counts(self) -> dict[str, Any]:
        """What it saw and billed since the last reset (``Billing.counts``)."""
        return self._control("GET", "counts")

    def arrivals(self) -> list[dict[str, Any]]:
        """Every request since the last reset: ``at`` (monotonic seconds), ``model``, ``items``, ``digest``, ``status``,
        ``fault``, ``left`` (when it was over)."""
        arrivals: list[dict[str, Any]] = self._control("GET", "arrivals")["arrivals"]
        return arrivals

    def reset(self) -> None:
        """Empty the account; limits and attempts start anew under the same rules."""
        self._control("POST", "reset")

    def set_strict(self, strict: Mapping[str, Any]) -> dict[str, Any]:
        """Replace all rules; limits and attempts start anew, the account goes on. Returns the settings in force."""
        return self._control("POST", "strict", json=dict(strict))

    def stop(self) -> int:
        """SIGTERM, wait, exit code. May be called again."""
        self.process.terminate()
        try:
            return self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def _control(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        answer = self._client.request(method, f"{self.url}/_control/{path}", **options)
        if answer.status_code != 200:
            raise ValueError(f"/_control/{path} answered {answer.status_code}: {answer.text}")
        body: dict[str, Any] = answer.json()
        return body


@contextmanager
def running_server(
    strict: Mapping[str, Any] | None = None,
    models: Sequence[str] | None = BUILT_IN_MODELS,
    *,
    cache: Path | None = None,
    preload: bool = False,
    startup_seconds: float = 60.0,
) -> Iterator[RunningServer]:
    """A demo server on a free loopback port, stopped at the end. ``models``: ``None`` for all there are."""
    command = [sys.executable, "-m", "probe.demo", "--strict", json.dumps(dict(strict or {}))]
    command += ["--models", ",".join(models)] if models is not None else []
    command += ["--cache", str(cache)] if cache is not None else []
    command += ["--preload"] if preload else []
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
        # one connection for all control requests: it goes on while the server refuses new ones
        httpx.Client(trust_env=False, timeout=60.0, limits=httpx.Limits(keepalive_expiry=None)) as client,
    ):
        try:
            yield RunningServer(process, _address(process, errors, startup_seconds), client)
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    process.kill()


def _address(process: subprocess.Popen[str], errors: IO[str], seconds: float) -> str:
    """The URL from the server's first line. Raises ``RuntimeError`` with what it wrote on stderr if it does not come up."""
    assert process.stdout is not None
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        selector.select(timeout=max(0.0, deadline - time.monotonic()))
        line = process.stdout.readline() if selector.select(timeout=0) else ""
    word, _, url = line.strip().partition(" ")
    if word != "listening":
        process.kill()
        process.wait()
        errors.seek(0)
        raise RuntimeError(f"the demo server did not start within {seconds:g} s: {line}{errors.read()}")
    return url

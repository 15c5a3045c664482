"""The journal: how long until a row is durable at 200 rows a second, and how many rows a second it takes at most.

On SQLite (``synchronous=FULL``) in a temporary directory and, where there is one, on Postgres. Rows arrive one by one and
evenly, as the engine writes them: each is an intent or an answer with a body of its own.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from datetime import UTC, datetime
from functools import partial

from benchmarks.common import Line, finish, options
from benchmarks.shared_limit import databases
from storage import Journal, Store
from storage.records import Endpoint, Entry, Run

_RATE = 200  #: rows per second


def entries(number: int) -> tuple[Entry, Entry, bytes]:
    """The two rows of one evaluation, and the answer's body."""
    now = datetime.now(UTC)
    key = number.to_bytes(32, "big")
    intended = Entry(key, 0, "intended", "endpoint", "run", now, attempts=1)
    body = b'{"scores": {"long": 0.%06d}}' % number
    return intended, intended.but(state="answered", answered_at=now, scores={"long": number / 1e6}, elapsed=0.1), body


def paced(journal: Journal, count: int) -> list[float]:
    """Seconds until each of ``count`` rows was durable, sorted."""
    seconds: list[float] = []
    pending: list[Future[None]] = []
    start = time.perf_counter()

    def noted(began: float, written: Future[None]) -> None:
        assert written.exception() is None
        seconds.append(time.perf_counter() - began)

    for number in range(count // 2):
        intended, answered, body = entries(number)
        for part in (0, 1):
            wait = start + (2 * number + part) / _RATE - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
            began = time.perf_counter()
            written = journal.record([answered], [body]) if part else journal.intend([intended])
            written.add_done_callback(partial(noted, began))
            pending.append(written)
    for each in pending:
        each.result()
    return sorted(seconds)


def flood(journal: Journal, count: int) -> float:
    """Rows per second, when all of ``count`` evaluations are handed over at once."""
    work = [entries(1_000_000 + number) for number in range(count)]
    began = time.perf_counter()
    written = [journal.intend([intended]) for intended, _, _ in work]
    written += [journal.record([answered], [body]) for _, answered, body in work]
    for each in written:
        each.result()
    return 2 * count / (time.perf_counter() - began)


def lines(kind: str, url: str, *, quick: bool) -> Iterator[Line]:
    """What one database does."""
    with Store.open(url) as store:
        store.put_endpoint(Endpoint("endpoint", "endpoint", "http", "", "", "endpoint"))
        store.start_run(Run("run", "benchmark", b"", "", "", 1, datetime.now(UTC)))
        with Journal(store) as journal:
            seconds = paced(journal, 400 if quick else 4000)
            p50, p99 = statistics.median(seconds), seconds[int(len(seconds) * 0.99)]
            good = p50 <= 0.005 and p99 <= 0.025
            goal = "p50 ≤ 5 ms, p99 ≤ 25 ms"
            yield Line(
                f"{kind}: durable at {_RATE} rows/s", f"p50 {p50 * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms", "", goal, good
            )
            yield Line(f"{kind}: all at once", f"{flood(journal, 1000 if quick else 10_000):,.0f} rows/s")


def main() -> int:
    """Exit code 1 if a goal is missed."""
    chosen = options(__doc__ or "")
    with databases() as found:
        table = [line for kind, url in found.items() for line in lines(kind, url, quick=chosen.quick)]
    return finish("Journal", table, json_file=chosen.json, packages=("sqlalchemy", "psycopg"))


if __name__ == "__main__":
    sys.exit(main())

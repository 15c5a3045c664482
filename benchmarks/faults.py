"""The fault matrix: everything that can go wrong on the way, and whether our account of it agrees with the server's.

Each line sends N texts through ``probe.predict_fn`` (ledger, journal, limiter, retries, all on) to a server that breaks
connections, loses, delays and damages answers, or refuses, and compares what both sides counted:

    lost         texts that can be answered and have no answer
    miscounted   requests that we say we sent and the server did not see, or the other way round
    misbilled    requests by which our account of what is paid for is wrong: too low, or too high without saying "maybe"
    unreported   inputs billed more than once without our having said that this may be so

The alternative (gather, tenacity, httpx) on the same faults shows what is billed twice without anybody knowing.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

import probe
from adapters import Adapter, endpoint_from_config, open_transport
from benchmarks.common import Line, finish, options
from probe.clock import Clock
from probe.engine.keys import evaluation_key
from probe.engine.session import Predictor
from probe.setup import remote_of
from storage import Store
from tests.servers import RunningServer, running_server

PRICE = 1_000  #: micro-units a request
POISON = "arsenic"
_RATE = 200
_CONCURRENCY = 16

Beside = Callable[[RunningServer, int], None]


@dataclass(frozen=True, slots=True)
class Case:
    """One way for things to go wrong."""

    name: str
    rules: Mapping[str, Any]  #: of the strict server
    limits: Mapping[str, Any] = field(default_factory=dict)  #: of our endpoint
    batch: int = 1
    poisoned: bool = False  #: one of the texts can never be answered
    down: bool = False  #: none can
    unseen: bool = False  #: a request may leave here and die in a socket that the server has just closed
    beside: Beside | None = None  #: runs in a thread meanwhile; gets the server and the number of texts
    clock: Callable[[], Clock] | None = None
    most_refused: float | None = None  #: refusals (429, 503) per text
    paced: float | None = None  #: the rate at which the texts must have been sent, within 5 %
    alternative: bool = False

    def texts(self, count: int) -> list[str]:
        """``count`` distinct texts, the poison among them if there is one."""
        texts = [f"case {number:04d} " + "word " * (number % 7 + 3) for number in range(count)]
        if self.poisoned:
            texts[count // 2] = f"some {POISON} in the middle"
        return texts


@dataclass(frozen=True, slots=True)
class Account:
    """What our side says about one case."""

    states: Mapping[str, str]  #: in the ledger, by text
    sent: int
    retried: int
    throttled: int
    maybe_billed: int  #: requests
    maybe_billed_items: int  #: inputs, by the ledger
    paid: int  #: requests that our account says will be on the bill, the doubtful ones included
    attempts: int  #: requests by the ledger's rows; those of a batch are in each of its rows
    error: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """Our account beside the server's."""

    case: Case
    ours: Account
    seen: Mapping[str, Any]
    arrivals: Sequence[float]

    @property
    def lost(self) -> int:
        """Texts that can be answered and are not."""
        unanswered = [text for text, state in self.ours.states.items() if state != "answered"]
        return 0 if self.case.down else sum(POISON not in text for text in unanswered)

    @property
    def miscounted(self) -> int:
        """Our requests against the server's, and our totals against our ledger's rows."""
        ours, seen = self.ours, int(self.seen["requests"])
        gone = min(ours.maybe_billed, max(0, ours.sent - seen)) if self.case.unseen else 0
        wrong = abs(ours.sent - gone - seen)
        if self.case.batch == 1:
            wrong += abs(ours.attempts - ours.sent) + abs(ours.maybe_billed - ours.maybe_billed_items)
            wrong += max(0, ours.sent - len(ours.states) - ours.retried)
        return wrong

    @property
    def misbilled(self) -> int:
        """The server's bill is at least what we are sure of, and at most what we reckon with."""
        sure, most = self.ours.paid - self.ours.maybe_billed, self.ours.paid
        return max(0, sure - int(self.seen["billed_requests"]), int(self.seen["billed_requests"]) - most)

    @property
    def billed_again(self) -> int:
        return int(self.seen["billed_items"]) - int(self.seen["distinct_items"])

    @property
    def unreported(self) -> int:
        return max(0, self.billed_again - self.ours.maybe_billed_items)

    @property
    def refused(self) -> int:
        return sum(int(self.seen["statuses"].get(status, 0)) for status in ("429", "503"))

    @property
    def pace(self) -> float:
        """Requests a second, from the first arrival to the last."""
        first, *_, last = self.arrivals
        return (len(self.arrivals) - 1) / (last - first)

    @property
    def wrong(self) -> dict[str, int]:
        """What is not 0 and should be."""
        all_ = {name: getattr(self, name) for name in ("lost", "miscounted", "misbilled", "unreported")}
        return {name: count for name, count in all_.items() if count}

    def line(self) -> Line:
        """One row of the table."""
        case, ours, count = self.case, self.ours, len(self.ours.states)
        holds, goal = not self.wrong, "nothing wrong"
        words = ", ".join(f"{name} {much}" for name, much in self.wrong.items()) or "nothing wrong"
        words += f"; sent {ours.sent}, maybe billed {ours.maybe_billed}, billed again {self.billed_again}"
        if self.refused:
            words += f", refused {self.refused}"
        if case.most_refused is not None:
            holds &= self.refused <= case.most_refused * count
            goal += f", refused ≤ {case.most_refused:g} N"
        if case.paced is not None:
            holds &= abs(self.pace / case.paced - 1) <= 0.05
            goal += f", {case.paced:.1f}/s ± 5 %"
            words += f", {self.pace:.1f}/s"
        return Line(case.name, words, f"billed/N {self.seen['billed_items'] / count:.2f}", goal, holds)


# --- what goes wrong


def _lower_the_limit(server: RunningServer, count: int) -> None:
    while server.counts()["requests"] < count // 3:
        time.sleep(0.02)
    server.set_strict({"rate": {"limit": 20, "window": 1.0}})


def _jumping_clock() -> Clock:
    """The wall clock goes a day back and forth with every look at it; the monotonic one is the machine's."""
    jumps = itertools.cycle([timedelta(0), timedelta(days=-1), timedelta(hours=7), timedelta(days=1)])
    return Clock(now=lambda: datetime.now(UTC) + next(jumps))


def _slow(kind: str) -> dict[str, Any]:
    return {"faults": {kind: {"share": 0.1, "seconds": 4}}}


_MIDDLE = {"from": 0.1, "seconds": 0.7}
_STORM = {"from": 0.1, "seconds": 1.0}
_EVERYTHING = {
    "rate": {"limit": _RATE, "window": 1.0},
    "latency": {"mean": 0.03, "jitter": 0.02},
    "faults": {
        **dict.fromkeys(("status500", "drop_before", "drop_after", "truncate", "html", "close", "cut"), 0.03),
        "hang": {"share": 0.02, "seconds": 4},
        "drip": {"share": 0.02, "seconds": 4},
    },
}

CASES: tuple[Case, ...] = (
    Case("kept-alive connections closed when about to be used", {"idle_close": 0.02}, {"rate": "50/s"}, unseen=True),
    Case("connections closed after every answer", {"idle_close": 0}, unseen=True),
    Case("connections refused at the start, for 0.7 s", {"refuse": {"seconds": 0.7}}),
    Case("connections refused in the middle, for 0.7 s", {"refuse": _MIDDLE, "idle_close": 0}, unseen=True),
    Case("connections refused for good", {"refuse": {"seconds": 3600}}, down=True),
    Case("reset before processing", {"faults": {"drop_before": 0.1}}, alternative=True),
    Case("reset after processing", {"faults": {"drop_after": 0.1}}, alternative=True),
    Case("closed without an answer", {"faults": {"close": 0.1}}, alternative=True),
    Case("hang beyond the deadline", _slow("hang"), {"timeout": 0.8}, alternative=True),
    Case("slow drip beyond the deadline", _slow("drip"), {"timeout": 0.8}, alternative=True),
    Case("body shorter than promised", {"faults": {"truncate": 0.1}}, alternative=True),
    Case("truncated JSON", {"faults": {"cut": 0.1}}, alternative=True),
    Case("billed and lost, up to twice", {"faults": {"drop_after": 0.4, "attempts": 2}}, alternative=True),
    Case("a page of HTML once", {"faults": {"html": 0.05, "seed": 1}}, alternative=True),
    Case("500 once", {"faults": {"status500": 0.1}}),
    Case("500 for ever on one input", {"faults": {"poison": POISON}}, poisoned=True),
    Case("500 for ever on one input, in batches of 8", {"faults": {"poison": POISON}}, batch=8, poisoned=True),
    Case("429 storm of 1 s", {"storm": _STORM}, most_refused=0.2),
    Case("503 storm of 1 s with Retry-After", {"storm": {**_STORM, "status": 503}}, most_refused=0.2),
    Case("503 storm of 1 s without Retry-After", {"storm": {**_STORM, "status": 503, "retry_after": "none"}}),
    Case(
        "limit lowered in the middle, 100/s → 20/s",
        {"rate": {"limit": 100, "window": 1.0}},
        {"rate": "100/s"},
        beside=_lower_the_limit,
        most_refused=0.2,
    ),
    Case(
        "limit of 50/s announced, 100/s in the config",
        {"rate": {"limit": 50, "window": 1.0}, "announce": "ietf", "latency": {"mean": 0.05}},
        {"rate": "100/s"},
        most_refused=0.0,
    ),
    Case(
        "wall clock jumps by a day, back and forth",
        {"rate": {"limit": 50, "window": 1.0}},
        {"rate": "40/s"},
        clock=_jumping_clock,
        most_refused=0.0,
        paced=40 / 1.02,  # less our limiter's guard
    ),
    Case("everything at once", _EVERYTHING, {"timeout": 0.8}, alternative=True),
    Case("everything at once, in batches of 4", _EVERYTHING, {"timeout": 0.8}, batch=4),
)  # fmt: skip


# --- both clients


def drive(case: Case, server: RunningServer, *, count: int) -> Verdict:
    """``count`` texts through our engine while ``case`` happens."""
    work = case.texts(count)
    server.set_strict(case.rules)
    server.reset()
    with _beside(case, server, count), tempfile.TemporaryDirectory() as folder:
        ours = _ours(case, server.url, work, storage=f"sqlite:///{folder}/probe.db")
    return Verdict(case, ours, server.counts(), [arrival["at"] for arrival in server.arrivals()])


def _ours(case: Case, url: str, work: Sequence[str], *, storage: str) -> Account:
    adapter = _adapter(case, url)
    error = ""
    with _predictor(case, adapter, storage) as predict:
        try:
            predict(list(work))
        except (probe.EndpointDown, probe.BudgetReached) as failed:
            error = str(failed)
    keys = {text: evaluation_key(adapter.identity, text) for text in work}
    with Store.open(storage) as store:
        found = store.lookup(list(keys.values()))
        totals = Counter(store.runs(1)[0].totals)
    entries = list(found.values())
    return Account(
        states={text: found[key].state if key in found else "nothing" for text, key in keys.items()},
        sent=totals["sent"],
        retried=totals["retried"],
        throttled=totals["throttled"],
        maybe_billed=totals["maybe_billed"],
        maybe_billed_items=sum(entry.maybe_billed for entry in entries),
        paid=totals["cost_micro"] // PRICE,
        attempts=sum(entry.attempts for entry in entries),
        error=error,
    )


def _adapter(case: Case, url: str) -> Adapter:
    config = {
        "url": f"{url}/v1/echo-length/predict",
        "json": {"inputs": [{"$each": "{{ x }}"}]},
        "items": "predictions",
        "scores": {"map": "scores"},
        "labels": ["long", "short"],
        "batch": case.batch,
        "price": {"request": PRICE / 1_000_000},
        "limits": {"rate": f"{_RATE}/s", "concurrency": _CONCURRENCY, "timeout": 10, **case.limits},
    }
    return endpoint_from_config("strict", config, environment={}, base=Path())


def _predictor(case: Case, adapter: Adapter, storage: str) -> Predictor:
    if case.clock is None:
        return probe.predict_fn(adapter, storage=storage)
    return Predictor(
        remote_of(adapter, provider="http", url="", model=""),
        Store.open(storage),
        open_transport=lambda: open_transport(adapter, environment={}),
        clock=case.clock(),
    )


@contextmanager
def _beside(case: Case, server: RunningServer, count: int) -> Iterator[None]:
    if case.beside is None:
        yield
        return
    thread = threading.Thread(target=case.beside, args=(server, count))
    thread.start()
    yield
    thread.join()


def plain(case: Case, server: RunningServer, *, count: int) -> Line:
    """The same texts through gather, tenacity and httpx."""
    work = case.texts(count)
    server.set_strict(case.rules)
    server.reset()

    async def main() -> int:
        places = asyncio.Semaphore(_CONCURRENCY)
        timeout = case.limits.get("timeout", 10)
        async with httpx.AsyncClient(base_url=server.url, timeout=timeout, trust_env=False) as client:

            async def ask(text: str) -> None:
                async for attempt in AsyncRetrying(
                    stop=stop_after_attempt(5),
                    wait=wait_random_exponential(multiplier=0.5, max=10),
                    retry=retry_if_exception_type(httpx.HTTPError),
                    reraise=True,
                ):
                    with attempt:
                        async with places:
                            answer = await client.post("/v1/echo-length/predict", json={"inputs": [text]})
                        answer.raise_for_status()
                        answer.json()["predictions"][0]["scores"]["long"]

            results = await asyncio.gather(*map(ask, work), return_exceptions=True)
            return sum(result is None for result in results)

    answered = asyncio.run(main())
    seen = server.counts()
    again = seen["billed_items"] - seen["distinct_items"]
    words = f"lost {count - answered}, unreported {again}; sent {seen['requests']}"
    return Line(f"… gather + tenacity + httpx: {case.name}", words, f"billed/N {seen['billed_items'] / count:.2f}")


def main() -> int:
    """Exit code 1 if a goal is missed."""
    chosen = options(__doc__ or "")
    count = 64 if chosen.quick else 160
    lines = []
    with running_server({}, models=("echo-length",), preload=True) as server:
        for case in CASES:
            lines.append(drive(case, server, count=count).line())
            if case.alternative:
                lines.append(plain(case, server, count=count))
    packages = ("aiohttp", "httpx", "tenacity", "sqlalchemy")
    return finish(f"Faults on the way, N {count}", lines, json_file=chosen.json, packages=packages)


if __name__ == "__main__":
    sys.exit(main())

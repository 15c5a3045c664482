"""The engine under a strict sliding window, beside a plain asyncio client and shap over requests: span, 429s, billing.

Every client does the same work: N texts, each to be answered once, by a server in another process that allows so many
requests in any second, answers after 100 ms, and answers 1 % of first attempts with a 500. The server judges: arrivals by
its own clock, refusals, and how often each text was billed.
"""

from __future__ import annotations

import asyncio
import gc
import math
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from asyncio_throttle.throttler import Throttler
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from benchmarks.common import Line, finish, options
from tests.servers import RunningServer, running_server

_LATENCY = 0.1
_FAULTS = 0.01
_WORDS = 20
#: by rate: the longest span, and the largest share of 429s
_GOALS: dict[int, tuple[float | None, float]] = {
    5: (1.03, 0.0),
    50: (1.03, 0.0),
    100: (1.03, 0.0),
    500: (1.03, 0.001),
    2000: (None, 0.005),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the server saw of one client's work, and how many texts the client got an answer for."""

    span: float
    refused: int
    billed: float  #: items billed per text
    sent: int
    failures: int  #: injected
    answered: int


def texts(count: int, *, salt: str = "") -> list[str]:
    """``count`` distinct texts of the same length of words."""
    return [f"{salt}{number:06d} " + "word " * (number % 7 + 3) for number in range(count)]


def ours(server: RunningServer, work: Sequence[str], *, rate: int) -> int:
    """Through ``probe.predict_fn``: ledger, journal, limiter, retries, all on."""
    from datetime import timedelta

    import probe
    from adapters import endpoint_from_config

    config = {
        "adapter": "http",
        "url": f"{server.url}/v1/echo-length/predict",
        "json": {"inputs": ["{{ x }}"]},
        "items": "predictions",
        "scores": {"map": "scores"},
        "labels": ["long", "short"],
        "limits": {"rate": f"{rate}/s"},
    }
    gc.freeze()  # as `probe run` does
    adapter = endpoint_from_config("strict", config, environment={}, base=Path())
    with (
        tempfile.TemporaryDirectory() as folder,
        probe.predict_fn(adapter, storage=f"sqlite:///{folder}/probe.db", fresh=timedelta(days=1)) as predict,
    ):
        return len(predict(list(work)))


def plain(server: RunningServer, work: Sequence[str], *, rate: int) -> int:
    """What one writes in ten minutes: gather, asyncio-throttle, tenacity, httpx."""

    async def main() -> int:
        throttler = Throttler(rate_limit=rate, period=1.0)
        async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=None), trust_env=False) as client:

            async def ask(text: str) -> bool:
                async for attempt in AsyncRetrying(
                    stop=stop_after_attempt(8),
                    wait=wait_random_exponential(multiplier=0.5, max=10),
                    retry=retry_if_exception_type(httpx.HTTPError),
                    reraise=True,
                ):
                    with attempt:
                        async with throttler:
                            answer = await client.post(f"{server.url}/v1/echo-length/predict", json={"inputs": [text]})
                        answer.raise_for_status()
                return True

            results = await asyncio.gather(*(ask(text) for text in work), return_exceptions=True)
            return sum(result is True for result in results)

    return asyncio.run(main())


def shap_over_requests(server: RunningServer, work: Sequence[str], *, rate: int) -> int:
    """``shap.KernelExplainer`` over a function that posts with requests and urllib3's retries, one row at a time."""
    import requests
    import shap
    from urllib3.util.retry import Retry

    session = requests.Session()
    session.trust_env = False
    retry = Retry(total=8, status_forcelist=[429, 500], allowed_methods=None, backoff_factor=0.2)
    session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retry))
    asked = 0
    words = [f"word{number}" for number in range(_WORDS)]

    def scores(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        nonlocal asked
        values = []
        for row in rows:
            text = " ".join(word for word, keep in zip(words, row, strict=True) if keep)
            body = {"inputs": [text or "-"]}
            answer = session.post(f"{server.url}/v1/echo-length/predict", json=body, timeout=60)
            answer.raise_for_status()
            values.append(answer.json()["predictions"][0]["scores"]["long"])
            asked += 1
        return np.array(values)

    explainer = shap.KernelExplainer(scores, np.zeros((1, _WORDS)))
    explainer.shap_values(np.ones((1, _WORDS)), nsamples=max(len(work) - 2, 2), l1_reg=False, silent=True)
    del rate  # it has no limiter: one request at a time is what keeps it slow
    return asked


Client = Callable[..., int]


def drive(client: Client, work: Sequence[str], *, rate: int, server: RunningServer) -> Outcome:
    """One client's work on a server that starts from nothing."""
    server.reset()
    answered = client(server, work, rate=rate)
    counts: Mapping[str, Any] = server.counts()
    return Outcome(
        span=counts["span"],
        refused=counts["refused_429"],
        billed=counts["billed_items"] / max(answered, 1),
        sent=counts["requests"],
        failures=counts["faults"].get("status500", 0),
        answered=answered,
    )


@contextmanager
def strict(rate: int) -> Iterator[RunningServer]:
    """A server that allows ``rate`` requests in any second."""
    rules = {
        "rate": {"limit": rate, "window": 1.0, "kind": "sliding"},
        "latency": {"mean": _LATENCY},
        "faults": {"status500": _FAULTS},
    }
    with running_server(rules, models=("echo-length",), preload=True) as server:
        yield server


def line(
    name: str, outcome: Outcome, *, rate: int, count: int, most_refused: float | None, span_goal: float | None
) -> Line:
    """One row of the table. ``most_refused`` ``None``: a client that is there for comparison; ``span_goal`` ``None``: a rate
    that no client of ours reaches, at which only refusals count."""
    least = outcome.sent / rate
    ratio = outcome.span / least
    exact = outcome.sent == count + outcome.failures + outcome.refused
    seen = (
        f"{outcome.refused} × 429, billed/N {outcome.billed:.3f}, sent/N {outcome.sent / count:.3f}, "
        f"lost {count - outcome.answered}"
    )
    if most_refused is None:
        return Line(f"{rate}/s, N {count}: {name}", seen, f"span {outcome.span / (count / rate):.3f}")
    holds = (
        (span_goal is None or ratio <= span_goal)
        and outcome.refused <= most_refused * outcome.sent
        and math.isclose(outcome.billed, 1.0)
        and exact
        and outcome.answered == count
    )
    allowed = "0 × 429" if most_refused == 0 else f"≤ {most_refused:.1%} 429"
    return Line(
        f"{rate}/s, N {count}: {name}",
        seen,
        f"span {ratio:.3f}",
        f"{'' if span_goal is None else f'span ≤ {span_goal:.2f}, '}{allowed}, billed/N 1",
        holds,
    )


def main() -> int:
    """Exit code 1 if a goal is missed."""
    chosen = options(__doc__ or "")
    cases = (
        [(5, 60), (50, 300), (100, 500), (500, 2000)]
        if chosen.quick
        else [(5, 150), (50, 1000), (100, 1000), (500, 10000), (2000, 10000)]
    )
    lines = []
    for rate, count in cases:
        work = texts(count)
        with strict(rate) as server:
            outcome = drive(ours, work, rate=rate, server=server)
            goal, refused = _GOALS[rate]
            lines.append(line("probe", outcome, rate=rate, count=count, most_refused=refused, span_goal=goal))
            if rate in {50, 100}:
                outcome = drive(plain, work, rate=rate, server=server)
                lines.append(
                    line(
                        "gather + asyncio-throttle + tenacity",
                        outcome,
                        rate=rate,
                        count=count,
                        most_refused=None,
                        span_goal=None,
                    )
                )
            if rate == 100:
                part = work[: 200 if chosen.quick else 1000]
                outcome = drive(shap_over_requests, part, rate=rate, server=server)
                lines.append(
                    line(
                        "shap.KernelExplainer over requests",
                        outcome,
                        rate=rate,
                        count=len(part),
                        most_refused=None,
                        span_goal=None,
                    )
                )
    packages = ("httpx", "asyncio-throttle", "tenacity", "shap", "requests", "aiohttp")
    return finish("Pacing under a strict sliding window of one second", lines, json_file=chosen.json, packages=packages)


if __name__ == "__main__":
    sys.exit(main())

"""Figures for Prometheus, in its text format (version 0.0.4)."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from probe.web.jobs import Jobs
from storage import Store
from storage import jobs as queue

_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Requests:
    """Counts answers by method, route and status, and how long they took by route."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: dict[tuple[str, str, int], int] = {}
        self._times: dict[str, tuple[list[int], float]] = {}

    def hear(self, told: Mapping[str, Any]) -> None:
        """Count one answer."""
        route, seconds = str(told["route"]), float(told["seconds"])
        with self._lock:
            key = (str(told["method"]), route, int(told["status"]))
            self._answers[key] = self._answers.get(key, 0) + 1
            counts, total = self._times.setdefault(route, ([0] * (len(_BOUNDS) + 1), 0.0))
            counts[bisect_left(_BOUNDS, seconds)] += 1
            self._times[route] = counts, total + seconds

    def lines(self) -> Iterator[str]:
        """The families ``probe_http_requests_total`` and ``probe_http_request_seconds``."""
        with self._lock:
            answers = dict(self._answers)
            times = {route: (list(counts), total) for route, (counts, total) in self._times.items()}
        yield from _family("probe_http_requests_total", "counter", "Answers by method, route and status.")
        for (method, route, status), count in sorted(answers.items()):
            yield _line("probe_http_requests_total", count, method=method, route=route, status=status)
        yield from _family("probe_http_request_seconds", "histogram", "Time from request to the end of the answer.")
        for route, (counts, total) in sorted(times.items()):
            seen = 0
            for bound, count in zip((*_BOUNDS, "+Inf"), counts, strict=True):
                seen += count
                yield _line("probe_http_request_seconds_bucket", seen, route=route, le=bound)
            yield _line("probe_http_request_seconds_sum", total, route=route)
            yield _line("probe_http_request_seconds_count", seen, route=route)


def exposition(store: Store, jobs: Jobs, requests: Requests) -> str:
    """Everything there is to tell."""
    lines = [*requests.lines(), *_of_jobs(store, jobs), *_of_usage(store)]
    return "\n".join(lines) + "\n"


def _of_jobs(store: Store, jobs: Jobs) -> Iterator[str]:
    counts = queue.counts(store)
    yield from _family("probe_jobs", "gauge", "Jobs by status.")
    for status in ("queued", "running", "finished", "failed", "cancelled"):
        yield _line("probe_jobs", counts.get(status, 0), status=status)
    yield from _family("probe_run_evaluations_done", "gauge", "Evaluations answered so far in runs that work here.")
    states = [live.state() for live in jobs.working()]
    for state in states:
        if state.run is not None:
            yield _line("probe_run_evaluations_done", state.done, run=state.run)
    yield from _family(
        "probe_run_requests_in_flight", "gauge", "Requests without an answer yet in runs that work here."
    )
    for state in states:
        if state.run is not None:
            yield _line("probe_run_requests_in_flight", state.in_flight, run=state.run)


def _of_usage(store: Store) -> Iterator[str]:
    sums: dict[tuple[str, str], list[int]] = {}
    for used in store.usage():
        sums_of = sums.setdefault((used.provider, used.model), [0, 0, 0])
        for place, amount in enumerate((used.requests, used.errors, used.cost_micro)):
            sums_of[place] += amount
    families = (
        ("probe_endpoint_requests_total", "Requests sent to remote models."),
        ("probe_endpoint_errors_total", "Requests to remote models without a usable answer."),
        ("probe_endpoint_cost_micro_total", "Cost of remote models in micro-units of their currencies."),
    )
    for place, (name, words) in enumerate(families):
        yield from _family(name, "counter", words)
        for (provider, model), amounts in sorted(sums.items()):
            yield _line(name, amounts[place], provider=provider, model=model)


def _family(name: str, kind: str, words: str) -> Iterable[str]:
    return (f"# HELP {name} {words}", f"# TYPE {name} {kind}")


def _line(name: str, value: float, **labels: object) -> str:
    told = ",".join(f'{label}="{_escaped(str(text))}"' for label, text in labels.items())
    return f"{name}{{{told}}} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

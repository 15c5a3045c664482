"""The engine under a limit on tokens: 429s and how much of the limit is used, judged by the server's own count.

Texts of 8 to 57 tokens, a server in another process that allows so many tokens in any window and answers after 100 ms with
the usage it counted. The engine knows the limit and estimates a request's tokens from its bytes until its answer is there.
"""

from __future__ import annotations

import gc
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import Line, finish, options
from tests.servers import RunningServer, running_server

_LATENCY = 0.1
_GOAL = 0.95


def texts(count: int) -> list[str]:
    """``count`` distinct texts of very different lengths."""
    return [f"{number:06d} " + "word " * (6 + (number * 7919) % 50) for number in range(count)]


def answered(server: RunningServer, work: Sequence[str], *, limits: dict[str, Any]) -> int:
    """Through ``probe.predict_fn``: ledger, journal, limiters, retries, all on."""
    import probe
    from adapters import endpoint_from_config

    config = {
        "adapter": "http",
        "url": f"{server.url}/v1/echo-length/predict",
        "json": {"inputs": ["{{ x }}"]},
        "items": "predictions",
        "scores": {"map": "scores"},
        "labels": ["long", "short"],
        "limits": limits,
        "usage": {"input": "usage.prompt_tokens", "output": "usage.completion_tokens"},
    }
    gc.freeze()  # as `probe run` does
    adapter = endpoint_from_config("tokens", config, environment={}, base=Path())
    with (
        tempfile.TemporaryDirectory() as folder,
        probe.predict_fn(adapter, storage=f"sqlite:///{folder}/probe.db") as predict,
    ):
        return len(predict(list(work)))


def measured(kind: str, *, limit: int, window: float, count: int) -> Line:
    """One server, one limit; the share is that of the tokens of all requests but the last, which start the clock's span."""
    work = texts(count)
    rules = {
        "rate": {"limit": limit, "window": window, "kind": kind, "unit": "tokens"},
        "latency": {"mean": _LATENCY},
    }
    with running_server(rules, models=("echo-length",), preload=True) as server:
        done = answered(server, work, limits={"tokens": {"requests": limit, "period": window}})
        counts, arrivals = server.counts(), server.arrivals()
    used = sum(arrival["tokens"] for arrival in arrivals[:-1] if arrival["status"] == 200)
    share = used / (limit / window) / (counts["span"] - _LATENCY)
    refused = counts["refused_429"]
    return Line(
        f"{limit} tokens / {window:g} s, {kind}, N {count}",
        f"{refused} × 429, billed/N {counts['billed_items'] / count:.3f}, lost {count - done}",
        f"{share:.3f} of the limit",
        f"0 × 429, ≥ {_GOAL:.2f}, billed/N 1",
        refused == 0 and share >= _GOAL and done == counts["billed_items"] == count,
    )


def main() -> int:
    """Exit code 1 if a goal is missed."""
    chosen = options(__doc__ or "")
    count = 400 if chosen.quick else 2000
    lines = [
        measured("bucket", limit=2000, window=1.0, count=count),
        measured("sliding", limit=2000, window=1.0, count=count),
        measured("bucket", limit=60_000, window=60.0, count=count),
    ]
    return finish("Pacing under a limit on tokens", lines, json_file=chosen.json)


if __name__ == "__main__":
    sys.exit(main())

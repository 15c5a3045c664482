"""Pages over ten million stored evaluations: answers alone, and beside 50 viewers and four running probes.

On SQLite in a temporary directory. A viewer loads one page after another with two seconds in between, drawn anew each time
from those listed. The probes ask a loopback endpoint at 20 requests a second each; what they reach of that is measured too.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import yaml

from benchmarks.common import Line, finish, options
from benchmarks.storage import analyzed, fill
from storage import Store
from tests.servers import running_server

_GOAL = 0.1
_VIEWERS = 50
_PAUSE = 2.0
_PROBES = 4
_RATE = 20


def pages(client: httpx.Client) -> dict[str, list[str]]:
    """What there is to look at, by kind."""
    runs = [each["id"] for each in client.get("/api/v1/runs", params={"limit": 50}).json()["runs"]]
    probes = [
        each["id"] for each in client.get(f"/api/v1/runs/{runs[0]}/probes", params={"limit": 20}).json()["probes"]
    ]
    return {
        "runs": ["/runs", "/runs?endpoint=vendor-a", "/runs?text=reviews"],
        "run": [f"/runs/{each}" for each in runs[:20]],
        "explanation": [f"/probes/{each}" for each in probes],
        "request": [f"/probes/{each}/requests/7" for each in probes],
        "history": [f"/probes/{each}/history" for each in probes],
        "search": [f"/search?feature=word{n}" for n in range(20)],
    }


@contextmanager
def service(folder: Path) -> Iterator[tuple[str, int]]:
    """``probe serve`` over the database in ``folder``; its URL and process id."""
    command = [sys.executable, "-m", "probe", "serve", "--storage", f"sqlite:///{folder}/probe.db", "--port", "0"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--folder", str(folder)], stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ
        )
    with process:
        assert process.stdout is not None
        yield process.stdout.readline().removeprefix("listening ").strip().rstrip("/"), process.pid
        process.terminate()


def worked(process: int) -> float:
    """CPU seconds of ``process`` so far (Linux)."""
    ticks = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def alone(client: httpx.Client, paths: Sequence[str], times: int) -> list[float]:
    """Seconds of ``times`` answers, one after another."""
    taken = []
    for number in range(times):
        began = time.perf_counter()
        client.get(paths[number % len(paths)]).raise_for_status()
        taken.append(time.perf_counter() - began)
    return taken


async def viewed(url: str, found: dict[str, list[str]], seconds: float) -> list[float]:
    """Seconds of every answer to ``_VIEWERS`` viewers."""
    taken: list[float] = []
    end = time.perf_counter() + seconds

    async def viewer(number: int) -> None:
        rng = np.random.default_rng(number)
        kinds = list(found.values())
        await asyncio.sleep(rng.uniform(0, _PAUSE))
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client:
            while time.perf_counter() < end:
                paths = kinds[rng.integers(len(kinds))]
                began = time.perf_counter()
                (await client.get(paths[rng.integers(len(paths))])).raise_for_status()
                taken.append(time.perf_counter() - began)
                await asyncio.sleep(_PAUSE)

    await asyncio.gather(*(viewer(number) for number in range(_VIEWERS)))
    return taken


def config(url: str, number: int) -> dict[str, Any]:
    """A probe that has something to ask for as long as it is measured."""
    endpoint = {
        "url": f"{url}/v1/echo-length/predict",
        "query": {"n": str(number)},
        "json": {"inputs": [{"$each": "{{ x }}"}]},
        "items": "predictions",
        "scores": {"map": "scores"},
        "limits": {"rate": f"{_RATE}/s", "concurrency": 4},
    }
    text = " ".join(f"word{place}" for place in range(40))
    entry = {"kind": "text", "inputs": {"inline": [f"{number} {text}"]}, "endpoints": ["words"], "target": "long"}
    return {"endpoints": {"words": endpoint}, "probes": {"long": entry | {"methods": ["kernelshap"], "budget": 5000}}}


def together(url: str, folder: Path, found: dict[str, list[str]], seconds: float) -> Iterator[Line]:
    """Viewers and probes at the same time."""
    with running_server() as endpoint, httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        for number in range(_PROBES):
            name = f"probe{number}.yaml"
            (folder / name).write_text(yaml.safe_dump(config(endpoint.url, number)), encoding="utf-8")
            client.post("/api/v1/jobs", json={"config": name}).raise_for_status()
        while endpoint.counts()["requests"] < _RATE:
            time.sleep(0.1)
        endpoint.reset()
        began = time.perf_counter()
        taken = asyncio.run(viewed(url, found, seconds))
        sent = endpoint.counts()["requests"] / (time.perf_counter() - began)
        for job in client.get("/api/v1/jobs").json()["jobs"]:
            client.post(f"/api/v1/jobs/{job['id']}/cancel")
    share = sent / (_PROBES * _RATE)
    slow = float(np.quantile(taken, 0.95))
    yield Line(
        f"{_VIEWERS} viewers beside {_PROBES} probes, p95",
        f"{slow * 1e3:.0f} ms",
        f"{len(taken):,}",
        "≤ 100 ms",
        slow <= _GOAL,
    )
    yield Line(
        f"{_PROBES} probes beside {_VIEWERS} viewers", f"{sent:.1f} requests/s", f"{share:.0%}", "≥ 95 %", share >= 0.95
    )


def main() -> int:
    """Exit code 1 if a goal is missed."""
    chosen = options(__doc__ or "")
    probes = 1_000 if chosen.quick else 10_000
    lines: list[Line] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Store.open(f"sqlite:///{folder}/probe.db") as store:
            fill(store, probes, bodies=False)
            analyzed(store)
        print(f"{probes * 1000:,} evaluations stored", flush=True)
        with service(folder) as (url, process), httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
            found = pages(client)
            for kind, paths in found.items():
                alone(client, paths, 5)
                times = 40 if chosen.quick else 200
                before = worked(process)
                slow = float(np.quantile(alone(client, paths, times), 0.95))
                each = (worked(process) - before) / times
                cpu = f"CPU {each * 1e3:.0f} ms"
                lines.append(Line(f"{kind}, p95", f"{slow * 1e3:.0f} ms", cpu, "≤ 100 ms", slow <= _GOAL))
                print(lines[-1], flush=True)
            asyncio.run(viewed(url, found, 5))
            taken = asyncio.run(viewed(url, found, 10 if chosen.quick else 60))
            slow = float(np.quantile(taken, 0.95))
            lines.append(
                Line(f"{_VIEWERS} viewers, p95", f"{slow * 1e3:.0f} ms", f"{len(taken):,}", "≤ 100 ms", slow <= _GOAL)
            )
            lines += together(url, folder, found, 10 if chosen.quick else 60)
    title = f"Pages over {probes * 1000:,} evaluations"
    return finish(title, lines, json_file=chosen.json, packages=("fastapi", "uvicorn", "sqlalchemy"))


if __name__ == "__main__":
    sys.exit(main())

"""CPU that a request costs the client: our transport beside stock httpx, with 10, 100 and 1,000 requests in flight.

Every client is a process of its own that keeps so many requests under way to a server in another process, which answers
after 100 ms; what counts is the client's CPU time while it sends, over requests.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.common import Line, finish, options
from tests.servers import running_server

_LATENCY = 0.1
_LESS = 1 / 6
_GROWTH = 2.0

_CLIENT = """
import asyncio, gc, json, sys, time

async def ours(url, body, count, in_flight):
    from adapters import HttpRequest, HttpTransport, Limits
    transport = HttpTransport("benchmark", limits=Limits(timeout=60))
    request = HttpRequest("POST", url, (("content-type", "application/json"),), body)
    async def send():
        return (await transport.send(request)).status
    try:
        return await drive(send, count, in_flight)
    finally:
        await transport.aclose()

async def stock(url, body, count, in_flight):
    import httpx
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(timeout=60, limits=limits, trust_env=False) as client:
        async def send():
            answer = await client.post(url, content=body, headers={"content-type": "application/json"})
            return answer.status_code
        return await drive(send, count, in_flight)

async def drive(send, count, in_flight):
    left = iter(range(count))
    async def worker():
        return [await send() for _ in left]
    await asyncio.gather(*(send() for _ in range(in_flight)))  # connections, imports
    gc.freeze()
    began = time.process_time()
    statuses = [each for some in await asyncio.gather(*(worker() for _ in range(in_flight))) for each in some]
    spent = time.process_time() - began
    assert statuses == [200] * count, set(statuses)
    return spent / count

which, url, count, in_flight = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
body = json.dumps({"inputs": ["a text of some words"]}).encode()
print(json.dumps(asyncio.run({"ours": ours, "stock": stock}[which](url, body, count, in_flight))))
"""


def spent(which: str, url: str, *, count: int, in_flight: int) -> float:
    """Client CPU seconds per request."""
    command = [sys.executable, "-c", _CLIENT, which, url, str(count), str(in_flight)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).resolve().parents[1])
    seconds: float = json.loads(done.stdout)
    return seconds


def main() -> int:
    """Exit code 1 if a goal is missed."""
    chosen = options(__doc__ or "")
    count = 600 if chosen.quick else 4000
    lines, ours = [], {}
    with running_server({"latency": {"mean": _LATENCY}}, models=("echo-length",), preload=True) as server:
        url = f"{server.url}/v1/echo-length/predict"
        for in_flight in (10, 100, 1000):
            work = max(count if in_flight > 10 else count // 4, 2 * in_flight)
            mine = ours[in_flight] = spent("ours", url, count=work, in_flight=in_flight)
            theirs = spent("stock", url, count=work, in_flight=in_flight)
            judged = in_flight == 100
            lines.append(
                Line(
                    f"{in_flight} in flight",
                    f"{mine * 1e3:.2f} ms of CPU a request, httpx {theirs * 1e3:.2f} ms",
                    f"1/{theirs / mine:.1f}",
                    "≤ 1/6 of httpx's" if judged else "",
                    mine <= _LESS * theirs if judged else None,
                )
            )
    growth = ours[1000] / ours[10]
    lines.append(Line("from 10 to 1,000 in flight", "", f"{growth:.2f}", f"≤ {_GROWTH:g} ×", growth <= _GROWTH))
    return finish("CPU of the client", lines, json_file=chosen.json, packages=("httpx", "httpcore", "aiohttp"))


if __name__ == "__main__":
    sys.exit(main())

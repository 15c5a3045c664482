"""Servers on loopback that issue tokens and take requests, and an endpoint that speaks to them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

from aiohttp import web

from adapters import HttpAdapter, endpoint_from_config

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Clock:
    """Seconds since the epoch, set by hand."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Site:
    """What is served. ``seen``: headers of the requests to the endpoint; ``asked``: bodies or queries of those for tokens."""

    def __init__(self) -> None:
        self.url = ""
        self.seen: list[dict[str, str]] = []
        self.asked: list[dict[str, str]] = []


@asynccontextmanager
async def site(token: Handler | None = None) -> AsyncIterator[Site]:
    """``POST /p`` answers with the credentials that it was sent, ``/token`` is ``token``.

    They live in the event loop of the test: were tokens fetched in it, nothing would ever answer.
    """
    state = Site()

    async def endpoint(request: web.Request) -> web.Response:
        state.seen.append({name.lower(): value for name, value in request.headers.items()})
        return web.json_response({"a": 1, "you": request.headers.get("Authorization", "")})

    app = web.Application()
    app.router.add_post("/p", endpoint)
    if token is not None:
        app.router.add_route("*", "/token", token)
    runner = web.AppRunner(app)
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    state.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield state
    finally:
        await runner.cleanup()


def endpoint(url: str, **config: Any) -> HttpAdapter:
    config = {"url": url, "json": {"t": "{{ x }}"}, "scores": {"map": "@"}, "limits": {"timeout": 20}, **config}
    adapter = endpoint_from_config("v", config, environment={}, base=Path())
    assert isinstance(adapter, HttpAdapter)
    return adapter

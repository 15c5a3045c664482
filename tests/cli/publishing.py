"""A server that publishes documents about itself and answers predictions, over real HTTP in a thread of its own."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aiohttp import web

#: from a request's path and JSON (``None`` without a body) to status and JSON, or a whole response
Answer: TypeAlias = Callable[[str, Any], "tuple[int, Any] | web.Response"]


@dataclass
class Publisher:
    """A server that is up. ``seen``: every request, as ``METHOD path``; ``headers``: those of the last one."""

    documents: Mapping[str, Any]
    answer: Answer
    url: str = ""
    seen: list[str] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=dict)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        asked = f"{request.method} {request.rel_url.raw_path}"
        self.seen.append(asked)
        self.headers = {name.lower(): value for name, value in request.headers.items()}
        document = self.documents.get(asked)
        if isinstance(document, web.Response):
            return web.Response(status=document.status, headers=document.headers, body=document.body)
        if isinstance(document, str):
            return web.Response(text=document)
        if document is not None:
            return web.json_response(document)
        body = await request.read()
        try:
            answer = self.answer(request.rel_url.raw_path, json.loads(body) if body else None)
        except (ValueError, KeyError, TypeError):
            missing = {"detail": [{"loc": ["body"], "msg": "field required"}]}
            return web.json_response(missing, status=422 if request.method == "POST" else 404)
        return answer if isinstance(answer, web.Response) else web.json_response(answer[1], status=answer[0])

    @property
    def predictions(self) -> list[str]:
        """What was asked besides documents."""
        return [asked for asked in self.seen if asked.startswith("POST ") and asked not in self.documents]


def nothing(path: str, body: Any) -> tuple[int, Any]:
    return 404, {"detail": "Not Found"}


@contextmanager
def publishing(documents: Mapping[str, Any], answer: Answer = nothing) -> Iterator[Publisher]:
    """``documents`` by ``METHOD path``; whatever else is posted goes to ``answer``."""
    publisher = Publisher(documents, answer)
    loop = asyncio.new_event_loop()

    async def start() -> web.AppRunner:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", publisher.handle)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        publisher.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        runner = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
        yield publisher
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

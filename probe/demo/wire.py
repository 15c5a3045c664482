"""Small pieces of HTTP for the demo server: JSON answers, keys, and the ways to break a connection on purpose."""

from __future__ import annotations

import asyncio
import hmac
import json
import math
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import BodyPartReader, web
from pydantic import ValidationError

from probe.demo.routes import Refused

GATEWAY_PAGE = "<!doctype html><html><title>Gateway</title><body><h1>Please try again later</h1></body></html>"

_DRIP_EVERY = 0.05  #: seconds between two pieces of a dripping body
_LAST_LOOK = 0.002  #: seconds from reading no more to closing

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def as_json(payload: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """``payload`` as a response; NaN is written as the literal ``NaN``, as careless servers do."""
    body = json.dumps(payload, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return web.Response(body=body, status=status, headers=headers, content_type="application/json", charset="utf-8")


def refusal(refused: Refused) -> web.Response:
    """``{"error": {"message": ..}}``."""
    return as_json({"error": {"message": str(refused)}}, status=refused.status, headers=refused.headers)


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Unknown paths, wrong methods and bad control requests are answered in JSON too."""
    try:
        return await handler(request)
    except Refused as refused:
        return refusal(refused)
    except web.HTTPException as error:
        return refusal(from_aiohttp(error))


def from_aiohttp(error: web.HTTPException) -> Refused:
    """aiohttp's own refusal (404, 405, 413, …)."""
    return Refused(error.status, error.text or error.reason)


def worded(error: ValidationError) -> str:
    """One line for everything that is wrong with the settings."""
    parts = [f"{'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']}" for e in error.errors(include_url=False)]
    return "; ".join(parts)


def authorise(request: web.Request, key: str | None) -> None:
    """Raises :class:`Refused` (401) unless the request carries ``key`` in one of the three usual places."""
    if key is None:
        return
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    given = (
        bearer if scheme.lower() == "bearer" else "",
        request.headers.get("x-api-key", ""),
        request.query.get("key", ""),
    )
    if not any(hmac.compare_digest(key.encode(), value.encode("utf-8", "surrogateescape")) for value in given if value):
        message = "no valid API key; send it as Authorization: Bearer, as x-api-key or as ?key="
        raise Refused(401, message, {"WWW-Authenticate": "Bearer"})


async def form_field(request: web.Request, name: str) -> bytes:
    """The bytes of one field of a multipart form. Raises :class:`Refused` (400)."""
    if not request.content_type.startswith("multipart/"):
        raise Refused(400, f"expected multipart/form-data with a field {name!r}, got {request.content_type}")
    try:
        async for part in await request.multipart():
            if isinstance(part, BodyPartReader) and part.name == name:
                return bytes(await part.read(decode=True))
    except ValueError as error:
        raise Refused(400, f"the multipart form is damaged: {error}") from error
    raise Refused(400, f"the multipart form has no field {name!r}")


def reset_connection(request: web.Request) -> None:
    """Close the socket so that the client sees a reset (RST), not an orderly end."""
    transport = request.transport
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def end_connection(request: web.Request) -> None:
    """Close the connection in order (FIN), after what has been written."""
    if request.transport is not None:
        request.transport.close()


class IdleConnections:
    """Closes kept-alive connections a while after an answer, without having said so in it.

    A request that arrives too late is not read: its client sees a reset, and nothing was done for it.
    """

    def __init__(self) -> None:
        self._timers: dict[asyncio.Transport, asyncio.TimerHandle] = {}

    def used(self, request: web.Request) -> None:
        """A request arrived: its connection is not idle."""
        transport = request.transport
        if transport is not None and (timer := self._timers.pop(transport, None)) is not None:
            timer.cancel()
            transport.resume_reading()

    async def answer(self, request: web.Request, response: web.StreamResponse, *, seconds: float) -> None:
        """Send ``response`` now, and close its connection ``seconds`` later."""
        try:
            await response.prepare(request)
            await response.write_eof()
        except ConnectionError:
            return
        transport = request.transport
        if transport is None or seconds == 0:
            end_connection(request)
            return
        self._timers[transport] = asyncio.get_running_loop().call_later(seconds, self._shut, transport)

    def _shut(self, transport: asyncio.Transport) -> None:
        """Read no more; what has been read is still taken for a request, for which the connection stays open."""
        transport.pause_reading()
        self._timers[transport] = asyncio.get_running_loop().call_later(_LAST_LOOK, self._close, transport)

    def _close(self, transport: asyncio.Transport) -> None:
        self._timers.pop(transport, None)
        transport.close()


async def truncated(request: web.Request, whole: web.Response) -> web.StreamResponse:
    """Promise ``whole``, send half of it, and end the connection."""
    body = _bytes_of(whole)
    response = await _begun(request, whole)
    await response.write(body[: len(body) // 2])
    end_connection(request)
    return response


def cut(whole: web.Response) -> web.Response:
    """Half of ``whole``, as if it were all."""
    body = _bytes_of(whole)
    return web.Response(body=body[: len(body) // 2], headers=_headers_of(whole))


async def dripped(request: web.Request, whole: web.Response, *, seconds: float) -> web.StreamResponse:
    """The head of ``whole`` at once, its body in small pieces that take ``seconds`` together."""
    body = _bytes_of(whole)
    pieces = max(1, min(len(body), math.ceil(seconds / _DRIP_EVERY)))
    response = await _begun(request, whole)
    size = math.ceil(len(body) / pieces)
    starts = range(0, len(body), size)
    try:
        for start in starts:
            await asyncio.sleep(seconds / len(starts))
            await response.write(body[start : start + size])
    except ConnectionError:
        pass  # the client did not wait for the rest
    return response


async def _begun(request: web.Request, whole: web.Response) -> web.StreamResponse:
    """The head of ``whole``, sent; the connection ends with it."""
    response = web.StreamResponse(headers=_headers_of(whole))
    response.content_length = len(_bytes_of(whole))
    response.force_close()
    await response.prepare(request)
    return response


def _headers_of(whole: web.Response) -> dict[str, str]:
    return {name: value for name, value in whole.headers.items() if name != "Content-Length"}


def _bytes_of(response: web.Response) -> bytes:
    if not isinstance(response.body, bytes):
        raise TypeError("only a response whose body is bytes can be cut")
    return response.body

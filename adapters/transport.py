"""Where requests leave this machine. The only module that knows httpx.

One connection is one lane: httpx's transport with a pool of a single connection. Its shared pool scans every connection and
every waiting request at each step, which at 100 requests in flight costs more than the requests; a stack of lanes costs
nothing. How many are in flight is decided by the engine, never here. There are no redirects, no cookies, no proxies from
the environment.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx

from adapters.auth import Credentials, resolve_credentials
from adapters.base import Adapter, HttpRequest, HttpResponse, Limits, LocalCall, Request, Secrets, Transport
from adapters.callable import CallableAdapter, LocalTransport
from adapters.decode import BoundedDecoder, TooLarge, Undecodable
from adapters.errors import AdapterError, MaybeBilled, NotSent, SpecError
from adapters.http import HttpAdapter
from adapters.show import printable

#: seconds after which an idle connection is not used again; many servers close theirs after 5
KEEP_ALIVE = 4.0


def open_transport(adapter: Adapter, *, environment: Mapping[str, str]) -> Transport:
    """The transport for ``adapter``, with its ``${NAME}`` looked up in ``environment``.

    Raises :class:`SecretMissing` or :class:`SpecError`.
    """
    if isinstance(adapter, CallableAdapter):
        return LocalTransport(adapter)
    credentials = Credentials()
    if isinstance(adapter, HttpAdapter):
        credentials = resolve_credentials(adapter.name, adapter.spec, environment=environment)
    return HttpTransport(adapter.name, limits=adapter.limits, credentials=credentials)


class HttpTransport:
    """Sends the requests of one endpoint over HTTP/1.1 with kept-alive connections."""

    def __init__(self, endpoint: str, *, limits: Limits, credentials: Credentials | None = None) -> None:
        self._endpoint = endpoint
        self._limits = limits
        self._credentials = credentials or Credentials()
        self._lanes = _Lanes()

    @property
    def secrets(self) -> Secrets:
        """What must be redacted from anything this endpoint's run leaves behind."""
        return self._credentials.secrets

    async def send(self, request: Request) -> HttpResponse:
        """Raises :class:`NotSent` if nothing left this machine, else :class:`MaybeBilled`."""
        if isinstance(request, LocalCall):
            raise SpecError(f"endpoint {self._endpoint!r} is remote and cannot run a Python function")
        url, headers = self._credentials.apply(request)
        trip = _Trip()
        try:
            async with asyncio.timeout(self._limits.timeout):
                return await self._exchange(request, url, headers, trip)
        except TimeoutError:
            seconds = f"{self._limits.timeout:g} s"
            seen = f"no whole answer within {seconds}" if trip.sent else f"no connection within {seconds}"
            raise self._failed(trip, request, seen) from None
        except (httpx.TransportError, httpx.InvalidURL, TooLarge, Undecodable, OSError, UnicodeError) as error:
            raise self._failed(trip, request, self._words(error, trip)) from None

    async def aclose(self) -> None:
        await self._lanes.aclose()

    async def _exchange(
        self, request: HttpRequest, url: str, headers: list[tuple[str, str]], trip: _Trip
    ) -> HttpResponse:
        if all(name != "user-agent" for name, _ in headers):
            headers = [("user-agent", "probe"), *headers]
        outgoing = httpx.Request(
            request.method,
            url,
            headers=[("accept-encoding", "gzip, deflate"), *headers],
            content=request.body,
            # half for TCP and half for TLS, so that connecting ends by httpcore's own clock: it forgets to close the socket
            # of a TLS handshake that is cancelled from outside
            extensions={"trace": trip.trace, "timeout": {"connect": self._limits.timeout / 2}},
        )
        clock = asyncio.get_running_loop().time
        started = clock()
        async with self._lanes.response(outgoing) as answer:
            decoder = BoundedDecoder(answer.headers.get("content-encoding", ""), self._limits.max_response_bytes)
            if isinstance(answer.stream, httpx.AsyncByteStream):
                async for piece in answer.stream:
                    decoder.feed(piece)
            body = decoder.finish()
        redact = self._credentials.secrets
        return HttpResponse(
            answer.status_code,
            tuple((name.decode("latin-1").lower(), redact.redact(_text(value))) for name, value in answer.headers.raw),
            redact.redact_bytes(body),
            clock() - started,
        )

    def _failed(self, trip: _Trip, request: HttpRequest, seen: str) -> AdapterError:
        kind = MaybeBilled if trip.sent else NotSent
        after = "it was sent and may have been counted" if trip.sent else "nothing was sent"
        host = urlsplit(request.url).netloc
        text = f"endpoint {self._endpoint!r}: {seen} from {host}; {after}"
        return kind(self._credentials.secrets.redact(text))

    def _words(self, error: Exception, trip: _Trip) -> str:
        if isinstance(error, TooLarge):
            return f"an answer of more than {self._limits.max_response_bytes} bytes (limits.max_response_bytes)"
        if isinstance(error, Undecodable):
            return f"an answer that cannot be unpacked: {error},"
        if isinstance(error, httpx.ConnectTimeout):
            return f"no connection within {self._limits.timeout / 2:g} s"
        reason = printable(error) or type(error).__name__
        return f"the connection broke off ({reason}): no whole answer" if trip.sent else f"no connection ({reason})"


class _Trip:
    """How far one request got. The first event of writing counts as sent, even if no byte may have left."""

    __slots__ = ("sent",)

    def __init__(self) -> None:
        self.sent = False

    async def trace(self, event: str, _: Mapping[str, Any]) -> None:
        if event == "http11.send_request_headers.started":
            self.sent = True


class _Lanes:
    """Connections as a stack, the last used on top, so that the ones no longer needed grow old at the bottom."""

    def __init__(self) -> None:
        self._idle: deque[tuple[httpx.AsyncHTTPTransport, float]] = deque()
        self._tls: ssl.SSLContext | None = None
        self._closed = False

    @asynccontextmanager
    async def response(self, request: httpx.Request) -> AsyncIterator[httpx.Response]:
        """The answer to ``request`` with its body unread. The lane is used again only if all went well."""
        now = asyncio.get_running_loop().time
        lane = self._idle.pop()[0] if self._idle else self._new_lane()
        try:
            response = await lane.handle_async_request(request)
            yield response
            await response.aclose()
        except BaseException:
            await asyncio.shield(lane.aclose())
            raise
        if self._closed:
            await lane.aclose()
            return
        self._idle.append((lane, now()))
        while self._idle and self._idle[0][1] < now() - KEEP_ALIVE:
            await self._idle.popleft()[0].aclose()

    async def aclose(self) -> None:
        self._closed = True
        while self._idle:
            await self._idle.pop()[0].aclose()

    def _new_lane(self) -> httpx.AsyncHTTPTransport:
        if self._tls is None:
            self._tls = httpx.create_ssl_context(trust_env=False)
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEP_ALIVE)
        return httpx.AsyncHTTPTransport(verify=self._tls, trust_env=False, http1=True, http2=False, limits=limits)


def _text(value: bytes) -> str:
    return value.decode("latin-1")

"""Where requests leave this machine. The only module that knows httpx.

How many are in flight is decided by the engine, never here. There are no redirects, no cookies, no proxies from the
environment, and no request is sent twice: what happened to it is told by :class:`NotSent` or :class:`MaybeBilled`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlsplit

import httpx

from adapters.auth import Credentials, resolve_credentials
from adapters.base import REDACTED, Adapter, HttpRequest, HttpResponse, Limits, LocalCall, Request, Secrets, Transport
from adapters.callable import CallableAdapter, LocalTransport
from adapters.decode import BoundedDecoder, TooLarge, Undecodable
from adapters.errors import AdapterError, MaybeBilled, NotSent, SpecError
from adapters.http import HttpAdapter
from adapters.show import printable

if TYPE_CHECKING:
    from adapters import aio

#: httpx's ``trace`` extension: the name of an event and what belongs to it
Trace: TypeAlias = Callable[[str, Mapping[str, Any]], Awaitable[None]]

#: the event right before the first byte of a request is written
WRITING: Final = "http11.send_request_headers.started"


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
    """Sends the requests of one endpoint. ``transport``: default :class:`AioTransport`."""

    def __init__(
        self,
        endpoint: str,
        *,
        limits: Limits,
        credentials: Credentials | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._limits = limits
        self._credentials = credentials or Credentials()
        self._transport = transport or AioTransport()
        self._url = lru_cache(maxsize=8)(httpx.URL)  # always the same few, and parsing one costs a third of a request

    @property
    def secrets(self) -> Secrets:
        """What must be redacted from anything this endpoint's run leaves behind; it grows with every new token."""
        signer = self._credentials.signer
        return self._credentials.secrets if signer is None else signer.secrets

    async def send(self, request: Request) -> HttpResponse:
        """Raises :class:`NotSent` if nothing left this machine (:class:`NoCredentials`: there are none, or they are refused),
        else :class:`MaybeBilled`."""
        if isinstance(request, LocalCall):
            raise SpecError(f"endpoint {self._endpoint!r} is remote and cannot run a Python function")
        if request.anonymous:
            bare = Credentials(secrets=self.secrets)  # to redact them, should they come back
            other = HttpTransport(self._endpoint, limits=self._limits, credentials=bare, transport=self._transport)
            return await other.send(replace(request, anonymous=False))
        url, headers = self._credentials.apply(request)
        trip = _Trip()
        try:
            async with asyncio.timeout(self._limits.timeout):
                return await self._exchange(request, url, headers, trip)
        except TimeoutError:
            seconds = f"{self._limits.timeout:g} s"
            seen = f"no whole answer within {seconds}" if trip.sent else f"no connection within {seconds}"
            if trip.signing:
                seen = f"no credentials within {seconds}, so no answer"
            raise self._failed(trip, request, seen) from None
        except (httpx.TransportError, httpx.InvalidURL, TooLarge, Undecodable, OSError, UnicodeError) as error:
            raise self._failed(trip, request, self._words(error, trip)) from None

    def as_sent(self, request: HttpRequest) -> HttpRequest:
        """``request`` with the URL and all the headers that go out, every secret redacted: to be shown to its user."""
        url, headers = self._credentials.apply(request)
        outgoing = self._outgoing(request, url, headers, _Trip())
        redact = self.secrets.redact
        if self._credentials.signer is not None:
            outgoing.headers["authorization"] = REDACTED  # made for this one request when it leaves
        shown = tuple((name.decode("latin-1").lower(), redact(_text(value))) for name, value in outgoing.headers.raw)
        return replace(request, url=redact(url), headers=shown)

    async def warm(self, request: Request, count: int) -> int:
        """Open ``count`` connections to where ``request`` would go, so that later sends leave on time; nothing is sent and
        nothing is raised. They are kept for ``adapters.aio.KEEP_ALIVE`` seconds. Returns how many came about."""
        if isinstance(request, LocalCall) or not isinstance(self._transport, AioTransport):
            return 0
        url, headers = self._credentials.apply(request)
        return await self._transport.warm(self._outgoing(request, url, headers, _Trip()), count)

    async def aclose(self) -> None:
        if self._credentials.signer is not None:
            await self._credentials.signer.aclose()
        await self._transport.aclose()

    async def _exchange(
        self, request: HttpRequest, url: str, headers: list[tuple[str, str]], trip: _Trip
    ) -> HttpResponse:
        outgoing = self._outgoing(request, url, headers, trip)
        if self._credentials.signer is not None:
            final = str(outgoing.url)  # as it will be written: a signature covers every byte of it
            trip.signing = True
            added = await self._credentials.signer.sign(request.method, final, headers, request.body)
            trip.signing = False
            outgoing.headers.update(added)
        answer = await self._transport.handle_async_request(outgoing)
        try:
            decoder = BoundedDecoder(answer.headers.get("content-encoding", ""), self._limits.max_response_bytes)
            if isinstance(answer.stream, httpx.AsyncByteStream):
                async for piece in answer.stream:
                    decoder.feed(piece)
            body = decoder.finish()
        finally:
            await answer.aclose()
        redact = self.secrets
        return HttpResponse(
            answer.status_code,
            tuple((name.decode("latin-1").lower(), redact.redact(_text(value))) for name, value in answer.headers.raw),
            redact.redact_bytes(body),
            trip.clock() - trip.sent_at,
        )

    def _outgoing(self, request: HttpRequest, url: str, headers: list[tuple[str, str]], trip: _Trip) -> httpx.Request:
        if all(name != "user-agent" for name, _ in headers):
            headers = [("user-agent", "probe"), *headers]
        return httpx.Request(
            request.method,
            self._url(url),
            headers=[("accept-encoding", "gzip, deflate"), *headers],
            content=request.body,
            # a server that cannot be reached in half of the time is told apart from one that is slow
            extensions={"trace": trip.trace, "timeout": {"connect": self._limits.timeout / 2}},
        )

    def _failed(self, trip: _Trip, request: HttpRequest, seen: str) -> AdapterError:
        kind = MaybeBilled if trip.sent else NotSent
        after = "it was sent and may have been counted" if trip.sent else "nothing was sent"
        host = urlsplit(request.url).netloc
        text = f"endpoint {self._endpoint!r}: {seen} from {host}; {after}"
        return kind(self.secrets.redact(text))

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
    """How far one request got, and when. About to be written counts as sent, even if no byte may have left."""

    __slots__ = ("clock", "sent", "sent_at", "signing")

    def __init__(self) -> None:
        self.clock = asyncio.get_running_loop().time
        self.sent = False
        self.signing = False  #: credentials are being fetched
        self.sent_at = self.clock()

    async def trace(self, event: str, _: Mapping[str, Any]) -> None:
        if event == WRITING:
            self.sent = True
            self.sent_at = self.clock()  # connecting does not count


class AioTransport(httpx.AsyncBaseTransport):
    """httpx's transport interface over aiohttp, for bodies that fit into memory: HTTP/1.1, kept-alive connections, any
    number at once, no redirects, no cookies, no environment, no repeats; answers come as raw bytes.

    What it raises tells what was written: :class:`httpx.ConnectError` and :class:`httpx.ConnectTimeout` mean not one byte,
    anything else that the request may have arrived. Of ``extensions`` it knows ``timeout`` (``connect``) and ``trace``, which
    is told ``http11.send_request_headers.started`` right before the first byte. ``tls``: default httpx's, made when needed.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._wire: aio.Wire | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        trace: Trace | None = request.extensions.get("trace")

        async def on_write() -> None:
            if trace is not None:
                await trace("http11.send_request_headers.started", {"request": request})

        wire, fault = self._open()
        try:
            answer = await wire.exchange(
                request.method,
                str(request.url),
                headers=request.headers.raw,
                body=await request.aread(),
                tls=self._tls_for(request.url),
                connect=request.extensions.get("timeout", {}).get("connect"),
                on_write=on_write,
            )
        except fault as error:
            raise _RAISED[error.kind](str(error), request=request) from error
        extensions = {"http_version": b"HTTP/1.1", "reason_phrase": answer.reason}
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_Body(answer, request, fault), extensions=extensions
        )

    async def warm(self, request: httpx.Request, count: int) -> int:
        """Open ``count`` connections to where ``request`` would go; returns how many came about."""
        connect = request.extensions.get("timeout", {}).get("connect")
        url = request.url
        wire, _ = self._open()
        return await wire.warm(request.method, str(url), count, tls=self._tls_for(url), connect=connect)

    async def aclose(self) -> None:
        if self._wire is not None:
            await self._wire.aclose()

    def _open(self) -> tuple[aio.Wire, type[aio.Fault]]:
        from adapters import aio  # takes as long to import as everything else in this package

        if self._wire is None:
            self._wire = aio.Wire()
        return self._wire, aio.Fault

    def _tls_for(self, url: httpx.URL) -> ssl.SSLContext | bool:
        if self._tls is None and url.scheme == "https":
            self._tls = httpx.create_ssl_context(trust_env=False)
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls or True


_RAISED: Final[Mapping[aio.Kind, type[httpx.TransportError]]] = {
    "connect": httpx.ConnectError,
    "connect timeout": httpx.ConnectTimeout,
    "read": httpx.ReadError,
    "protocol": httpx.RemoteProtocolError,
}


class _Body(httpx.AsyncByteStream):
    """The body of an answer, as it comes."""

    def __init__(self, answer: aio.Answer, request: httpx.Request, fault: type[aio.Fault]) -> None:
        self._answer = answer
        self._request = request
        self._fault = fault

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while piece := await self._answer.piece():
                yield piece
        except self._fault as error:
            raise _RAISED[error.kind](str(error), request=self._request) from error

    async def aclose(self) -> None:
        self._answer.close()


def _text(value: bytes) -> str:
    return value.decode("latin-1")

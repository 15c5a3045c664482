"""One request over aiohttp: written at most once, and only on a connection that is known to live.

aiohttp keeps the connections, speaks TLS and parses. What it does behind one's back is held here: it sends PUT again by
itself when a connection breaks, it can write into a connection that the server has already closed, and it takes what a
server said on an idle connection for the answer to the next request. Every byte of a request, its head included, passes
:class:`_Once`, which looks at the connection just before the first one is written.

Imported when the first request is sent, as importing aiohttp takes as long as everything else in this package.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, Literal, TypeAlias

import aiohttp
from aiohttp import payload
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_middlewares import ClientHandlerType
from aiohttp.http import StreamWriter
from yarl import URL

#: seconds after which an idle connection is not used again; many servers close theirs after 5
KEEP_ALIVE: Final = 4.0
#: connections tried when each turns out to be closed just before writing; more means that the server closes them all
_TRIES: Final = 3
_MAX_LINE: Final = 8 << 10  #: bytes of a status line
_MAX_FIELD: Final = 32 << 10  #: bytes of one header
_MAX_HEADERS: Final = 128
#: bytes written before the connection is given time to take them
_PIECE: Final = 64 << 10
#: added by aiohttp where they are missing; what is sent is what the caller said
_NOT_ADDED: Final = ("accept", "accept-encoding", "content-type", "user-agent")
#: set from the body, which is always sent from memory and in one piece
_FROM_BODY: Final = frozenset({b"content-length", b"transfer-encoding"})

_BROKEN: Final = (aiohttp.ClientError, OSError, ValueError)  # ValueError: URLs, names and headers that cannot be sent
_HANG_UP: Final = select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0)

Kind: TypeAlias = Literal["connect", "connect timeout", "read", "protocol"]
OnWrite: TypeAlias = Callable[[], Awaitable[None]]


class Fault(Exception):
    """Why there is no answer. ``connect`` and ``connect timeout``: not one byte of the request was written."""

    def __init__(self, kind: Kind, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class Answer:
    """Status and headers of an answer whose body is still to be read."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        connection = response.connection
        self._protocol = None if connection is None else connection.protocol
        self.status = response.status
        self.headers: tuple[tuple[bytes, bytes], ...] = response.raw_headers
        self.reason = (response.reason or "").encode("ascii", "replace")
        #: the body has no announced end: it is whole when the server closes, unless the connection broke
        self._ends_by_closing = not ("Content-Length" in response.headers or "Transfer-Encoding" in response.headers)

    async def piece(self) -> bytes:
        """The next bytes of the body as they came, empty at its end. Raises :class:`Fault`."""
        try:
            data = await self._response.content.readany()
        except _BROKEN as error:
            raise _fault(error, written=True) from error
        if not data and self._ends_by_closing and self._protocol is not None:
            ended = self._protocol.exception()
            if isinstance(ended, aiohttp.ClientOSError):
                raise _fault(ended, written=True)
        return data

    def close(self) -> None:
        """Close the connection, unless the body has been read: then it has gone back already."""
        self._response.close()


class Wire:
    """The connections to one endpoint, as many as are asked for at once. Belongs to one event loop."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def exchange(
        self,
        method: str,
        url: str,
        *,
        headers: Iterable[tuple[bytes, bytes]],
        body: bytes,
        tls: ssl.SSLContext | bool,
        connect: float | None,
        on_write: OnWrite,
    ) -> Answer:
        """Send one request; the answer's body is left unread.

        ``connect``: seconds until there is a connection, name lookup and TLS included. ``on_write`` is awaited right before
        the first byte is written. Raises :class:`Fault`.
        """
        fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers if _kept(name)]
        for _ in range(_TRIES):
            once = _Once(body, on_write)
            try:
                response = await self._open().request(
                    method,
                    URL(url, encoded=True),
                    headers=fields,
                    data=once,
                    ssl=tls,
                    timeout=aiohttp.ClientTimeout(total=None, connect=connect),
                    allow_redirects=False,
                )
                if once.written:
                    return Answer(response)
                response.close()  # said on an idle connection, before this request was written: nobody's answer
            except (*_BROKEN, _Ended) as error:
                cause = error.cause if isinstance(error, _Ended) else error
                if once.written or not _was_open(cause):
                    raise _fault(cause, written=once.written) from error
            await asyncio.sleep(0)  # lets the loop see what else the server has closed
        raise Fault("connect", "the server closes connections before anything can be sent")

    async def warm(
        self, method: str, url: str, count: int, *, tls: ssl.SSLContext | bool, connect: float | None
    ) -> int:
        """Connect ``count`` times without sending anything; returns how many connections came about."""
        session = self._open()
        connector = session.connector
        if connector is None:
            return 0
        target = URL(url, encoded=True)
        timeout = aiohttp.ClientTimeout(total=None, connect=connect)
        loop = asyncio.get_running_loop()
        wanted = aiohttp.ClientRequest(method, target, session=session, loop=loop, ssl=tls)
        # held until all are there, or one would be handed out again for the next
        attempts = [loop.create_task(connector.connect(wanted, traces=[], timeout=timeout)) for _ in range(count)]
        try:
            made = await asyncio.gather(*attempts, return_exceptions=True)
        finally:
            for attempt in attempts:
                if attempt.done() and not attempt.cancelled() and attempt.exception() is None:
                    attempt.result().release()
        return sum(not isinstance(each, BaseException) for each in made)

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=_NOT_ADDED,
                auto_decompress=False,
                trust_env=False,
                middlewares=(_never_again,),
                max_line_size=_MAX_LINE,
                max_field_size=_MAX_FIELD,
                max_headers=_MAX_HEADERS,
            )
        return self._session


class _Once(payload.Payload):
    """A request's body that lets itself be written once, into a connection that is open and silent.

    aiohttp holds the head back until the body's first bytes, so what is refused here has not left, head included.
    """

    _value: bytes

    def __init__(self, body: bytes, on_write: OnWrite) -> None:
        super().__init__(body)
        self._size = len(body)
        self._on_write = on_write
        self.written = False

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self._value.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:  # noqa: ARG002
        if self.written:
            raise ConnectionError("this request has been written before")
        if _is_over(writer):
            raise ConnectionError("the server has closed this connection")
        await self._on_write()
        self.written = True
        body = memoryview(self._value)
        await writer.write(body[:_PIECE])
        for start in range(_PIECE, len(body), _PIECE):
            await writer.write(body[start : start + _PIECE])


class _Ended(Exception):
    """A connection broke; worded so that aiohttp does not send an idempotent request again."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


async def _never_again(request: aiohttp.ClientRequest, handler: ClientHandlerType) -> aiohttp.ClientResponse:
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _Ended(error) from error


def _was_open(error: Exception) -> bool:
    """Whether there was a connection, and it was over, or full of noise, before anything was written."""
    over = isinstance(error, aiohttp.ClientOSError | aiohttp.ServerDisconnectedError | aiohttp.ClientResponseError)
    return over and not isinstance(error, aiohttp.ClientConnectorError | aiohttp.ClientHttpProxyError)


def _kept(name: bytes) -> bool:
    return name.lower() not in _FROM_BODY


def _is_over(writer: AbstractStreamWriter) -> bool:
    """Whether the connection is closed, half closed by the server, or holds something that nobody asked for.

    The event loop may not have heard of it yet, so the socket itself is asked. Under TLS unread bytes mean nothing: session
    tickets come when the server likes.
    """
    if not isinstance(writer, StreamWriter):
        return True
    transport, protocol = writer.transport, writer.protocol
    if transport is None or transport.is_closing() or getattr(protocol, "should_close", False):
        return True
    connection: socket.socket | None = transport.get_extra_info("socket")
    if connection is None or connection.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), _HANG_UP if transport.get_extra_info("sslcontext") else _HANG_UP | select.POLLIN)
    return bool(poll.poll(0))


def _fault(error: BaseException, *, written: bool) -> Fault:
    if not written:
        timed_out = isinstance(error, aiohttp.ConnectionTimeoutError)
        return Fault("connect timeout" if timed_out else "connect", _reason(error))
    match error:
        case aiohttp.ServerDisconnectedError():
            return Fault("protocol", "Server disconnected without sending a response.")
        case aiohttp.ClientPayloadError():
            return Fault("protocol", f"peer closed connection without sending complete message body: {_reason(error)}")
        case aiohttp.ClientResponseError():
            return Fault("protocol", f"not an HTTP answer: {error.message}")
        case _:
            return Fault("read", _reason(error))


def _reason(error: BaseException) -> str:
    """The innermost words: aiohttp's own repeat the host, TLS settings, and a URL that may hold a secret."""
    inner: Any = error
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        inner = error.certificate_error
    elif isinstance(error, aiohttp.ClientConnectorError):
        inner = error.os_error
    elif isinstance(error, aiohttp.ClientPayloadError | aiohttp.ClientOSError) and error.__cause__ is not None:
        inner = error.__cause__
    return getattr(inner, "strerror", None) or getattr(inner, "message", None) or str(inner) or type(inner).__name__

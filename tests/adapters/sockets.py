"""Servers on loopback that are spoken byte by byte, and clients of them."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

from adapters import Adapter, HttpResponse, TransportError, endpoint_from_config, open_transport

Script: TypeAlias = Callable[["Conversation"], Awaitable[None]]


class Conversation:
    """One accepted connection, spoken to byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, log: list[bytes]) -> None:
        self._reader = reader
        self.writer = writer
        self._log = log

    async def request(self) -> bytes:
        """Read one whole request; raises ``IncompleteReadError`` when the client has gone."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        whole = head + await self._reader.readexactly(length)
        self._log.append(whole)
        return whole

    async def head(self) -> bytes:
        """Read the head of a request only."""
        return await self._reader.readuntil(b"\r\n\r\n")

    async def drain(self) -> None:
        """Read whatever else comes, until the client has gone."""
        while await self._reader.read(1 << 16):
            pass

    def answer(self, body: bytes = b'{"a":1}', head: str = "HTTP/1.1 200 OK", *lines: str) -> None:
        self.writer.write("\r\n".join([head, f"content-length: {len(body)}", *lines, "", ""]).encode() + body)

    def reset(self) -> None:
        """Close with RST."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class Server:
    """Requests as they came, by arrival, and how many connections carried them."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/p"
        self.requests: list[bytes] = []
        self.connections = 0


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[Server]:
    """A server on loopback that lets ``script`` hold every conversation."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state.connections += 1
        try:
            await script(Conversation(reader, writer, state.requests))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    state = Server(server.sockets[0].getsockname()[1])
    try:
        yield state
    finally:
        server.close()


async def keep_answering(talk: Conversation) -> None:
    while True:
        await talk.request()
        talk.answer()


def adapter_for(url: str, **config: Any) -> Adapter:
    config = {"url": url, "json": {"t": "{{ x }}"}, "scores": {"map": "@"}, "limits": {"timeout": 5}, **config}
    return endpoint_from_config("v", config, environment={}, base=Path())


async def send(
    url: str, text: str = "hi", *, environment: dict[str, str] | None = None, **config: Any
) -> HttpResponse | TransportError:
    adapter = adapter_for(url, **config)
    transport = open_transport(adapter, environment=environment or {})
    try:
        return await transport.send(adapter.request([text]))
    except TransportError as error:
        return error
    finally:
        await transport.aclose()


def exchange(script: Script, text: str = "hi", **options: Any) -> HttpResponse | TransportError:
    async def go() -> HttpResponse | TransportError:
        async with serving(script) as server:
            return await send(server.url, text, **options)

    return asyncio.run(go())


def scripted(*pieces: bytes | float | None) -> Script:
    """Read a request, then write bytes, wait seconds, or (``None``) reset."""

    async def script(talk: Conversation) -> None:
        await talk.request()
        for piece in pieces:
            if piece is None:
                talk.reset()
            elif isinstance(piece, bytes):
                talk.writer.write(piece)
                await talk.writer.drain()
            else:
                await asyncio.sleep(piece)

    return script


HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n"
SHORT: dict[str, Any] = {"limits": {"timeout": 0.2}}

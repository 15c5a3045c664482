"""What aiohttp does behind one's back must not happen: repeats, writes into dead connections, answers to nobody's question.

Each test is a real socket. Where it matters that the event loop has not yet heard of something, the server lives in a
thread and the loop is held up until it has happened.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import HttpRequest, HttpResponse, Limits, LocalCall, MaybeBilled, NotSent, Request, TransportError
from adapters.transport import AioTransport, HttpTransport
from tests.adapters.sockets import (
    SHORT,
    Conversation,
    Script,
    adapter_for,
    exchange,
    keep_answering,
    scripted,
    send,
    serving,
)

CERTIFICATE = Path(__file__).with_name("loopback.pem")
ANSWER = b'HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{"a":1}'
OTHER = b'HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{"b":2}'


class Peer:
    """A server in a thread. ``behave`` gets each accepted socket, what it returns is kept open; ``received`` is what came."""

    def __init__(self, listener: socket.socket, behave: Callable[[Peer, socket.socket], None]) -> None:
        self.listener = listener
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/p"
        self.connections: list[socket.socket] = []
        self.requests: list[bytes] = []
        self.done = threading.Event()
        self._behave = behave
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
                self.connections.append(connection)
                self._behave(self, connection)
            except OSError:
                return

    def read(self, connection: socket.socket) -> None:
        """One request of up to 64 KiB."""
        data = b""
        while not data.endswith(b'"}'):
            piece = connection.recv(1 << 16)
            if not piece:
                raise OSError("gone")
            data += piece
        self.requests.append(data)

    def refuse(self) -> None:
        """Accept nothing more."""
        with suppress(OSError):  # closing alone does not end an accept in another thread
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def close(self) -> None:
        self.refuse()
        for connection in self.connections:
            connection.close()


@contextmanager
def peer(behave: Callable[[Peer, socket.socket], None]) -> Iterator[Peer]:
    listener = socket.create_server(("127.0.0.1", 0))
    with closing(Peer(listener, behave)) as running:
        yield running


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


async def outcome(transport: HttpTransport, request: Request) -> HttpResponse | TransportError:
    try:
        return await transport.send(request)
    except TransportError as error:
        return error


def plain(url: str, text: str = "hi", method: str = "POST") -> HttpRequest:
    request = adapter_for(url, method=method).request([text])
    assert isinstance(request, HttpRequest)
    return request


def body_of(answer: HttpResponse | TransportError) -> bytes:
    assert isinstance(answer, HttpResponse), answer
    return answer.body


class TestNothingIsSentTwice:
    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
    @pytest.mark.parametrize("ending", [None, b"", b"HTTP/1.1 2"])
    def test_on_a_new_connection(self, method: str, ending: bytes | None) -> None:
        async def go() -> tuple[HttpResponse | TransportError, int, int]:
            async with serving(scripted(ending)) as server:
                seen = await send(server.url, method=method)
                await asyncio.sleep(0.05)  # a repeat would have come by now
                return seen, len(server.requests), server.connections

        seen, requests, connections = asyncio.run(go())
        assert isinstance(seen, MaybeBilled), seen
        assert (requests, connections) == (1, 1)

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
    def test_on_a_used_connection(self, method: str) -> None:
        async def script(talk: Conversation) -> None:
            await talk.request()
            talk.answer()
            await talk.request()
            talk.reset()

        async def go() -> tuple[list[type], int, int]:
            async with serving(script) as server:
                transport = HttpTransport("v", limits=Limits(timeout=5))
                request = plain(server.url, method=method)
                seen = [type(await outcome(transport, request)) for _ in range(2)]
                await asyncio.sleep(0.05)
                await transport.aclose()
                return seen, len(server.requests), server.connections

        assert asyncio.run(go()) == ([HttpResponse, MaybeBilled], 2, 1)


class TestConnectionsThatTheServerHasClosed:
    """The loop has no chance to notice before the next request is written."""

    @pytest.mark.parametrize("method", ["POST", "PUT"])
    @pytest.mark.parametrize("ending", [socket.socket.close, reset], ids=["FIN", "RST"])
    def test_are_not_written_to(self, method: str, ending: Callable[[socket.socket], None]) -> None:
        def behave(server: Peer, connection: socket.socket) -> None:
            server.read(connection)
            connection.sendall(ANSWER)
            go_on.wait(5)
            go_on.clear()
            ending(connection)
            server.done.set()

        async def go() -> list[bytes]:
            transport = HttpTransport("v", limits=Limits(timeout=5))
            bodies = []
            for _ in range(4):
                bodies.append(body_of(await outcome(transport, plain(server.url, method=method))))
                go_on.set()
                server.done.wait(5)
                server.done.clear()
            await transport.aclose()
            return bodies

        go_on = threading.Event()
        with peer(behave) as server:
            assert asyncio.run(go()) == [b'{"a":1}'] * 4
            assert len(server.requests) == len(server.connections) == 4

    def test_count_as_nothing_sent_if_no_other_can_be_had(self) -> None:
        def behave(server: Peer, connection: socket.socket) -> None:
            if len(server.connections) == 3:
                server.done.set()

        async def go() -> HttpResponse | TransportError:
            transport = HttpTransport("v", limits=Limits(timeout=5))
            request = plain(server.url)
            assert await transport.warm(request, 3) == 3
            server.done.wait(5)
            server.refuse()
            for connection in server.connections:
                connection.close()
            seen = await outcome(transport, request)
            await transport.aclose()
            return seen

        with peer(behave) as server:
            seen = asyncio.run(go())
            assert server.requests == []
        assert isinstance(seen, NotSent), seen

    def test_a_server_that_hangs_up_on_everyone_is_not_asked_for_ever(self) -> None:
        def behave(server: Peer, connection: socket.socket) -> None:
            connection.close()

        async def go() -> HttpResponse | TransportError:
            transport = HttpTransport("v", limits=Limits(timeout=5))
            request = plain(server.url)
            await transport.warm(request, 20)
            seen = await outcome(transport, request)
            await transport.aclose()
            return seen

        with peer(behave) as server:
            seen = asyncio.run(go())
            assert len(server.connections) <= 24
        assert isinstance(seen, TransportError)


class TestAnswersToNobody:
    """What comes on an idle connection must not become the answer to the next request."""

    @pytest.mark.parametrize("unseen", [True, False])
    @pytest.mark.parametrize(
        "extra", [OTHER, b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n", b"\r\nnoise"]
    )
    def test_after_the_answer(self, extra: bytes, unseen: bool) -> None:
        def behave(server: Peer, connection: socket.socket) -> None:
            server.read(connection)
            connection.sendall(ANSWER)
            go_on.wait(5)
            go_on.clear()
            connection.sendall(extra)
            server.done.set()

        async def go() -> list[bytes]:
            transport = HttpTransport("v", limits=Limits(timeout=5))
            first = await outcome(transport, plain(server.url))
            go_on.set()
            if unseen:
                server.done.wait(5)
            else:
                await asyncio.to_thread(server.done.wait, 5)
                await asyncio.sleep(0.05)
            second = await outcome(transport, plain(server.url))
            await transport.aclose()
            return [body_of(first), body_of(second)]

        go_on = threading.Event()
        with peer(behave) as server:
            assert asyncio.run(go()) == [b'{"a":1}', b'{"a":1}']
            assert len(server.connections) == 2

    def test_in_one_piece_with_the_answer(self) -> None:
        async def script(talk: Conversation) -> None:
            while True:
                await talk.request()
                talk.writer.write(ANSWER + OTHER)

        async def go() -> list[HttpResponse | TransportError]:
            async with serving(script) as server:
                transport = HttpTransport("v", limits=Limits(timeout=5))
                seen = [await outcome(transport, plain(server.url)) for _ in range(3)]
                await transport.aclose()
                return seen

        assert all(isinstance(each, MaybeBilled) or each.body == b'{"a":1}' for each in asyncio.run(go()))  # type: ignore[union-attr]

    def test_before_the_request(self) -> None:
        def behave(server: Peer, connection: socket.socket) -> None:
            connection.sendall(OTHER)
            if len(server.connections) == 2:
                server.done.set()

        async def go() -> HttpResponse | TransportError:
            transport = HttpTransport("v", limits=Limits(timeout=0.5))
            await transport.warm(plain(server.url), 2)
            server.done.wait(5)
            server.refuse()
            seen = await outcome(transport, plain(server.url))
            await transport.aclose()
            return seen

        with peer(behave) as server:
            assert isinstance(asyncio.run(go()), NotSent)


def ends(*pieces: bytes | None) -> HttpResponse | TransportError:
    return exchange(scripted(*pieces))


class TestBodies:
    def test_without_announced_length_ends_when_the_server_closes(self) -> None:
        assert body_of(ends(b'HTTP/1.1 200 OK\r\n\r\n{"a":', b"1}")) == b'{"a":1}'

    def test_without_announced_length_is_not_whole_when_the_connection_breaks(self) -> None:
        seen = exchange(reset_after(b'HTTP/1.1 200 OK\r\n\r\n{"a":1}'))
        assert isinstance(seen, MaybeBilled), seen

    def test_with_announced_length_is_whole_though_the_connection_breaks_after_it(self) -> None:
        assert body_of(exchange(reset_after(ANSWER))) == b'{"a":1}'

    def test_more_than_the_announced_length_is_not_believed(self) -> None:
        assert isinstance(ends(ANSWER + b"tail"), MaybeBilled)
        assert body_of(ends(ANSWER + b"\r\n")) == b'{"a":1}'

    def test_an_early_refusal_of_a_large_request_is_an_answer(self) -> None:
        async def script(talk: Conversation) -> None:
            await talk.head()
            talk.writer.write(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
            await talk.drain()

        seen = exchange(script, text="x" * 3_000_000)
        assert isinstance(seen, HttpResponse), seen
        assert seen.status == 413

    def test_a_large_request_arrives_whole(self) -> None:
        async def script(talk: Conversation) -> None:
            received.append(await talk.request())
            talk.answer()

        received: list[bytes] = []
        text = "0123456789" * 500_000
        body_of(exchange(script, text=text))
        assert received[0].endswith(f'"{text}"}}'.encode())

    def test_a_large_request_that_nobody_reads_ends_in_time(self) -> None:
        async def script(talk: Conversation) -> None:
            await asyncio.sleep(5)

        seen = exchange(script, text="x" * 20_000_000, **SHORT)
        assert isinstance(seen, MaybeBilled), seen
        assert "no whole answer within 0.2 s" in str(seen)


def reset_after(data: bytes) -> Script:
    async def script(talk: Conversation) -> None:
        await talk.request()
        talk.writer.write(data)
        await asyncio.sleep(0.05)
        talk.reset()

    return script


class TestHeads:
    def test_nothing_is_added_to_what_is_sent(self) -> None:
        async def go() -> bytes:
            async with serving(keep_answering) as server:
                await send(server.url, headers={"X-Two": "b", "accept": "a/b", "user-agent": "me"})
                return server.requests[0].replace(server.url.split("/")[2].encode(), b"HOST")

        assert asyncio.run(go()) == (
            b"POST /p HTTP/1.1\r\nHost: HOST\r\naccept-encoding: gzip, deflate\r\ncontent-type: application/json\r\n"
            b'x-two: b\r\naccept: a/b\r\nuser-agent: me\r\nContent-Length: 10\r\n\r\n{"t":"hi"}'
        )

    @pytest.mark.parametrize(
        ("lines", "fine"),
        [
            ([b"a: " + b"b" * 20_000], True),
            ([b"a: " + b"b" * 40_000], False),
            ([b"a: b"] * 120, True),
            ([b"a: b"] * 200, False),
            ([b"a: b"] * 100_000, False),
        ],
    )
    def test_are_capped(self, lines: list[bytes], fine: bool) -> None:
        head = b"\r\n".join([b"HTTP/1.1 200 OK", b"content-length: 2", *lines, b"", b""])
        assert isinstance(ends(head + b"{}"), HttpResponse if fine else MaybeBilled)

    def test_hints_are_not_answers(self) -> None:
        assert body_of(ends(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", ANSWER)) == b'{"a":1}'

    def test_hints_without_end_end(self) -> None:
        async def script(talk: Conversation) -> None:
            await talk.request()
            while True:
                talk.writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
                await talk.writer.drain()
                await asyncio.sleep(0.01)

        assert isinstance(exchange(script, **SHORT), MaybeBilled)

    def test_a_change_of_protocol_is_not_followed(self) -> None:
        seen = ends(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n")
        assert isinstance(seen, HttpResponse), seen
        assert adapter_for("http://h/").classify(seen).kind == "broken"

    def test_a_value_that_would_add_a_header_is_never_sent(self) -> None:
        async def go() -> tuple[HttpResponse | TransportError, list[bytes]]:
            async with serving(keep_answering) as server:
                transport = HttpTransport("v", limits=Limits(timeout=5))
                seen = await outcome(transport, HttpRequest("POST", server.url, (("a", "b\r\nc: d"),), b"{}"))
                await transport.aclose()
                return seen, server.requests

        seen, requests = asyncio.run(go())
        assert isinstance(seen, NotSent), seen
        assert requests == []


@settings(max_examples=80, deadline=None)
@given(
    data=st.binary(max_size=200), head=st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", ANSWER[:-7]]), hard=st.booleans()
)
def test_whatever_the_server_says_there_is_an_answer_or_one_plain_error(data: bytes, head: bytes, hard: bool) -> None:
    seen = exchange(reset_after(head + data) if hard else scripted(head + data), limits={"timeout": 2})
    assert isinstance(seen, HttpResponse | MaybeBilled)
    assert isinstance(seen, HttpResponse) or str(seen).isprintable()


def tls_pair() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(CERTIFICATE)
    return server, ssl.create_default_context(cafile=CERTIFICATE)


class TestTls:
    def exchanged(
        self,
        script: Script,
        *,
        client: ssl.SSLContext | None,
        count: int = 1,
        host: str = "127.0.0.1",
        timeout: float = 5,
    ) -> tuple[list[HttpResponse | TransportError], int, int]:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.append(writer)
            try:
                await script(Conversation(reader, writer, requests))
            except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
                pass
            finally:
                writer.close()

        async def go() -> list[HttpResponse | TransportError]:
            server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls_pair()[0])
            url = f"https://{host}:{server.sockets[0].getsockname()[1]}/p"
            transport = HttpTransport("v", limits=Limits(timeout=timeout), transport=AioTransport(tls=client))
            seen = [await outcome(transport, plain(url)) for _ in range(count)]
            await transport.aclose()
            server.close()
            return seen

        requests: list[bytes] = []
        connections: list[asyncio.StreamWriter] = []
        return asyncio.run(go()), len(requests), len(connections)

    def test_one_handshake_serves_many_requests(self) -> None:
        seen, requests, connections = self.exchanged(keep_answering, client=tls_pair()[1], count=5)
        assert [body_of(each) for each in seen] == [b'{"a":1}'] * 5
        assert (requests, connections) == (5, 1)

    @pytest.mark.parametrize(
        ("client", "host", "reason"),
        [(None, "127.0.0.1", "self-signed certificate"), (tls_pair()[1], "localhost", "Hostname mismatch")],
    )
    def test_a_server_that_cannot_prove_who_it_is_gets_nothing(
        self, client: ssl.SSLContext | None, host: str, reason: str
    ) -> None:
        seen, requests, _ = self.exchanged(keep_answering, client=client, host=host)
        assert isinstance(seen[0], NotSent)
        assert reason in str(seen[0])
        assert requests == 0

    @pytest.mark.parametrize("ending", [None, b"", ANSWER[:-3]])
    def test_once_sent_a_lost_answer_may_have_been_billed(self, ending: bytes | None) -> None:
        seen, requests, _ = self.exchanged(scripted(ending), client=tls_pair()[1])
        assert isinstance(seen[0], MaybeBilled), seen
        assert requests == 1

    def test_a_connection_the_server_closed_is_not_used(self) -> None:
        async def script(talk: Conversation) -> None:
            await talk.request()
            talk.answer()

        seen, requests, connections = self.exchanged(script, client=tls_pair()[1], count=3)
        assert [type(each) for each in seen] == [HttpResponse] * 3, seen
        assert (requests, connections) == (3, 3)

    @pytest.mark.skipif(not hasattr(select, "POLLRDHUP"), reason="this system does not tell a half closed connection")
    def test_a_connection_the_server_closed_unseen_is_not_used(self) -> None:
        def behave(server: Peer, connection: socket.socket) -> None:
            wrapped = context.wrap_socket(connection, server_side=True)
            server.connections.append(wrapped)
            server.read(wrapped)
            wrapped.sendall(ANSWER)
            go_on.wait(5)
            go_on.clear()
            wrapped.close()
            server.done.set()

        async def go() -> list[bytes]:
            url = server.url.replace("http:", "https:")
            transport = HttpTransport("v", limits=Limits(timeout=5), transport=AioTransport(tls=tls_pair()[1]))
            bodies = []
            for _ in range(3):
                bodies.append(body_of(await outcome(transport, plain(url))))
                go_on.set()
                server.done.wait(5)
                server.done.clear()
            await transport.aclose()
            return bodies

        go_on, context = threading.Event(), tls_pair()[0]
        with peer(behave) as server:
            assert asyncio.run(go()) == [b'{"a":1}'] * 3
            assert len(server.requests) == 3


class TestWarming:
    def test_opens_connections_and_sends_nothing(self) -> None:
        async def script(talk: Conversation) -> None:
            while True:
                await talk.request()
                await asyncio.sleep(0.05)
                talk.answer()

        async def go() -> tuple[int, list[int], list[int]]:
            async with serving(script) as server:
                transport = HttpTransport("v", limits=Limits(timeout=5))
                request = plain(server.url)
                made = await transport.warm(request, 30)
                await asyncio.sleep(0.05)
                before = [server.connections, len(server.requests)]
                await asyncio.gather(*(transport.send(request) for _ in range(30)))
                await transport.aclose()
                return made, before, [server.connections, len(server.requests)]

        assert asyncio.run(go()) == (30, [30, 0], [30, 30])

    def test_can_be_given_up(self) -> None:
        async def go() -> HttpResponse | TransportError:
            async with serving(keep_answering) as server:
                transport = HttpTransport("v", limits=Limits(timeout=5))
                request = plain(server.url)
                warming = asyncio.create_task(transport.warm(request, 20))
                for _ in range(3):  # somewhere between the first connection and the last
                    await asyncio.sleep(0)
                warming.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await warming
                seen = await outcome(transport, request)
                await transport.aclose()
                return seen

        assert body_of(asyncio.run(go())) == b'{"a":1}'

    def test_a_server_that_is_not_there_is_no_error_yet(self) -> None:
        async def go() -> tuple[int, int]:
            transport = HttpTransport("v", limits=Limits(timeout=5))
            with socket.socket() as unused:
                unused.bind(("127.0.0.1", 0))
                remote = await transport.warm(plain(f"http://127.0.0.1:{unused.getsockname()[1]}/"), 3)
            local = await transport.warm(LocalCall(len, ("a",)), 3)
            await transport.aclose()
            return remote, local

        assert asyncio.run(go()) == (0, 0)


class TestEndings:
    @pytest.mark.parametrize("silent", [True, False])
    def test_a_cancelled_request_closes_its_connection(self, silent: bool) -> None:
        async def script(talk: Conversation) -> None:
            await talk.request()
            if not silent:
                talk.writer.write(ANSWER[:-3])
            try:
                await talk.request()
            except asyncio.IncompleteReadError:
                gone.set()

        async def go() -> bool:
            async with serving(script) as server:
                transport = HttpTransport("v", limits=Limits(timeout=5))
                task = asyncio.create_task(transport.send(plain(server.url)))
                await asyncio.sleep(0.05)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                async with asyncio.timeout(2):
                    await gone.wait()
                await transport.aclose()
                return True

        gone = asyncio.Event()
        assert asyncio.run(go())

    def test_closing_ends_what_is_in_flight(self) -> None:
        async def script(talk: Conversation) -> None:
            await talk.request()
            await asyncio.sleep(5)

        async def go() -> HttpResponse | TransportError:
            async with serving(script) as server:
                transport = HttpTransport("v", limits=Limits(timeout=5))
                task = asyncio.create_task(outcome(transport, plain(server.url)))
                await asyncio.sleep(0.05)
                await transport.aclose()
                async with asyncio.timeout(2):
                    return await task

        assert isinstance(asyncio.run(go()), MaybeBilled)


class TestUnderHttpx:
    """The transport behind httpx's own client."""

    def test_answers_are_httpx_answers(self) -> None:
        async def go() -> tuple[Any, httpx.Response]:
            async with serving(keep_answering) as server, httpx.AsyncClient(transport=AioTransport()) as client:
                answer = await client.post(server.url, json={"t": "hi"})
                return answer.json(), answer

        found, answer = asyncio.run(go())
        assert found == {"a": 1}
        assert (answer.status_code, answer.reason_phrase, answer.http_version) == (200, "OK", "HTTP/1.1")

    @pytest.mark.parametrize(
        ("script", "raised"),
        [
            (scripted(), httpx.RemoteProtocolError),
            (scripted(None), httpx.ReadError),
            (scripted(b"what?\r\n\r\n"), httpx.RemoteProtocolError),
            (scripted(ANSWER[:-1]), httpx.RemoteProtocolError),
        ],
    )
    def test_faults_are_httpx_faults(self, script: Script, raised: type[Exception]) -> None:
        async def go() -> None:
            async with serving(script) as server, httpx.AsyncClient(transport=AioTransport()) as client:
                await client.post(server.url, json={"t": "hi"})

        with pytest.raises(raised):
            asyncio.run(go())

    @pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://no-such-host.invalid/", "ftp://127.0.0.1/"])
    def test_what_was_not_sent_is_a_connect_error(self, url: str) -> None:
        async def go() -> None:
            async with httpx.AsyncClient(transport=AioTransport()) as client:
                await client.post(url)

        with pytest.raises(httpx.ConnectError):
            asyncio.run(go())

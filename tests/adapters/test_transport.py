"""The transport against real sockets: what arrives, every way an answer can fail to, and what is kept of it."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import (
    HttpRequest,
    HttpResponse,
    Limits,
    LocalCall,
    MaybeBilled,
    NotSent,
    SpecError,
    TransportError,
    open_transport,
)
from adapters.transport import HttpTransport
from tests.adapters.sockets import (
    HEAD,
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

DRIPS: list[bytes | float | None] = [b"{", 0.08] * 6


@pytest.mark.parametrize(
    ("script", "config", "seen"),
    [
        (scripted(), {}, "the connection broke off (Server disconnected without sending a response.)"),
        (scripted(None), {}, "the connection broke off"),
        (scripted(HEAD + b'{"a"', None), {}, "the connection broke off"),
        (scripted(HEAD + b'{"a"'), {}, "the connection broke off (peer closed connection without sending complete"),
        (
            scripted(b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n{"a"\r\n'),
            {},
            "the connection broke off",
        ),
        (scripted(b"HTTP/1.1 2"), {}, "the connection broke off"),
        (scripted(b"\x16\x03\x01 what?\r\n\r\n"), {}, "the connection broke off"),
        (
            scripted(b"HTTP/1.1 200 OK\r\n" + b"a: " + b"b" * 200_000 + b"\r\n\r\n" + b"{}"),
            {},
            "the connection broke off",
        ),
        (scripted(5.0), SHORT, "no whole answer within 0.2 s"),
        (scripted(HEAD, 5.0), SHORT, "no whole answer within 0.2 s"),
        (scripted(HEAD, *DRIPS), SHORT, "no whole answer within 0.2 s"),
        (scripted(HEAD + b'{"a":1}'), {"limits": {"max_response_bytes": 6}}, "an answer of more than 6 bytes"),
        (
            scripted(b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 2\r\n\r\nab"),
            {},
            "'br' was not asked for",
        ),
        (scripted(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nab"), {}, "body is damaged"),
    ],
)
def test_once_sent_a_lost_answer_may_have_been_billed(script: Script, config: dict[str, Any], seen: str) -> None:
    error = exchange(script, **config)
    assert isinstance(error, MaybeBilled), error
    assert str(error).isprintable()
    assert str(error).startswith("endpoint 'v': ")
    assert seen in str(error)
    assert "127.0.0.1" in str(error)
    assert str(error).endswith("it was sent and may have been counted")


class TestNothingSent:
    def test_connection_refused(self) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            error = asyncio.run(send(f"http://127.0.0.1:{unused.getsockname()[1]}/"))
        assert isinstance(error, NotSent)
        assert str(error).endswith("nothing was sent")

    @pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70 + ".invalid"])
    def test_a_name_that_does_not_resolve(self, host: str) -> None:
        error = asyncio.run(send(f"http://{host}/"))
        assert isinstance(error, NotSent)
        assert "no connection (" in str(error)

    @pytest.mark.parametrize("first", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", None])
    def test_a_server_that_does_not_speak_tls(self, first: bytes | None) -> None:
        async def script(talk: Conversation) -> None:
            if first is None:
                talk.reset()
            else:
                talk.writer.write(first)
                await asyncio.sleep(0.4)

        async def go() -> HttpResponse | TransportError:
            async with serving(script) as server:
                return await send(server.url.replace("http:", "https:"), **SHORT)

        error = asyncio.run(go())
        assert isinstance(error, NotSent)
        assert str(error).isprintable()

    def test_a_server_that_does_not_accept(self) -> None:
        with socket.socket() as deaf:
            deaf.bind(("127.0.0.1", 0))
            deaf.listen(0)
            fill = [socket.socket() for _ in range(4)]
            for filler in fill:
                filler.setblocking(False)
                filler.connect_ex(deaf.getsockname())
            error = asyncio.run(send(f"http://127.0.0.1:{deaf.getsockname()[1]}/", **SHORT))
            for filler in fill:
                filler.close()
        assert isinstance(error, NotSent)
        assert "no connection within 0.1 s" in str(error)

    def test_a_python_call_is_not_for_a_remote_endpoint(self) -> None:
        async def go() -> None:
            await HttpTransport("v", limits=Limits()).send(LocalCall(len, ("a",)))

        with pytest.raises(SpecError, match="cannot run a Python function"):
            asyncio.run(go())


class TestAnswers:
    def test_a_redirect_is_handed_over_and_not_followed(self) -> None:
        async def script(talk: Conversation) -> None:
            await talk.request()
            talk.answer(b"", "HTTP/1.1 302 Found", "location: http://127.0.0.1:1/steal")

        answer = exchange(script)
        assert isinstance(answer, HttpResponse)
        assert (answer.status, answer.header("Location")) == (302, "http://127.0.0.1:1/steal")
        assert adapter_for("http://h/").classify(answer).kind == "broken"

    def test_a_page_with_200_is_recognised(self) -> None:
        async def script(talk: Conversation) -> None:
            await talk.request()
            talk.answer(b"<html>Please sign in</html>")

        answer = exchange(script)
        assert isinstance(answer, HttpResponse)
        assert adapter_for("http://h/").classify(answer).kind == "broken"

    @pytest.mark.parametrize(
        ("encoding", "packed"),
        [
            ("gzip", gzip.compress(b'{"a":1}', mtime=0)),
            ("GZIP", gzip.compress(b'{"a"', mtime=0) + gzip.compress(b":1}", mtime=0)),
            ("deflate", zlib.compress(b'{"a":1}')),
            ("deflate", zlib.compress(b'{"a":1}')[2:-4]),
            ("identity", b'{"a":1}'),
        ],
    )
    def test_packed_answers(self, encoding: str, packed: bytes) -> None:
        async def script(talk: Conversation) -> None:
            assert b"accept-encoding: gzip, deflate\r\n" in (await talk.request()).lower()
            talk.answer(packed, "HTTP/1.1 200 OK", f"content-encoding: {encoding}", "X-Trace: AbC")

        answer = exchange(script)
        assert isinstance(answer, HttpResponse)
        assert answer.body == b'{"a":1}'
        assert answer.header("X-TRACE") == "AbC"
        assert 0 < answer.elapsed < 5

    def test_a_gzip_that_ends_too_early_is_no_answer(self) -> None:
        async def script(talk: Conversation) -> None:
            await talk.request()
            talk.answer(gzip.compress(b'{"a":1}')[:-9], "HTTP/1.1 200 OK", "content-encoding: gzip")

        assert isinstance(exchange(script), MaybeBilled)

    def test_a_gzip_bomb_costs_no_more_than_the_cap(self) -> None:
        pack = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
        bomb = b"".join(pack.compress(bytes(1 << 20)) for _ in range(256)) + pack.flush()
        assert len(bomb) < 300_000

        async def script(talk: Conversation) -> None:
            await talk.request()
            talk.answer(bomb, "HTTP/1.1 200 OK", "content-encoding: gzip")

        tracemalloc.start()
        error = exchange(script, limits={"timeout": 20, "max_response_bytes": 8 << 20})
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert isinstance(error, MaybeBilled)
        assert "an answer of more than 8388608 bytes (limits.max_response_bytes)" in str(error)
        assert peak < 32 << 20

    def test_cookies_are_not_kept(self) -> None:
        async def script(talk: Conversation) -> None:
            while True:
                await talk.request()
                talk.answer(b"{}", "HTTP/1.1 200 OK", "set-cookie: id=1; Path=/")

        async def go() -> list[bytes]:
            async with serving(script) as server:
                await send_many(server.url, 2)
                return server.requests

        assert all(b"cookie" not in request.lower() for request in asyncio.run(go()))


async def send_many(url: str, count: int, *, at_once: bool = False, pause: float = 0.0) -> list[HttpResponse]:
    adapter = adapter_for(url)
    transport = open_transport(adapter, environment={})
    request = adapter.request(["hi"])
    try:
        if at_once:
            return list(await asyncio.gather(*(transport.send(request) for _ in range(count))))
        answers = []
        for _ in range(count):
            answers.append(await transport.send(request))
            await asyncio.sleep(pause)
        return answers
    finally:
        await transport.aclose()


class TestConnections:
    def test_one_connection_serves_one_request_after_the_other(self) -> None:
        async def go() -> tuple[int, int]:
            async with serving(keep_answering) as server:
                await send_many(server.url, 20)
                return server.connections, len(server.requests)

        assert asyncio.run(go()) == (1, 20)

    def test_nothing_waits_for_a_free_connection(self) -> None:
        gathered = asyncio.Event()

        async def script(talk: Conversation) -> None:
            await talk.request()
            waiting.append(talk)
            if len(waiting) == 150:
                gathered.set()
            await gathered.wait()
            talk.answer()

        waiting: list[Conversation] = []

        async def go() -> int:
            async with serving(script) as server:
                return len(await send_many(server.url, 150, at_once=True))

        assert asyncio.run(go()) == 150

    def test_a_connection_the_server_closed_while_idle_is_not_used(self) -> None:
        async def script(talk: Conversation) -> None:
            await talk.request()
            talk.answer()  # and close, without having said so

        async def go() -> tuple[int, int]:
            async with serving(script) as server:
                answers = await send_many(server.url, 4, pause=0.03)
                return len(answers), server.connections

        assert asyncio.run(go()) == (4, 4)

    def test_a_fault_costs_its_own_connection_only(self) -> None:
        async def script(talk: Conversation) -> None:
            while True:
                if b"bad" in await talk.request():
                    talk.reset()
                talk.answer()

        async def go() -> list[str]:
            async with serving(script) as server:
                adapter = adapter_for(server.url)
                transport = open_transport(adapter, environment={})
                seen = []
                for text in ("good", "bad", "good", "bad", "good"):
                    try:
                        seen.append(str((await transport.send(adapter.request([text]))).status))
                    except MaybeBilled:
                        seen.append("lost")
                await transport.aclose()
                return seen

        assert asyncio.run(go()) == ["200", "lost", "200", "lost", "200"]

    def test_a_cancelled_request_leaves_the_transport_usable(self) -> None:
        async def script(talk: Conversation) -> None:
            while True:
                if b"slow" in await talk.request():
                    await asyncio.sleep(5)
                talk.answer()

        async def go() -> int:
            async with serving(script) as server:
                adapter = adapter_for(server.url)
                transport = open_transport(adapter, environment={})
                task = asyncio.create_task(transport.send(adapter.request(["slow"])))
                await asyncio.sleep(0.05)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                answer = await transport.send(adapter.request(["quick"]))
                await transport.aclose()
                return answer.status

        assert asyncio.run(go()) == 200


@pytest.fixture(scope="module")
def echo() -> Iterator[Callable[[Any, list[Any]], Any]]:
    async def handle(request: web.Request) -> web.Response:
        return web.json_response({"got": await request.json()})

    runner = asyncio.Runner()
    application = web.Application()
    application.router.add_post("/p", handle)
    server = web.AppRunner(application, access_log=None)

    async def start() -> str:
        await server.setup()
        site = web.TCPSite(server, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{server.addresses[0][1]}/p"

    url = runner.run(start())
    transport = HttpTransport("v", limits=Limits(timeout=10))

    def through(tree: Any, batch: list[Any]) -> Any:
        request = adapter_for(url, json=tree, batch=8 if "$each" in json.dumps(tree) else 1).request(batch)
        assert isinstance(request, HttpRequest)
        return json.loads(runner.run(transport.send(request)).body)["got"]

    yield through
    runner.run(transport.aclose())
    runner.run(server.cleanup())
    runner.close()


class TestEcho:
    """Any input through a real server and back."""

    @settings(max_examples=60)
    @given(text=st.text())
    def test_text(self, echo: Callable[[Any, list[Any]], Any], text: str) -> None:
        tree = {"a": "{{ x }}", "b": [{"c": "<{{ x }}>"}], "d": "{{x}}{{x}}"}
        assert echo(tree, [text]) == {"a": text, "b": [{"c": f"<{text}>"}], "d": text + text}

    @settings(max_examples=30)
    @given(
        rows=st.lists(
            st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text()), min_size=1, max_size=8
        )
    )
    def test_rows(self, echo: Callable[[Any, list[Any]], Any], rows: list[Any]) -> None:
        tree = {"rows": [{"$each": "{{ x | list }}"}], "whole": [{"$each": "{{ x }}"}], "n": "{{ n }}"}
        assert echo(tree, rows) == {"rows": [list(row.values()) for row in rows], "whole": rows, "n": len(rows)}

    def test_pictures(self, echo: Callable[[Any, list[Any]], Any]) -> None:
        picture = np.random.default_rng(1).integers(0, 256, (9, 7, 3), dtype=np.uint8)
        assert echo({"p": "{{ x | list }}"}, [picture]) == {"p": picture.tolist()}


def request_seen(**options: Any) -> str:
    """What arrives at the server."""

    async def go() -> str:
        async with serving(keep_answering) as server:
            answer = await send(server.url, **options)
            assert isinstance(answer, HttpResponse), answer
            return server.requests[0].decode()

    return asyncio.run(go())


KEY = 'sk-Ca/na+ry"0123='


class TestSecrets:
    ENVIRONMENT = {"KEY": KEY, "USER": "me"}  # noqa: RUF012

    @pytest.mark.parametrize(
        ("config", "sent"),
        [
            ({"auth": {"bearer": "${KEY}"}}, f"authorization: Bearer {KEY}\r\n"),
            ({"auth": {"header": {"name": "X-Api-Key", "value": "${KEY}"}}}, f"X-Api-Key: {KEY}\r\n"),
            ({"auth": {"header": "Authorization", "value": "Key ${KEY}"}}, f"Authorization: Key {KEY}\r\n"),
            (
                {"auth": {"query": {"name": "key", "value": "${KEY}"}}},
                "POST /p?key=sk-Ca%2Fna%2Bry%220123%3D HTTP/1.1\r\n",
            ),
            ({"query": {"a": 1, "key": "${KEY}"}}, "POST /p?a=1&key=sk-Ca%2Fna%2Bry%220123%3D HTTP/1.1\r\n"),
            ({"headers": {"X-Two": "${USER}/${KEY}"}}, f"x-two: me/{KEY}\r\n"),
            (
                {"auth": {"basic": {"username": "${USER}", "password": "${KEY}"}}},
                "authorization: Basic bWU6c2stQ2EvbmErcnkiMDEyMz0=\r\n",
            ),
        ],
    )
    def test_added_when_sent_and_in_nothing_that_is_stored(self, config: dict[str, Any], sent: str) -> None:
        assert sent in request_seen(environment=self.ENVIRONMENT, **config)
        adapter = adapter_for("http://h/p", **config)
        stored = repr(adapter.request(["hi"])) + adapter.identity + adapter.parser + repr(vars(adapter))
        assert KEY not in stored
        assert "bWU6" not in stored

    def test_references_in_inputs_are_just_text(self) -> None:
        assert '{"t":"${KEY} {{ x }}"}' in request_seen(text="${KEY} {{ x }}", environment=self.ENVIRONMENT)

    def test_an_endpoint_that_repeats_the_secret_does_not_get_it_stored(self) -> None:
        async def script(talk: Conversation) -> None:
            request = await talk.request()
            talk.answer(json.dumps({"you": request.decode()}).encode(), "HTTP/1.1 200 OK", f"x-echo: {KEY}")

        answer = exchange(script, environment=self.ENVIRONMENT, auth={"bearer": "${KEY}"})
        assert isinstance(answer, HttpResponse)
        assert KEY not in json.loads(answer.body)["you"]
        assert "Bearer [redacted]" in json.loads(answer.body)["you"]
        assert answer.header("x-echo") == "[redacted]"

    def test_no_failure_tells_it(self) -> None:
        error = exchange(scripted(), environment=self.ENVIRONMENT, auth={"query": {"name": "key", "value": "${KEY}"}})
        assert isinstance(error, MaybeBilled)
        for form in (KEY, "sk-Ca"):
            assert form not in str(error)
            assert form not in repr(error.__context__)

    def test_proxies_from_the_environment_are_not_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        assert request_seen().startswith("POST /p HTTP/1.1\r\n")

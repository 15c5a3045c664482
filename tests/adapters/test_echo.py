"""Whatever an input holds, it arrives as it is, in every place of a request: over real HTTP, compared byte by byte."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters import Adapter, HttpResponse, SpecError, open_transport
from tests.adapters.test_scores import endpoint
from tests.loopback import Loopback, Received, Reply, answering

HOSTILE = {
    "quotes": 'a "great" movie, it\'s \\"so\\" good',
    "line breaks": "line one\nline two\r\nline three\rline four\u2028line five\u0085",
    "backslashes": "C:\\new\\table \\u0041 \\\\ \\",
    "braces": "{ } }{ {0} %s ${HOME} $(id) `id` <% %> {% raw %}",
    "templates": "{{ x }} {{x}} {{ i }} {{ x | b64 }} {{ env.PATH }} {{ {{ x }} }} {$each: x}",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 🇪🇺 e\u0301 \U0010ffff",
    "NUL": "a\x00b\x01\x1b[31m\x7f",
    "right to left": "שלום \u202eeth\u202c مرحبا\u200f",
    "boundary": '--boundary\r\nContent-Disposition: form-data; name="x"\r\n\r\n--',
    "markup": "<script>&amp;</script>]]>",
    "spaces": "  \t leading and trailing \t\n ",
    "empty": "",
    "JSON": '{"a": [1, null, "b"]}',
    "1 MB": 'ä"\\\n' * 262_144,
}
BATCH = {"json": {"docs": [{"$each": {"id": "{{ i }}", "text": "{{ x }}"}}]}, "batch": 2, "items": "rows"}

#: the request, and how to get the text out of what arrived
JSON_PLACES: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "the whole body": ("{{ x }}", lambda got: got),
    "a value": ({"text": "{{ x }}"}, lambda got: got["text"]),
    "a value deep down": ({"a": [1, {"b": [[{"c": "{{ x }}"}]]}]}, lambda got: got["a"][1]["b"][0][0]["c"]),
    "an element": ({"texts": ["before", "{{ x }}", "after"]}, lambda got: got["texts"][1]),
    "within a text": ({"prompt": "<<{{ x }}>> {{ n }}"}, lambda got: got["prompt"][2:-4]),
    "twice": ({"a": "{{ x }}", "b": "{{ x }}"}, lambda got: got["b"]),
    "each of a list": ({"texts": [{"$each": "{{ x }}"}]}, lambda got: got["texts"][0]),
    "each of a list of objects": ({"docs": [{"$each": {"t": {"u": "{{ x }}"}}}]}, lambda got: got["docs"][0]["t"]["u"]),
    "JSON in a text": ({"payload": '{"text": {{ x | json }}}'}, lambda got: json.loads(got["payload"])["text"]),
    "base64": ({"b": "{{ x | b64 }}"}, lambda got: base64.b64decode(got["b"]).decode()),
    "a data URL": ({"u": "{{ x | data_url }}"}, lambda got: base64.b64decode(got["u"].split(",")[1]).decode()),
    "text by a pipe": ({"t": "{{ x | str }}"}, lambda got: got["t"]),
}


@pytest.fixture(scope="module")
def echo() -> Iterator[Loopback]:
    with answering(lambda _: Reply({"a": 1})) as server:
        yield server


def arrived(server: Loopback, *texts: str, **config: Any) -> Received:
    """What the server got when ``texts`` were sent as one request."""
    adapter: Adapter = endpoint(**{"scores": {"map": "@"}, **config, "url": f"{server.url}/echo"})

    async def go() -> HttpResponse:
        transport = open_transport(adapter, environment={})
        try:
            return await transport.send(adapter.request(list(texts)))
        finally:
            await transport.aclose()

    assert asyncio.run(go()).status == 200
    received = server.requests.pop()
    assert received.path == "/echo"
    return received


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("place", JSON_PLACES)
def test_in_json(echo: Loopback, place: str, text: str) -> None:
    tree, find = JSON_PLACES[place]
    assert find(arrived(echo, text, json=tree).json) == text


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_in_a_batch(echo: Loopback, text: str) -> None:
    got = arrived(echo, text, "{{ x }}", **BATCH).json
    assert got == {"docs": [{"id": 0, "text": text}, {"id": 1, "text": "{{ x }}"}]}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_as_a_raw_body(echo: Loopback, text: str) -> None:
    assert arrived(echo, text, body="{{ x }}").body == text.encode()
    assert arrived(echo, text, body="<{{ x }}>").body == f"<{text}>".encode()


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_as_parts_of_a_form(echo: Loopback, text: str) -> None:
    file = {"content": "{{ x }}", "filename": "a.txt", "type": "text/plain"}
    got = arrived(echo, text, multipart={"field": "{{ x }}", "file": file, "fixed": "7"})
    boundary = got.headers["content-type"].removeprefix("multipart/form-data; boundary=").encode()
    _, field, whole, fixed, end = got.body.split(b"--" + boundary)
    for part in (field, whole):
        assert part.partition(b"\r\n\r\n")[2] == text.encode() + b"\r\n"
    assert (fixed.rpartition(b"\r\n\r\n")[2], end) == (b"7\r\n", b"--\r\n")
    head = f"content-type: {got.headers['content-type']}\r\n\r\n".encode()
    parts = list(BytesParser(policy=HTTP).parsebytes(head + got.body).iter_parts())
    assert [part.get_param("name", header="content-disposition") for part in parts] == ["field", "file", "fixed"]


@given(st.text(max_size=200).filter(lambda text: text.encode("utf-8", "replace").decode() == text))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text(echo: Loopback, text: str) -> None:
    tree = {"a": "{{ x }}", "b": ["<{{ x }}>", {"c": "{{ x | json }}"}]}
    got = arrived(echo, text, json=tree).json
    assert got == {"a": text, "b": [f"<{text}>", {"c": got["b"][1]["c"]}]}
    assert json.loads(got["b"][1]["c"]) == text


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_half_a_surrogate_pair_is_escaped_in_json_and_refused_in_bytes(echo: Loopback, text: str) -> None:
    assert arrived(echo, text, json={"t": "{{ x }}"}).json == {"t": text}
    for config in ({"body": "{{ x }}"}, {"multipart": {"f": "{{ x }}"}}, {"json": {"b": "{{ x | b64 }}"}}):
        with pytest.raises(SpecError, match="half a surrogate pair"):
            endpoint(**config, scores={"map": "@"}).request([text])


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"query": {"q": "{{ x }}"}}, "query.q"),
        ({"headers": {"X-Text": "{{ x }}"}}, "headers.X-Text"),
        ({"url": "http://h/{{ x }}"}, "url is fixed"),
    ],
)
def test_no_input_goes_into_url_query_or_headers(config: dict[str, Any], key: str) -> None:
    """Logs and proxies keep those, and an input could name another host or header."""
    with pytest.raises(SpecError) as caught:
        endpoint(**{"json": {"t": "{{ x }}"}, "scores": {"map": "@"}, **config})
    assert key in str(caught.value)
    assert "json, multipart or body" in str(caught.value)


def test_keys_are_fixed() -> None:
    with pytest.raises(SpecError, match="keys are fixed"):
        endpoint(json={"{{ x }}": "{{ x }}"}, scores={"map": "@"})

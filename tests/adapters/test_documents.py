"""Streams of events: which of them is the document, and what is wrong with a stream."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import Adapter, HttpResponse, ItemError, NotJson, Prediction, ResponseError, SpecError
from tests.adapters.test_scores import ONE, TREES, endpoint


def stream(sse: Any = "last", **config: Any) -> Adapter:
    return endpoint(**ONE | {"scores": {"map": "@"}} | config, sse=sse)


def answer(body: bytes) -> HttpResponse:
    return HttpResponse(200, (("content-type", "text/event-stream"),), body)


@pytest.mark.parametrize(
    ("sse", "body"),
    [
        ("last", b'data: {"a": 0}\n\ndata: {"a": 1}\n\n'),
        ("last", b'data: {"a": 1}\n\ndata: [DONE]\n\n'),
        ("last", b'\xef\xbb\xbfdata: {"a": 1}\r\n\r\n'),
        ("last", b'data:{"a":\rdata: 1}\r\r'),
        ("last", b': comment\nid: 7\nretry: 10\nevent: x\ndata: {"a": 1}\n\n: bye\n\n'),
        ("last", b'data: {"a": 1}'),
        ("last", b'data: {"a": 1}\n\nevent: ping\n\n'),
        ({"event": "complete"}, b'event: complete\ndata: {"a": 1}\n\nevent: heartbeat\ndata: null\n\n'),
        ({"event": "message"}, b'data: {"a": 1}\n\nevent: other\ndata: {"a": 2}\n\n'),
        ({"event": "done", "error": "failed"}, b'event: error\ndata: 1\n\nevent: done\ndata: {"a": 1}\n\n'),
    ],
)
def test_the_document_is_the_data_of_the_last_event(sse: Any, body: bytes) -> None:
    adapter = stream(sse)
    assert adapter.classify(answer(body)).kind == "ok"
    assert adapter.predictions(answer(body), 1) == [Prediction({"a": 1.0})]


@pytest.mark.parametrize(
    ("sse", "body", "kind", "seen"),
    [
        ("last", b"", "cut", "the stream ended without an event; it begins ''"),
        ("last", b'{"detail": "no"}', "page", 'the stream ended without an event; it begins \'{"detail": "no"}\''),
        (
            {"event": "complete"},
            b"data: 1\n\nevent: a\ndata: 2\n\n",
            "cut",
            "without an event 'complete'; it has ['message', 'a']",
        ),
        ("last", b'data: {"a": 1\n\n', "cut", "the answer is cut off"),
        ("last", b'data: {"a": NaN}\n\n', "number", "the answer holds NaN"),
    ],
)
def test_a_stream_without_it_is_told(sse: Any, body: bytes, kind: str, seen: str) -> None:
    with pytest.raises(NotJson) as caught:
        stream(sse).predictions(answer(body), 1)
    assert caught.value.kind == kind
    assert seen in str(caught.value)


@pytest.mark.parametrize("data", ["null", '"bad image"', "{broken"])
def test_an_error_event_is_a_failure(data: str) -> None:
    body = f'data: {{"a": 1}}\n\nevent: error\ndata: {data}\n\n'.encode()
    verdict = stream().classify(answer(body))
    assert verdict.kind == "reject"
    assert verdict.reason.startswith("endpoint 'v': HTTP 200 from h that reports an error in its stream: {'error': ")
    with pytest.raises(ResponseError, match="the stream reports an error"):
        stream().predictions(answer(body), 1)


def test_an_error_event_may_be_worth_another_try() -> None:
    adapter = stream(retry={"when": "contains(error, 'queue is full')"})
    assert adapter.classify(answer(b'event: error\ndata: "the queue is full"\n\n')).kind == "retry"
    assert adapter.classify(answer(b'event: error\ndata: "bad image"\n\n')).kind == "reject"


def test_errors_and_tokens_are_looked_for_in_the_document() -> None:
    adapter = stream(error="error", usage={"input": "usage.in", "output": "usage.out"})
    assert adapter.classify(answer(b'data: {"error": "no"}\n\n')).kind == "reject"
    told = adapter.usage(answer(b'data: {"usage": {"in": 3, "out": 2}}\n\n'))
    assert told is not None
    assert (told.input, told.output) == (3, 2)


def test_it_is_asked_for_and_part_of_the_rules_of_reading() -> None:
    request = stream().request(["x"])
    assert dict(getattr(request, "headers"))["accept"] == "text/event-stream"  # noqa: B009 - only HTTP has them
    assert len({stream().parser, stream({"event": "a"}).parser, endpoint(**ONE, scores={"map": "@"}).parser}) == 3
    assert stream().identity == endpoint(**ONE, scores={"map": "@"}).identity


@pytest.mark.parametrize("sse", ["first", True, 3])
def test_mistakes_in_the_description(sse: Any) -> None:
    with pytest.raises(SpecError, match=r"^endpoints\.v\.sse: write last, or \{event: NAME\}"):
        stream(sse)


EVENTS = st.lists(st.tuples(st.sampled_from(["", "a", "error", "complete"]), TREES.map(json.dumps)), max_size=4)


@settings(deadline=None)
@given(EVENTS, st.binary(max_size=60), st.sampled_from(["last", {"event": "complete"}]))
def test_arbitrary_streams_give_only_typed_errors(events: list[tuple[str, str]], rest: bytes, sse: Any) -> None:
    written = b"".join(f"event: {name}\ndata: {data}\n\n".encode() for name, data in events)
    for body in (written, written + rest, rest):
        adapter = stream(sse, error="error")
        adapter.classify(answer(body))
        adapter.usage(answer(body))
        text, results = "", list[Prediction | ItemError]()
        try:
            results = adapter.predictions(answer(body), 1)
        except ResponseError as error:
            text = str(error)
        assert (len(results) == 1) != text.startswith("endpoint 'v'")
        assert text.isprintable()

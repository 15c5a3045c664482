"""Which URL a start leads to: exact steps, and arbitrary answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import HttpAdapter, HttpResponse, ResponseError, Step
from tests.adapters.test_scores import ONE, TREES, endpoint

HOME = "https://api.example:8443/v1/predictions"


def polled(sse: Any = None, **poll: Any) -> HttpAdapter:
    config: dict[str, Any] = {**ONE, "scores": {"map": "@"}, "url": HOME, "poll": {"url": "u"} | poll}
    adapter = endpoint(**config | ({"sse": sse} if sse else {}))
    assert isinstance(adapter, HttpAdapter)
    return adapter


def says(body: Any) -> HttpResponse:
    return HttpResponse(200, (), body if isinstance(body, bytes) else json.dumps(body).encode())


def followed(adapter: HttpAdapter, body: Any, step: Step | None = None) -> Step:
    found = adapter.follow(says(body), step)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("found", "url"),
    [
        ("https://api.example:8443/r/1", "https://api.example:8443/r/1"),
        ("/r/1?a=b&c=%20", "https://api.example:8443/r/1?a=b&c=%20"),
        ("r/1", "https://api.example:8443/v1/r/1"),
        ("?id=1", "https://api.example:8443/v1/predictions?id=1"),
        ("//api.example:8443/r", "https://api.example:8443/r"),
        ("https://API.example:8443/r", "https://API.example:8443/r"),
        ("///evil.example/r", "https://api.example:8443/evil.example/r"),
    ],
)
def test_urls_on_the_host_of_the_endpoint(found: str, url: str) -> None:
    step = followed(polled(), {"u": found})
    assert (step.request.method, step.request.url, step.request.body) == ("GET", url, b"")
    assert (step.request.anonymous, step.wait, step.last) == (False, 0.0, False)


@pytest.mark.parametrize(
    "found",
    [
        "http://api.example:8443/r",  # the same host, for everybody to read
        "https://api.example/r",
        "https://api.example:8444/r",
        "https://api.example.evil.example:8443/r",
        "https://api.example:8443@evil.example/r",
        "https:\\\\evil.example\\r",
        "https://evil.example/r",
        "file:///etc/passwd",
        "javascript:1",
        "https://[::1/r",
        "https://api.example:8443/r\r\nx: y",
        "https://api.example:8443/${KEY}",
        "",
        7,
        None,
        ["https://api.example:8443/r"],
    ],
)
def test_urls_that_are_refused(found: Any) -> None:
    with pytest.raises(ResponseError, match=r"^endpoint 'v': poll: 'u' (finds|names) ") as caught:
        polled().follow(says({"u": found}), None)
    assert str(caught.value).isprintable()


def test_another_host_that_is_listed_gets_no_credentials() -> None:
    adapter = polled(hosts=["files.example"], result="r", until="done")
    step = followed(adapter, {"done": True, "r": "https://files.example/1?sig=s"})
    assert (step.request.anonymous, step.last) == (True, True)
    assert step.request.headers == (("accept", "application/json"),)
    with pytest.raises(ResponseError, match=r"names http://files\.example, but the endpoint is at https://"):
        adapter.follow(says({"done": True, "r": "http://files.example/1"}), None)


def test_steps_until_the_result() -> None:
    adapter = polled(until="status == 'done'", failed="status == 'failed'", every="2s", result="r")
    first = followed(adapter, {"status": "queued", "u": "/look"})
    assert (first.request.url, first.wait, first.last) == ("https://api.example:8443/look", 2.0, False)
    assert followed(adapter, {"status": "running"}, first) is first
    last = followed(adapter, {"status": "done", "r": "/result"}, first)
    assert (last.request.url, last.wait, last.last) == ("https://api.example:8443/result", 0.0, True)
    assert adapter.follow(says(b"anything"), last) is None
    assert adapter.follow(says({"status": "failed"}), first) is None
    assert adapter.follow(says({"status": "failed"}), None) is None
    assert adapter.classify(says({"status": "failed"})).kind == "reject"


URLS = st.sampled_from(["/a", "https://api.example:8443/b", "//c", "http://d/", "\ud800", "a\x00", "https://[", "x:y"])
STARTS = TREES | st.fixed_dictionaries({"u": URLS | TREES}, optional={"r": URLS | TREES, "a": TREES, "b": TREES})
ADAPTERS = [
    polled(),
    polled(until="a", failed="b", result="r"),
    polled(until="a", hosts=["d"]),
    polled(until="length(a) > `1`", url="sort_by(u, &r)[0]"),
    polled(sse="last"),
    polled(sse={"event": "a"}, until="a", result="r"),
]


@settings(max_examples=200, deadline=None)
@given(STARTS.map(lambda tree: json.dumps(tree).encode()) | st.binary(max_size=80), st.sampled_from(ADAPTERS))
def test_arbitrary_answers_lead_to_our_host_or_give_typed_errors(body: bytes, adapter: HttpAdapter) -> None:
    text, step = "", None
    for at in (None, followed(polled(), {"u": "/look"})):
        try:
            step = adapter.follow(says(body), at)
        except ResponseError as error:
            text = str(error)
        assert text.isprintable()
        assert not text or text.startswith("endpoint 'v': ")
        if step is not None:
            home = step.request.url.startswith("https://api.example:8443/")
            assert home != step.request.anonymous

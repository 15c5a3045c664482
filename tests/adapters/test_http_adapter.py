"""The declarative adapter: rendered requests and verdicts."""

from __future__ import annotations

import email.parser
import json
from datetime import UTC, datetime
from email.policy import HTTP
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from adapters import (
    HttpAdapter,
    HttpRequest,
    HttpResponse,
    LocalCall,
    MaybeBilled,
    NotJson,
    NotSent,
    ResponseError,
    SpecError,
    Verdict,
    endpoint_from_config,
)
from adapters.template import Template

PICTURE = np.full((3, 2, 3), 7, dtype=np.uint8)


def endpoint(**config: Any) -> HttpAdapter:
    if not {"json", "body", "multipart"} & config.keys():
        config["json"] = {"t": "{{ x }}"}
    config = {"url": "https://api.example/v1?a=1", "scores": {"map": "@"}, **config}
    adapter = endpoint_from_config(
        "v", config, environment={}, base=Path(), now=lambda: datetime(2026, 1, 1, tzinfo=UTC)
    )
    assert isinstance(adapter, HttpAdapter)
    return adapter


class TestRequests:
    def test_json(self) -> None:
        adapter = endpoint(query={"q": "ä b", "key": "${K}"}, headers={"X-Version": 2}, method="PUT")
        assert adapter.request(["größe"]) == HttpRequest(
            "PUT",
            "https://api.example/v1?a=1&q=%C3%A4%20b&key=${K}",
            (("content-type", "application/json"), ("x-version", "2"), ("accept", "application/json")),
            '{"t":"größe"}'.encode(),
        )

    def test_raw_bodies_say_what_they_are(self) -> None:
        picture, text = endpoint(body="{{ x }}").request([PICTURE]), endpoint(body="{{ x }}").request(["ä"])
        assert picture.headers[0] == ("content-type", "image/png")
        assert picture.body.startswith(b"\x89PNG")
        assert text.headers[0] == ("content-type", "text/plain;charset=utf-8")
        assert text.body == "ä".encode()
        named = endpoint(body="{{ x | jpeg }}", headers={"Content-Type": "image/jpg"}).request([PICTURE])
        assert named.headers == (("content-type", "image/jpg"), ("accept", "application/json"))

    def test_multipart_is_read_by_a_mime_parser_and_is_reproducible(self) -> None:
        parts = {
            "image": {"content": "{{ x }}", "filename": 'a".png', "type": "image/png"},
            "bare": "{{ x }}",
            "top": 3,
            "note": "hello",
        }
        request = endpoint(multipart=parts).request([PICTURE])
        assert request == endpoint(multipart=parts).request([PICTURE])
        head = f"Content-Type: {dict(request.headers)['content-type']}\r\n\r\n".encode()
        message = email.parser.BytesParser(policy=HTTP).parsebytes(head + request.body)
        found = {
            part.get_param("name", header="content-disposition"): (
                part.get_filename(),
                part.get("content-type"),
                part.get_payload(decode=True),
            )
            for part in message.iter_parts()
        }
        png = endpoint(body="{{ x }}").request([PICTURE]).body
        assert found == {
            "image": ("a%22.png", "image/png", png),
            "bare": ("bare.png", "image/png", png),
            "top": (None, None, b"3"),
            "note": (None, None, b"hello"),
        }

    def test_a_batch_is_as_large_as_allowed(self) -> None:
        adapter = endpoint(json=[{"$each": "{{ x }}"}], batch={"max_items": 2})
        assert json.loads(adapter.request(["a", "b"]).body) == ["a", "b"]
        for batch in ([], ["a", "b", "c"]):
            with pytest.raises(SpecError, match=f"{len(batch)} inputs in one request, batch allows 1 to 2"):
                adapter.request(batch)

    @pytest.mark.parametrize(
        ("config", "message"),
        [
            ({"json": {"t": 1}}, "endpoints.v.json: no {{ x }} anywhere"),
            ({"json": {"t": "{{ i }}"}}, "endpoints.v.json: no {{ x }} anywhere"),
            ({"multipart": {"a": [{"$each": "{{ x }}"}]}}, "endpoints.v.multipart: $each does not go with multipart"),
            ({"multipart": {"a": {"content": "{{ x }}", "file": "b"}}}, "endpoints.v.multipart.a: unknown key 'file'"),
            (
                {"multipart": {"a": {"content": "{{ x }}", "type": "a\r\nb"}}},
                "endpoints.v.multipart.a.type: must be fixed",
            ),
            ({"body": "{{ x | nope }}"}, "endpoints.v.body: unknown pipe 'nope'"),
            ({"json": "{{ x }}", "batch": 4}, "endpoints.v.batch: 4 inputs in one request need a list with {$each"),
        ],
    )
    def test_wrong_requests_are_refused_before_anything_is_sent(self, config: Any, message: str) -> None:
        with pytest.raises(SpecError) as caught:
            endpoint(**config)
        assert str(caught.value).startswith(message)


def response(status: int, body: Any = b"", **headers: str) -> HttpResponse:
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return HttpResponse(status, named, body if isinstance(body, bytes) else json.dumps(body).encode())


DATE = "Thu, 01 Jan 2026 00:00:00 GMT"
OPENAI_QUOTA = {"error": {"message": "You exceeded your current quota", "type": "insufficient_quota"}}
GEMINI_PACE = {
    "error": {"code": 429, "message": "You exceeded your current quota, please check your plan", "status": "X"}
}


@pytest.mark.parametrize(
    ("answer", "kind", "after", "throttled"),
    [
        (response(200, {"a": 1}), "ok", None, False),
        (response(201, {"a": 1}), "ok", None, False),
        (response(200, b'{"a": [1'), "ok", None, False),  # reading it says what is wrong
        (response(200, b"<html>maintenance</html>"), "broken", None, False),
        (response(401), "auth", None, False),
        (response(403, {"message": "no"}), "auth", None, False),
        (response(403, b"Out of call volume quota. Quota will be replenished in 1.12:34:56."), "quota", None, False),
        (response(402), "quota", None, False),
        (response(400, {"error": "bad"}), "reject", None, False),
        (response(413), "reject", None, False),
        (response(415), "reject", None, False),
        (response(422), "reject", None, False),
        (response(424), "reject", None, False),
        (response(404), "broken", None, False),
        (response(405), "broken", None, False),
        (response(302, location="https://login.example/"), "broken", None, False),
        (response(501), "broken", None, False),
        (response(408), "retry", None, False),
        (response(409), "retry", None, False),
        (response(425), "retry", None, False),
        (response(500), "retry", None, False),
        (response(502), "retry", None, False),
        (response(503), "retry", None, False),
        (response(504), "retry", None, False),
        (response(520), "retry", None, False),
        (response(529, retry_after="3"), "retry", 3.0, True),
        (response(503, retry_after="7"), "retry", 7.0, True),
        (response(429), "retry", None, True),
        (response(429, retry_after="1.5"), "retry", 1.5, True),
        (response(429, retry_after="2", retry_after_ms="250"), "retry", 0.25, True),
        (response(429, retry_after="Thu, 01 Jan 2026 00:00:30 GMT", date=DATE), "retry", 30.0, True),
        (response(429, retry_after="Thu, 01 Jan 2026 00:00:30 GMT"), "retry", 30.0, True),  # from the clock passed in
        (response(429, retry_after="Wed, 31 Dec 2025 23:00:00 GMT", date=DATE), "retry", 0.0, True),
        (response(429, retry_after="soon"), "retry", None, True),
        (response(429, retry_after="-5"), "retry", None, True),
        (response(429, retry_after="inf"), "retry", None, True),
        (response(429, retry_after="١"), "retry", None, True),
        (response(429, OPENAI_QUOTA), "quota", None, False),
        (response(429, OPENAI_QUOTA, retry_after="1"), "quota", 1.0, False),
        (response(429, GEMINI_PACE, retry_after="34"), "retry", 34.0, True),
        (response(429, {"error": "Daily limit reached"}), "quota", None, False),
        (
            response(429, {"quotaId": "GenerateRequestsPerDayPerProject", "message": "quota per day"}),
            "quota",
            None,
            False,
        ),
        (response(429, {"error": "limit: 100 requests per minute"}), "retry", None, True),
        (response(429, retry_after="86400"), "quota", 86400.0, False),
        (response(503, x_ms_retry_after_ms="1500"), "retry", 1.5, True),
        (response(400, x_should_retry="true"), "retry", None, False),
        (response(500, x_should_retry="false"), "reject", None, False),
        (response(408, x_should_retry="maybe"), "retry", None, False),
        (response(429, x_should_retry="true"), "retry", None, True),
        (response(429, x_should_retry="false"), "quota", None, False),
        (response(429, x_should_retry="false", retry_after="20"), "retry", 20.0, True),
        (response(401, x_should_retry="true"), "auth", None, False),
        (response(404, x_should_retry="true"), "broken", None, False),
        (NotSent("refused"), "retry", None, False),
        (MaybeBilled("reset"), "retry", None, False),
        (NotJson("cut", kind="cut"), "retry", None, False),
        (NotJson("page", kind="page"), "broken", None, False),
        (ResponseError("null"), "broken", None, False),
        (SpecError("misfit"), "reject", None, False),
    ],
    ids=str,
)
def test_verdicts(answer: Any, kind: str, after: float | None, throttled: bool) -> None:
    verdict = endpoint().classify(answer)
    assert (verdict.kind, verdict.after, verdict.throttled) == (kind, after, throttled)
    assert verdict.reason.isprintable()
    assert verdict.maybe_billed == (
        isinstance(answer, MaybeBilled) or (isinstance(answer, NotJson) and answer.kind == "cut")
    )


def test_reasons_name_endpoint_host_and_what_was_seen() -> None:
    verdict = endpoint().classify(response(422, {"detail": "\x1b[31mbad"}))
    assert verdict.reason == """endpoint 'v': HTTP 422 from api.example: '{"detail": "\\\\u001b[31mbad"}'"""
    moved = endpoint().classify(response(301, location="https://api.example/v2"))
    assert moved.reason.endswith("a redirect to 'https://api.example/v2', which is not followed: set url to it")


class TestIdempotency:
    def test_the_same_logical_request_carries_the_same_key(self) -> None:
        request = endpoint(idempotency="Idempotency-Key").request(["a"])
        first, again, other = request.keyed("v/a/0"), request.keyed("v/a/0"), request.keyed("v/a/1")
        assert first == again
        (name, key), (_, other_key) = first.headers[-1], other.headers[-1]
        assert name == "Idempotency-Key"
        assert key != other_key
        assert str(UUID(key)) == key
        assert UUID(key).version == 4
        assert (first.url, first.body, first.headers[:-1]) == (request.url, request.body, request.headers)
        assert first.keyed("again") == first

    def test_it_is_no_part_of_the_identity(self) -> None:
        assert endpoint(idempotency="Idempotency-Key").identity == endpoint().identity

    def test_without_a_header_nothing_changes(self) -> None:
        request = endpoint().request(["a"])
        assert request.keyed("v/a/0") is request
        call = LocalCall(len, ("a",))
        assert call.keyed("v/a/0") is call

    @pytest.mark.parametrize(
        ("config", "message"),
        [
            ({"idempotency": "a b"}, "idempotency: 'a b' is not a header name"),
            ({"idempotency": "Host"}, "idempotency: the header 'Host' is set otherwise already"),
            ({"idempotency": "X-A", "headers": {"x-a": "1"}}, "idempotency: the header 'X-A' is set otherwise already"),
            (
                {"idempotency": "X-A", "auth": {"header": {"name": "x-a", "value": "${K}"}}},
                "idempotency: the header 'X-A' is set otherwise already",
            ),
        ],
    )
    def test_a_header_that_cannot_be_used_is_refused(self, config: Any, message: str) -> None:
        with pytest.raises(SpecError) as caught:
            endpoint(**config)
        assert message in str(caught.value)


class TestTheConfigHasTheLastWord:
    def test_added_and_removed_statuses(self) -> None:
        adapter = endpoint(retry={"on": [404, 429, 500]})
        assert adapter.classify(response(404)).kind == "retry"
        assert adapter.classify(response(503)).kind == "reject"
        adapter = endpoint(retry={"never": [500, 599]})
        assert [adapter.classify(response(status)).kind for status in (500, 503, 598, 599)] == [
            "reject",
            "retry",
            "retry",
            "reject",
        ]

    def test_the_server_has_not(self) -> None:
        adapter = endpoint(retry={"on": [429, 500], "never": [400]})
        assert adapter.classify(response(500, x_should_retry="false")).kind == "retry"
        assert adapter.classify(response(400, x_should_retry="true")).kind == "reject"

    def test_throttling_reported_as_400(self) -> None:
        adapter = endpoint(retry={"when": "contains(__type, 'Throttling')"})
        assert adapter.classify(response(400, {"__type": "ThrottlingException"})).throttled
        assert adapter.classify(response(400, {"__type": "ValidationException"})).kind == "reject"
        assert adapter.classify(response(400, b"no json")).kind == "reject"
        assert adapter.classify(response(400, {})).kind == "reject"

    def test_an_error_inside_200(self) -> None:
        adapter = endpoint(error="error.message", retry={"when": "error.busy"})
        assert adapter.classify(response(200, {"a": 1})) == Verdict("ok")
        refused = adapter.classify(response(200, {"error": {"message": "no such label"}}))
        assert (refused.kind, "(error.message): 'no such label'" in refused.reason) == ("reject", True)
        assert adapter.classify(response(200, {"error": {"message": "wait", "busy": True}})).kind == "retry"
        nothings: list[Any] = ["", None, False, [], {}]
        for nothing in nothings:
            assert adapter.classify(response(200, {"error": {"message": nothing}})).kind == "ok"


def test_no_clock_means_no_guess() -> None:
    config = {"url": "http://h/", "json": "{{ x }}", "scores": {"map": "@"}}
    adapter = endpoint_from_config("v", config, environment={}, base=Path())
    assert adapter.classify(response(429, retry_after="Thu, 01 Jan 2026 00:00:30 GMT")).after is None


def test_a_template_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    adapter = endpoint()
    monkeypatch.setattr(Template, "_compile", None)
    assert adapter.request(["a"]).body == b'{"t":"a"}'

"""Tokens: estimated before sending, read from answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adapters import Adapter, CallableAdapter, HttpResponse, LocalCall, SpecError, Usage, endpoint_from_config

USAGE = {"input": "usage.prompt_tokens", "output": "usage.completion_tokens"}


def adapter(**options: Any) -> Adapter:
    config = {"url": "http://127.0.0.1:9/", "json": {"t": "{{ x }}"}, "scores": {"map": "@"}, **options}
    return endpoint_from_config("e", config, environment={}, base=Path())


def answer(data: Any) -> HttpResponse:
    return HttpResponse(200, (), json.dumps(data).encode())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, Usage(4, 0)),
        ({"json": {"max_tokens": 7, "t": "{{ x }}"}}, Usage(8, 7)),
        ({"json": {"t": "{{ x }}", "generationConfig": [{"maxOutputTokens": 9}]}}, Usage(15, 9)),
        ({"json": {"t": "{{ x }}", "max_tokens": True}}, Usage(9, 0)),
        ({"json": {"max_tokens": 7, "t": "{{ x }}"}, "usage": {**USAGE, "output_tokens": 0}}, Usage(8, 0)),
        ({"usage": {**USAGE, "output_tokens": 50}}, Usage(4, 50)),
    ],
)
def test_an_estimate_is_a_quarter_of_the_bytes_and_the_cap_on_the_answer(
    options: dict[str, Any], expected: Usage
) -> None:
    endpoint = adapter(**options)
    request = endpoint.request(["12345678"])
    assert endpoint.estimate(request) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"usage": {"prompt_tokens": 12, "completion_tokens": 3}}, Usage(12, 3)),
        ({"usage": {"prompt_tokens": 12.0, "completion_tokens": 0}}, Usage(12, 0)),
        ({"usage": {"prompt_tokens": 12}}, None),
        ({"usage": {"prompt_tokens": -1, "completion_tokens": 3}}, None),
        ({"usage": {"prompt_tokens": "12", "completion_tokens": 3}}, None),
        ({"usage": {"prompt_tokens": 1e300, "completion_tokens": 3}}, None),
        ({"usage": None}, None),
        ([], None),
    ],
)
def test_what_an_answer_reports(data: Any, expected: Usage | None) -> None:
    assert adapter(usage=USAGE).usage(answer(data)) == expected


def test_one_path_is_enough_and_none_reads_nothing() -> None:
    data = {"usage": {"total_tokens": 15}}
    assert adapter(usage={"input": "usage.total_tokens"}).usage(answer(data)) == Usage(15, 0)
    assert adapter().usage(answer(data)) is None
    assert adapter(usage=USAGE).usage(HttpResponse(200, (), b"<html>")) is None


def test_a_function_counts_no_tokens() -> None:
    function = CallableAdapter("f", len)
    assert function.estimate(LocalCall(len, ("a",))) == Usage()
    assert function.usage(answer({"usage": 1})) is None


def test_limits_on_tokens_are_one_or_several() -> None:
    assert adapter(limits={"tokens": "100000/min"}).limits.tokens == ((100_000.0, 60.0),)
    several = adapter(limits={"rate": "5/s", "tokens": ["1000/s", "1000000/day"]}).limits
    assert several.tokens == ((1000.0, 1.0), (1_000_000.0, 86_400.0))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"limits": {"tokens": "many"}}, r"endpoints.e.limits.tokens\[0\]: not a rate: 'many'"),
        ({"limits": {"tokens": "5/s", "rate": "5/s", "shared": "key"}}, "shared is about requests"),
        ({"usage": {}}, "say where the answer reports its tokens"),
        ({"usage": {"input": "a["}}, "not a JMESPath"),
        ({"usage": {"inputs": "a"}}, "unknown key 'inputs', did you mean 'input'"),
    ],
)
def test_rules_that_make_no_sense(options: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError, match=says):
        adapter(**options)

"""The config of an endpoint: what is accepted, what it becomes, and what each mistake is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from adapters import Adapter, EndpointSpec, HttpAdapter, Limits, Price, SpecError, endpoint_from_config

MINIMAL = "url: http://host/p\njson: {t: '{{ x }}'}\nscores: {map: '@'}\n"


def endpoint(text: str) -> Adapter:
    config: Any = yaml.safe_load(text)
    return endpoint_from_config("vendor-a", config, environment={}, base=Path())


def test_the_example_of_the_design_becomes_an_adapter() -> None:
    adapter = endpoint("""
        adapter: http
        url: https://api.vendor.example/v1/classify
        auth: {bearer: "${VENDOR_A_KEY}"}
        json: {rows: [{$each: "{{ x | list }}"}]}
        scores: {pairs: {at: "labels[]", label: name, score: confidence}}
        limits: {rate: 5/s, concurrency: 4}
        price: {request: 0.002}
        batch: 16
    """)
    assert isinstance(adapter, Adapter)
    assert isinstance(adapter, HttpAdapter)
    assert adapter.limits == Limits(rate=5.0, period=1.0, concurrency=4)
    assert adapter.price == Price(request_micro=2000)
    assert adapter.max_batch == 16
    assert adapter.labels is None
    assert adapter.secret_names == ("VENDOR_A_KEY",)


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        ("5/s", (5.0, 1.0)),
        ("300/min", (300.0, 60.0)),
        ("10000/day", (10000.0, 86400.0)),
        ("2.5 / h", (2.5, 3600.0)),
        ("7", (7.0, 1.0)),
    ],
)
def test_rates(rate: str, expected: tuple[float, float]) -> None:
    limits = endpoint(MINIMAL + f"limits: {{rate: {rate}}}").limits
    assert (limits.rate, limits.period) == expected


@pytest.mark.parametrize(
    ("amount", "micro"), [("0.002", 2000), ("1", 1_000_000), ("0.0000015", 2), ("1e-7", 1), ("0", 0)]
)
def test_prices_are_exact_and_never_rounded_down(amount: str, micro: int) -> None:
    assert endpoint(MINIMAL + f"price: {{item: {amount}, currency: EUR}}").price == Price(0, micro, "EUR")


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("limit: 3", "endpoints.vendor-a: unknown key 'limit', did you mean 'limits'?"),
        ("limits: {rat: 3}", "endpoints.vendor-a.limits: unknown key 'rat', did you mean 'rate'?"),
        ("limits: {rate: 5/week}", "endpoints.vendor-a.limits.rate: not a rate: '5/week'; write 5/s"),
        ("limits: {rate: .inf}", "endpoints.vendor-a.limits.rate.requests:"),
        ("limits: {timeout: 0}", "endpoints.vendor-a.limits.timeout: input should be greater than 0"),
        ("price: {request: -1}", "endpoints.vendor-a.price.request: input should be greater than or equal to 0"),
        ("batch: 2", "endpoints.vendor-a.batch: 2 inputs in one request need a list with {$each: …} in json"),
        ("batch: 0", "endpoints.vendor-a.batch.max_items: input should be greater than or equal to 1"),
        ("body: '{{ x }}'", "endpoints.vendor-a: exactly one of json, multipart, body is needed, got json and body"),
        ("method: GET", "endpoints.vendor-a.method: input should be 'POST', 'PUT' or 'PATCH'"),
        ("auth: {bearer: sk-123}", "endpoints.vendor-a.auth.bearer: a secret is never written into the config"),
        ("auth: {bearer: '${a-b}'}", "endpoints.vendor-a.auth.bearer: not a reference: write ${NAME}"),
        ("auth: bearer", "endpoints.vendor-a.auth: write none, or one of"),
        (
            "auth: {bearer: '${A}', header: {name: X-K, value: '${B}'}}",
            "endpoints.vendor-a.auth: exactly one of bearer",
        ),
        ("auth: {header: X-K}", "endpoints.vendor-a.auth.header.value:"),
        ("headers: {X-A: '{{ x }}'}", "endpoints.vendor-a.headers.X-A: is fixed"),
        ('headers: {X-A: "a\\r\\nb: c"}', "endpoints.vendor-a.headers.X-A: holds a line break"),
        ("headers: {'X A': b}", "endpoints.vendor-a: headers: 'X A' is not a header name"),
        ("headers: {Host: other}", "endpoints.vendor-a: headers: 'Host' is set for you"),
        ("headers: {Authorization: Bearer abc}", "endpoints.vendor-a: headers: 'Authorization' carries a secret"),
        ("query: {q: '{{ x }}'}", "endpoints.vendor-a.query.q: is fixed"),
        ("labels: [yes, no]", "endpoints.vendor-a.labels[0]: label True is a truth value, not text: put it in quotes"),
        ("labels: [a, b, a]", "endpoints.vendor-a: label 'a' is listed twice"),
        ("error: 'a[['", "endpoints.vendor-a.error: not a JMESPath expression: 'a[['"),
        ("missing: zero", "endpoints.vendor-a.missing: input should be 'censored' or 0"),
        ("below: 0.5", "endpoints.vendor-a: below is the provider's cut-off and needs missing: censored"),
        ("retry: {on: [500], never: [500]}", "endpoints.vendor-a.retry: 500 stands in both on and never"),
        ("items: {at: a, index: b, id: c}", "endpoints.vendor-a.items: index and id exclude each other"),
        ("adapter: htpp", "endpoints.vendor-a.adapter: unknown adapter 'htpp', did you mean 'http'?"),
    ],
)
def test_mistakes_are_told_in_one_line_with_the_path_of_the_key(extra: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        endpoint(MINIMAL + extra)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://host/p", "url must look like https://host/path"),
        ("host/p", "url must look like"),
        ("http://user:word@host/", "url holds a user name or password"),
        ("http://${HOST}/", "url is fixed"),
        ("http://{{ x }}/", "url is fixed"),
        ("http://host/{{ x }}", "url is fixed"),
        ("http://host:99999/", "url is not a URL"),
        ("http://host/#a", "url has a #fragment"),
        ("http://ho st/", "url must look like"),
    ],
)
def test_urls_that_are_refused(url: str, message: str) -> None:
    with pytest.raises(SpecError, match=r"^endpoints\.vendor-a: ") as caught:
        endpoint(f"url: '{url}'\njson: '{{{{ x }}}}'\nscores: {{map: '@'}}")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "scores",
    ["{}", "{map: '@', value: '@'}", "{maps: '@'}", "{pairs: '@'}", "{pairs: {label: a}}", "{vector: {scale: 0}}"],
)
def test_scores_have_exactly_one_known_shape(scores: str) -> None:
    with pytest.raises(SpecError, match=r"^endpoints\.vendor-a\.scores"):
        endpoint(f"url: http://h/\njson: '{{{{ x }}}}'\nscores: {scores}")


def test_a_refused_secret_is_not_repeated_in_the_message() -> None:
    with pytest.raises(SpecError) as caught:
        endpoint(MINIMAL + "auth: {basic: {username: me, password: hunter2hunter2}}")
    assert "hunter2" not in str(caught.value)


def test_the_identity_covers_what_shapes_a_request_and_nothing_else() -> None:
    base = endpoint(MINIMAL).identity
    same = (
        "limits: {rate: 1/s}",
        "price: {request: 1}",
        "labels: [a]",
        "auth: {bearer: '${K}'}",
        "retry: {never: [500]}",
    )
    other = ("model: m2", "query: {v: 2}", "headers: {x-version: '2'}", "method: PUT")
    assert [endpoint(MINIMAL + text).identity == base for text in same] == [True] * len(same)
    assert [endpoint(MINIMAL + text).identity == base for text in other] == [False] * len(other)
    assert endpoint(MINIMAL.replace("t:", "u:")).identity != base


def test_the_parser_changes_with_the_rules_of_reading_only() -> None:
    base = endpoint(MINIMAL).parser
    assert endpoint(MINIMAL + "model: m2").parser == base
    for text in ("labels: [a]", "missing: 0", "error: err", "items: rows"):
        assert endpoint(MINIMAL + text).parser != base


def test_labels_and_missing_may_stand_where_one_looks_for_them() -> None:
    vector = endpoint("url: http://h/\njson: '{{ x }}'\nscores: {vector: {at: '@', labels: [a, b]}}")
    assert vector.labels == ("a", "b")
    spec = EndpointSpec.model_validate(
        {"url": "http://h/", "json": "{{ x }}", "scores": {"pairs": {"at": "l", "missing": "censored", "below": 0.1}}}
    )
    assert (spec.missing, spec.below) == ("censored", 0.1)
    with pytest.raises(SpecError, match="labels is given twice"):
        endpoint("url: http://h/\njson: '{{ x }}'\nlabels: [a]\nscores: {vector: {at: '@', labels: [a, b]}}")


def test_bare_on_survives_yaml() -> None:
    adapter = endpoint(MINIMAL + "retry: {on: [429, 418]}")
    assert isinstance(adapter, HttpAdapter)
    assert adapter.spec.retry.on == (429, 418)


def test_the_schema_for_editors_knows_the_public_names() -> None:
    properties = EndpointSpec.model_json_schema()["properties"]
    assert {"url", "json", "scores", "limits", "batch"} <= set(properties)
    assert "json_body" not in properties

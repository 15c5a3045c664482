"""Drafts as YAML: what they say is what was drafted, and nothing that a server publishes becomes structure or a command."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters import SpecError, endpoint_from_config
from probe.config import parse_config
from probe.discovery import Draft, added_to, document, explore
from probe.discovery.draft import Unfit
from probe.discovery.openapi import document as openapi_document
from tests.unit.discovery import published
from tests.unit.discovery.published import Documents, answered

URL = "http://server.example"
EVIL = "a\n  b: ${SECRET} # \x1b[2Jx\u202e{{ x }}'\"`"

CONFIG = """\
# kept as it is
storage: sqlite:///probe.db
endpoints:   # these
    # the first one
    vendor:
        url: https://vendor.example/v1
        json: {text: "{{ x }}"}
        scores: {map: "@"}   # and this

probes:
    reviews: {kind: text, inputs: {inline: [fine]}, endpoints: [vendor], methods: [lime]}
"""


def drafts_of(documents: Documents) -> tuple[Draft, ...]:
    return answered(explore(URL), documents)[0].drafts


@pytest.mark.parametrize(
    "documents", [published.MLSERVER, published.KSERVE, published.LLAMA, published.BENTOML, published.GRADIO]
)
def test_a_document_is_a_config_that_says_what_was_drafted(documents: Documents) -> None:
    drafts = drafts_of(documents)
    text = document(drafts, source="a server", url=URL)
    config = parse_config(text)
    assert config.endpoints == {draft.name: dict(draft.entry) for draft in drafts}
    [probe] = config.probes.values()
    assert probe.endpoints == [drafts[0].name]
    assert "found by" in text
    assert "TODO inputs" in text


def test_comments_stand_above_what_they_are_about() -> None:
    lines = document(drafts_of(published.MLSERVER), source="V2", url=URL).splitlines()
    labels = lines.index("    labels: ['0', '1', '2']")
    assert lines[labels - 1] == "    # TODO labels: there are 3, but their names are not published"
    assert lines[lines.index("  iris:") + 1] == "    # found by GET /v2/models/iris of mlserver 1.7.1"


def test_names_in_documents_stay_values() -> None:
    metadata = {
        "inputs": [{"name": EVIL, "datatype": "FP64", "shape": [-1, 2]}],
        "outputs": [{"name": EVIL, "datatype": "FP64", "shape": [-1, 2]}],
    }
    path = "GET /v2/models/a%0A%20%20b%3A%20%24%7BSECRET%7D%20%23%20%1B%5B2Jx%E2%80%AE%7B%7B%20x%20%7D%7D%27%22%60"
    documents = {
        "GET /v2": {"name": EVIL, "version": EVIL},
        "POST /v2/repository/index": [{"name": EVIL}],
        path: metadata,
    }
    [draft] = drafts_of(documents)
    text = document([draft], source=EVIL, url=URL)
    assert all(line.isprintable() for line in text.split("\n"))
    assert yaml.safe_load(text)["endpoints"] == {draft.name: dict(draft.entry)}
    with pytest.raises(SpecError, match="never for what is stored"):  # a reference in a document reads no secret
        endpoint_from_config(draft.name, draft.entry, environment={"SECRET": "s"}, base=published.DATA)


def test_adding_changes_nothing_else() -> None:
    drafts = drafts_of(published.MLSERVER)
    added = added_to(CONFIG, drafts)
    before = CONFIG.splitlines()
    after = added.splitlines()
    assert after[:3] == before[:3]
    assert after[len(after) - len(before) + 3 :] == before[3:]
    assert after[3] == "    iris:"
    loaded = yaml.safe_load(added)
    assert loaded["endpoints"]["vendor"] == yaml.safe_load(CONFIG)["endpoints"]["vendor"]
    assert loaded["endpoints"]["iris"] == dict(drafts[0].entry)


def test_line_ends_stay_what_they_are() -> None:
    added = added_to(CONFIG.replace("\n", "\r\n"), drafts_of(published.MLSERVER))
    assert added.count("\n") == added.count("\r\n")
    assert added.replace("\r\n", "\n") == added_to(CONFIG, drafts_of(published.MLSERVER))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (CONFIG.replace("vendor:", "iris:"), "'iris' already"),
        ("endpoints: {a: {url: x}}\n", "one entry a line"),
        ("{endpoints: {a: {url: x}}}\n", "one entry a line"),
        ("probes: {}\n", "one entry a line"),
        ("- endpoints\n", "one entry a line"),
        ("", "one entry a line"),
        ("endpoints: [\n", "not valid YAML"),
        ("endpoints:\na: 1\n", "one entry a line"),
    ],
)
def test_what_cannot_be_added_to_is_said(text: str, reason: str) -> None:
    with pytest.raises(Unfit, match=reason):
        added_to(text, drafts_of(published.MLSERVER))


# -- hostile documents ------------------------------------------------------------------------------------------------------

NAMES = st.one_of(st.text(max_size=12), st.just(EVIL), st.sampled_from(["name", "type", "string", "array", "object"]))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), NAMES),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=12,
)
SCHEMA: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        JSON,
        st.sampled_from([{"type": "string"}, {"type": "number"}, {"type": "string", "format": "binary"}]),
        st.just({"$ref": "#/components/schemas/Loop"}),
    ),
    lambda inner: st.one_of(
        st.builds(lambda items: {"type": "array", "items": items}, inner),
        st.builds(lambda fields: {"type": "object", "properties": fields}, st.dictionaries(NAMES, inner, max_size=4)),
        st.builds(lambda choices: {"anyOf": choices}, st.lists(inner, max_size=3)),
    ),
    max_leaves=8,
)


def holds(drafts: tuple[Draft, ...]) -> None:
    """What must hold of any draft, whatever it was made from."""
    for draft in drafts:
        assert str(draft.entry["url"]).startswith(URL + "/")
        with contextlib.suppress(SpecError):  # an endpoint, or said to be none
            endpoint_from_config(draft.name, draft.entry, environment={}, base=published.DATA)
    if drafts:
        text = document(drafts, source="x", url=URL)
        assert all(line.isprintable() for line in text.split("\n"))
        found = yaml.safe_load(text)["endpoints"]
        assert json.dumps(found) == json.dumps({draft.name: dict(draft.entry) for draft in drafts})


def test_a_schema_that_holds_itself_in_many_ways_comes_to_an_end() -> None:
    loop = {"$ref": "#/components/schemas/Loop"}
    schemas = {"Loop": {"type": "object", "properties": {f"p{number}": loop for number in range(300)}}}
    answers = {"200": {"content": {"application/json": {"schema": loop}}}}
    body = {"content": {"application/json": {"schema": {"type": "object", "properties": {"text": {"type": "string"}}}}}}
    operation = {"post": {"requestBody": body, "responses": answers}}
    data = {"openapi": "3.1.0", "paths": {f"/{number}": operation for number in range(50)}}
    found = openapi_document({**data, "components": {"schemas": schemas}}, URL, None, by="GET /openapi.json")
    assert len(found.drafts) == 10
    assert not any(draft.complete for draft in found.drafts)


@given(body=SCHEMA, answer=SCHEMA, path=st.one_of(NAMES.map(lambda name: "/" + name), NAMES), loop=SCHEMA)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_openapi_document_is_read_without_a_crash(body: Any, answer: Any, path: str, loop: Any) -> None:
    operation = {
        "requestBody": {"content": {"application/json": {"schema": body}, "multipart/form-data": {"schema": body}}},
        "responses": {"200": {"content": {"application/json": {"schema": answer}}}},
    }
    data = {"openapi": "3.1.0", "paths": {path: {"post": operation}}, "components": {"schemas": {"Loop": loop}}}
    holds(openapi_document(data, URL, None, by="GET /openapi.json").drafts)


@given(
    name=NAMES, inputs=st.lists(JSON, max_size=3), shape=JSON, datatype=st.sampled_from(["FP32", "BYTES", "INT8", ""])
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_metadata_is_read_without_a_crash(name: str, inputs: list[Any], shape: Any, datatype: str) -> None:
    tensor = {"name": name, "datatype": datatype, "shape": shape}
    metadata = {"inputs": [tensor, *inputs], "outputs": [*inputs, tensor]}

    class Everywhere(dict[str, Any]):
        def get(self, key: str, default: Any = None) -> Any:
            if key.startswith("GET /v2/models/"):
                return metadata
            return super().get(key, default)

    documents = Everywhere({"GET /v2": {"name": name or "x"}, "POST /v2/repository/index": [{"name": name}, *inputs]})
    holds(answered(explore(URL), documents)[0].drafts)


@given(answers=st.dictionaries(st.sampled_from(["GET /v2", "GET /v1/models", "GET /gradio_api/info", "GET /docs.json",
    "GET /ping", "GET /version", "OPTIONS /", "POST /v2/repository/index"]), JSON))  # fmt: skip
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_answers_are_read_without_a_crash(answers: dict[str, Any]) -> None:
    holds(answered(explore(URL), answers)[0].drafts)


@given(parameters=st.lists(JSON, max_size=3), part=JSON, name=NAMES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_gradio_application_is_read_without_a_crash(parameters: list[Any], part: Any, name: str) -> None:
    parts = [{"component": "Textbox", "type": part, "parameter_name": name, "example_input": part}, *parameters]
    functions = {name: {"parameters": parts, "returns": [*parameters, {"component": "Label"}]}}
    holds(answered(explore(URL), {"GET /gradio_api/info": {"named_endpoints": functions}})[0].drafts)

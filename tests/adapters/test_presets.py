"""Every preset against the published wire format of its provider, in both directions.

``presets/*.yaml`` holds, for each preset, an entry as a user writes it, inputs, the request that must come of them to the
byte, what authentication adds, and answers with what must be read from them: scores, refusals of single items, verdicts.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import yaml

from adapters import HttpAdapter, HttpRequest, HttpResponse, InputTooLarge, Prediction, SpecError, endpoint_from_config
from adapters.auth import resolve_credentials
from adapters.presets import _PLACE, COLUMNS, Preset, presets
from adapters.template import Template

PICTURE = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
PNG = Template("{{ x | png }}", "picture").render([PICTURE]).content
DIRECTORY = Path(__file__).with_name("presets")


def adapter(entry: Mapping[str, Any]) -> HttpAdapter:
    made = endpoint_from_config("v", entry, environment={}, base=Path())
    assert isinstance(made, HttpAdapter)
    return made


def cases() -> dict[str, dict[str, Any]]:
    """By name of a preset. ``<png>`` in a fixture stands for the picture in base64, ``<picture>`` for the input."""
    found: dict[str, dict[str, Any]] = {}
    for file in sorted(DIRECTORY.glob("*.yaml")):
        data = yaml.safe_load(file.read_text("utf-8").replace("<png>", base64.b64encode(PNG).decode()))
        for name, case in data["presets"].items():
            assert name not in found, name
            found[name] = {**case, "answers": [*case["answers"], *data.get("common", [])]}
    return found


CASES = cases()


def instances(case: Mapping[str, Any]) -> list[Any]:
    return [PICTURE if isinstance(x, str) and x == "<picture>" else x for x in case["inputs"]]


def test_every_preset_has_a_case() -> None:
    assert sorted(CASES) == sorted(presets())


@pytest.mark.parametrize("name", CASES)
def test_the_request_is_the_providers(name: str) -> None:
    case = CASES[name]
    made = adapter({"adapter": name, **case["entry"]})
    wanted = case["request"]
    if "json" in wanted:
        body = json.dumps(wanted["json"], ensure_ascii=False, separators=(",", ":")).encode()
    else:
        body = PNG if wanted["body"] == "<picture>" else wanted["body"].encode()
    headers = {"content-type": "application/json", "accept": "application/json", **wanted.get("headers", {})}
    request = made.request(instances(case))
    assert request.body.decode("utf-8", "replace") == body.decode("utf-8", "replace")
    assert request.body == body
    assert (request.method, request.url) == ("POST", wanted["url"])
    assert dict(request.headers) == headers
    assert len(request.headers) == len(headers)


@pytest.mark.parametrize("name", CASES)
def test_authentication_is_the_providers(name: str) -> None:
    """By key: what is added to the request. By a library: what it is told."""
    case = CASES[name]
    made = adapter({"adapter": name, **case["entry"]})
    wanted = case["auth"]
    if set(wanted) & {"aws_sigv4", "google", "azure"}:
        given = made.spec.auth.model_dump(exclude_unset=True)
        assert given == wanted
        return
    credentials = resolve_credentials(
        "v", made.spec, environment={key: f"secret of {key}" for key in made.secret_names}
    )
    request = made.request(instances(case))
    url, headers = credentials.apply(request)
    added = {key.lower(): value for key, value in headers[len(request.headers) :]}
    assert {"url": url, **added} == {"url": request.url, **wanted}
    assert "secret" not in repr(request)


ANSWERS = [
    pytest.param(name, answer, id=f"{name}-{number}-{answer.get('status', 200)}")
    for name, case in CASES.items()
    for number, answer in enumerate(case["answers"])
]


@pytest.mark.parametrize(("name", "answer"), ANSWERS)
def test_the_answer_is_read_as_the_provider_means_it(name: str, answer: dict[str, Any]) -> None:
    case = CASES[name]
    made = adapter({"adapter": name, **case["entry"]})
    headers = tuple((key.lower(), str(value)) for key, value in answer.get("headers", {}).items())
    body = answer["body"]
    response = HttpResponse(
        answer.get("status", 200), headers, body.encode() if isinstance(body, str) else json.dumps(body).encode()
    )
    verdict = made.classify(response)
    if "verdict" in answer:
        wanted = answer["verdict"]
        assert {key: value for key, value in dataclasses.asdict(verdict).items() if key in wanted} == wanted
        if "says" in answer:
            assert answer["says"] in verdict.reason
        return
    assert verdict.kind == "ok", verdict
    rows = answer["rows"]
    results = made.predictions(response, len(rows))
    for result, row in zip(results, rows, strict=True):
        if isinstance(row, str):
            assert row in getattr(result, "message", repr(result))
            continue
        assert isinstance(result, Prediction), result
        assert dict(result.scores) == pytest.approx(row, abs=1e-9)
        assert result.floor == pytest.approx(answer.get("floor"))
        assert result.censored == answer.get("censored", False)
    if "usage" in answer:
        usage = made.usage(response)
        assert usage is not None
        assert [usage.input, usage.output] == answer["usage"]


@pytest.mark.parametrize("name", CASES)
def test_every_preset_is_shown_a_success_a_throttle_and_a_refusal(name: str) -> None:
    seen = {answer["verdict"]["kind"] if "verdict" in answer else "ok" for answer in CASES[name]["answers"]}
    assert {"ok", "retry"} <= seen
    assert seen & {"reject", "auth", "broken"}


class TestParameters:
    @pytest.mark.parametrize("preset", presets().values(), ids=lambda preset: preset.name)
    def test_all_are_used_and_those_in_urls_cannot_leave_their_place(self, preset: Preset) -> None:
        used = _PLACE.findall(json.dumps(preset.endpoint))
        defaults = _PLACE.findall(json.dumps([each.default for each in preset.parameters.values()]))
        assert {*used, *defaults} == set(preset.parameters)
        for name in _PLACE.findall(str(preset.endpoint["url"]) + json.dumps(preset.endpoint.get("poll"))):
            like = preset.parameters[name].like
            assert like is not None, name
            for hostile in [
                "a/../b",
                "..",
                "a?b",
                "a#b",
                "a@b",
                "a%2fb",
                "a:b",
                "a b",
                "a\n",
                "a\\b",
                "",
                "${K}",
                "{{ x }}",
                "é",
            ]:
                if name == "server":
                    hostile = f"http://{hostile}"
                assert not like.fullmatch(hostile), (name, hostile)

    @pytest.mark.parametrize(
        ("entry", "said"),
        [
            (
                {"adapter": "gemini", "labels": ["a", "b"]},
                "endpoints.v.model: the preset 'gemini' needs the name of a model",
            ),
            (
                {"adapter": "aws-rekognition-labels", "region": "eu-west-1.evil.example/"},
                "endpoints.v.region: 'eu-west-1.evil.example/' is not a region, as eu-west-1",
            ),
            (
                {"adapter": "vertex-predict", "project": 5},
                "endpoints.v.project: 5 is not the id of a Google Cloud project",
            ),
            (
                {"adapter": "openai-moderations"},
                "endpoints.v.adapter: unknown adapter 'openai-moderations', did you mean 'openai-moderation'?",
            ),
            ({"adapter": "perspective", "langage": "en"}, "endpoints.v: unknown key 'langage'"),
            ({"adapter": ["http"]}, "endpoints.v.adapter: must be a name, got ['http']"),
        ],
    )
    def test_wrong_ones_are_one_line(self, entry: dict[str, Any], said: str) -> None:
        with pytest.raises(SpecError) as caught:
            adapter(entry)
        assert str(caught.value).startswith(said)
        assert "\n" not in str(caught.value)


class TestOverriding:
    """The user's keys lie over the preset's, key by key."""

    CHAT: ClassVar = {"adapter": "openai-chat", "model": "m", "labels": ["yes", "no"]}

    def test_one_key_deep_inside_leaves_its_neighbours(self) -> None:
        made = adapter({**self.CHAT, "json": {"top_logprobs": 5, "seed": 1}, "scores": {"logprobs": {"fold": False}}})
        body = json.loads(made.request(["t"]).body)
        assert (body["top_logprobs"], body["seed"], body["logprobs"]) == (5, 1, True)
        assert made.spec.scores.logprobs is not None
        assert not made.spec.scores.logprobs.fold
        assert list(made.spec.scores.logprobs.labels) == ["yes", "no"]

    def test_another_kind_replaces_what_it_excludes(self) -> None:
        made = adapter(
            {
                "adapter": "google-language-sentiment",
                "auth": {"query": {"name": "key", "value": "${K}"}},
                "body": "{{ x }}",
            }
        )
        assert made.spec.auth.google is None
        assert made.request(["t"]).body == b"t"
        scored = adapter(
            {"adapter": "torchserve", "server": "http://h", "model": "m", "scores": {"pairs": {"at": "@"}}}
        )
        assert scored.spec.scores.map is None

    def test_what_is_replaced_needs_no_parameters(self) -> None:
        made = adapter({"adapter": "tensorflow-serving", "url": "http://127.0.0.1:1/p", "batch": 8})
        assert (made.url, made.max_batch) == ("http://127.0.0.1:1/p", 8)

    def test_none_stands_for_no_authentication(self) -> None:
        assert not adapter({**self.CHAT, "server": "http://127.0.0.1:1/v1", "auth": "none"}).spec.auth.model_fields_set

    def test_a_number_of_items_leaves_the_number_of_bytes(self) -> None:
        made = adapter({"adapter": "google-vision-labels", "batch": 4})
        assert (made.max_batch, made.spec.batch.max_bytes) == (4, 10485760)

    def test_what_a_user_writes_is_not_searched_for_parameters(self) -> None:
        made = adapter({**self.CHAT, "instruction": "<model> <labels> <b>"})
        assert json.loads(made.request(["t"]).body)["messages"][0]["content"] == "<model> <labels> <b>"

    def test_the_same_endpoint_written_out_has_the_same_identity(self) -> None:
        short = adapter({"adapter": "perspective"})
        config = {"adapter": "http", **presets()["perspective"].expand("v", {})}
        assert adapter(config).identity == short.identity
        assert isinstance(short.request(["a"]), HttpRequest)


def test_the_table_is_of_these_columns() -> None:
    for preset in presets().values():
        assert set(preset.about) == set(COLUMNS), preset.name
        assert not [value for value in preset.about.values() if re.search(r"[|\n]", str(value))], preset.name


class TestResultsThatComeLater:
    """Replicate and Gradio: from the answer to the start to where the result is."""

    REPLICATE: ClassVar = {"adapter": "replicate", "version": "5c7d"}
    GRADIO: ClassVar = {"adapter": "gradio", "server": "https://owner-space.hf.space/app", "api": "predict"}
    START: ClassVar[dict[str, Any]] = {
        "id": "gm3",
        "status": "starting",
        "output": None,
        "error": None,
        "urls": {"get": "https://api.replicate.com/v1/predictions/gm3"},
    }

    def test_replicate(self) -> None:
        made = adapter(self.REPLICATE)
        step = made.follow(answer(self.START, 201), None)
        assert step is not None
        assert (step.request.method, step.request.url, step.wait) == ("GET", self.START["urls"]["get"], 1.0)
        assert made.follow(answer({**self.START, "status": "processing"}), step) == step
        done = answer({**self.START, "status": "succeeded", "output": {"a": 0.25}})
        assert made.follow(done, step) is None
        assert made.predictions(done, 1) == [Prediction({"a": 0.25})]

    @pytest.mark.parametrize(("status", "error"), [("failed", "CUDA out of memory"), ("canceled", None)])
    def test_a_failure_at_replicate(self, status: str, error: str | None) -> None:
        verdict = adapter(self.REPLICATE).classify(answer({**self.START, "status": status, "error": error}))
        assert verdict.kind == "reject"
        assert (error or status) in verdict.reason

    def test_gradio(self) -> None:
        step = adapter(self.GRADIO).follow(answer({"event_id": "6a1f"}), None)
        assert step is not None
        assert step.request.url == "https://owner-space.hf.space/app/gradio_api/call/predict/6a1f"
        assert ("accept", "text/event-stream") in step.request.headers


def answer(body: Any, status: int = 200) -> HttpResponse:
    return HttpResponse(status, (), json.dumps(body).encode())


class TestPricesAndLimits:
    """As the providers publish them: what a request costs, and what it may not carry."""

    @pytest.mark.parametrize(
        ("entry", "inputs", "micro"),
        [
            # by 100 characters, at least 300 a document
            ({"adapter": "aws-comprehend-sentiment", "region": "eu-west-1"}, ["x" * 301, "y"], 100 * (4 + 3)),
            ({"adapter": "google-language-sentiment"}, ["x" * 1001], 2000),
            ({"adapter": "google-language-classify"}, ["x"], 2000),
            ({"adapter": "google-language-moderate"}, ["x" * 101], 1000),
            ({"adapter": "google-vision-labels"}, [PICTURE] * 16, 16 * 1500),
            ({"adapter": "perspective"}, ["x"], 0),
        ],
    )
    def test_prices(self, entry: dict[str, Any], inputs: list[Any], micro: int) -> None:
        made = adapter(entry)
        assert made.price.of(len(inputs), made.estimate(made.request(inputs))) == micro

    @pytest.mark.parametrize(
        ("entry", "most"),
        [
            ({"adapter": "aws-comprehend-sentiment", "region": "eu-west-1"}, 5000),
            ({"adapter": "aws-comprehend-toxicity", "region": "us-east-1"}, 1000),
            ({"adapter": "perspective"}, 3000),
        ],
    )
    def test_too_long_a_text_is_not_sent(self, entry: dict[str, Any], most: int) -> None:
        made = adapter(entry)
        made.request(["é" * (most // 2)])
        with pytest.raises(InputTooLarge, match=rf"the input has {most + 2} bytes, more than .* \({most}\)"):
            made.request(["é" * (most // 2 + 1)])

    @pytest.mark.parametrize(
        ("entry", "most"),
        [
            ({"adapter": "google-vision-labels"}, 16),
            ({"adapter": "aws-comprehend-sentiment", "region": "eu-west-1"}, 25),
            ({"adapter": "aws-comprehend-toxicity", "region": "eu-west-1"}, 10),
            ({"adapter": "azure-language-sentiment", "resource": "r"}, 10),
            ({"adapter": "cohere-classify", "model": "m", "examples": []}, 96),
        ],
    )
    def test_batches_are_as_large_as_allowed(self, entry: dict[str, Any], most: int) -> None:
        assert adapter(entry).max_batch == most

"""From the documents of real servers to endpoints: exactly what is drafted, and that it is an endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapters import HttpAdapter, endpoint_from_config
from probe.discovery import Draft, Explored, base_url, explore
from tests.unit.discovery import published
from tests.unit.discovery.published import Documents, answered

URL = "http://server.example"


def explored(documents: Documents, *, model: str | None = None) -> Explored:
    return answered(explore(URL, model=model), documents)[0]


def drafts(documents: Documents, *, model: str | None = None) -> dict[str, Draft]:
    return {draft.name: draft for draft in explored(documents, model=model).drafts}


def adapter(draft: Draft) -> HttpAdapter:
    made = endpoint_from_config(draft.name, draft.entry, environment={}, base=Path())
    assert isinstance(made, HttpAdapter)
    return made


def sent(draft: Draft, *inputs: Any) -> bytes:
    return adapter(draft).request(inputs).body


def test_v2_metadata_makes_a_whole_endpoint() -> None:
    found = explored(published.MLSERVER)
    assert found.source == "Open Inference Protocol V2"
    iris, text = found.drafts
    assert dict(iris.entry) == {
        "url": f"{URL}/v2/models/iris/infer",
        "json": {
            "inputs": [
                {"name": "input-0", "shape": ["{{ n }}", 4], "datatype": "FP64", "data": [{"$each": "{{ x | list }}"}]}
            ],
            "outputs": [{"name": "predict_proba"}],
        },
        "scores": {"tensor": {"output": "predict_proba"}},
        "labels": ["0", "1", "2"],
        "batch": 8,
    }
    assert iris.complete
    assert iris.kind == "tabular"
    assert iris.example == {"x0": 1.0, "x1": 1.0, "x2": 1.0, "x3": 1.0}
    assert iris.notes["url"] == ("found by GET /v2/models/iris of mlserver 1.7.1",)
    assert any("TODO labels" in note for note in iris.notes["labels"])
    assert sent(iris, [5.1, 3.5, 1.4, 0.2], [5, 2, 3.5, 1]) == (
        b'{"inputs":[{"name":"input-0","shape":[2,4],"datatype":"FP64","data":[[5.1,3.5,1.4,0.2],[5,2,3.5,1]]}],'
        b'"outputs":[{"name":"predict_proba"}]}'
    )
    assert text.kind == "text"
    assert sent(text, 'a "great" movie') == (
        b'{"inputs":[{"name":"text","shape":[1],"datatype":"BYTES",'
        b'"parameters":{"content_type":"str"},"data":["a \\"great\\" movie"]}],'
        b'"outputs":[{"name":"predict"}]}'
    )


def test_a_model_that_is_not_ready_is_left_out() -> None:
    assert set(drafts(published.MLSERVER)) == {"iris", "text"}


def test_labels_without_scores_are_read_as_hard_labels() -> None:
    from adapters import HttpResponse, Prediction

    text = drafts(published.MLSERVER)["text"]
    body = b'{"outputs":[{"name":"predict","shape":[2,1],"datatype":"BYTES","data":["pos","neg"]}]}'
    assert adapter(text).predictions(HttpResponse(200, (), body), 2) == [
        Prediction({"pos": 1.0}, floor=0.0),
        Prediction({"neg": 1.0}, floor=0.0),
    ]


def test_one_input_for_each_column() -> None:
    metadata = {
        "inputs": [
            {"name": "age", "datatype": "INT64", "shape": [-1, 1]},
            {"name": "home town", "datatype": "BYTES", "shape": [-1]},
        ],
        "outputs": [{"name": "score", "datatype": "FP32", "shape": [-1]}],
    }
    documents = {"GET /v2": {"name": "triton", "version": "2.5"}, "GET /v2/models/loans": metadata}
    loans = drafts(documents, model="loans")["loans"]
    assert sent(loans, {"age": 40, "home town": "Bonn"}) == (
        b'{"inputs":[{"name":"age","shape":[1,1],"datatype":"INT64","data":[40]},'
        b'{"name":"home town","shape":[1],"datatype":"BYTES","data":["Bonn"]}],"outputs":[{"name":"score"}]}'
    )
    assert loans.entry["labels"] == ["value"]


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ([{"name": "x", "datatype": "FP32", "shape": [-1, -1]}], "how wide a row is"),
        ([{"name": "x", "datatype": "FP32", "shape": [-1, 3, 224, 224]}], "neither rows nor pictures"),
        ([{"name": "x", "datatype": "BYTES", "shape": [-1, 5]}], "several texts at once"),
        ([{"name": each, "datatype": "FP32", "shape": [-1, 2]} for each in "ab"], "2 tensors"),
    ],
)
def test_v2_metadata_that_says_too_little_is_said(inputs: list[Any], reason: str) -> None:
    documents = {"GET /v2": {"name": "triton"}, "GET /v2/models/m": {"inputs": inputs, "outputs": []}}
    found = explored(documents, model="m")
    assert found.drafts == ()
    assert reason in found.remarks[0]


def test_mlserver_without_metadata_is_a_draft_with_a_width_to_fill_in() -> None:
    documents = {"GET /v2": {"name": "mlserver"}, "GET /v2/models/m": {"inputs": [], "outputs": []}}
    [draft] = explored(documents, model="m").drafts
    assert not draft.complete
    assert draft.entry["json"]["outputs"] == [{"name": "predict_proba"}]
    assert draft.entry["scores"] == {"tensor": {"output": "predict_proba"}}
    assert "TODO inputs" in draft.notes["json"][0]
    assert sent(draft, [1, 2, 3, 4]).startswith(b'{"inputs":[{"name":"input-0","shape":[1,4],"datatype":"FP64"')


def test_kserve_without_metadata_is_drafted_by_its_list() -> None:
    found, asked = answered(explore(URL), published.KSERVE)
    assert asked == [
        "GET /v2",
        "POST /v2/repository/index",
        "GET /v2/models",
        "GET /v2/models/iris",
        "GET /v1/models",
    ]
    assert found.source == "model list"
    [iris] = found.drafts
    assert adapter(iris).url == f"{URL}/v1/models/iris:predict"
    assert sent(iris, [5.1, 3.5], {"a": 1, "b": 2}) == b'{"instances":[[5.1,3.5],[1,2]]}'


def test_a_list_of_language_models_becomes_a_chat_with_log_probabilities() -> None:
    [chat] = explored(published.LLAMA).drafts
    assert chat.name == "tiny"
    assert chat.entry["json"]["model"] == "org/tiny"
    assert chat.entry["json"]["logprobs"] is True
    assert adapter(chat).labels == ("positive", "negative")
    assert any("TODO labels" in note for note in chat.notes["scores"])
    assert any("other" in note for note in chat.notes["json"])


def test_bentoml() -> None:
    found = drafts(published.BENTOML)
    assert set(found) == {"batch", "classify", "digit", "digit_raw", "sentiment"}
    assert sent(found["classify"], [1, 2], [3, 4]) == b'{"rows":[[1,2],[3,4]]}'
    assert found["classify"].entry["scores"] == {"vector": "@"}
    assert sent(found["sentiment"], "fine") == b'{"text":"fine"}'
    assert found["sentiment"].entry["scores"] == {"map": "@"}
    assert found["sentiment"].kind == "text"
    assert "batch" not in found["sentiment"].entry
    assert sent(found["batch"], "a", "b") == b'{"texts":["a","b"]}'
    assert found["digit"].entry["multipart"] == {
        "image": {"content": "{{ x | png }}", "filename": "input.png", "type": "image/png"}
    }
    assert found["digit_raw"].entry["headers"] == {"content-type": "image/png"}
    assert found["digit_raw"].kind == found["digit"].kind == "image"
    for draft in found.values():
        adapter(draft)


def test_fastapi_with_typed_models() -> None:
    found = explored(published.FASTAPI)
    by_name = {draft.name: draft for draft in found.drafts}
    assert set(by_name) == {"sentiment", "credit", "batch", "image"}
    assert by_name["credit"].entry["json"] == {"age": "{{ x.age }}", "income": "{{ x.income }}", "home": "{{ x.home }}"}
    assert by_name["credit"].example == {"age": 1, "income": 1.0, "home": "a"}
    assert by_name["batch"].entry["items"] == "predictions"
    assert by_name["batch"].entry["scores"] == {"pairs": {"at": "@", "label": "label", "score": "score"}}
    assert by_name["image"].entry["multipart"]["file"]["content"] == "{{ x | png }}"
    assert [remark.partition(":")[0] for remark in found.remarks] == ["POST /raw", "POST /raw2"]
    assert all("not typed" in remark for remark in found.remarks)
    for draft in found.drafts:
        adapter(draft)


def test_gradio() -> None:
    found = drafts(published.GRADIO)
    assert set(found) == {"sentiment", "credit", "picture"}
    assert found["sentiment"].entry == {
        "url": f"{URL}/gradio_api/call/sentiment",
        "json": {"data": ["{{ x }}"]},
        "poll": {"url": "join('/', ['sentiment', event_id])"},
        "sse": {"event": "complete"},
        "scores": {"pairs": {"at": "[0].confidences", "label": "label", "score": "confidence"}},
        "missing": "censored",
    }
    assert found["sentiment"].example == "Hello!!"
    assert found["credit"].entry["json"] == {"data": ["{{ x.a }}", "{{ x.b }}"]}
    assert found["credit"].example == {"a": 3, "b": 0}
    assert found["picture"].entry["json"]["data"][0]["url"] == "{{ x | png | data_url }}"


def test_mlflow_is_known_by_two_answers_together() -> None:
    found = explored(published.MLFLOW)
    assert found.source == "MLflow"
    [model] = found.drafts
    assert sent(model, {"a": 1.5}) == b'{"dataframe_records":[{"a":1.5}]}'
    assert explored({"GET /ping": "pong"}).drafts == ()
    assert explored({"GET /ping": "", "GET /version": "<html>"}).drafts == ()


def test_torchserve_needs_the_models_name() -> None:
    without = explored(published.TORCHSERVE)
    assert without.drafts == ()
    assert "--model" in without.remarks[0]
    [model] = explored(published.TORCHSERVE, model="cats/dogs").drafts
    assert adapter(model).url == f"{URL}/predictions/cats%2Fdogs"


def test_nothing_published_costs_eight_questions() -> None:
    found, asked = answered(explore(URL), {})
    assert found == Explored("", (), ())
    assert asked == [
        "GET /v2",
        "GET /v1/models",
        "GET /gradio_api/info",
        "GET /docs.json",
        "GET /openapi.json",
        "GET /ping",
        "OPTIONS /",
        "GET /api-description",
    ]


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("http://h:1", "http://h:1"),
        ("http://h:1/", "http://h:1"),
        ("http://h:1/prefix/", "http://h:1/prefix"),
        ("http://h:1/prefix/v2/models/iris/infer", "http://h:1/prefix"),
        ("http://h:1/v1", "http://h:1"),
        ("http://h:1/v1/models/iris:predict", "http://h:1"),
        ("http://h:1/v1/chat/completions", "http://h:1"),
        ("http://h:1/v1/tenants/a", "http://h:1/v1/tenants/a"),
        ("http://h:1/docs", "http://h:1"),
        ("http://h:1/gradio_api/info?serialize=True", "http://h:1"),
        ("http://h:1/openapi.json", "http://h:1"),
    ],
)
def test_a_route_that_was_pasted_is_cut_off(given: str, base: str) -> None:
    assert base_url(given) == base

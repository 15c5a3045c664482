"""From bytes to scores: the worked examples, every label space, batches, and hostile answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adapters import Adapter, HttpResponse, ItemError, NotJson, Prediction, ResponseError, endpoint_from_config

ONE = {"json": {"t": "{{ x }}"}}
BATCH = {"json": {"t": [{"$each": {"id": "{{ i | str }}", "t": "{{ x }}"}}]}, "batch": 8}


def endpoint(**config: Any) -> Adapter:
    return endpoint_from_config("v", {"url": "http://h/", **config}, environment={}, base=Path())


def answer(body: Any) -> HttpResponse:
    return HttpResponse(200, (), body if isinstance(body, bytes) else json.dumps(body).encode())


def read(adapter: Adapter, body: Any, n: int = 1) -> list[Prediction | ItemError]:
    return adapter.predictions(answer(body), n)


def scores(adapter: Adapter, body: Any, n: int = 1) -> list[dict[str, float]]:
    results = read(adapter, body, n)
    return [dict(result.scores) for result in results if isinstance(result, Prediction)]


def message(adapter: Adapter, body: Any, n: int = 1) -> str:
    with pytest.raises(ResponseError) as caught:
        read(adapter, body, n)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def item_messages(adapter: Adapter, body: Any, n: int) -> list[str]:
    return [result.message if isinstance(result, ItemError) else "" for result in read(adapter, body, n)]


class TestWorkedExamples:
    def test_picture_with_labels_in_percent(self) -> None:
        pairs = {"at": "labels[]", "label": "name", "score": "confidence", "scale": 0.01}
        adapter = endpoint(
            json={"payload": {"image": {"bytesBase64": "{{ x | b64 }}"}, "top": 3}}, scores={"pairs": pairs}
        )
        body = {"labels": [{"name": "0", "confidence": 97.5}, {"name": "9", "confidence": 0.64}]}
        [found] = scores(adapter, body)
        assert found == pytest.approx({"0": 0.975, "9": 0.0064})

    def test_map(self) -> None:
        body = {"neg": 0.07677, "pos": 0.92323}
        assert scores(endpoint(**ONE, scores={"map": "@"}), body) == [body]

    def test_rows_as_vectors(self) -> None:
        rows = {"json": {"rows": [{"$each": "{{ x | list }}"}]}, "items": "@", "batch": 2}
        adapter = endpoint(**rows, scores={"vector": {"at": "@", "labels": ["setosa", "versicolor", "virginica"]}})
        assert scores(adapter, [[0.9, 0.1, 0], [0, 0.3, 0.7]], 2) == [
            {"setosa": 0.9, "versicolor": 0.1, "virginica": 0.0},
            {"setosa": 0.0, "versicolor": 0.3, "virginica": 0.7},
        ]

    def test_regression(self) -> None:
        adapter = endpoint(**BATCH, items="predictions", scores={"value": "@"})
        assert scores(adapter, {"predictions": [206.117, 68.071]}, 2) == [{"value": 206.117}, {"value": 68.071}]

    def test_open_vocabulary(self) -> None:
        pairs = {"at": "Labels[]", "label": "Name", "score": "Confidence", "scale": 0.01, "missing": 0}
        adapter = endpoint(json={"Image": {"Bytes": "{{ x | b64 }}"}, "MinConfidence": 0}, scores={"pairs": pairs})
        [prediction] = read(adapter, {"Labels": [{"Name": "Mobile Phone", "Confidence": 99.936, "Parents": []}]})
        assert prediction == Prediction({"Mobile Phone": 99.936 * 0.01}, floor=0.0)


PAIRS = {"at": "@"}
TOP_TWO = [{"label": "a", "score": 0.7}, {"label": "b", "score": 0.2}]


class TestLabelSpaces:
    def test_undeclared(self) -> None:
        assert read(endpoint(**ONE, scores={"pairs": PAIRS}), TOP_TWO) == [Prediction({"a": 0.7, "b": 0.2})]

    def test_zeros_left_out(self) -> None:
        adapter = endpoint(**ONE, scores={"pairs": PAIRS}, missing=0)
        assert read(adapter, TOP_TWO) == [Prediction({"a": 0.7, "b": 0.2}, floor=0.0)]
        assert read(adapter, []) == [Prediction({}, floor=0.0)]

    def test_cut_off_at_the_lowest_returned(self) -> None:
        adapter = endpoint(**ONE, scores={"pairs": PAIRS}, missing="censored")
        assert read(adapter, TOP_TWO) == [Prediction({"a": 0.7, "b": 0.2}, floor=0.2, censored=True)]
        assert "the provider's cut-off is not known; write it as below: NUMBER" in message(adapter, [])

    def test_cut_off_known(self) -> None:
        adapter = endpoint(**ONE, scores={"pairs": PAIRS}, missing="censored", below=0.1)
        assert read(adapter, TOP_TWO) == [Prediction({"a": 0.7, "b": 0.2}, floor=0.1, censored=True)]
        assert read(adapter, []) == [Prediction({}, floor=0.1, censored=True)]

    def test_closed(self) -> None:
        adapter = endpoint(**ONE, scores={"pairs": PAIRS}, labels=["a", "b", "c"])
        assert "label 'c' is missing, got ['a', 'b']" in message(adapter, TOP_TWO)
        adapter = endpoint(**ONE, scores={"pairs": PAIRS}, labels=["a"])
        assert "label 'b' is not among the declared labels" in message(adapter, TOP_TWO)

    def test_declared_but_cut(self) -> None:
        adapter = endpoint(**ONE, scores={"pairs": PAIRS}, labels=["a", "b", "c"], missing="censored")
        assert read(adapter, TOP_TWO) == [Prediction({"a": 0.7, "b": 0.2}, floor=0.2, censored=True)]
        assert adapter.labels == ("a", "b", "c")


MAP = {"map": "s"}


class TestBatches:
    def test_order_is_the_request_s_without_a_key(self) -> None:
        adapter = endpoint(**BATCH, items="rows", scores=MAP)
        assert scores(adapter, {"rows": [{"s": {"a": 1}}, {"s": {"a": 2}}]}, 2) == [{"a": 1.0}, {"a": 2.0}]
        assert "items 'rows' finds 1 rows for 2 inputs" in message(adapter, {"rows": [{"s": {"a": 1}}]}, 2)
        assert "items 'rows' finds nothing; the answer begins '{\"row\"" in message(adapter, {"row": []}, 2)
        assert "items 'rows' finds 3, not a list" in message(adapter, {"rows": 3}, 2)

    def test_rows_are_matched_by_index(self) -> None:
        adapter = endpoint(**BATCH, items={"at": "@", "index": "Index"}, scores=MAP)
        rows = [{"Index": 2, "s": {"a": 2}}, {"Index": 0, "s": {"a": 0}}]
        first, second, third = read(adapter, rows, 3)
        assert (first, third) == (Prediction({"a": 0.0}), Prediction({"a": 2.0}))
        assert second == ItemError("endpoint 'v', item 1: the answer has no row for this input")

    def test_rows_are_matched_by_id(self) -> None:
        adapter = endpoint(**BATCH, items={"at": "@", "id": "id"}, scores=MAP)
        assert scores(adapter, [{"id": "1", "s": {"a": 1}}, {"id": "0", "s": {"a": 0}}], 2) == [{"a": 0.0}, {"a": 1.0}]

    @pytest.mark.parametrize("index", [2, -1, True, "x", None, 1.0, "１", 10**30])
    def test_a_row_that_belongs_to_nobody(self, index: Any) -> None:
        adapter = endpoint(**BATCH, items={"at": "@", "index": "Index"}, scores=MAP)
        assert "a row says it belongs to input" in message(adapter, [{"Index": index, "s": {"a": 0}}], 2)

    def test_two_rows_for_one_input(self) -> None:
        adapter = endpoint(**BATCH, items={"at": "@", "index": "Index"}, scores=MAP)
        row = {"Index": 0, "s": {"a": 0}}
        assert "two rows say they belong to input 0" in message(adapter, [row, row], 2)

    def test_one_refused_input_does_not_cost_the_others(self) -> None:
        adapter = endpoint(**BATCH, items={"at": "responses", "error": "error"}, scores=MAP)
        body = {"responses": [{"error": {"code": 3, "message": "Bad image data."}}, {"s": {"a": 1}}]}
        first, second = read(adapter, body, 2)
        assert first == ItemError("endpoint 'v', item 0: refused: {'code': 3, 'message': 'Bad image data.'}")
        assert second == Prediction({"a": 1.0})

    def test_refusals_in_their_own_list(self) -> None:
        errors = {"at": "ErrorList", "index": "Index", "message": "ErrorCode"}
        adapter = endpoint(**BATCH, items={"at": "ResultList", "index": "Index", "errors": errors}, scores=MAP)
        body = {"ResultList": [{"Index": 1, "s": {"a": 1}}], "ErrorList": [{"Index": 0, "ErrorCode": "TEXT_SIZE"}]}
        assert item_messages(adapter, body, 2) == ["endpoint 'v', item 0: refused: 'TEXT_SIZE'", ""]

    def test_a_score_out_of_order_in_one_row_is_that_row_s(self) -> None:
        adapter = endpoint(**BATCH, scores={"map": "@"})
        seen = item_messages(adapter, b'[{"a": 1}, {"a": 1e999}, {"a": null}, {"a": "x"}]', 4)
        assert seen == [
            "",
            "endpoint 'v', item 1: the score of 'a' is inf, not a finite number",
            "endpoint 'v', item 2: the score of 'a' is None, not a number",
            "endpoint 'v', item 3: the score of 'a' is 'x', not a number",
        ]

    def test_several_inputs_need_rows(self) -> None:
        with pytest.raises(ResponseError, match="2 inputs were sent"):
            read(endpoint(**ONE, scores=MAP), {"s": {"a": 1}}, 2)


@pytest.mark.parametrize(
    ("rule", "body", "seen"),
    [
        ({"map": "scors"}, {"scores": {"a": 1}}, "'scors' finds nothing in {'scores': {'a': 1}}"),
        ({"map": "@"}, [1], "expected an object {label: score}, got [1]"),
        ({"map": "@"}, {"a": True}, "the score of 'a' is True, not a number"),
        ({"map": "@"}, {"a": "0.5"}, "the score of 'a' is '0.5', not a number"),
        ({"map": "@"}, {}, "no label at all"),
        ({"vector": "@"}, {"a": 1}, "expected a list of scores, got {'a': 1}"),
        ({"vector": {"at": "@", "labels": ["a"]}}, [1, 2], "2 scores for 1 labels: [1, 2]"),
        ({"value": "y"}, {"x": 1}, "'y' finds nothing in {'x': 1}"),
        ({"value": "y"}, {"y": [1]}, "the score of 'value' is [1], not a number"),
        ({"pairs": {"at": "@"}}, {"label": 1}, "expected a list of labels with scores"),
        (
            {"pairs": {"at": "@"}},
            [{"labl": "a", "score": 1}],
            "label 'label' is None, not text, in {'labl': 'a', 'score': 1}",
        ),
        (
            {"pairs": {"at": "@"}},
            [{"label": "a", "scor": 1}],
            "score 'score' finds nothing in {'label': 'a', 'scor': 1}",
        ),
        ({"value": "max_by(@, &a)"}, [{"a": 1}, {"a": "b"}], "the expression 'max_by(@, &a)' fails on"),
    ],
)
def test_an_answer_that_is_not_as_described_is_shown(rule: Any, body: Any, seen: str) -> None:
    text = message(endpoint(**ONE, scores=rule), body)
    assert text.startswith("endpoint 'v', item 0: ")
    assert seen in text
    assert "the answer begins " in text


@pytest.mark.parametrize("labels", ["{'a': 1, 'a': 2}", "{'a': 1, 'b': 2, 'a': 1}"])
def test_a_repeated_label_is_told(labels: str) -> None:
    body = labels.replace("'", '"').encode()
    [result] = read(endpoint(**ONE, scores={"map": "@"}), body)
    assert isinstance(result, ItemError)
    assert "a label stands twice" in result.message
    pairs = [{"label": "a", "score": 1}, {"label": "a", "score": 2}]
    [result] = read(endpoint(**ONE, scores={"pairs": {"at": "@"}}), pairs)
    assert isinstance(result, ItemError)
    assert "label 'a' stands twice" in result.message


def test_a_repeated_key_elsewhere_does_no_harm() -> None:
    assert scores(endpoint(**ONE, scores={"map": "s"}), b'{"m": 1, "m": 2, "s": {"a": 1}}') == [{"a": 1.0}]


@pytest.mark.parametrize("label", ["a\x00b", "\ud800"])
def test_labels_that_no_database_holds(label: str) -> None:
    [result] = read(endpoint(**ONE, scores={"map": "@"}), {label: 1})
    assert isinstance(result, ItemError)
    assert "holds what is not text" in result.message


@pytest.mark.parametrize(
    ("body", "kind", "seen"),
    [
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "page", "an HTML or XML page instead of JSON"),
        (b"<?xml version='1.0'?><Error/>", "page", "an XML document instead of JSON"),
        (b'{"a": NaN}', "number", "the answer holds NaN, which is not a number in JSON"),
        (b'{"a": -Infinity}', "number", "the answer holds -Infinity"),
        (b'{"a": [1, 2', "cut", "the answer is cut off after 11 bytes"),
        (b'{"a": "tex', "cut", "the answer is cut off"),
        (b"", "cut", "the answer is empty"),
        (b"  ", "cut", "the answer is empty"),
        (b"Internal Server Error", "page", "the answer is not JSON (Expecting value at line 1 column 1)"),
        (b"\x00\xff\xfe\x80", "page", "the answer is not JSON"),
        (b'{"a": \x1b[31m1}', "page", "\\x1b[31m"),
        (b"[" * 100_000, "page", "nested too deeply"),
        (b"9" * 5000, "page", "the answer is not JSON (Exceeds the limit"),
    ],
)
def test_what_is_not_json(body: bytes, kind: str, seen: str) -> None:
    with pytest.raises(NotJson) as caught:
        read(endpoint(**ONE, scores={"map": "@"}), body)
    assert caught.value.kind == kind
    assert seen in str(caught.value)
    assert str(caught.value).isprintable()


def test_nesting_just_below_the_parser_s_limit_does_no_harm() -> None:
    for depth in range(800, 1100, 20):
        with pytest.raises(ResponseError):
            read(endpoint(**ONE, scores={"map": "@"}), b"[" * depth + b"]" * depth)


def test_content_type_is_not_insisted_on_and_utf8_with_a_mark_is_read() -> None:
    response = HttpResponse(200, (("content-type", "text/html"),), b'\xef\xbb\xbf{"a": 1}')
    assert endpoint(**ONE, scores={"map": "@"}).predictions(response, 1) == [Prediction({"a": 1.0})]


RULES: list[dict[str, Any]] = [
    {"map": "@"},
    {"map": "a"},
    {"vector": {"at": "@", "labels": ["a", "b"]}},
    {"vector": "[].a"},
    {"pairs": {"at": "[]", "missing": "censored"}},
    {"pairs": {"at": "@", "label": "a", "score": "b", "missing": 0}},
    {"value": "sum(@)"},
    {"value": "a.b[0]"},
    {"logprobs": {"at": "@", "token": "a", "logprob": "b", "labels": ["a", "b"]}},
    {"logprobs": {"at": "a", "labels": ["a", "b"], "fold": True}},
    {"text": {"at": "@", "labels": ["a", "b"]}},
    {"text": {"at": "a", "labels": {"a": ["a|b"], "b": ["b$"]}, "match": "regex", "else": "b"}},
    {"ordinal": {"at": "@", "levels": {"a": 0, "b": 1, 1: 0.5}}},
    {"ordinal": {"at": "@", "label": "a", "score": "b", "levels": {"a": 0, 0: 1}, "missing": 0}},
]
HOSTILE = [
    *(endpoint(**ONE, scores=rule) for rule in RULES),
    *(endpoint(**BATCH, scores=rule) for rule in RULES),
    endpoint(**BATCH, items={"at": "a || @", "index": "b", "error": "c"}, scores={"map": "@"}),
    endpoint(**BATCH, items={"at": "a", "id": "b", "errors": {"at": "c", "index": "b"}}, scores={"value": "a"}),
    endpoint(**BATCH, items={"at": "a", "index": "b", "errors": {"at": "c", "id": "b"}}, scores={"map": "@"}),
    endpoint(**ONE, scores={"map": "@"}, aliases={"a": ["b", "c"]}, missing="censored"),
    endpoint(**BATCH, items={"at": "sort_by(@, &a)", "index": "max(b)", "error": "abs(c)"}, scores={"map": "@"}),
    endpoint(**BATCH, scores={"tensor": {}}),
    endpoint(**BATCH, scores={"tensor": "a"}, labels=["a", "b"]),
]
WORDS = st.sampled_from(["a", "b", "c", "label", "score"])
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | WORDS
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner), max_leaves=20)


def _only_typed_errors(body: bytes, n: int) -> None:
    for adapter in HOSTILE:
        text, results = "", []
        try:
            results = adapter.predictions(HttpResponse(200, (), body), n)
        except ResponseError as error:
            text = str(error)
        assert (len(results) == n) != ("endpoint 'v'" in text)
        assert text.isprintable()
        for result in results:
            if isinstance(result, ItemError):
                assert result.message.startswith("endpoint 'v', item ")
            else:
                assert all(type(score) is float and abs(score) < float("inf") for score in result.scores.values())
        adapter.classify(HttpResponse(200, (), body))


SIZES = st.lists(st.integers(-1, 4) | st.booleans() | st.text(max_size=1), max_size=4) | LEAVES
OUTPUTS = st.fixed_dictionaries(
    {"name": WORDS, "shape": SIZES, "data": TREES},
    optional={"datatype": st.sampled_from(["FP32", "INT64", "BYTES", "BOOL"]) | LEAVES, "parameters": TREES},
)


@given(st.binary(max_size=200), st.integers(1, 3))
@example(b'{"a": {"b": [1e400]}}', 1)
def test_arbitrary_bytes_give_only_typed_errors(body: bytes, n: int) -> None:
    _only_typed_errors(body, n)


@settings(max_examples=300)
@given(TREES, st.integers(1, 3))
def test_arbitrary_json_gives_only_typed_errors(tree: Any, n: int) -> None:
    _only_typed_errors(json.dumps(tree).encode(), n)


@settings(max_examples=300, deadline=None)
@given(st.lists(OUTPUTS, max_size=3), st.integers(1, 3))
def test_arbitrary_tensors_give_only_typed_errors(outputs: Any, n: int) -> None:
    _only_typed_errors(json.dumps({"outputs": outputs}).encode(), n)

"""Tensors, log-probabilities, texts and steps of a scale: exact values, and what each mistake is told."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import Adapter, HttpResponse, ItemError, Prediction, ResponseError, SpecError
from tests.adapters.test_scores import BATCH, ONE, endpoint, item_messages, message, read, scores

INFER = {
    "url": "http://h/v2/models/iris/infer",
    "json": {"inputs": [{"data": [{"$each": "{{ x | list }}"}]}]},
    "batch": 8,
}


def v2(*outputs: dict[str, Any]) -> dict[str, Any]:
    return {"model_name": "iris", "model_version": "v1", "id": "1", "parameters": {}, "outputs": list(outputs)}


def output(data: Any, shape: Any, name: str = "predict_proba", datatype: str = "FP64") -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "parameters": {"content_type": "np"}, "data": data}


class TestTensor:
    FLAT = (0.9, 0.1, 0.0, 0.25, 0.5, 0.25)

    def adapter(self, tensor: Any = "predict_proba", **config: Any) -> Adapter:
        return endpoint(**INFER | config, scores={"tensor": tensor})

    def test_flat_data_is_cut_by_the_shape(self) -> None:
        found = read(self.adapter(labels=["setosa", "versicolor", "virginica"]), v2(output(self.FLAT, [2, 3])), 2)
        assert found == [
            Prediction({"setosa": 0.9, "versicolor": 0.1, "virginica": 0.0}),
            Prediction({"setosa": 0.25, "versicolor": 0.5, "virginica": 0.25}),
        ]

    def test_nested_data_is_the_same(self) -> None:
        flat = v2(output(self.FLAT, [2, 3]))
        nested = v2(output([self.FLAT[:3], self.FLAT[3:]], [2, 3]))
        assert read(self.adapter(), flat, 2) == read(self.adapter(), nested, 2)

    def test_classes_have_numbers_without_labels(self) -> None:
        adapter = self.adapter()
        assert adapter.labels is None
        assert scores(adapter, v2(output([0.5, 0.5], [1, 2]))) == [{"0": 0.5, "1": 0.5}]

    def test_the_labels_may_stand_in_it(self) -> None:
        adapter = self.adapter({"output": "predict_proba", "labels": ["no", "yes"], "scale": 0.01})
        assert adapter.labels == ("no", "yes")
        assert scores(adapter, v2(output([50, 50], [1, 2]))) == [{"no": 0.5, "yes": 0.5}]

    def test_sizes_of_one_at_the_end_do_not_count(self) -> None:
        for shape, data in (([2, 3, 1, 1], list(self.FLAT)), ([1, 2, 1], [[[0.5], [0.5]]])):
            assert len(scores(self.adapter(), v2(output(data, shape)), shape[0])) == shape[0]

    def test_one_number_per_input_is_called_value(self) -> None:
        assert scores(self.adapter({}), v2(output([206.117, 68.071], [2])), 2) == [
            {"value": 206.117},
            {"value": 68.071},
        ]
        named = self.adapter({}, labels=["price"])
        assert scores(named, v2(output([206.117, 68.071], [2, 1])), 2) == [{"price": 206.117}, {"price": 68.071}]

    def test_the_output_may_be_left_out_where_there_is_one(self) -> None:
        both = v2(output([1, 0], [1, 2]), output(["a"], [1, 1], "predict", "BYTES"))
        assert scores(self.adapter({}), v2(output([1, 0], [1, 2]))) == [{"0": 1.0, "1": 0.0}]
        assert (
            "the answer has the outputs ['predict_proba', 'predict']: write scores: {tensor: {output: NAME}}"
            in message(self.adapter({}), both)
        )
        assert scores(self.adapter(), both) == [{"0": 1.0, "1": 0.0}]

    def test_an_input_whose_score_is_undefined_is_that_input_s_error(self) -> None:
        seen = item_messages(self.adapter(), v2(output([0.5, 0.5, None, 0.5], [2, 2])), 2)
        assert seen == ["", "endpoint 'v', item 1: the score of '0' is None, not a number"]

    def test_labels_without_scores_are_told_how_to_get_them(self) -> None:
        hard = message(self.adapter({}), v2(output(["pos", "neg"], [2, 1], "predict", "BYTES")), 2)
        assert "output 'predict' holds texts (['pos', 'neg']), which are labels without scores" in hard
        assert "outputs: [{name: predict_proba}] in the request and scores: {tensor: {output: predict_proba}}" in hard
        number = message(self.adapter({}), v2(output([2, 1], [2, 1], "predict", "INT64")), 2)
        assert "one INT64 per input ([2, 1]), probably the number of a class" in number
        assert scores(self.adapter({}, labels=["count"]), v2(output([2], [1, 1], "n", "INT64"))) == [{"count": 2.0}]

    @pytest.mark.parametrize(
        ("body", "seen"),
        [
            (v2(output([1, 2, 3], [2, 2])), "output 'predict_proba': 3 numbers do not fill the shape [2, 2]"),
            (v2(output([1, 2], [1, 2])), "the shape [1, 2] has 1 rows for 2 inputs"),
            (v2(output([[1, 2], [3]], [2, 2])), "a row of 1 numbers does not fit the shape [2, 2]"),
            (v2(output([[[1, 2]], [[3, 4]]], [2, 2])), "data is nested deeper than its shape: [1, 2]"),
            (v2(output([1, 2, 3, 4], [2, 1, 2])), "the shape [2, 1, 2] is not one row of scores per input"),
            (v2(output([1, 2], "2,1")), "shape is '2,1', not a list of sizes"),
            (v2(output([1, 2], [2, -1])), "shape is [2, -1], not a list of sizes"),
            (v2(output([1, 2], [])), "shape is [], not a list of sizes"),
            (v2(output(None, [2, 1])), "data is None, not a list"),
            (v2(output([1, 2], [2, 1], "scores")), "output 'predict_proba' is not among the outputs: ['scores']"),
            (v2(output([1], [1]), output([1], [1])), "output 'predict_proba' is twice: ["),
            (v2(), "the answer has no list of outputs, so it is not of the Open Inference Protocol (V2)"),
            ([1, 2], "the answer has no list of outputs"),
        ],
    )
    def test_what_does_not_fit(self, body: Any, seen: str) -> None:
        text = message(self.adapter(), body, 2)
        assert text.startswith("endpoint 'v': ")
        assert seen in text
        assert "the answer begins " in text

    def test_binary_outputs_are_told(self) -> None:
        announced = {
            "name": "predict_proba",
            "shape": [1, 2],
            "datatype": "FP32",
            "parameters": {"binary_data_size": 8},
        }
        assert "comes as binary data, which is not read: ask for numbers in JSON" in message(
            self.adapter(), v2(announced)
        )
        body = json.dumps(v2(announced)).encode() + b"\x00\x00\x80\x3f\x00\x00\x00\x00"
        assert "the outputs come as binary data" in message(self.adapter(), body)

    def test_the_shape_says_what_the_rows_are(self) -> None:
        with pytest.raises(SpecError, match=r"items does not go with scores\.tensor"):
            self.adapter(items="outputs")


TOP = [("positive", 0.6), (" positive", 0.15), ("negative", 0.2), ("The", 0.03), ("Positive", 0.01)]
CHAT: dict[str, Any] = {
    "at": "choices[0].logprobs.content[0].top_logprobs",
    "labels": {"positive": ["positive"], "negative": ["negative", "bad"]},
}


def chat(pairs: Any, token: str = "token", logprob: str = "logprob") -> dict[str, Any]:
    top = [{token: word, logprob: math.log(p), "bytes": []} for word, p in pairs]
    return {"choices": [{"logprobs": {"content": [{"token": "x", "top_logprobs": top}]}}]}


def logprobs(**rules: Any) -> Adapter:
    return endpoint(**ONE, scores={"logprobs": CHAT | rules})


class TestLogprobs:
    def test_tokens_of_a_label_are_added_and_labels_scaled_to_one(self) -> None:
        [found] = read(logprobs(), chat(TOP))
        assert isinstance(found, Prediction)
        assert found.scores == pytest.approx({"positive": 0.75 / 0.95, "negative": 0.2 / 0.95}, abs=1e-12)
        assert found.mass == pytest.approx(0.95, abs=1e-12)
        assert (found.floor, found.censored) == (None, False)

    def test_case_counts_unless_folded(self) -> None:
        [found] = read(logprobs(fold=True), chat(TOP))
        assert isinstance(found, Prediction)
        assert found.mass == pytest.approx(0.96, abs=1e-12)

    @pytest.mark.parametrize(("tokens", "bound"), [(["negative"], 0.05), (["negative", "bad"], 0.1)])
    def test_the_tokens_of_a_label_outside_of_the_top_are_at_most_as_likely_as_the_last_in_it(
        self, tokens: list[str], bound: float
    ) -> None:
        adapter = logprobs(labels={"positive": ["positive"], "negative": tokens})
        [found] = read(adapter, chat([("positive", 0.9), ("The", 0.05)]))
        assert isinstance(found, Prediction)
        assert found.scores == {"positive": 1.0}
        assert found.censored
        assert found.floor == pytest.approx(bound / (0.9 + bound), abs=1e-12)
        assert found.mass == pytest.approx(0.9, abs=1e-12)

    def test_no_label_at_all_is_that_input_s_error(self) -> None:
        [found] = read(logprobs(), chat([("The", 0.9), ("A", 0.05)]))
        assert isinstance(found, ItemError)
        assert "none of the tokens means a label: ['The', 'A']; ask for more of them (top_logprobs)" in found.message

    def test_labels_may_be_a_list(self) -> None:
        adapter = logprobs(labels=["positive", "negative"])
        assert adapter.labels == ("positive", "negative")
        assert scores(adapter, chat([("positive", 0.5), ("negative", 0.5)])) == [{"positive": 0.5, "negative": 0.5}]

    @pytest.mark.parametrize(
        ("at", "token", "logprob", "body"),
        [
            (
                "candidates[0].logprobsResult.topCandidates[0].candidates",
                "token",
                "logProbability",
                {
                    "candidates": [
                        {
                            "logprobsResult": {
                                "topCandidates": [
                                    {
                                        "candidates": [
                                            {"token": "positive", "tokenId": 1, "logProbability": math.log(0.5)},
                                            {"token": "negative", "tokenId": 2, "logProbability": math.log(0.25)},
                                        ]
                                    }
                                ]
                            }
                        }
                    ]
                },
            ),
            (
                "completion_probabilities[0].top_logprobs",
                "token",
                "logprob",
                {
                    "completion_probabilities": [
                        {
                            "top_logprobs": [
                                {"id": 1, "token": " positive", "bytes": [32], "logprob": math.log(0.5)},
                                {"id": 2, "token": " negative", "bytes": [32], "logprob": math.log(0.25)},
                            ]
                        }
                    ]
                },
            ),
            (
                "choices[0].logprobs.top_logprobs[0]",
                "token",
                "logprob",
                {
                    "choices": [
                        {"logprobs": {"top_logprobs": [{" positive": math.log(0.5), "negative": math.log(0.25)}]}}
                    ]
                },
            ),
        ],
        ids=["gemini", "llama.cpp", "completions"],
    )
    def test_other_providers_shapes(self, at: str, token: str, logprob: str, body: Any) -> None:
        [found] = read(logprobs(at=at, token=token, logprob=logprob), body)
        assert isinstance(found, Prediction)
        assert found.scores == pytest.approx({"positive": 2 / 3, "negative": 1 / 3}, abs=1e-12)
        assert found.mass == pytest.approx(0.75, abs=1e-12)

    def test_a_very_unlikely_token_counts_as_nothing(self) -> None:
        body = chat([("positive", 0.5)])
        body["choices"][0]["logprobs"]["content"][0]["top_logprobs"].append({"token": "negative", "logprob": -9999.0})
        assert scores(logprobs(), body) == [{"positive": 1.0, "negative": 0.0}]

    @pytest.mark.parametrize(
        ("top", "seen"),
        [
            ("x", "expected a list of tokens with log-probabilities, got 'x'"),
            ([{"token": 1, "logprob": -1}], "token 'token' is 1, not text"),
            ([{"token": "a"}], "the log-probability of 'a' is None, not a number"),
            ([{"token": "a", "logprob": 0.5}], "the log-probability of 'a' is 0.5, which is above 0"),
            ([{"token": "a", "logprob": True}], "the log-probability of 'a' is True, not a number"),
            ([{"token": "a", "logprob": -0.1}, {"token": "b", "logprob": -0.1}], "the probabilities add up to 1.80967"),
        ],
    )
    def test_what_is_not_as_described(self, top: Any, seen: str) -> None:
        body = {"choices": [{"logprobs": {"content": [{"top_logprobs": top}]}}]}
        assert seen in message(logprobs(), body)

    def test_an_answer_without_logprobs_is_shown(self) -> None:
        body = {"choices": [{"message": {"content": "positive"}, "logprobs": None}]}
        assert "'choices[0].logprobs.content[0].top_logprobs' finds nothing in" in message(logprobs(), body)

    @pytest.mark.parametrize(
        ("rules", "seen"),
        [
            ({"labels": {"a": ["x"], "b": [" x"]}}, "' x' stands for both 'a' and 'b'"),
            ({"labels": {"a": ["x"], "b": ["X"]}, "fold": True}, "'X' stands for both 'a' and 'b'"),
            ({"labels": {"a": [" "]}}, "label 'a' needs at least one token"),
            ({"labels": {"a": []}}, "label 'a' needs at least one token"),
            ({"labels": {}}, "should have at least 1 item"),
            ({"labls": ["a"]}, "unknown key 'labls', did you mean 'labels'?"),
        ],
    )
    def test_mistakes_in_the_description(self, rules: Any, seen: str) -> None:
        with pytest.raises(SpecError, match=r"^endpoints\.v\.scores\.logprobs") as caught:
            logprobs(**rules)
        assert seen in str(caught.value)

    @settings(deadline=None)
    @given(st.lists(st.floats(1e-6, 1), min_size=3, max_size=20))
    def test_what_is_cut_off_stays_below_its_bound(self, weights: list[float]) -> None:
        """Whatever the whole distribution is, the true score of a label that the top k lacks is at most the floor."""
        ranked = sorted((weight / (1.01 * math.fsum(weights)) for weight in weights), reverse=True)
        names = ["positive", *(f"w{number}" for number in range(len(ranked) - 2)), "negative"]
        whole = list(zip(names, ranked, strict=True))
        [found] = read(logprobs(), chat(whole[:-1]))
        assert isinstance(found, Prediction)
        assert found.floor is not None
        assert ranked[-1] / (ranked[0] + ranked[-1]) <= found.floor + 1e-9


CONTENT = "choices[0].message.content"


def says(text: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": text}}]}


def texts(**rules: Any) -> Adapter:
    return endpoint(**ONE, scores={"text": {"at": CONTENT} | rules})


class TestText:
    LABELS = ("refund", "no refund", "other")

    @pytest.mark.parametrize(
        ("rules", "text", "label"),
        [
            ({}, "Refund.", "refund"),
            ({}, "I would say: REFUND!", "refund"),
            ({}, "No refund is due.", "no refund"),
            ({}, "refund, I repeat: refund", "refund"),
            ({"match": "exact"}, " Refund\n", "refund"),
            ({"match": "prefix"}, "no refund, because", "no refund"),
            ({"match": "regex", "labels": {"refund": [r"^re.*d$"], "other": ["^other"]}}, "Refund", "refund"),
            ({"labels": {"refund": ["pay back", "refund"], "other": "none"}}, "Pay back the money", "refund"),
            ({"labels": {"refund": "+1", "other": "-1"}}, "+1", "refund"),
            ({"else": "other"}, "I cannot say", "other"),
            ({"else": "other"}, "refund or other", "other"),
            ({"labels": {"refund": ["refund"], "other": []}, "else": "other"}, "", "other"),
        ],
    )
    def test_the_label_that_the_text_names(self, rules: Any, text: str, label: str) -> None:
        adapter = texts(**{"labels": list(self.LABELS)} | rules)
        [found] = scores(adapter, says(text))
        assert found == {name: float(name == label) for name in adapter.labels or ()}
        assert found[label] == 1.0

    @pytest.mark.parametrize(
        ("rules", "text", "seen"),
        [
            ({}, "I cannot say", "the text names no label: 'I cannot say'; write else: LABEL"),
            ({}, "refunded", "the text names no label"),
            ({}, "refund or other", "the text names 'refund' and 'other'"),
            ({"match": "exact"}, "refund.", "the text names no label"),
            ({"fold": False}, "Refund", "the text names no label"),
            ({}, "", "the text names no label: ''"),
        ],
    )
    def test_no_label_or_two_are_that_input_s_error(self, rules: Any, text: str, seen: str) -> None:
        [found] = read(texts(**{"labels": list(self.LABELS)} | rules), says(text))
        assert isinstance(found, ItemError)
        assert seen in found.message

    def test_what_is_no_text_is_shown(self) -> None:
        assert f"'{CONTENT}' finds nothing in" in message(texts(labels=["a"]), says(None))
        assert "expected a text, got ['a']" in message(texts(labels=["a"]), says(["a"]))

    @pytest.mark.parametrize(
        ("rules", "seen"),
        [
            ({"labels": ["a"], "else": "b"}, "else: 'b' is not one of the labels"),
            (
                {"labels": {"a": ["x"], "b": []}},
                "label 'b' has no words, so nothing could be read as it; write else: b",
            ),
            ({"labels": {"a": ["x"], "b": ["X "]}}, "'X ' stands for both 'a' and 'b'"),
            ({"labels": {"a": ["("], "b": ["b"]}, "match": "regex"}, "not a regular expression: '('"),
            ({"labels": ["a"], "match": "fuzzy"}, "input should be 'exact', 'word', 'prefix' or 'regex'"),
            ({"labels": {"a": [""]}}, "label 'a' has a word that is empty"),
        ],
    )
    def test_mistakes_in_the_description(self, rules: Any, seen: str) -> None:
        with pytest.raises(SpecError, match=r"^endpoints\.v\.scores\.text") as caught:
            texts(**rules)
        assert seen in str(caught.value)

    def test_labels_stand_in_one_place(self) -> None:
        with pytest.raises(SpecError, match=r"labels is given twice: beside scores and in scores\.text"):
            endpoint(**ONE, labels=["a"], scores={"text": {"at": CONTENT, "labels": ["a"]}})


LIKELY = {"VERY_UNLIKELY": 0, "UNLIKELY": 0.25, "POSSIBLE": 0.5, "LIKELY": 0.75, "VERY_LIKELY": 1}


class TestOrdinal:
    def test_words_of_an_object(self) -> None:
        rules = {"ordinal": {"at": "safeSearchAnnotation", "levels": LIKELY}}
        adapter = endpoint(**BATCH, items="responses", scores=rules)
        rows = [{"safeSearchAnnotation": {"adult": "VERY_UNLIKELY", "racy": "LIKELY"}}]
        assert read(adapter, {"responses": rows}) == [Prediction({"adult": 0.0, "racy": 0.75})]

    def test_whole_numbers_of_a_list(self) -> None:
        rules = {"at": "categoriesAnalysis", "label": "category", "score": "severity", "levels": {0: 0, 2: 0.3, 4: 0.6}}
        adapter = endpoint(**ONE, scores={"ordinal": rules}, labels=["Hate", "Violence"])
        found = [{"category": "Violence", "severity": 2}, {"category": "Hate", "severity": 4.0}]
        assert scores(adapter, {"categoriesAnalysis": found}) == [{"Violence": 0.3, "Hate": 0.6}]

    def test_missing_may_stand_in_it(self) -> None:
        adapter = endpoint(**ONE, scores={"ordinal": {"levels": LIKELY, "missing": 0}})
        assert read(adapter, {"adult": "POSSIBLE"}) == [Prediction({"adult": 0.5}, floor=0.0)]

    @pytest.mark.parametrize("level", ["UNKNOWN", 1, True, None, [], 0.5, 10**400])
    def test_a_level_that_is_not_described_is_that_input_s_error(self, level: Any) -> None:
        [found] = read(endpoint(**ONE, scores={"ordinal": {"levels": LIKELY}}), {"adult": level})
        assert isinstance(found, ItemError)
        assert "the level of 'adult' is " in found.message
        assert "not one of ['VERY_UNLIKELY', 'UNLIKELY', 'POSSIBLE', 'LIKELY', 'VERY_LIKELY']" in found.message

    def test_what_is_not_as_described(self) -> None:
        assert "expected an object {label: level}, got ['POSSIBLE']" in message(
            endpoint(**ONE, scores={"ordinal": {"levels": LIKELY}}), ["POSSIBLE"]
        )
        both = endpoint(**ONE, scores={"ordinal": {"levels": LIKELY, "label": "l", "score": "s"}})
        assert "expected a list of labels with levels, got {'l': 'a'}" in message(both, {"l": "a"})
        assert "score 's' finds nothing in {'l': 'a'}" in message(both, [{"l": "a"}])
        [twice] = read(both, [{"l": "a", "s": "LIKELY"}, {"l": "a", "s": "UNLIKELY"}])
        assert isinstance(twice, ItemError)
        assert "label 'a' stands twice" in twice.message
        with pytest.raises(SpecError, match="label and score belong together"):
            endpoint(**ONE, scores={"ordinal": {"levels": LIKELY, "label": "l"}})


class TestAliases:
    def test_what_comes_under_another_name_is_kept_under_one(self) -> None:
        adapter = endpoint(
            **ONE,
            scores={"pairs": {"at": "@", "missing": "censored"}},
            aliases={"Mobile Phone": ["Smartphone", "Cell Phone"], "Cat": "Kitty"},
        )
        seen = [{"label": "Cell Phone", "score": 0.7}, {"label": "Cat", "score": 0.4}]
        assert read(adapter, seen) == [Prediction({"Mobile Phone": 0.7, "Cat": 0.4}, floor=0.4, censored=True)]

    def test_of_several_names_in_one_answer_the_higher_score_counts(self) -> None:
        adapter = endpoint(**ONE, scores={"map": "@"}, aliases={"Mobile Phone": ["Smartphone", "Cell Phone"]})
        for low, high in (("Smartphone", "Cell Phone"), ("Cell Phone", "Mobile Phone"), ("Mobile Phone", "Smartphone")):
            assert scores(adapter, {low: 0.2, high: 0.9}) == [{"Mobile Phone": 0.9}]
            assert scores(adapter, {high: 0.9, low: 0.2}) == [{"Mobile Phone": 0.9}]

    def test_declared_labels_are_the_names_they_are_kept_under(self) -> None:
        adapter = endpoint(**ONE, scores={"map": "@"}, labels=["Cat"], aliases={"Cat": ["Kitty"]})
        assert scores(adapter, {"Kitty": 0.5}) == [{"Cat": 0.5}]
        assert "label 'Dog' is not among the declared labels" in message(adapter, {"Dog": 1})

    @pytest.mark.parametrize(
        ("config", "seen"),
        [
            ({"aliases": {"a": ["b"], "c": ["b"]}}, "'b' stands for both 'a' and 'c'"),
            ({"aliases": {"a": ["b"], "b": ["c"]}}, "'b' is an alias of 'a' and has aliases itself"),
            (
                {"aliases": {"a": ["b"]}, "labels": ["a", "b"]},
                "'b' is read as 'a', so it cannot stand in labels: write 'a'",
            ),
            ({"aliases": {"a": ["b"]}, "scores": {"vector": "@"}}, "aliases only makes sense with scores.map"),
        ],
    )
    def test_mistakes_in_the_description(self, config: Any, seen: str) -> None:
        with pytest.raises(SpecError) as caught:
            endpoint(**ONE | {"scores": {"map": "@"}} | config)
        assert seen in str(caught.value)


def test_refusals_are_matched_by_id() -> None:
    errors = {"at": "results.errors", "id": "id", "message": "error.message"}
    items = {"at": "results.documents", "id": "id", "errors": errors}
    adapter = endpoint(**BATCH, items=items, scores={"map": "confidenceScores"})
    body = {
        "results": {
            "documents": [{"id": "1", "confidenceScores": {"positive": 1}}],
            "errors": [{"id": "0", "error": {"code": "InvalidArgument", "message": "Document text is empty."}}],
        }
    }
    assert read(adapter, body, 2) == [
        ItemError("endpoint 'v', item 0: refused: 'Document text is empty.'"),
        Prediction({"positive": 1.0}),
    ]
    with pytest.raises(SpecError, match="exactly one of index, id is needed, got none"):
        endpoint(**BATCH, items={"at": "a", "id": "b", "errors": {"at": "c"}}, scores={"map": "@"})


def test_rules_of_reading_that_were_there_before_have_the_same_digest() -> None:
    """Otherwise every stored answer would be read again after an upgrade."""
    assert endpoint(**ONE, scores={"map": "@"}).parser.startswith("53306d38ccdfe792")
    items = {"at": "rows", "index": "i", "errors": {"at": "errs", "index": "j"}}
    adapter = endpoint(**ONE, items=items, scores={"vector": {"at": "@", "labels": ["a", "b"]}})
    assert adapter.parser.startswith("6bc7e335494d3538")
    kinds: tuple[dict[str, Any], ...] = (
        {"tensor": {}},
        {"ordinal": {"levels": LIKELY}},
        {"text": {"at": "a", "labels": ["a"]}},
        {"logprobs": CHAT},
    )
    assert len({endpoint(**ONE, scores=kind).parser for kind in kinds}) == len(kinds)


def test_the_message_of_a_hostile_answer_is_one_line() -> None:
    with pytest.raises(ResponseError) as caught:
        texts(labels=["a"]).predictions(
            HttpResponse(200, (), b'{"choices": [{"message": {"content": ["\\u001b[2J"]}}]}'), 1
        )
    assert str(caught.value).isprintable()

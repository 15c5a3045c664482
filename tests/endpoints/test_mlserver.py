"""MLServer: the Open Inference Protocol (V2), scikit-learn behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters import HttpResponse, ResponseError
from tests.endpoints import rows
from tests.endpoints.apps.truth import MEASURES, SPECIES, mood, species
from tests.endpoints.using import endpoint, run, scores, send, shares

#: written by hand …
IRIS = """
    endpoints:
      iris:
        url: @url/v2/models/@model/infer
        json:
          inputs: [{name: measures, shape: ["{{ n }}", @width], datatype: FP64, data: [{$each: "{{ x | list }}"}]}]
          outputs: [{name: @output}]
        batch: 16
        labels: [setosa, versicolor, virginica]
        scores: {tensor: @output}
"""
#: … and by its preset
PRESET = """
    endpoints:
      iris:
        adapter: open-inference
        server: @url
        model: iris
        input: measures
        output: predict_proba
        columns: 4
        datatype: FP64
        batch: 16
        labels: [setosa, versicolor, virginica]
"""
MOOD = """
    endpoints:
      mood:
        adapter: open-inference-text
        server: @url
        model: mood
        input: text
        output: predict_proba
        batch: 3
        labels: [neg, pos]
"""
KNOWN: dict[str, Any] = {"model": "iris", "width": 4, "output": "predict_proba"}


@pytest.mark.parametrize("config", [IRIS, PRESET], ids=["by hand", "preset"])
def test_shapley_values_of_a_row_equal_the_formula(mlserver: str, tmp_path: Path, config: str) -> None:
    rows.tables(tmp_path)
    done = run(tmp_path, config + rows.PROBE, url=mlserver, **KNOWN)
    assert shares(done, "flower", "shapley") == pytest.approx(rows.truth(), abs=1e-9)


def test_flat_data_is_cut_into_the_rows_of_a_batch(mlserver: str) -> None:
    batch = [dict(zip(MEASURES, row, strict=True)) for row in (rows.FLOWER, *rows.OTHERS)]
    found = scores(endpoint(IRIS, url=mlserver, **KNOWN), batch)
    expected = [dict(zip(SPECIES, species(row), strict=True)) for row in (rows.FLOWER, *rows.OTHERS)]
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, abs=1e-12)


def test_texts_of_any_kind_arrive_as_they_are(mlserver: str) -> None:
    texts = ["a great film", 'so "dull",\n\\ {{ x }} bad', "\N{GRINNING FACE} lovely"]
    found = scores(endpoint(MOOD, url=mlserver), texts)
    for one, text in zip(found, texts, strict=True):
        assert one == pytest.approx(mood(text), abs=1e-12)


def test_an_empty_request_for_outputs_brings_labels_and_is_told_so(mlserver: str) -> None:
    """MLServer answers with what ``predict`` says: names, not scores."""
    asked = IRIS.replace("          outputs: [{name: @output}]\n", "").replace("tensor: @output", "tensor: predict")
    adapter = endpoint(asked, url=mlserver, **KNOWN)
    answer = send(adapter, [dict(zip(MEASURES, rows.FLOWER, strict=True))])
    assert isinstance(answer, HttpResponse)
    with pytest.raises(ResponseError, match="labels without scores: ask for the probabilities"):
        adapter.predictions(answer, 1)


def test_the_same_500_stops_at_its_second_time(mlserver: str, tmp_path: Path) -> None:
    """A row of another width is the client's fault, yet comes back as 500."""
    rows.tables(tmp_path, columns=MEASURES[:3])
    done = run(tmp_path, IRIS + rows.PROBE, url=mlserver, **KNOWN | {"width": 3})
    assert done.code == 4
    assert "HTTP 500" in done.error
    assert "'ValueError: X has 3 features, but LogisticRegression is expecting 4 features as input.'" in done.error
    assert done.json["totals"]["sent"] == 2
    assert done.json["totals"]["retried"] == 1


@pytest.mark.parametrize(
    ("changed", "status", "says"),
    [({"model": "nope"}, 404, "Model nope not found"), ({"output": "nope"}, 400, "nope was received")],
)
def test_what_is_not_there_is_said_in_the_servers_words(
    mlserver: str, tmp_path: Path, changed: dict[str, Any], status: int, says: str
) -> None:
    rows.tables(tmp_path)
    done = run(tmp_path, IRIS + rows.PROBE, url=mlserver, **KNOWN | changed)
    assert done.code != 0
    assert f"HTTP {status}" in done.error
    assert says in done.error
    assert done.json["totals"]["retried"] == 0


def test_a_request_that_is_not_of_the_protocol_is_422_and_not_repeated(mlserver: str) -> None:
    adapter = endpoint(IRIS.replace("inputs: [", "input: ["), url=mlserver, **KNOWN)
    answer = send(adapter, [dict(zip(MEASURES, rows.FLOWER, strict=True))])
    assert isinstance(answer, HttpResponse)
    assert answer.status == 422
    verdict = adapter.classify(answer)
    assert verdict.kind == "reject"
    assert "Field required" in verdict.reason


def test_its_metadata_declare_what_the_config_says(mlserver: str) -> None:
    told = httpx.get(f"{mlserver}/v2/models/iris").json()
    assert [(each["name"], each["shape"]) for each in told["inputs"]] == [("measures", [-1, 4])]
    assert {each["name"] for each in told["outputs"]} == {"predict", "predict_proba"}

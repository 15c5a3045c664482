"""KServe's own model server: both of its protocols over one model."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.endpoints import rows
from tests.endpoints.apps.truth import MEASURES, SPECIES, mood, species
from tests.endpoints.using import endpoint, run, scores, shares

V1 = """
    endpoints:
      iris:
        url: @url/v1/models/@model:predict
        json: {instances: [{$each: "{{ x | list }}"}]}
        batch: 8
        items: predictions
        labels: [setosa, versicolor, virginica]
        scores: {vector: "@@"}
"""
V2 = """
    endpoints:
      iris:
        url: @url/v2/models/@model/infer
        json: {inputs: [{name: measures, shape: ["{{ n }}", 4], datatype: FP64, data: [{$each: "{{ x | list }}"}]}]}
        batch: 8
        labels: [setosa, versicolor, virginica]
        scores: {tensor: output-0}
"""
V1_PRESET = """
    endpoints:
      iris:
        adapter: kserve-v1
        server: @url
        model: @model
        batch: 8
        labels: [setosa, versicolor, virginica]
"""
V2_PRESET = """
    endpoints:
      iris:
        adapter: open-inference
        server: @url
        model: @model
        output: output-0
        columns: 4
        datatype: FP64
        batch: 8
        labels: [setosa, versicolor, virginica]
"""
V1_TEXT = """
    endpoints:
      mood:
        url: @url/v1/models/mood:predict
        json: {instances: [{$each: "{{ x }}"}]}
        batch: 4
        items: predictions
        labels: [neg, pos]
        scores: {vector: "@@"}
"""
V2_TEXT = """
    endpoints:
      mood:
        url: @url/v2/models/mood/infer
        json: {inputs: [{name: text, shape: ["{{ n }}"], datatype: BYTES, data: [{$each: "{{ x }}"}]}]}
        batch: 4
        labels: [neg, pos]
        scores: {tensor: output-0}
"""
BOTH = pytest.mark.parametrize("config", [V1, V2], ids=["v1", "v2"])


@pytest.mark.parametrize("config", [V1, V2, V1_PRESET, V2_PRESET], ids=["v1", "v2", "preset of v1", "preset of v2"])
def test_shapley_values_of_a_row_equal_the_formula(kserve: str, tmp_path: Path, config: str) -> None:
    rows.tables(tmp_path)
    done = run(tmp_path, config + rows.PROBE, url=kserve, model="iris")
    assert shares(done, "flower", "shapley") == pytest.approx(rows.truth(), abs=1e-9)


@BOTH
def test_a_batch_comes_back_in_its_order(kserve: str, config: str) -> None:
    given = [*rows.OTHERS, rows.FLOWER, *rows.OTHERS, rows.FLOWER]
    found = scores(endpoint(config, url=kserve, model="iris"), [dict(zip(MEASURES, row, strict=True)) for row in given])
    for one, row in zip(found, given, strict=True):
        assert one == pytest.approx(dict(zip(SPECIES, species(row), strict=True)), abs=1e-12)


@pytest.mark.parametrize("config", [V1_TEXT, V2_TEXT], ids=["v1", "v2"])
def test_texts_of_any_kind_arrive_as_they_are(kserve: str, config: str) -> None:
    texts = ["a great film", 'so "dull",\n\\ {{ x }} bad', "\N{GRINNING FACE} lovely", "good \N{ARABIC LETTER ALEF}"]
    for one, text in zip(scores(endpoint(config, url=kserve), texts), texts, strict=True):
        assert one == pytest.approx(mood(text), abs=1e-12)


@BOTH
def test_the_same_500_stops_at_its_second_time(kserve: str, tmp_path: Path, config: str) -> None:
    """A row of another width is the client's fault, yet comes back as 500."""
    rows.tables(tmp_path, columns=MEASURES[:3])
    done = run(tmp_path, config.replace(", 4]", ", 3]") + rows.PROBE, url=kserve, model="iris")
    assert done.code == 4
    assert "HTTP 500" in done.error
    assert "zip() argument 2 is shorter" in done.error
    assert done.json["totals"]["sent"] == 2
    assert done.json["totals"]["retried"] == 1


def test_a_request_of_another_protocol_stops_likewise(kserve: str, tmp_path: Path) -> None:
    rows.tables(tmp_path)
    done = run(tmp_path, V1.replace("instances", "rows") + rows.PROBE, url=kserve, model="iris")
    assert done.code == 4
    assert "HTTP 500" in done.error
    assert "KeyError" in done.error
    assert done.json["totals"]["sent"] == 2


@BOTH
def test_an_unknown_model_is_said_at_once(kserve: str, tmp_path: Path, config: str) -> None:
    rows.tables(tmp_path)
    done = run(tmp_path, config + rows.PROBE, url=kserve, model="nope")
    assert done.code == 4
    assert "HTTP 404" in done.error
    assert "nope does not exist" in done.error
    assert done.json["totals"]["retried"] == 0

"""BentoML: JSON, a batch, a form with a file, and the bare bytes of a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adapters import HttpResponse
from tests.endpoints import rows
from tests.endpoints.apps.truth import MEASURES, light, mood
from tests.endpoints.using import endpoint, run, scores, send, shares

IRIS = """
    endpoints:
      iris:
        url: @url/classify
        json: {rows: [{$each: "{{ x | list }}"}]}
        batch: 16
        labels: [setosa, versicolor, virginica]
        scores: {vector: "@@"}
"""
PRESET = """
    endpoints:
      iris:
        adapter: bentoml
        server: @url
        api: classify
        input: rows
        batch: 16
        labels: [setosa, versicolor, virginica]
"""
TEXT = """
    endpoints:
      mood:
        url: @url/sentiment
        json: {text: "{{ x }}"}
        labels: [neg, pos]
        scores: {map: "@@"}
"""
TEXTS = """
    endpoints:
      mood:
        url: @url/sentiments
        json: {texts: [{$each: "{{ x }}"}]}
        batch: @batch
        scores: {map: "@@"}
"""
FORM = """
    endpoints:
      picture:
        url: @url/picture
        multipart: {image: "{{ x | png }}"}
        scores: {map: "@@"}
"""
BARE = """
    endpoints:
      picture:
        url: @url/bare_picture
        body: "{{ x | png }}"
        scores: {map: "@@"}
"""


@pytest.mark.parametrize("config", [IRIS, PRESET], ids=["by hand", "preset"])
def test_shapley_values_of_a_row_equal_the_formula(bentoml: str, tmp_path: Path, config: str) -> None:
    rows.tables(tmp_path)
    done = run(tmp_path, config + rows.PROBE, url=bentoml)
    assert shares(done, "flower", "shapley") == pytest.approx(rows.truth(), abs=1e-9)


def test_a_text_alone_and_texts_in_batches_are_scored_alike(bentoml: str, tmp_path: Path) -> None:
    """Ten in one request, although the service says that it takes eight at a time."""
    texts = ["a great film", 'so "dull",\n\\ {{ x }} bad', "\N{GRINNING FACE} lovely", "", *map(str, range(6))]
    alone, together = endpoint(TEXT, url=bentoml), endpoint(TEXTS, url=bentoml, batch=10)
    expected = [pytest.approx(mood(text), abs=1e-12) for text in texts]
    assert scores(together, texts) == expected
    assert [scores(alone, [text])[0] for text in texts[:4]] == expected[:4]


def test_words_are_explained_in_batches(bentoml: str, tmp_path: Path) -> None:
    probe = """
    probes:
      review:
        kind: text
        inputs: {inline: ["a great but dull film"]}
        endpoints: [mood]
        methods: [occlusion]
        target: pos
    """
    done = run(tmp_path, TEXTS + probe, url=bentoml, batch=8)
    full = mood("a great but dull film")["pos"]
    without = {"great": mood("dull")["pos"], "dull": mood("great")["pos"]}
    expected = {word: full - without.get(word, full) for word in ("a", "great", "but", "dull", "film")}
    assert shares(done, "review", "occlusion") == pytest.approx(expected, abs=1e-12)
    assert done.json["totals"]["sent"] < 6


@pytest.mark.parametrize("config", [FORM, BARE], ids=["form", "bare bytes"])
def test_a_picture_arrives_as_it_is(bentoml: str, config: str) -> None:
    picture = np.full((16, 24, 3), 51, np.uint8)
    picture[:8] = 204
    [found] = scores(endpoint(config, url=bentoml), [picture])
    assert found == pytest.approx(light(127.5), abs=1e-12)


@pytest.mark.parametrize("config", [FORM, BARE], ids=["form", "bare bytes"])
def test_the_bright_half_of_a_picture_is_found(bentoml: str, tmp_path: Path, config: str) -> None:
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[:, 16:] = 255
    Image.fromarray(picture).save(tmp_path / "picture.png")
    probe = """
    probes:
      picture:
        kind: image
        inputs: picture.png
        endpoints: [picture]
        methods: [{occlusion: {window: 16, stride: 16}}]
        masker: {fill: grey}
        target: bright
    """
    done = run(tmp_path, config + probe, url=bentoml)
    left, right = (
        shares(done, "picture", "occlusion")["row 1 column 1"],
        shares(done, "picture", "occlusion")["row 1 column 2"],
    )
    assert left < 0 < right


def test_a_field_that_is_missing_is_400_and_said_in_the_services_words(bentoml: str) -> None:
    adapter = endpoint(TEXT.replace("{text:", "{words:"), url=bentoml)
    answer = send(adapter, ["a great film"])
    assert isinstance(answer, HttpResponse)
    verdict = adapter.classify(answer)
    assert verdict.kind == "reject"
    assert "HTTP 400" in verdict.reason
    assert "1 validation error for Input" in verdict.reason


def test_the_same_500_stops_at_its_second_time(bentoml: str, tmp_path: Path) -> None:
    """A row of another width is the client's fault, yet comes back as 500."""
    rows.tables(tmp_path, columns=MEASURES[:3])
    done = run(tmp_path, IRIS + rows.PROBE, url=bentoml)
    assert done.code == 4
    assert "HTTP 500" in done.error
    assert "please check the server log" in done.error
    assert done.json["totals"]["sent"] == 2


def test_an_unknown_route_is_said_at_once(bentoml: str, tmp_path: Path) -> None:
    rows.tables(tmp_path)
    done = run(tmp_path, IRIS.replace("/classify", "/clasify") + rows.PROBE, url=bentoml)
    assert done.code == 4
    assert "HTTP 404" in done.error
    assert done.json["totals"]["sent"] == 1

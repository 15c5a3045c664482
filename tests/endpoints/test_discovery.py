"""From the URL of a real server to a run: what ``probe discover`` drafts is checked and probed with nothing edited but labels
and inputs, and the explanations are those of the known models behind it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.cli.program import here
from tests.endpoints.apps.truth import MEASURES, SPECIES, light, mood, species
from tests.endpoints.using import shares

ROW = dict(zip(MEASURES, (5.1, 3.5, 1.4, 0.2), strict=True))
BACKGROUND = dict(zip(MEASURES, (6.0, 3.0, 4.0, 1.3), strict=True))
TEXT = "a great film with a slow end"


@pytest.fixture
def urls(mlserver: str, kserve: str, bentoml: str, fastapi: str) -> dict[str, str]:
    """By name; asked for by name, so that all are started together."""
    return {"mlserver": mlserver, "kserve": kserve, "bentoml": bentoml, "fastapi": fastapi}


def drafted(url: str, name: str, folder: Path, **edits: Any) -> None:
    """``probe discover``, and then what a user fills in: labels and a probe's inputs."""
    done = here("discover", url, "--model", name, "--out", "probe.yaml", cwd=folder)
    assert done.code == 0, done.err
    path = folder / "probe.yaml"
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    [endpoint] = config["endpoints"].values()
    endpoint.update(edits.pop("endpoint", {}))
    config["probes"]["first-look"].update(edits)
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def checked(name: str, folder: Path) -> Mapping[str, Any]:
    """``probe check-endpoint`` without a finding; the scores of its first answer."""
    done = here("check-endpoint", name, "--json", cwd=folder)
    assert done.code == 0, done.err
    assert done.json["findings"] == [], done.json["findings"]
    scores: Mapping[str, Any] = done.json["exchanges"][0]["rows"][0]["scores"]
    return scores


def occluded(score: Any, full: Any, without: Mapping[str, Any]) -> dict[str, float]:
    """What the score loses without each part."""
    return {part: score(full) - score(rest) for part, rest in without.items()}


def setosa(row: Mapping[str, float]) -> float:
    return species(list(row.values()))[0]


@pytest.mark.parametrize("server", ["mlserver", "kserve", "bentoml", "fastapi"])
def test_rows(server: str, urls: dict[str, str], tmp_path: Path) -> None:
    name = "iris" if server in {"mlserver", "kserve"} else "classify"
    rows = {"inputs": {"inline": [ROW]}, "masker": {"background": [BACKGROUND]}, "target": "setosa"}
    drafted(urls[server], name, tmp_path, endpoint={"labels": list(SPECIES)}, **rows)
    assert checked(name, tmp_path) == pytest.approx(dict(zip(SPECIES, species(list(ROW.values())), strict=True)))
    run = here("run", "--json", cwd=tmp_path)
    expected = occluded(setosa, ROW, {column: {**ROW, column: BACKGROUND[column]} for column in ROW})
    assert shares(run, "first-look", "occlusion") == pytest.approx(expected, abs=1e-6)
    assert run.json["totals"]["from_ledger"] >= 1


@pytest.mark.parametrize("server", ["mlserver", "bentoml", "fastapi"])
def test_texts(server: str, urls: dict[str, str], tmp_path: Path) -> None:
    name = "mood" if server == "mlserver" else "sentiment"
    endpoint = {"labels": ["neg", "pos"]} if server == "mlserver" else {}
    drafted(urls[server], name, tmp_path, endpoint=endpoint, inputs={"inline": [TEXT]}, target="pos")
    assert checked(name, tmp_path) == pytest.approx(mood(TEXT))
    found = shares(here("run", "--json", cwd=tmp_path), "first-look", "occlusion")
    assert found["great"] == pytest.approx(mood(TEXT)["pos"] - mood("a film with a slow end")["pos"], abs=1e-6)
    assert found["slow"] == pytest.approx(mood(TEXT)["pos"] - mood("a great film with a end")["pos"], abs=1e-6)


@pytest.mark.parametrize("name", ["picture", "bare_picture"])
def test_pictures(name: str, bentoml: str, tmp_path: Path) -> None:
    grey = np.full((32, 32, 3), 64, dtype=np.uint8)
    (tmp_path / "inputs").mkdir()
    Image.fromarray(grey).save(tmp_path / "inputs" / "grey.png")
    drafted(bentoml, name, tmp_path)
    done = here("check-endpoint", name, "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.json["exchanges"][0]["rows"][0]["scores"] == pytest.approx(light(64))


def test_a_batch_of_texts(bentoml: str, tmp_path: Path) -> None:
    drafted(bentoml, "sentiments", tmp_path, inputs={"inline": [TEXT, "a dull film"]}, target="pos")
    done = here("check-endpoint", "sentiments", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    batch = done.json["exchanges"][-1]
    assert json.loads(batch["request"]["body"]) == {"texts": ["a dull film", TEXT]}
    assert [row["scores"] for row in batch["rows"]] == [pytest.approx(mood("a dull film")), pytest.approx(mood(TEXT))]


def test_a_row_of_the_wrong_width_shows_what_the_server_says(kserve: str, tmp_path: Path) -> None:
    drafted(kserve, "iris", tmp_path)  # its list does not say how wide a row is: two columns stand in
    done = here("check-endpoint", "iris", cwd=tmp_path)
    assert done.code == 4
    assert "HTTP 500" in done.error
    assert '< {"error":"ValueError' in done.out


def test_a_language_model(llama: str, tmp_path: Path) -> None:
    from tests.endpoints.software import API_KEY

    options = ("--auth", '{bearer: "${CHAT_KEY}"}', "--name", "chat", "--out", "probe.yaml")
    env = {"CHAT_KEY": API_KEY}
    done = here("discover", llama, *options, cwd=tmp_path, env=env)
    assert done.code == 0, done.err
    check = here("check-endpoint", "chat", "--json", cwd=tmp_path, env=env)
    assert check.code == 0, check.err
    row = check.json["exchanges"][0]["rows"][0]
    assert set(row["scores"]) == {"positive", "negative"}
    assert row["mass"] == pytest.approx(1, abs=0.01)
    assert API_KEY not in check.out
    run = here("run", "--json", cwd=tmp_path, env=env)
    assert run.code == 0, run.err

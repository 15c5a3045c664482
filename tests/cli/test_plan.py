"""A plan sends nothing and says exactly what a run then sends."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.cli.program import here, pictures_endpoint, probe, rows_endpoint, texts_endpoint, write
from tests.servers import RunningServer


def mixed_config(url: str, folder: Path) -> dict[str, Any]:
    """Texts, rows and a picture at four endpoints; batches, repeats, copies of the background, methods that share answers."""
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(folder / "noise.png")
    (folder / "rows.csv").write_text("id,a,b,c,d\nr0,1,2,0.5,4\nr1,0,-1,0.25,2\n")
    (folder / "background.csv").write_text("a,b,c,d\n0,0,0,0\n1,1,1,1\n0.5,2,1,0\n")
    text = {"inline": ["the refund took exceedingly long", "everything arrived on time, thank you very much"]}
    return {
        "storage": "sqlite:///probe.db",
        "seed": 7,
        "endpoints": {
            "words": texts_endpoint(url, batch=7, price={"request": 0.002, "item": 0.0001}),
            "words-other": texts_endpoint(url, batch=5, model="other"),
            "rows": rows_endpoint(url, batch=16, price={"item": 0.0003}),
            "pictures": pictures_endpoint(url, batch=4, limits={"rate": "200/s"}),
        },
        "probes": {
            "reviews": {
                "kind": "text",
                "inputs": text,
                "endpoints": ["words", "words-other"],
                "methods": ["occlusion", "lime", "kernelshap"],
                "target": "long",
                "budget": 80,
                "repeats": 2,
            },
            "loans": {
                "kind": "tabular",
                "inputs": {"csv": "rows.csv", "id": "id"},
                "endpoints": ["rows"],
                "methods": ["occlusion", "shapley"],
                "masker": {"background": "background.csv", "fill": "rows"},
                "target": "positive",
                "budget": 100,
            },
            "noise": {
                "kind": "image",
                "inputs": "noise.png",
                "endpoints": ["pictures"],
                "methods": [{"occlusion": {"window": 16, "stride": 16}}, "lime"],
                "budget": 60,
            },
        },
    }


def asked(server: RunningServer) -> dict[str, Counter[str]]:
    """Requests and items by model."""
    seen: dict[str, Counter[str]] = {"requests": Counter(), "items": Counter()}
    for arrival in server.arrivals():
        seen["requests"][arrival["model"]] += 1
        seen["items"][arrival["model"]] += arrival["items"]
    return seen


MODELS = {"words": "echo-length", "words-other": "echo-length", "rows": "sum", "pictures": "brightness"}


def test_plan_equals_run(server: RunningServer, tmp_path: Path) -> None:
    write(tmp_path, mixed_config(server.url, tmp_path))
    planned = probe("plan", "--json", cwd=tmp_path)
    assert planned.code == 0, planned.err
    assert server.counts()["requests"] == 0
    plan = planned.json

    run = probe("run", "--json", cwd=tmp_path)
    assert run.code == 0, run.err
    seen = asked(server)
    for kind, field in (("requests", "requests"), ("items", "evaluations")):
        wanted: Counter[str] = Counter()
        for endpoint in plan["endpoints"]:
            wanted[MODELS[endpoint["endpoint"]]] += endpoint[field]
        assert seen[kind] == wanted, kind
    assert sum(each["to_send"] for each in plan["probes"]) == sum(seen["items"].values())
    totals = run.json["totals"]
    assert totals["sent"] == sum(seen["requests"].values())
    assert totals["cost_micro"] == sum(endpoint["cost_micro"] for endpoint in plan["endpoints"]) > 0
    assert len(run.json["probes"]) == len(plan["probes"]) == 2 * 2 * 3 + 2 * 2 + 2
    for line, result in zip(plan["probes"], run.json["probes"], strict=True):
        assert result["status"] == "finished"
        named = (result["probe"], result["instance"]["name"], result["endpoint"]["name"], result["method"])
        assert named == tuple(line[key] for key in ("probe", "instance", "endpoint", "method"))

    again = here("plan", "--json", cwd=tmp_path).json
    assert [(each["to_send"], each["shared"]) for each in again["probes"]] == [(0, 0)] * len(again["probes"])
    assert all(each["requests"] == each["evaluations"] == each["cost_micro"] == 0 for each in again["endpoints"])

    server.reset()
    repeated = here("run", "--json", cwd=tmp_path)
    assert repeated.code == 0, repeated.err
    assert server.counts()["requests"] == 0
    assert repeated.json["totals"]["sent"] == 0
    assert [each["attributions"] for each in repeated.json["probes"]] == [
        each["attributions"] for each in run.json["probes"]
    ]


def test_shapley_values_add_up(server: RunningServer, tmp_path: Path) -> None:
    """What must hold of Shapley values whatever the model: they add up to the score minus the background's."""
    write(tmp_path, mixed_config(server.url, tmp_path))
    run = here("run", "--json", "--only", "loans", cwd=tmp_path)
    assert run.code == 0, run.err
    exact = [result for result in run.json["probes"] if result["method"] == "shapley"]
    assert len(exact) == 2
    for result in exact:
        assert result["exact"]
        added = sum(each["value"] for each in result["attributions"])
        assert added == pytest.approx(result["full_value"] - result["base_value"], abs=1e-9)


def test_a_budget_is_said_and_held(server: RunningServer, tmp_path: Path) -> None:
    write(tmp_path, mixed_config(server.url, tmp_path))
    planned = here("plan", "--budget", "5req", cwd=tmp_path)
    assert planned.code == 0
    assert "budget: 5 requests" in planned.out
    stopped = here("run", "--budget", "5req", "--only", "reviews", "--json", cwd=tmp_path)
    assert stopped.code == 3
    assert "5 requests" in stopped.err
    assert server.counts()["requests"] == 5
    assert stopped.json["totals"]["sent"] == 5
    assert stopped.json["status"] == "partial"
    finished = here("run", "--only", "reviews", "--json", cwd=tmp_path)
    assert finished.code == 0, finished.err
    assert "taken up again" in finished.err
    assert finished.json["id"] == stopped.json["id"]
    assert server.counts()["requests"] == 5 + finished.json["totals"]["sent"]

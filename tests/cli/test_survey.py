"""``probe survey`` against a real server: what it plans is what it sends, and nothing is paid for twice."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from probe.demo.simple import Sum
from tests.cli.program import here, probe, rows_endpoint, started, texts_endpoint, write
from tests.servers import RunningServer


def survey_config(url: str, folder: Path, **changes: Any) -> dict[str, Any]:
    """24 rows with a column of labels; every method of tables, and a set of texts."""
    rng = np.random.default_rng(0)
    cells = rng.normal(size=(24, 4)).round(2)
    model = Sum()
    best = model.predict([dict(zip("abcd", row, strict=True)) for row in cells.tolist()]).argmax(axis=1)
    labels = [model.labels[each] for each in best]
    lines = [
        ",".join([f"r{i}", *map(str, row), label]) for i, (row, label) in enumerate(zip(cells, labels, strict=True))
    ]
    (folder / "rows.csv").write_text("\n".join(["id,a,b,c,d,label", *lines]) + "\n")
    rows = {
        "inputs": {"csv": "rows.csv", "id": "id"},
        "endpoints": ["rows"],
        "labels": "label",
        "target": "positive",
        "methods": [
            "permutation",
            {"pdp": {"points": 6}},
            {"ale": {"points": 6}},
            "surrogate",
            {"beeswarm": {"budget": 40}},
        ],
        **changes,
    }
    texts = {
        "kind": "text",
        "inputs": {"inline": ["the refund took long", "a slow refund", "thank you very much"]},
        "endpoints": ["words"],
        "methods": [{"beeswarm": {"of": "occlusion"}}],
        "target": "long",
    }
    return {
        "storage": "sqlite:///probe.db",
        "seed": 3,
        "endpoints": {
            "rows": rows_endpoint(url, batch=16, price={"request": 0.001, "item": 0.0003}),
            "words": texts_endpoint(url, batch=4),
        },
        "surveys": {"table": rows, "texts": texts},
    }


def asked(server: RunningServer) -> tuple[int, int]:
    """Requests and items."""
    arrivals = server.arrivals()
    return len(arrivals), sum(arrival["items"] for arrival in arrivals)


def by_method(run: Mapping[str, Any]) -> dict[str, Any]:
    return {each["method"]: each for each in run["probes"] if each["probe"] == "table"}


def test_the_plan_is_what_is_sent_and_another_label_costs_nothing(server: RunningServer, tmp_path: Path) -> None:
    config = survey_config(server.url, tmp_path)
    write(tmp_path, config)
    planned = here("survey", "--plan", "--json", cwd=tmp_path)
    assert planned.code == 0, planned.err
    assert asked(server) == (0, 0)
    endpoints = planned.json["endpoints"]

    run = probe("survey", "--json", "--report", "report.html", cwd=tmp_path)
    assert run.code == 0, run.err
    requests, items = asked(server)
    assert requests == sum(each["requests"] for each in endpoints) == run.json["totals"]["sent"]
    assert (
        items
        == sum(each["evaluations"] for each in endpoints)
        == sum(each["to_send"] for each in planned.json["probes"])
    )
    assert sum(each["cost_micro"] for each in endpoints) == run.json["totals"]["cost_micro"] > 0
    for line in planned.json["probes"]:
        assert line["evaluations"] == line["in_ledger"] + line["shared"] + line["to_send"], line
    digests = [arrival["digest"] for arrival in server.arrivals()]
    assert len(set(digests)) == len(digests), "no request is sent twice"
    found = by_method(run.json)
    assert set(found) == {"permutation", "pdp", "ale", "surrogate", "beeswarm"}
    assert {each["status"] for each in run.json["probes"]} == {"finished"}
    ale = next(line for line in planned.json["probes"] if line["method"] == "ale")
    assert ale["to_send"] == 0, "its places are those of the partial dependence"
    assert (tmp_path / "report.html").read_text(encoding="utf-8").count("<svg") > 8

    again = here("survey", "--plan", "--json", cwd=tmp_path).json
    assert [each["to_send"] for each in again["probes"]] == [0] * 6
    server.reset()
    config["surveys"]["table"]["target"] = "negative"
    write(tmp_path, config)
    other = here("survey", "--only", "table", "--json", cwd=tmp_path)
    assert other.code == 0, other.err
    assert asked(server) == (0, 0)
    assert other.json["totals"]["sent"] == 0
    for method, result in by_method(other.json).items():  # negative = 1 − positive
        same = dict(zip(_names(found[method]), _values(found[method]), strict=True))
        assert dict(zip(_names(result), _values(result), strict=True)) == pytest.approx(same, abs=1e-9), method


def _names(result: Mapping[str, Any]) -> list[str]:
    return [each["feature"] for each in result["attributions"]]


def _values(result: Mapping[str, Any]) -> list[float]:
    return [each["value"] for each in result["attributions"]]


def test_what_it_finds_about_a_model_that_adds_up(server: RunningServer, tmp_path: Path) -> None:
    write(tmp_path, survey_config(server.url, tmp_path))
    run = here("survey", "--json", cwd=tmp_path)
    assert run.code == 0, run.err
    found = by_method(run.json)
    assert found["permutation"]["details"]["metric"] == "accuracy"
    assert found["permutation"]["full_value"] == 1.0
    curve = found["pdp"]["details"]["curves"]["a"]
    assert sorted(curve["mean"]) in (curve["mean"], curve["mean"][::-1])
    assert "label" not in _names(found["pdp"])
    assert found["beeswarm"]["details"]["swarm"]["a"]["count"] == 24
    words = next(each for each in run.json["probes"] if each["probe"] == "texts")
    assert {"refund", "slow", "long"} <= set(_names(words))
    assert words["details"]["swarm"]["refund"]["count"] == 2
    shown = here("show", run.json["id"], cwd=tmp_path)
    assert shown.code == 0
    assert "table · rows.csv · rows · permutation → positive" in shown.out


def test_a_budget_stops_it_and_the_same_command_goes_on(server: RunningServer, tmp_path: Path) -> None:
    write(tmp_path, survey_config(server.url, tmp_path))
    planned = here("survey", "--plan", "--json", "--only", "table", cwd=tmp_path).json
    stopped = here("survey", "--only", "table", "--budget", "4req", "--json", cwd=tmp_path)
    assert stopped.code == 3
    assert asked(server)[0] == 4
    assert stopped.json["status"] == "partial"
    goes_on = here("survey", "--plan", "--only", "table", cwd=tmp_path)
    assert f"`probe survey` takes up run {stopped.json['id']}" in goes_on.out
    finished = here("survey", "--only", "table", "--json", cwd=tmp_path)
    assert finished.code == 0, finished.err
    assert finished.json["id"] == stopped.json["id"]
    assert asked(server)[1] == sum(each["evaluations"] for each in planned["endpoints"])
    assert {each["status"] for each in finished.json["probes"]} == {"finished"}


def test_time_stops_it_and_the_same_command_goes_on(server: RunningServer, tmp_path: Path) -> None:
    write(tmp_path, survey_config(server.url, tmp_path))
    server.set_strict({"latency": {"mean": 0.5}})
    stopped = here("survey", "--only", "table", "--max-time", "2s", "--json", cwd=tmp_path)
    assert stopped.code == 3
    assert stopped.json["status"] == "partial"
    server.set_strict({})
    finished = here("survey", "--only", "table", "--json", cwd=tmp_path)
    assert finished.code == 0, finished.err
    assert finished.json["id"] == stopped.json["id"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"methods": ["permutaton"]}, "survey method 'permutaton' is unknown (did you mean 'permutation'?)"),
        ({"methods": [{"pdp": {"pionts": 3}}]}, "pdp: setting 'pionts' is unknown (did you mean 'points'?)"),
        ({"methods": [{"beeswarm": {"of": "alteration"}}]}, "alteration changes single values"),
        ({"labels": "labl"}, "surveys.table.labels: r0: no column 'labl' (did you mean 'label'?)"),
        ({"budget": 50}, "the methods need up to"),
        ({"inputs": {"csv": "none.csv"}}, "none.csv: no such file"),
        ({"kind": "image"}, "surveys.table.kind"),
        ({"smaple": 3}, "unknown key 'surveys.table.smaple'; did you mean 'sample'?"),
        ({"endpoints": ["row"]}, "surveys.table.endpoints: there is no endpoint 'row'; did you mean 'rows'?"),
    ],
)
def test_mistakes_are_one_line_and_send_nothing(
    server: RunningServer, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    write(tmp_path, survey_config(server.url, tmp_path, **changes))
    for arguments in (["--plan"], []):
        done = here("survey", *arguments, cwd=tmp_path)
        assert done.code == 2
        assert said in done.err
        assert done.err.count("\n") == 1
    assert asked(server) == (0, 0)


def test_a_config_has_probes_or_surveys(server: RunningServer, tmp_path: Path) -> None:
    config = survey_config(server.url, tmp_path)
    write(tmp_path, config)
    run = here("run", cwd=tmp_path)
    assert run.code == 2
    assert "it has no probes; `probe survey` carries out its surveys" in run.err
    assert "there is no survey 'tabel' (did you mean 'table'?)" in here("survey", "--only", "tabel", cwd=tmp_path).err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_stopped_in_the_middle_it_goes_on(server: RunningServer, tmp_path: Path, number: signal.Signals) -> None:
    slow = {"batch": 1, "limits": {"rate": "100/s", "concurrency": 4}}
    config = survey_config(server.url, tmp_path)
    config["endpoints"]["rows"] |= slow
    write(tmp_path, config)
    planned = here("survey", "--plan", "--json", "--only", "table", cwd=tmp_path).json
    total = sum(each["evaluations"] for each in planned["endpoints"])
    process = started("survey", "--only", "table", "--json", cwd=tmp_path)
    deadline = time.monotonic() + 60
    while (before := server.counts())["billed_items"] < total // 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode in (130, -signal.SIGKILL)
    resumed = here("survey", "--only", "table", "--rate", "2000/s", "--json", cwd=tmp_path)
    assert resumed.code == 0, resumed.err
    assert {each["status"] for each in resumed.json["probes"]} == {"finished"}
    counts = server.counts()
    assert counts["distinct_items"] == total
    assert counts["billed_items"] <= total + before["in_flight"] + 4

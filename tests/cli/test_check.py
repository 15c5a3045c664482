"""``probe baseline`` and ``probe check``, as they are typed."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.program import Done, here, write
from tests.drifting import DriftingServer, drifting_server
from tests.engine.test_drift import straight


@pytest.fixture
def server() -> Iterator[DriftingServer]:
    with drifting_server(straight()) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path, server: DriftingServer) -> Path:
    rng = np.random.default_rng(1)
    lines = [f"{a:.4f},{b:.4f}" for a, b in rng.normal(0, 2, (30, 2))]
    (tmp_path / "rows.csv").write_text("\n".join(["a,b", *lines]) + "\n")
    config: dict[str, Any] = {
        "storage": "sqlite:///probe.db",
        "endpoints": {"vendor": server.endpoint(batch=16, price={"request": 0.001})},
        "baselines": {
            "rows": {
                "kind": "tabular",
                "inputs": {"csv": "rows.csv"},
                "endpoint": "vendor",
                "doubles": 40,
                "pairs": 5,
            }
        },
    }
    write(tmp_path, config)
    return tmp_path


def test_the_whole_life_of_a_baseline(folder: Path, server: DriftingServer) -> None:
    def run(*arguments: str) -> Done:
        return here(*arguments, cwd=folder)

    plan = run("baseline", "create", "rows", "--plan", "--json")
    assert (plan.code, server.served) == (0, 0)
    made = run("baseline", "create", "rows", "--quiet")
    assert made.code == 0, made.err
    assert "30 inputs, 10 probes at boundaries, 0 inputs that vary" in made.out
    assert server.inputs == plan.json["expected"]

    unchanged = run("check", "rows", "--quiet", "--report", "ok.xml")
    assert unchanged.code == 0
    assert unchanged.out.startswith("NO CHANGE FOUND: rows (vendor)\n")
    assert "would have seen ≥ 20.6 % of 10 probes flip, with power 0.9" in unchanged.out
    suite = ET.parse(folder / "ok.xml").getroot()[0]
    assert (suite.get("failures"), suite.get("skipped")) == ("0", "0")

    server.model = straight(0.5)
    reports = ["--report", "r.md", "--report", "r.xml", "--report", "r.html", "--report", "r.json"]
    alarm = run("check", "rows", "--quiet", *reports)
    assert alarm.code == 1, alarm.err
    assert alarm.out.startswith("ALARM: rows (vendor)\n")
    assert "natural inputs, all: " in alarm.out
    for name in ("r.md", "r.html", "r.json"):
        text = (folder / name).read_text(encoding="utf-8")
        assert "yes" in text
        assert "no" in text
    assert "| all |" in (folder / "r.md").read_text(encoding="utf-8")
    assert "Probes that answered otherwise" in (folder / "r.html").read_text(encoding="utf-8")
    failed = ET.parse(folder / "r.xml").getroot()[0]
    assert failed.get("failures") == "1"

    listed = run("check", "history", "rows", "--json", "--svg", "band.svg").json
    assert [each["verdict"] for each in listed["checks"]] == ["no change found", "alarm"]
    drawing = ET.parse(folder / "band.svg").getroot()
    assert drawing.tag.endswith("svg")
    titles = [each.text or "" for each in drawing.iter("{http://www.w3.org/2000/svg}title")]
    assert [listed["checks"][k]["check"] in titles[k] for k in range(2)] == [True, True]

    shown = run("check", "show", "rows", listed["checks"][0]["check"])
    assert shown.out == unchanged.out.partition("report: ")[0]
    assert run("baseline", "ls").out.splitlines()[1].split()[-1] == "alarm"

    accepted = run("baseline", "accept", "rows", "--note", "version 2 was announced")
    assert accepted.code == 0
    assert "version 2 was announced" in run("baseline", "show", "rows").out
    assert "was accepted" in run("check", "rows").error
    assert run("baseline", "create", "rows", "--quiet").code == 0
    assert run("check", "rows", "--quiet").code == 0


def test_an_outage_is_inconclusive_and_a_skipped_test(folder: Path, server: DriftingServer) -> None:
    assert here("baseline", "create", "rows", "--quiet", cwd=folder).code == 0
    server.fault = lambda _number: 400
    done = here("check", "rows", "--quiet", "--report", "r.xml", cwd=folder)
    assert done.code == 3
    assert done.out.startswith("INCONCLUSIVE: rows (vendor)\n")
    suite = ET.parse(folder / "r.xml").getroot()[0]
    assert (suite.get("failures"), suite.get("skipped")) == ("0", "1")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("check", "rows"), "no baseline 'rows'; `probe baseline create rows` makes one"),
        (("check", "row"), "there is no baseline 'row'"),
        (("check", "rows", "--report", "r.pdf"), "a report ends in .md, .xml, .json, .txt, .html"),
        (("baseline", "create", "other"), "there is no baseline 'other'"),
        (("baseline", "accept", "rows", "--note", "x"), "no baseline 'rows'"),
    ],
)
def test_a_slip_is_one_line(folder: Path, arguments: tuple[str, ...], told: str) -> None:
    here("survey", cwd=folder)
    done = here(*arguments, "--storage", "sqlite:///new.db", cwd=folder)
    assert done.code in (2, 5)
    assert told in done.error or "new.db" in done.error

"""``probe demo`` from beginning to end: real models, known answers, nothing sent twice."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from scipy.stats import spearmanr

from probe.demo.models import credit, digits, profanity
from tests.cli.program import Done, here, probe

#: as users start it: the demo's own server would stop at the warnings of the libraries behind its models
PLAIN = {"PYTHONWARNINGS": ""}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def demo(folder: Path) -> Done:
    return probe("demo", "out", cwd=folder, env=PLAIN, timeout=300)


@pytest.fixture(scope="module")
def stored(demo: Done, folder: Path) -> list[dict[str, Any]]:
    """The demo's explanations as ``probe show --json`` gives them."""
    found = re.search(r"probe show (\w+)", demo.out.replace("\n", " "))
    assert found is not None, demo.out
    shown = here("show", found[1], "--json", "-c", "out/probe.yaml", cwd=folder)
    assert shown.code == 0, shown.err
    probes: list[dict[str, Any]] = shown.json["probes"]
    return probes


def one(stored: list[dict[str, Any]], name: str, method: str) -> dict[str, Any]:
    (found,) = (each for each in stored if (each["probe"], each["method"]) == (name, method))
    return found


def values(result: dict[str, Any]) -> dict[str, float]:
    return {each["feature"]: each["value"] for each in result["attributions"]}


def test_every_known_answer_is_met(demo: Done) -> None:
    assert demo.code == 0, demo.err
    _, _, known = demo.out.partition("known answers\n")
    lines = [line for line in known.splitlines() if line.startswith("  ")]
    assert len(lines) >= 6
    assert [line for line in lines if not line.startswith("  ✓ ")] == []
    assert "Traceback" not in demo.err
    assert "Warning" not in demo.err


def test_the_command_that_it_ends_with_shows_its_results(demo: Done, folder: Path) -> None:
    found = re.search(r"^browse: (.+)$", demo.out, re.MULTILINE)
    run = re.search(r"probe show (\w+)", demo.out.replace("\n", " "))
    assert found is not None
    assert run is not None
    command = [*shlex.split(found[1]), "--port", "0"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        page = httpx.get(process.stdout.readline().split()[1], follow_redirects=True, trust_env=False)
        process.terminate()
    assert f'href="/runs/{run[1]}"' in page.text
    assert process.returncode == 0


def test_columns_that_are_never_read_get_exactly_nothing(stored: list[dict[str, Any]]) -> None:
    found = values(one(stored, "loan", "shapley"))
    assert [found[name] for name in credit.UNUSED] == [0.0, 0.0, 0.0]


def test_shapley_values_are_those_of_the_formula(stored: list[dict[str, Any]], folder: Path) -> None:
    result = one(stored, "loan", "shapley")
    header, cells = (folder / "out" / "inputs" / "credit.csv").read_text().splitlines()[:2]
    row = {
        name: cell if name in {"postcode", "protected_group", "device"} else float(cell)
        for name, cell in zip(header.split(","), cells.split(","), strict=True)
    }
    truth = credit.exact_shapley(row, result["params"]["masker"]["background"])
    found = values(result)
    assert found.keys() == truth.keys()
    assert max(abs(found[name] - truth[name]) for name in truth) <= 1e-6
    assert max(map(abs, found.values())) > 0.1
    assert result["exact"]


def test_words_rank_as_the_models_own_weights(stored: list[dict[str, Any]]) -> None:
    found = values(one(stored, "insult", "occlusion"))
    weights = profanity.Profanity.load().coefficients(profanity.DEMO_TEXT)
    truth = [weights.get(name.lower(), 0.0) for name in found]
    assert spearmanr(list(found.values()), truth).statistic >= 0.9


def test_the_planted_mark_is_the_strongest_window(stored: list[dict[str, Any]]) -> None:
    marks = {each["endpoint"]["name"]: each for each in stored if each["probe"] == "mark"}
    strongest = {name: max(values(each), key=values(each).__getitem__) for name, each in marks.items()}
    top, left, bottom, right = digits.MARK_BOX
    planted = values(marks["digits-planted"])
    # windows of 2 × 2 pixels, one pixel apart: the one that covers the mark is named by its row and column
    assert strongest["digits-planted"] == f"row {top + 1} column {left + 1}"
    assert (bottom - top, right - left) == (2, 2)
    assert strongest["digits-honest"] != strongest["digits-planted"]
    assert planted[strongest["digits-planted"]] > 3 * np.median(np.abs(list(planted.values())))
    assert marks["digits-planted"]["evaluations"] <= 100


def references(html: str) -> Iterator[str]:
    """Everything that a browser would fetch."""
    for found in re.finditer(
        r"""(?:src|href|srcset|data|action)\s*=\s*["']?([^"'\s>]+)|url\(\s*["']?([^"')]+)""", html
    ):
        yield found[1] or found[2]


def test_the_report_is_one_inert_file(demo: Done, folder: Path) -> None:
    html = (folder / "out" / "report.html").read_text(encoding="utf-8")
    assert "<script" not in html.lower()
    assert not re.search(r"\son\w+\s*=", html)
    assert [each for each in references(html) if not each.startswith(("data:", "#"))] == []
    assert re.search(r"""<meta[^>]+Content-Security-Policy[^>]+default-src 'none'""", html)
    for word in ("espresso", "late_payments", "damn"):
        assert word in html


def test_a_second_demo_sends_nothing(demo: Done, folder: Path) -> None:
    before = (folder / "out" / "probe.yaml").read_text()
    again = probe("demo", "out", cwd=folder, env=PLAIN, timeout=300)
    assert again.code == 0, again.err
    if (folder / "out" / "probe.yaml").read_text() != before:
        pytest.skip("the demo's port was taken by another program, so its address changed")
    assert re.search(r"run \w+: \d+ probes, 0 evaluations to send", again.err)
    runs = here("ls", "--json", "-c", "out/probe.yaml", cwd=folder).json
    assert len(runs) == 4
    assert [run["totals"]["sent"] for run in runs[:2]] == [0, 0]
    assert all(run["totals"]["sent"] > 0 for run in runs[2:])

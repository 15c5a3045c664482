"""A check as it is shown: whatever labels and names hold stays text, and pictures are in the page."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from probe.inputs import Item
from probe.report.drift_history import history_svg
from probe.report.drift_page import check_html
from probe.report.drift_view import CheckView, check_file, check_junit, check_markdown, check_text, check_view
from storage import Baseline, BaselineProbe, CheckRecord, Instance

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
BASELINE = Baseline("b1", "<img src=x>|a", "e", "r", "ready", NOON)
HOSTILE = "<script>alert(1)</script> | \x1b[31m*b*"


def view(kind: str = "text", **changes: Any) -> CheckView:
    result = {
        "why": f"{HOSTILE}: another answer 6 times in a row, after 10 as before",
        "channel": "canary",
        "level": "canonical",
        "sees": {"probes": 40, "flips": 0.0559, "score": None, "power": 0.9},
        "asked": 8,
        "failed": 1,
        "probes": 2,
        "off": 1,
        "ordinary": 1,
        "band": {"figure": 9.0, "points": 12, "p": None, "suspect": False},
        "shift": None,
        "guard": {"most": 0.02, "wealth": [], "checks": 3, "value": 12.5},
        "flips": [{"place": 0, "level": "canonical", "proven": True, "before": {HOSTILE: 10}, "after": ["b"] * 6}],
        "effect": {
            "all": {"name": "all", "asked": 40, "changed": 3, "low": 0.0157, "high": 0.2039},
            "classes": [{"name": HOSTILE, "asked": 20, "changed": 3, "low": 0.0321, "high": 0.3789}],
            "noise": 0.01,
            "moved": 0.25,
        },
        **changes.pop("result", {}),
    }
    instance = np.full((4, 4), 9, np.uint8) if kind == "image" else HOSTILE
    item = Item(HOSTILE, kind, instance)  # type: ignore[arg-type]
    probe = BaselineProbe("boundary", HOSTILE, item.id, 1, [])
    stored = Instance(item.id, kind, HOSTILE, item.content())  # type: ignore[arg-type]
    record = CheckRecord("c1", "b1", "r", NOON, NOON, changes.pop("verdict", "alarm"), 2000, result)
    return check_view(BASELINE, record, [(probe, stored)], endpoint="vendor", **changes)


def test_an_alarm_shows_what_flipped_before_and_after_and_how_much_with_its_interval() -> None:
    text = check_text(view())
    assert "another answer 6 times in a row, after 10 as before" in text
    assert "× 10 → b × 6" in text
    assert "natural inputs, all: 3 of 40 changed label (1.6–20.4 %)" in text
    assert "two calls disagree by themselves in 1.0 %; the usual label's score moved by 0.25 (logit) on average" in text
    assert "8 questions, 1 without an answer · 0.002 USD" in text
    assert "not calibrated yet" in text


def test_nothing_that_came_from_outside_is_markup() -> None:
    assert "\x1b" not in check_text(view())
    page = check_html(view())
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    table = [line for line in check_markdown(view()).splitlines() if line.startswith("|")]
    assert all(line.replace("\\|", "").count("|") == 5 for line in table)
    assert "<script" not in check_markdown(view()).replace("\\<script", "")
    assert ET.fromstring(check_junit(view()))[0].get("failures") == "1"


def test_a_picture_is_in_the_page() -> None:
    assert 'src="data:image/png;base64,' in check_html(view("image"))
    assert 'src="' not in check_html(view())


@pytest.mark.parametrize(
    ("verdict", "word"), [("no change found", "NO CHANGE FOUND"), ("inconclusive", "INCONCLUSIVE")]
)
def test_other_verdicts_are_no_failures(verdict: str, word: str) -> None:
    shown = view(verdict=verdict, result={"flips": [], "effect": None, "level": None})
    assert check_text(shown).startswith(word)
    case = ET.fromstring(check_junit(shown))[0]
    assert (case.get("failures"), case.get("skipped")) == ("0", str(int(verdict == "inconclusive")))
    assert check_file(shown, ".pdf") is None


def test_the_history_draws_a_mark_for_each_check_and_the_limit_of_the_guard() -> None:
    verdicts: list[Any] = ["no change found", "inconclusive", "alarm", None]
    checks = [
        CheckRecord(f"c{k}", "b1", "r", NOON + timedelta(days=k), None, verdict, 0, dict(view().record.result))
        for k, verdict in enumerate(verdicts)
    ]
    root = ET.fromstring(history_svg(BASELINE, checks, limit=1000))
    space = "{http://www.w3.org/2000/svg}"
    titles = [each.text or "" for each in root.iter(f"{space}title")]
    assert [title.rpartition(" ")[2] for title in titles] == ["c0", "c1", "c2", "c3"]
    assert "1000" in [each.text for each in root.iter(f"{space}text")]
    assert "no checks yet" in history_svg(BASELINE, [], limit=1000)

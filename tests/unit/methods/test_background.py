"""How much single changes hang on the fill."""

from __future__ import annotations

import json

import numpy as np
import pytest

from probe.maskers.base import Feature
from probe.methods import CoalitionTable
from probe.methods.background import background_spread
from probe.methods.design import leave_one_out
from probe.methods.occlusion import Occlusion
from tests.unit.methods.games import Floats, tiles


def table(copies: Floats) -> CoalitionTable:
    """The leave-one-out rows of a game whose backgrounds score ``copies`` (n + 1, c)."""
    return CoalitionTable(leave_one_out(len(copies) - 1), copies.mean(axis=1), np.zeros(len(copies)), copies)


def test_the_spread_is_that_of_the_changes_between_backgrounds() -> None:
    seen = background_spread(tiles(2), table(np.array([[0.9, 0.9], [0.5, 0.1], [0.9, 0.7]])))
    assert seen.changes == pytest.approx(np.array([[0.4, 0.0], [0.8, 0.2]]))
    assert seen.spread == pytest.approx([0.2, 0.1])
    assert seen.share == pytest.approx(np.hypot(0.2, 0.1) / np.hypot(0.6, 0.1))
    assert seen.findings == ()


def test_a_finding_where_the_fills_tell_different_stories() -> None:
    disagree = table(np.array([[0.9, 0.9], [0.9, 0.1], [0.8, 0.8]]))
    explanation = Occlusion().explain(tiles(2), disagree)
    (finding,) = explanation.findings
    assert finding.code == "P222"
    assert "between the 2 fills" in finding.message
    assert explanation.trust["background_spread"] == pytest.approx(0.4 / np.hypot(0.4, 0.1))
    assert explanation.values == pytest.approx([0.4, 0.1])
    assert explanation.details["by_background"] == [pytest.approx([0.0, 0.1]), pytest.approx([0.8, 0.1])]


def test_rows_of_a_table_are_meant_to_differ() -> None:
    columns = tuple(Feature(name, {"columns": [name]}) for name in ("age", "job"))
    explanation = Occlusion().explain(columns, table(np.array([[0.9, 0.9], [0.9, 0.1], [0.8, 0.8]])))
    assert explanation.findings == ()
    assert explanation.trust["background_spread"] > 0.5


def test_one_background_says_nothing_about_others() -> None:
    rows = leave_one_out(3)
    explanation = Occlusion().explain(tiles(3), CoalitionTable.of(rows, rows.sum(axis=1) / 3))
    assert "background_spread" not in explanation.trust
    assert explanation.details == {}


def test_changes_without_an_answer_are_null() -> None:
    whole = table(np.array([[0.9, 0.8], [0.5, 0.1], [0.9, 0.7]]))
    assert whole.copies is not None
    part = CoalitionTable(whole.coalitions[:2], whole.values[:2], whole.noise[:2], whole.copies[:2])
    details = Occlusion().explain(tiles(2), part).details
    assert details["by_background"][0][1] is None
    json.dumps(dict(details))

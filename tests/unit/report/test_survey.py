"""Surveys in the report: drawn from readings of a real model, inert whatever the columns are called."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from probe.report import Shown, explanation_fragment, render_report, terminal_summary
from probe.report.gathered import gathered
from probe.report.survey_curves import mean_curves
from probe.report.survey_swarm import swarm
from probe.surveys import Reading, RowSet, build_survey_method
from probe.surveys.beeswarm import Beeswarm, Part, gather
from storage.records import Attribution, Instance
from tests.unit.report.samples import make_run, make_shown
from tests.unit.report.test_html import HOSTILE, Page, check
from tests.unit.surveys.tables import Floats, ask


def rows(name: str = "age", word: str = "own") -> RowSet:
    rng = np.random.default_rng(0)
    cells = zip(rng.integers(18, 80, 40).tolist(), rng.choice([word, "rent"], 40).tolist(), strict=True)
    return RowSet.of([{name: age, "home": home} for age, home in cells])


def model(asked: Sequence[Any]) -> Floats:
    return np.array([next(iter(row.values())) / 100 + 0.1 * (row["home"] == "rent") for row in asked])


def shown(method: str, table: RowSet | None = None, **settings: Any) -> Shown:
    table = rows() if table is None else table
    if method == "beeswarm":
        explained = [
            (f"row {i}", [Part(name, float(model([row])[0]) - 0.5 - k, 0.01, row[name]) for k, name in enumerate(row)])
            for i, row in enumerate(table.rows)
        ]
        reading = gather(explained, Beeswarm(), seed=0)
    else:
        reading = ask(table, build_survey_method(method, settings).design(table, 0), model)
    return of(method, reading)


def of(method: str, reading: Reading, kind: Any = "tabular") -> Shown:
    about = {"inputs": 40, "columns": 2, "labelled": False}
    made = make_shown(
        Instance("set", kind, "loans.csv", b"{}"),
        [{"name": name} for name in reading.names],
        reading.values.tolist(),
        errors=[None if np.isnan(error) else float(error) for error in reading.std_errors],
        method=method,
        trust=dict(reading.trust),
        details=json.loads(json.dumps({"survey": about, **reading.details})),
        full_value=0.5,
        base_value=None,
    )
    return replace(made, probe=replace(made.probe, id=f"survey-{method}"))


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ("permutation", "matters most: shuffled, the score moves by 0.2"),
        ("pdp", "thin lines are single rows"),
        ("ale", "0 is the set's mean"),
        ("surrogate", "The surrogate, whole"),
        ("beeswarm", "One dot an input"),
    ],
)
def test_every_survey_is_drawn(method: str, says: str) -> None:
    one = shown(method)
    for html in (render_report(make_run(), [one]), explanation_fragment(one)):
        page = Page(html)
        check(page)
        assert says in page.text
        assert "loans.csv" in page.text
        assert "Over 40 inputs, which score 0.500 on average" in page.text
        assert "coalition" not in page.text.partition("How to read this")[0]
        assert not re.search(r"\bnan\b", html, re.IGNORECASE)


@pytest.mark.parametrize("method", ["permutation", "pdp", "ale", "surrogate", "beeswarm"])
def test_hostile_names_and_values_stay_text(method: str) -> None:
    name, value = HOSTILE.replace("\ud800", ""), HOSTILE.replace("\ud800", "")
    html = render_report(make_run(), [shown(method, rows(name, value))])
    check(Page(html))
    assert "\x1b" not in html
    assert "<img src=x" not in html


def test_figures_on_a_terminal_have_the_sign_they_are_stored_with() -> None:
    for method in ("pdp", "ale"):
        one = shown(method)
        said = terminal_summary(make_run(), [one], width=100, color=False)
        assert re.search(r"age +\+0\.1", said)
        assert "−0.1" not in said


def test_curves_are_drawn_where_the_scores_are() -> None:
    one = shown("pdp", points=5)
    drawn, left_out = mean_curves(one.probe.details["curves"], ["age", "home"], most=24)
    age, home = drawn
    assert left_out == 0
    assert (age.column, age.numeric, home.numeric) == ("age", True, False)
    heights = [float(dot.y) for dot in age.dots]
    assert heights == sorted(heights, reverse=True), "a rising curve goes up"
    assert age.single.count("M") == 40
    assert age.band.endswith("Z")
    assert [dot.label for dot in home.dots] == one.probe.details["curves"]["home"]["values"]
    assert float(home.dots[[dot.label for dot in home.dots].index("rent")].x) > min(float(dot.x) for dot in home.dots)
    assert mean_curves(one.probe.details["curves"], ["home"], most=1)[0][0].column == "home"
    assert mean_curves({"a": 3, "b": {"values": [1], "mean": [None]}}, [], most=9) == ([], 0)


def test_dots_are_placed_by_share_and_shaded_by_value() -> None:
    drawn = swarm(
        {"age": {"points": [[-1.0, 20, 0], [0.0, 40, 1], [1.0, 60, 2]]}, "word": {"points": [[0.5, None, 0]]}}
    )
    assert drawn is not None
    age, word = drawn.rows
    assert [shade for shade, _ in age.paths] == ["s0", "s1", "s4"]
    places = [float(re.match(r"M([\d.]+) ", path)[1]) for _, path in age.paths]  # type: ignore[index]
    assert places[1] == float(drawn.zero)
    assert places[2] - places[1] == pytest.approx(places[1] - places[0], abs=0.2)
    assert [shade for shade, _ in word.paths] == ["sn"]
    assert drawn.ordered
    assert swarm({"age": {"points": []}}) is None


def test_dots_of_one_place_stay_in_their_row() -> None:
    drawn = swarm({"x": {"points": [[0.25, k, k] for k in range(300)]}, "y": {"points": [[1.0, 0, 0]]}})
    assert drawn is not None
    heights = [float(y) for _, path in drawn.rows[0].paths for y in re.findall(r"M[\d.]+ ([\d.]+)h0", path)]
    assert len(heights) == 300
    assert max(heights) - min(heights) < 27


def rows_explained(count: int, **changes: Any) -> list[Shown]:
    found = []
    for k in range(count):
        instance = Instance(f"row{k}", "tabular", f"row {k}", json.dumps({"age": 20 + k, "home": "own"}).encode())
        features = [{"name": name, "place": {"columns": [name]}, "group": "", "change": {}} for name in ("age", "home")]
        found.append(make_shown(instance, features, [0.1 * (k - 2), 0.01], errors=[0.0, 0.0], name="loans", **changes))
    return found


def test_explanations_of_many_inputs_are_gathered() -> None:
    explained = rows_explained(6)
    [one] = gathered(explained)
    assert one.instance.name == "6 inputs"
    assert one.probe.method == "beeswarm"
    assert one.probe.evaluations == 6 * 240
    assert {share.feature: share.value for share in one.probe.attributions} == {
        "age": pytest.approx(0.15),
        "home": pytest.approx(0.01),
    }
    assert one.probe.details["swarm"]["age"]["points"][5] == [pytest.approx(0.3), 25, 5]
    page = Page(render_report(make_run(), explained))
    check(page)
    assert "6 inputs" in page.text
    assert gathered(explained[:4]) == []


def test_only_what_is_alike_is_gathered() -> None:
    other = [replace(one, probe=replace(one.probe, target="decline")) for one in rows_explained(4)]
    assert gathered([*rows_explained(4), *other]) == []
    tried = rows_explained(6)
    single = [
        replace(one, probe=replace(one.probe, features=tuple({**f, "group": f["name"]} for f in one.probe.features)))
        for one in tried
    ]
    assert gathered(single) == []
    lost = [replace(one, probe=replace(one.probe, features=())) for one in tried]
    assert gathered(lost) == []


def test_words_are_gathered_by_how_they_are_written() -> None:
    texts = ["Slow refund", "slow food", "a slow day", "refund", "no"]
    found = []
    for k, words in enumerate(texts):
        spans = [match.span() for match in re.finditer(r"\w+", words)]
        features = [{"name": words[a:b], "place": {"span": [a, b]}, "group": "", "change": {}} for a, b in spans]
        found.append(make_shown(Instance(f"t{k}", "text", f"text {k}", words.encode()), features, [0.5] * len(spans)))
    [one] = gathered(found)
    shares = {share.feature: share for share in one.probe.attributions}
    assert isinstance(shares["slow"], Attribution)
    assert shares["slow"].value == pytest.approx(0.5 * 3 / 5, rel=0.05)
    assert one.probe.details["swarm"]["slow"]["count"] == 3

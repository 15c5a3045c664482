from __future__ import annotations

import math
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from probe.report import figures, palette
from probe.report.charts import Axis, waterfall
from probe.report.figures import Decimals
from probe.report.shares import Share, shares
from tests.unit.report import samples


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.4123, "0.412"), (-0.0001, "−0.000100"), (1234.5, "1234"), (0.0, "0"), (7, "7"), (12345, "12\u202f345"), (None, "–"),
     (math.nan, "–"), (math.inf, "–"), (1.2e-12, "1.20e−12")],
)  # fmt: skip
def test_a_figure_shows_three_digits(value: float | None, shown: str) -> None:
    assert figures.figure(value) == shown


def test_a_table_has_one_number_of_decimals_and_no_signed_zero() -> None:
    decimals = Decimals.for_values([0.41, -0.22, None, math.nan], digits=2)
    assert [decimals.signed(v) for v in (0.41, -0.22, -0.0001, 0.0001, None)] == ["+0.41", "−0.22", "0.00", "0.00", "–"]
    assert decimals.interval(0.41, 0.04) == "[0.37, 0.45]"
    assert decimals.interval(0.41, None) == ""
    assert decimals.interval(0.41, 0.0) == "exact"
    assert decimals.interval(0.41, 0.0004) == "±0.0004"


def test_money_keeps_the_digits_that_count() -> None:
    assert [figures.money(m) for m in (0, 2_400, 440_000, 12_000_000)] == ["$0.00", "$0.0024", "$0.44", "$12.00"]
    assert figures.money(440_000, "CHF") == "0.44 CHF"


def test_durations() -> None:
    spans = [timedelta(seconds=s) for s in (0.44, 12.3, 185, 7830)]
    assert [figures.duration(s) for s in spans] == ["0.4 s", "12 s", "3 min 5 s", "2 h 10 min"]


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_lie_inside_and_are_few(low: float, span: float) -> None:
    found = figures.ticks(low, low + span, most=6)
    assert len(found) <= 8
    slack = 1e-6 * span + 4 * math.ulp(abs(low) + span)
    assert all(low - slack <= tick <= low + span + slack for tick in found)


def test_an_axis_has_room_even_for_one_value() -> None:
    axis = Axis.around([0.5, 0.5], zero=False)
    assert axis.low < 0.5 < axis.high
    ticks = Axis.around([-0.2, 0.4]).ticks(signed=True)
    assert [(tick.label, tick.minor) for tick in ticks] == [
        ("−0.2", True),
        ("0.0", False),
        ("+0.2", True),
        ("+0.4", False),
    ]


def test_intervals_use_students_t_where_the_method_gives_degrees_of_freedom() -> None:
    normal = shares(samples.text(trust={}).probe)[0].half
    students = shares(samples.text(trust={"dof": 4.0}).probe)[0].half
    assert normal is not None
    assert students is not None
    assert students / normal == pytest.approx(stats.t.ppf(0.975, 4) / stats.norm.ppf(0.975), rel=1e-6)


def test_a_waterfall_ends_where_the_input_is() -> None:
    found = [Share(f"f{k}", 0.1 * (-1) ** k, None) for k in range(15)]
    drawn = waterfall(found, [""] * 15, base=0.2, full=0.3)
    assert drawn is not None
    assert [step.name for step in drawn.steps[-2:]] == ["5 other features", "this input"]
    assert drawn.steps[-2].end == drawn.steps[-1].x
    for before, after in zip(drawn.steps[:-2], drawn.steps[1:-1], strict=True):
        edges = {float(after.x), round(float(after.x) + float(after.width), 1)}
        assert any(abs(float(before.end) - edge) < 0.2 for edge in edges)


def test_what_the_values_leave_over_is_a_step() -> None:
    drawn = waterfall([Share("a", 0.1, None)], [""], base=0.0, full=0.5)
    assert drawn is not None
    assert [(step.name, step.value) for step in drawn.steps[1:3]] == [("a", "+0.100"), ("not attributed", "+0.400")]


@pytest.mark.parametrize("dark", [False, True])
def test_words_are_readable_on_every_shade(dark: bool) -> None:
    found = palette.shades(dark=dark)
    assert len(found) == 2 * palette.LEVELS
    assert min(palette.contrast(shade.text, shade.background) for shade in found) >= 4.5
    assert len({shade.background for shade in found}) == len(found)


def test_the_scale_is_white_at_zero_and_symmetric() -> None:
    colours = palette.diverging(np.array([-2.0, -1.0, 0.0, 1.0, 2.0]))
    assert colours[2].tolist() == [255, 255, 255]
    assert (colours[0] == colours[1]).all()
    assert (colours[3] == colours[4]).all()
    assert palette.shade_name(0.41, 0.41) == "p10"
    assert palette.shade_name(-0.2, 0.4) == "n5"
    assert [palette.shade_name(v, 0.4) for v in (0.0, None, math.nan, 0.001)] == ["", "", "", ""]

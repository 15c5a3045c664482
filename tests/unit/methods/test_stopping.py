from __future__ import annotations

import numpy as np
import pytest

from probe.analysis.intervals import half_widths
from probe.methods import Explanation
from probe.methods.stopping import StopRule


def explanation(values: list[float], errors: list[float], **trust: float) -> Explanation:
    return Explanation("shapley", np.array(values), np.array(errors), 0.0, 1.0, 10, trust=trust)


@pytest.mark.parametrize(
    ("n", "budget", "looks"),
    [(10, 100, (20, 30, 45, 68, 100)), (10, 20, (20,)), (10, 12, (12,)), (1, 2, (2,)), (2, 9, (4, 6, 9))],
)
def test_looks_depend_on_size_and_budget_alone(n: int, budget: int, looks: tuple[int, ...]) -> None:
    assert StopRule(half_width=0.1).looks(n, budget) == looks


def test_the_error_probability_is_shared_out_over_the_looks() -> None:
    assert StopRule(half_width=0.1).corrected_level(10, 100) == pytest.approx(1 - 0.05 / 5)
    assert StopRule(half_width=0.1, level=0.9).corrected_level(10, 20) == pytest.approx(0.9)


def test_it_stops_when_the_widest_interval_is_narrow_enough() -> None:
    rule = StopRule(half_width=0.26)
    budget = 30  # 15 n: looks at 4, 6, 9, 14, 21, 30
    found = explanation([1.0, 2.0], [0.05, 0.1])
    widest = rule.half_widths(found, budget).max()
    assert widest == pytest.approx(half_widths(np.array([0.1]), level=1 - 0.05 / 6)[0])
    assert rule.reason(found, budget) is None
    assert (
        StopRule(half_width=widest).reason(found, budget) == f"the widest interval is ±{widest:.3g}, within ±{widest:g}"
    )
    few = explanation([1.0, 2.0], [0.05, 0.1], dof=3.0)
    assert rule.half_widths(few, budget).max() > widest


def test_it_stops_when_the_order_of_the_strongest_is_settled() -> None:
    budget = 6  # one look at 95 %: half-widths are 1.96 standard errors
    apart = explanation([-3.0, 0.5, 1.5], [0.1, 0.4, 0.2])
    assert StopRule(top_k=1).reason(apart, budget) == "the order of the 1 strongest features is settled"
    assert StopRule(top_k=2).reason(apart, budget) is None  # 1.5 ± 0.39 and 0.5 ± 0.78 overlap
    wide_and_small = explanation([3.0, 2.0, 0.1], [0.1, 0.1, 2.0])
    assert StopRule(top_k=1).reason(wide_and_small, budget) is None  # the third may be the strongest
    exact = explanation([3.0, 2.0, 1.0], [0.0, 0.0, 0.0])
    assert StopRule(top_k=9).reason(exact, budget) == "the order of the 3 strongest features is settled"


def test_unknown_errors_never_stop() -> None:
    assert StopRule(half_width=9.0, top_k=1).reason(explanation([1.0, 2.0], [np.nan, 0.1]), 9) is None


def test_reported_errors_keep_coverage_over_all_looks() -> None:
    rule = StopRule(half_width=0.01)
    found = explanation([1.0, 2.0], [0.05, 0.1])
    corrected = rule.corrected(found, 30)
    assert half_widths(corrected.std_errors) == pytest.approx(rule.half_widths(found, 30))
    assert corrected.details["stop"] == {"looks": 6, "reason": None}
    assert corrected.values is found.values


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "give half_width, top_k or both"),
        ({"half_width": 0.0}, "half_width is a positive number"),
        ({"half_width": float("nan")}, "half_width is a positive number"),
        ({"top_k": 0}, "top_k is at least 1"),
        ({"top_k": 1, "level": 1.0}, "level lies between 0 and 1"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StopRule(**settings)  # type: ignore[arg-type]

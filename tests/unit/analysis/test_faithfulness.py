from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.analysis.faithfulness import (
    CENTRE,
    EXPLAINED,
    RANDOM,
    Curve,
    Faithfulness,
    centre_ranking,
    checkpoints,
    deletion_rows,
    insertion_rows,
    no_better_than_chance,
    ranking,
    ranking_check,
    trust_figures,
)

VALUES = st.lists(st.floats(-10, 10), min_size=1, max_size=20).map(np.array)


def test_ranking_puts_the_largest_first_and_unknown_ones_last() -> None:
    assert ranking(np.array([1.0, np.nan, 3.0, 1.0, -2.0])).tolist() == [2, 0, 3, 4, 1]


def test_centre_ranking_measures_in_shares_of_each_side() -> None:
    places = np.array([[5.0, 50.0], [50.0, 50.0], [50.0, 60.0], [5.0, 5.0]])
    assert centre_ranking(places, (100, 100)).tolist() == [1, 2, 0, 3]
    assert centre_ranking(np.array([[10.0, 100.0], [20.0, 140.0]]), (40, 200)).tolist() == [1, 0]


def test_checkpoints_are_even_and_distinct() -> None:
    assert checkpoints(10, 5).tolist() == [0, 2, 4, 6, 8, 10]
    assert checkpoints(3, 10).tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="not 0 parts and 5 steps"):
        checkpoints(0, 5)


def test_rows_follow_the_order() -> None:
    order, counts = np.array([2, 0, 1]), np.array([0, 1, 3])
    assert insertion_rows(order, counts).astype(int).tolist() == [[0, 0, 0], [0, 0, 1], [1, 1, 1]]
    assert deletion_rows(order, counts).astype(int).tolist() == [[1, 1, 1], [1, 1, 0], [0, 0, 0]]


def test_the_area_is_the_trapezoid_rule_over_shares() -> None:
    assert Curve(np.array([0.0, 0.5, 1.0]), np.array([0.0, 1.0, 1.0])).area == pytest.approx(0.75)
    assert Curve(np.array([0.0, 0.2, 1.0]), np.array([0.0, 1.0, 1.0])).area == pytest.approx(0.9)
    assert np.isnan(Curve(np.array([0.0, 1.0]), np.array([0.0, np.nan])).area)


@given(VALUES, st.integers(0, 2**32 - 1))
def test_on_an_additive_game_no_order_beats_its_own_values(values: np.ndarray, seed: int) -> None:
    check = ranking_check(values, rng=np.random.default_rng(seed), steps=len(values), random_orders=2)
    rows = check.rows
    found = check.read(rows, rows @ values)
    best = found[EXPLAINED]
    assert best.insertion.scores.tolist() == pytest.approx(np.cumsum([0.0, *-np.sort(-values)]).tolist())
    assert best.deletion.scores == pytest.approx(
        values.sum() - best.insertion.scores
    )  # additive: one mirrors the other
    assert best.difference >= found[RANDOM].difference - 1e-9


def test_areas_of_a_game_with_one_part_that_matters() -> None:
    """v = 1 while part 1 is there: revealed first 3/4 of the way at 1 and a ramp; removed first only a ramp."""
    check = ranking_check(np.array([0.0, 1.0, 0.0, 0.0]), rng=np.random.default_rng(0), steps=4, random_orders=1)
    rows = check.rows
    found = check.read(rows, rows[:, 1].astype(float))[EXPLAINED]
    assert found.insertion.area == pytest.approx(0.875)
    assert found.deletion.area == pytest.approx(0.125)
    assert found.difference == pytest.approx(0.75)


def test_sizes_stretch_the_axis() -> None:
    sizes = np.array([3.0, 1.0])
    check = ranking_check(np.array([1.0, 0.0]), rng=np.random.default_rng(0), steps=2, random_orders=0, sizes=sizes)
    assert list(check.orders) == [EXPLAINED]
    found = check.read(check.rows, check.rows[:, 0].astype(float))[EXPLAINED]
    assert found.insertion.shares.tolist() == [0.0, 0.75, 1.0]
    assert found.insertion.area == pytest.approx(0.375 + 0.25)
    with pytest.raises(ValueError, match="2 positive numbers"):
        ranking_check(np.zeros(2), rng=np.random.default_rng(0), sizes=np.array([1.0, 0.0]))


def test_rows_are_asked_once_and_missing_ones_are_unknown() -> None:
    centres = np.array([1, 0, 2, 3])
    check = ranking_check(np.array([3.0, 4.0, 2.0, 1.0]), rng=np.random.default_rng(5), steps=4, centres=centres)
    rows = check.rows
    assert len({row.tobytes() for row in rows}) == len(rows)
    assert rows.any(axis=1).sum() == len(rows) - 1  # ∅ and the full coalition belong to every curve, and are asked once
    assert rows.all(axis=1).sum() == 1
    scores = rows.sum(axis=1) / 4
    assert check.read(rows, scores)[CENTRE].difference == check.read(rows, scores)[EXPLAINED].difference
    without = check.read(rows[:-1], scores[:-1])
    assert any(np.isnan(found.difference) for found in without.values())
    assert list(check.orders) == [EXPLAINED, RANDOM, CENTRE]
    again = ranking_check(np.array([3.0, 4.0, 2.0, 1.0]), rng=np.random.default_rng(5), steps=4, centres=centres)
    assert np.array_equal(again.rows, rows)


def straight(insertion: float, deletion: float) -> Faithfulness:
    """Curves from 0 to 1 (and back) with these areas."""
    shares = np.array([0.0, 0.5, 1.0])
    return Faithfulness(
        Curve(shares, np.array([0.0, 2 * insertion - 0.5, 1.0])),
        Curve(shares, np.array([1.0, 2 * deletion - 0.5, 0.0])),
    )


@pytest.mark.parametrize(
    ("explained", "others", "said"),
    [
        (0.6, {RANDOM: 0.0}, None),
        (0.05, {RANDOM: 0.0}, "for chance it is 0"),
        (0.5, {RANDOM: 0.0, CENTRE: 0.55}, "for the middle of the picture first it is 0.55"),
        (0.5, {RANDOM: 0.0, CENTRE: 0.45}, None),
        (0.05, {}, None),
    ],
)
def test_an_order_that_chance_or_the_middle_matches_is_a_finding(
    explained: float, others: dict[str, float], said: str | None
) -> None:
    found = {
        name: straight(0.5 + difference / 2, 0.5 - difference / 2)
        for name, difference in {EXPLAINED: explained, **others}.items()
    }
    findings = no_better_than_chance(found)
    assert [finding.code for finding in findings] == ([] if said is None else ["P223"])
    assert said is None or said in findings[0].message


def test_trust_figures_never_show_deletion_alone() -> None:
    shown = trust_figures({EXPLAINED: straight(0.8, 0.3), RANDOM: straight(0.5, 0.5), CENTRE: straight(np.nan, 0.5)})
    assert shown == pytest.approx(
        {
            "insertion": 0.8,
            "deletion": 0.3,
            "insertion_less_deletion_explained": 0.5,
            "insertion_less_deletion_random": 0.0,
        }
    )

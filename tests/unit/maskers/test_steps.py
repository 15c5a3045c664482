from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from skimage import data

from probe.maskers import ShiftMasker, StepMasker

ROW: dict[str, Any] = {"age": 40, "income": 2.5, "job": "nurse", "member": True}
ROWS: list[dict[str, Any]] = [
    {"age": age, "income": income, "job": "cook", "member": False}
    for age, income in [(20, 1.0), (30, 2.0), (50, 4.0), (60, 5.0)]
]


def off(masker: Any, *features: int) -> Any:
    kept = np.ones(masker.n, dtype=bool)
    kept[list(features)] = False
    return masker.render(kept)


def test_numeric_columns_move_by_a_part_of_their_deviation() -> None:
    masker = StepMasker(ROW, reference=ROWS, step=0.2)
    ages, incomes = np.std([20, 30, 50, 60]), np.std([1, 2, 4, 5])
    assert [feature.group for feature in masker.features] == ["age", "age", "income", "income"]
    assert masker.settings["steps"] == {"age": round(0.2 * ages), "income": pytest.approx(0.2 * incomes)}
    assert off(masker, 0) == ROW | {"age": 43}
    assert off(masker, 1) == ROW | {"age": 37}
    assert off(masker, 3) == ROW | {"income": pytest.approx(2.5 - 0.2 * incomes)}
    assert off(masker, 0, 3)["age"] == 43
    assert [dict(feature.change) for feature in masker.features[:2]] == [
        {"value": 43, "by": 3},
        {"value": 37, "by": -3},
    ]
    assert all(type(off(masker, index)["age"]) is int for index in range(4))


def test_opposite_steps_cancel() -> None:
    masker = StepMasker(ROW, steps={"age": 5, "income": 0.5})
    assert off(masker, 0, 1) == ROW
    assert off(masker) == ROW
    assert off(masker, 0, 1, 2) == ROW | {"income": 3.0}


def test_given_steps_and_columns_say_what_moves() -> None:
    assert StepMasker(ROW, steps={"income": 0.5}).settings["steps"] == {"income": 0.5}
    both = StepMasker(ROW, reference=ROWS, steps={"income": 0.5}, columns=["age", "income"])
    assert list(both.settings["steps"]) == ["age", "income"]
    assert StepMasker(ROW, steps={"age": 0.2}).settings["steps"] == {"age": 1}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "column 'age' needs a step, or reference rows"),
        ({"steps": {"agee": 1}}, "the row does not have it"),
        ({"steps": {"job": 1}}, "column 'job' is 'nurse' and cannot be moved"),
        ({"steps": {"age": 0}}, "step of column 'age' is 0; it must be a number above 0"),
        ({"reference": [ROWS[0]]}, "no numeric column varies"),
        ({"reference": ROWS, "step": -1}, "step is -1"),
    ],
)
def test_what_is_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        StepMasker(ROW, **settings)


def test_superpixels_get_brighter_and_darker_within_the_range() -> None:
    photo = data.coffee()[::8, ::8]  # type: ignore[no-untyped-call]
    masker = ShiftMasker(photo, shift=20, segments=8)
    inside = masker.segments == masker.features[0].place["segment"]
    brighter, darker = off(masker, 0).astype(int), off(masker, 1).astype(int)
    assert np.array_equal(brighter[inside], np.minimum(photo[inside].astype(int) + 20, 255))
    assert np.array_equal(darker[inside], np.maximum(photo[inside].astype(int) - 20, 0))
    assert np.array_equal(brighter[~inside], photo[~inside])
    assert masker.features[0].change["by"] == pytest.approx(brighter[inside].mean() - photo[inside].mean())
    assert np.array_equal(off(masker, 0, 1), photo)
    with pytest.raises(ValueError, match="shift is 0"):
        ShiftMasker(photo, shift=0)

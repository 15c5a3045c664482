"""Paths from one input to another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import Scalar
from probe.drift.paths import path_between, same

ROW: dict[str, Scalar] = {"age": 20.0, "visits": 3, "paid": True, "town": "Ulm", "note": None}
OTHER: dict[str, Scalar] = {"age": 60.0, "visits": 9, "paid": False, "town": "Bonn", "note": None}


def test_numbers_move_in_proportion_and_whatever_else_differs_changes_one_at_a_time() -> None:
    path = path_between(ROW, OTHER)
    assert path.at(0.0) == ROW
    assert path.at(1.0) == OTHER
    assert path.at(0.2) == {"age": 28.0, "visits": 4, "paid": True, "town": "Ulm", "note": None}
    assert path.at(0.5) == {"age": 40.0, "visits": 6, "paid": False, "town": "Ulm", "note": None}
    assert path.at(0.8) == {"age": 52.0, "visits": 8, "paid": False, "town": "Bonn", "note": None}
    assert isinstance(path.at(0.3)["visits"], int)  # type: ignore[call-overload]


def test_words_are_replaced_one_by_one() -> None:
    path = path_between("a slow refund", "the staff were friendly")
    assert [path.at(step / 4) for step in range(5)] == [
        "a slow refund",
        "the slow refund",
        "the staff refund",
        "the staff were",
        "the staff were friendly",
    ]
    assert [path_between("one two three", "six").at(step / 3) for step in range(4)] == [
        "one two three",
        "six two three",
        "six three",
        "six",
    ]


def test_a_text_without_spaces_changes_by_the_character() -> None:
    assert path_between("退款很慢", "服务很好").at(0.5) == "服务很慢"


@given(st.integers(0, 2**20), st.floats(0, 1))
def test_a_blend_lies_between_its_ends_and_ends_at_them(seed: int, t: float) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 256, (2, 5, 4), dtype=np.uint8)
    path = path_between(a, b)
    assert same(path.at(0.0), a)
    assert same(path.at(1.0), b)
    mixed = np.asarray(path.at(t), dtype=np.int64)
    assert np.all(mixed >= np.minimum(a, b))
    assert np.all(mixed <= np.maximum(a, b))


def test_pixels_of_equal_levels_do_not_all_change_at_once() -> None:
    path = path_between(np.zeros((8, 8), np.uint8), np.full((8, 8), 255, np.uint8))
    distinct = {np.asarray(path.at(t)).tobytes() for t in np.linspace(0, 1, 5001)}
    assert len(distinct) > 4000


@pytest.mark.parametrize(
    ("a", "b"), [("text", ROW), (np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8)), ([1.0], [2.0])]
)
def test_inputs_that_cannot_be_joined_are_refused(a: object, b: object) -> None:
    with pytest.raises(ValueError, match=r"cannot be blended|no path"):
        path_between(a, b)  # type: ignore[arg-type]

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from probe.maskers import Masker, TabularMasker
from probe.maskers.columns import as_type_of, typical

ROW: dict[str, Any] = {"age": 40, "income": 52.5, "job": "nurse", "member": True, "note": None}
OTHERS: list[dict[str, Any]] = [
    {"age": 20, "income": 10, "job": "cook", "member": False, "note": "a", "label": 1},
    {"age": 31, "income": 20.0, "job": "cook", "member": 0, "note": None, "label": 0},
    {"age": 70, "income": 90.0, "job": "pilot", "member": True, "note": "b", "label": 0},
]


def off(n: int, *ids: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    kept = np.ones(n, dtype=bool)
    kept[list(ids)] = False
    return kept


def test_each_copy_takes_its_background_row() -> None:
    masker = TabularMasker(ROW, background=OTHERS, fill="rows")
    assert isinstance(masker, Masker)
    assert masker.copies == 3
    assert [feature.name for feature in masker.features] == list(ROW)
    assert masker.render(off(5, 0, 2), 0) == {**ROW, "age": 20, "job": "cook"}
    assert masker.render(off(5, 0, 2), 2) == {**ROW, "age": 70, "job": "pilot"}
    assert list(masker.render(off(5, 0))) == list(ROW)
    with pytest.raises(ValueError, match=r"copy is 3; this masker has 3 \(0 … 2\)"):
        masker.render(off(5), 3)


def test_the_median_row_has_values_that_occur() -> None:
    masker = TabularMasker(ROW, background=OTHERS, fill="median")
    assert masker.copies == 1
    shown = masker.render(off(5, 0, 1, 2, 3, 4))
    assert shown == {"age": 31, "income": 20.0, "job": "cook", "member": False, "note": "a"}
    assert [feature.change["value"] for feature in masker.features] == list(shown.values())


def test_types_are_the_rows() -> None:
    row: dict[str, Any] = {"whole": 3, "number": 2.5, "flag": False, "text": "7"}
    other: dict[str, Any] = {"whole": np.float32(3.7), "number": np.int64(4), "flag": 1, "text": "8"}
    masker = TabularMasker(row, background=[other])
    shown = masker.render(off(4, 0, 1, 2, 3))
    assert shown == {"whole": 4, "number": 4.0, "flag": True, "text": "8"}
    assert [type(value) for value in shown.values()] == [int, float, bool, str]


def test_groups_are_switched_together() -> None:
    masker = TabularMasker(ROW, background=OTHERS, fill="rows", groups={"work": ["income", "job"]})
    assert [feature.name for feature in masker.features] == ["age", "work", "member", "note"]
    assert masker.features[1].place == {"columns": ["income", "job"]}
    assert masker.render(off(4, 1), 2) == {**ROW, "income": 90.0, "job": "pilot"}


def test_settings_hold_the_background_by_content() -> None:
    masker = TabularMasker(ROW, background=OTHERS[:1], groups={"work": ["income", "job"]})
    assert masker.settings == {
        "masker": "tabular",
        "fill": "median",
        "background": [{"age": 20, "income": 10.0, "job": "cook", "member": False, "note": "a"}],
        "groups": {"work": ["income", "job"]},
    }


def test_typical_values() -> None:
    assert typical([4, 1, 3, 2]) == 2
    assert typical([2.5, None, 1.5, 9.0]) == 2.5
    assert typical(["b", "a", "a", "b", "c"]) == "b"
    assert typical([True, False, True]) is True
    assert typical([None, None]) is None


def test_nan_is_missing() -> None:
    masker = TabularMasker({"x": 1.0}, background=[{"x": float("nan")}])
    assert masker.render(off(1, 0)) == {"x": None}
    assert as_type_of(None, "any", "x") == "any"


@pytest.mark.parametrize(
    ("row", "options", "told"),
    [
        ({}, {"background": OTHERS}, "at least one"),
        ([1, 2], {"background": OTHERS}, "the row must map column names"),
        ({"x": [1]}, {"background": [{"x": 1}]}, "column 'x' holds a list"),
        ({"x": 1}, {"background": []}, "background is .* must be a list"),
        ({"x": 1}, {"background": {"x": 1}}, "background is .* must be a list"),
        ({"price": 1}, {"background": [{"pricee": 1}]}, r"row 1 has no column 'price' \(did you mean 'pricee'\?\)"),
        ({"x": "a"}, {"background": [{"x": 1}]}, "str and int cannot stand in"),
        ({"x": True}, {"background": [{"x": 3}]}, "bool and int cannot"),
        ({"x": 1}, {"background": [{"x": 1}], "fill": "mode"}, "fill 'mode' is unknown"),
        ({"x": 1}, {"background": [{"x": 1}], "groups": {"g": ["y"]}}, "column 'y', which the row does not have"),
        ({"x": 1}, {"background": [{"x": 1}], "groups": {"g": "x"}}, "group 'g' is 'x'; it must be a list"),
        ({"x": 1}, {"background": [{"x": 1}], "groups": {"g": ["x"], "h": ["x"]}}, "in the groups 'g' and 'h'"),
        ({"x": 1, "g": 2}, {"background": [{"x": 1, "g": 1}], "groups": {"g": ["x"]}}, "rename the group"),
    ],
)
def test_what_is_refused(row: Any, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        TabularMasker(row, **options)


values = st.one_of(st.integers(-5, 5), st.none())
rows = st.fixed_dictionaries({"a": values, "b": st.floats(-5, 5), "c": st.sampled_from(["x", "y"]), "d": st.booleans()})


@given(rows, st.lists(rows, min_size=1, max_size=4), st.data())
def test_kept_columns_stay_and_the_others_are_the_backgrounds(
    row: dict[str, Any], background: list[dict[str, Any]], data: st.DataObject
) -> None:
    masker = TabularMasker(row, background=background, fill="rows")
    kept = data.draw(arrays(np.bool_, masker.n))
    for copy in range(masker.copies):
        assert masker.render(np.ones(masker.n, dtype=bool), copy) == row
        shown = masker.render(kept, copy)
        for column, keep in zip(row, kept, strict=True):
            assert shown[column] == (row if keep else background[copy])[column]

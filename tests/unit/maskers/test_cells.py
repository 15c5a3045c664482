from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.maskers import build_masker
from probe.maskers.cells import CellMasker, positions, shift

RNG = np.random.default_rng(4)
PICTURE = RNG.integers(0, 256, (41, 60, 3), dtype=np.uint8)
BITS = st.lists(st.booleans(), min_size=49, max_size=49).map(lambda bits: np.array(bits))


@given(BITS)
def test_a_mask_is_a_function_of_the_coalition_and_its_complement_completes_it(bits: np.ndarray) -> None:
    masker = CellMasker(PICTURE)
    again = CellMasker(PICTURE.copy())
    mask = masker.mask(bits)
    assert mask.shape == (41, 60)
    assert mask.min() >= 0
    assert mask.max() <= 1
    assert mask + masker.mask(~bits) == pytest.approx(np.ones((41, 60)))
    assert np.array_equal(masker.render(bits), again.render(bits))


@given(BITS)
def test_shifts_are_parts_of_a_cell_shared_by_a_pair(bits: np.ndarray) -> None:
    assert all(0 <= part < 1 for part in shift(bits))
    assert shift(bits) == shift(~bits)


def test_shifts_differ_between_coalitions() -> None:
    found = np.array([shift(bits) for bits in RNG.random((400, 49)) < 0.5])
    assert found.mean(axis=0) == pytest.approx([0.5, 0.5], abs=0.06)
    assert found.std(axis=0) == pytest.approx(np.full(2, 1 / np.sqrt(12)), abs=0.03)


def test_all_cells_are_the_picture_and_none_the_background() -> None:
    masker = CellMasker(PICTURE, fill="blur")
    assert np.array_equal(masker.render(np.ones(49, dtype=bool)), PICTURE)
    parts = build_masker("image", "parts", PICTURE, {"fill": "blur"})
    nothing = np.asarray(parts.render(np.zeros(parts.n, dtype=bool)))
    assert np.array_equal(masker.render(np.zeros(49, dtype=bool)), nothing)
    grey = CellMasker(PICTURE[..., 0], fill=["mean", "grey"])
    assert grey.copies == 2
    assert (grey.render(np.zeros(49, dtype=bool), copy=1) == 128).all()


def test_one_cell_fades_out_over_its_neighbours() -> None:
    masker = CellMasker(PICTURE, grid=3)
    bits = np.zeros(9, dtype=bool)
    bits[4] = True
    mask = masker.mask(bits)
    down, across = shift(bits)
    rows, columns = positions(41, 3) + down, positions(60, 3) + across  # cell 1 is centred at 1½
    want = np.maximum(0, 1 - abs(rows - 1.5))[:, None] * np.maximum(0, 1 - abs(columns - 1.5))
    assert mask == pytest.approx(want)


def test_nominal_boxes_cover_the_picture_once() -> None:
    covered = np.zeros((41, 60), dtype=int)
    for feature in CellMasker(PICTURE, grid=5).features:
        top, left, bottom, right = feature.place["box"]
        covered[top:bottom, left:right] += 1
    assert (covered == 1).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fill": "inpaint"}, "needs hard edges"),
        ({"fill": ["grey", "segment-mean"]}, "needs hard edges"),
        ({"grid": 1}, "at least 2"),
        ({"grid": 50}, "too small for 50 cells"),
    ],
)
def test_what_makes_no_soft_cells_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_masker("image", "cells", PICTURE, settings)

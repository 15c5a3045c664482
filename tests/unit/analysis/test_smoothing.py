from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.analysis.maps import (
    SMOOTHING,
    box_places,
    nested_map,
    segment_map,
    segment_places,
    smooth_map,
    smooth_segment_map,
)

SIGMAS = st.floats(0.0, 40.0)


@given(st.floats(-1e3, 1e3), SIGMAS, st.integers(1, 12), st.integers(1, 12))
def test_a_constant_map_stays_what_it_is(level: float, sigma: float, height: int, width: int) -> None:
    assert smooth_map(np.full((height, width), level), sigma) == pytest.approx(np.full((height, width), level))


@given(st.integers(0, 2**32 - 1), SIGMAS)
def test_smoothing_is_linear_and_stays_within_what_was_there(seed: int, sigma: float) -> None:
    rng = np.random.default_rng(seed)
    one, two = rng.normal(size=(2, 9, 7))
    smooth = smooth_map(one, sigma)
    assert smooth.min() >= one.min() - 1e-12
    assert smooth.max() <= one.max() + 1e-12
    assert smooth_map(2 * one - two, sigma) == pytest.approx(2 * smooth - smooth_map(two, sigma))


def test_borders_do_not_fade() -> None:
    heat = np.zeros((40, 40))
    heat[:, :20] = 1.0
    smooth = smooth_map(heat, 3.0)
    assert smooth[:, 0] == pytest.approx(np.ones(40), abs=1e-6)
    assert smooth[0] == pytest.approx(smooth[20])
    assert smooth[20, 19] + smooth[20, 20] == pytest.approx(1.0)


def test_unknown_pixels_stay_unknown_and_leave_no_mark() -> None:
    heat = np.full((20, 20), 2.0)
    heat[5:9, 5:9] = np.nan
    smooth = smooth_map(heat, 2.0)
    assert np.array_equal(np.isnan(smooth), np.isnan(heat))
    assert smooth[~np.isnan(heat)] == pytest.approx(np.full(400 - 16, 2.0))
    assert np.isnan(smooth_map(np.full((3, 3), np.nan), 1.0)).all()


@pytest.mark.parametrize("sigma", [-1.0, float("nan"), float("inf")])
def test_a_width_that_is_none_is_refused(sigma: float) -> None:
    with pytest.raises(ValueError, match="it is a number of pixels"):
        smooth_map(np.zeros((2, 2)), sigma)


def test_the_width_grows_with_the_superpixels() -> None:
    rows, columns = np.indices((60, 60)) // 20
    segments = (rows * 3 + columns).astype(np.int32)
    values = np.arange(9.0)
    flat = segment_map(segments, values)
    assert np.array_equal(smooth_segment_map(segments, values, share=0), flat)
    assert np.array_equal(smooth_segment_map(segments, values), smooth_map(flat, SMOOTHING * 20))
    doubled = segments.repeat(2, axis=0).repeat(2, axis=1)
    assert smooth_segment_map(doubled, values)[::2, ::2] == pytest.approx(smooth_segment_map(segments, values), abs=0.3)


def test_places_are_centres_of_mass_and_areas() -> None:
    segments = np.array([[0, 0, 1], [0, 1, 1]], dtype=np.int32)
    centres, areas = segment_places(segments)
    assert centres == pytest.approx(np.array([[2.5 / 3, 2.5 / 3], [3.5 / 3, 6.5 / 3]]))
    assert areas.tolist() == [3, 3]
    centres, areas = box_places([[0, 0, 2, 4], [1, 1, 2, 2]])
    assert centres.tolist() == [[1.0, 2.0], [1.5, 1.5]]
    assert areas.tolist() == [8.0, 1.0]


def test_nested_boxes_show_the_smallest_that_is_known_per_area() -> None:
    boxes = [[0, 0, 2, 2], [0, 2, 2, 4], [0, 0, 1, 1], [0, 1, 1, 2], [1, 0, 2, 1]]
    heat = nested_map((2, 5), boxes, np.array([0.8, 0.4, 0.6, np.nan, -0.1]))
    assert heat == pytest.approx(np.array([[0.6, 0.2, 0.1, 0.1, np.nan], [-0.1, 0.2, 0.1, 0.1, np.nan]]), nan_ok=True)

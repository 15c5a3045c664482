from __future__ import annotations

import numpy as np
import pytest

from probe.analysis.intervals import half_widths, quantile, separable
from probe.analysis.maps import pixel_map, segment_map


def test_half_widths_follow_student_or_normal() -> None:
    errors = np.array([0.0, 1.0, np.nan])
    assert half_widths(errors)[:2] == pytest.approx([0, 1.959964], abs=1e-6)
    assert half_widths(errors, dof=4)[1] == pytest.approx(2.776445, abs=1e-6)
    assert half_widths(errors, dof=float("inf"))[1] == half_widths(errors)[1]
    assert quantile(0.2) == quantile(1) == pytest.approx(12.7062, abs=1e-4)
    assert np.isnan(half_widths(errors)[2])
    with pytest.raises(ValueError, match="between 0 and 1"):
        quantile(level=95)


def test_only_intervals_without_zero_are_separable() -> None:
    assert separable(np.array([3.0, 1.0, -3.0, 3.0]), np.array([1.0, 1.0, 1.0, np.nan])).tolist() == [1, 0, 1, 0]


def test_overlapping_windows_are_averaged() -> None:
    heat = pixel_map((3, 4), [(0, 0, 2, 2), (1, 1, 9, 3), (-4, 3, 1, 5)], np.array([1.0, 3.0, 5.0]))
    assert heat.tolist() == [[1, 1, 0, 5], [1, 2, 3, 0], [0, 3, 3, 0]]
    with pytest.raises(ValueError, match="1 windows but 2 values"):
        pixel_map((3, 4), [(0, 0, 1, 1)], np.zeros(2))


def test_segments_take_their_values() -> None:
    segments = np.array([[0, 1], [1, 2]], dtype=np.int32)
    assert segment_map(segments, np.array([0.5, -1.0, 2.0])).tolist() == [[0.5, -1.0], [-1.0, 2.0]]
    with pytest.raises(ValueError, match="numbered 0 to 2 but there are 2 values"):
        segment_map(segments, np.zeros(2))

"""From values per feature to a value per pixel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def pixel_map(shape: tuple[int, int], boxes: Sequence[Sequence[int]], values: Floats) -> Floats:
    """(H, W): for each pixel the mean of ``values`` (n,) over the windows that cover it, 0 where none does.

    ``boxes``: n times ``[top, left, bottom, right]``, bottom and right exclusive; what lies outside the picture is cut
    off. Windows may overlap. Raises :class:`ValueError` if the lengths differ.
    """
    if len(boxes) != len(values):
        raise ValueError(f"{len(boxes)} windows but {len(values)} values")
    total, covering = np.zeros(shape), np.zeros(shape)
    for (top, left, bottom, right), value in zip(boxes, values, strict=True):
        window = np.s_[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
        total[window] += value
        covering[window] += 1
    return np.divide(total, covering, out=np.zeros(shape), where=covering > 0)


def segment_map(segments: NDArray[np.int32], values: Floats) -> Floats:
    """(H, W): each pixel gets the value of its segment, ``values[segments]``.

    Raises :class:`ValueError` if a segment's number is outside of 0 … n − 1.
    """
    if segments.size and (segments.min() < 0 or segments.max() >= len(values)):
        raise ValueError(
            f"segments are numbered {segments.min()} to {segments.max()} but there are {len(values)} values"
        )
    mapped: Floats = np.asarray(values, dtype=np.float64)[segments]
    return mapped

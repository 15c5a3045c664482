"""From values per feature to a value per pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Floats = NDArray[np.float64]

SMOOTHING: Final = 0.08  #: standard deviation that maps of superpixels are smoothed with, in sides of a superpixel


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


def nested_map(shape: tuple[int, int], boxes: Sequence[Sequence[int]], values: Floats) -> Floats:
    """(H, W) for boxes inside of boxes, as a quadtree's: each pixel has the value of the smallest one around it that has a
    value, times the area of the smallest of all over its own; NaN where none has.

    Hiding a large region changes a score more than hiding a small one; per area they can be compared.
    """
    areas = box_places(boxes)[1]
    known = np.flatnonzero(np.isfinite(values))
    heat = np.full(shape, np.nan)
    for k in known[np.argsort(-areas[known], kind="stable")].tolist():
        top, left, bottom, right = boxes[k]
        heat[top:bottom, left:right] = values[k] * areas[known].min() / areas[k]
    return heat


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


def smooth_map(heat: Floats, sigma: float) -> Floats:
    """(H, W): ``heat`` under a Gaussian of standard deviation ``sigma`` pixels, without fading at borders.

    Normalised convolution (Knutsson & Westin, *Normalized and Differential Convolution*, CVPR 1993): each pixel is the mean
    over the pixels around it that are in the picture and not NaN, with the Gaussian's weights; constants stay what they
    are. What is NaN stays NaN. ``sigma`` 0 changes nothing. Raises :class:`ValueError` if ``sigma`` is negative or not
    finite.
    """
    if not (math.isfinite(sigma) and sigma >= 0):
        raise ValueError(f"sigma is {sigma}; it is a number of pixels, 0 or more")
    heat = np.asarray(heat, dtype=np.float64)
    known = np.isfinite(heat)
    if sigma == 0 or not known.any():
        return heat.copy()
    weight = gaussian_filter(known.astype(np.float64), sigma, mode="constant")
    total = gaussian_filter(np.where(known, heat, 0.0), sigma, mode="constant")
    return np.where(known, total / np.where(known, weight, 1.0), np.nan)


def smooth_segment_map(segments: NDArray[np.int32], values: Floats, *, share: float = SMOOTHING) -> Floats:
    """(H, W): :func:`segment_map` under a Gaussian of ``share`` of a typical segment's side, √(pixels / segments).

    The outlines of superpixels are an algorithm's and not the model's, and a map should not look as if it knew them to the
    pixel. For ranking pixels the parts as they are do as well or better, the more so the wider the Gaussian
    (``benchmarks/saliency``). Values may be NaN: those segments stay NaN.
    """
    side = math.sqrt(segments.size / max(1, len(values)))
    return smooth_map(segment_map(segments, values), share * side)


def segment_places(segments: NDArray[np.int32]) -> tuple[Floats, Floats]:
    """Row and column of each segment's centre of mass (n, 2) in pixels, and its area (n,), for segments 0 … n − 1."""
    ids = segments.ravel()
    areas = np.bincount(ids).astype(np.float64)
    rows, columns = (np.bincount(ids, weights=axis.ravel() + 0.5) for axis in np.indices(segments.shape))
    with np.errstate(invalid="ignore"):
        return np.stack([rows, columns], axis=1) / areas[:, None], areas


def box_places(boxes: Sequence[Sequence[int]]) -> tuple[Floats, Floats]:
    """The same of windows ``[top, left, bottom, right]``."""
    edges = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    centres = (edges[:, :2] + edges[:, 2:]) / 2
    return centres, np.prod(edges[:, 2:] - edges[:, :2], axis=1)

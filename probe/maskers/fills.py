"""What stands in for the switched-off pixels of an image.

Everything that reaches a pixel is integer or element-wise arithmetic or one of scipy's compiled loops: no BLAS, whose sums
differ in the last bit between machines and would make two machines pay twice for one picture.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Image: TypeAlias = NDArray[np.uint8]
Fill: TypeAlias = Literal["grey", "black", "mean", "segment-mean", "blur", "inpaint"]
FILLS: Final[tuple[str, ...]] = get_args(Fill)

_FINE_SIGMA = 8.0  # pixels: a blur wider than this is computed on a smaller picture and enlarged
_INPAINT_SIDE = 160  # pixels: longest side of the picture on which holes are filled
_SAMPLED_SIDE = 640  # pixels: of a larger picture only every k-th row and column is looked at for that


def checked_image(image: Image) -> Image:
    """A read-only copy of ``image``. Raises ``ValueError`` unless it is uint8 of shape (H, W) or (H, W, 3), not empty."""
    array = np.asarray(image)
    shape_ok = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    if array.dtype != np.uint8 or not shape_ok or array.size == 0:
        raise ValueError(
            f"an image must be uint8 of shape (H, W) or (H, W, 3), not {array.dtype} of shape {array.shape}; "
            "convert it to 8-bit RGB or grey"
        )
    copy = np.array(array, order="C")
    copy.flags.writeable = False
    return copy


def flat_background(image: Image, level: int) -> Image:
    """``level`` (0 … 255) everywhere."""
    return np.full_like(image, level)


def mean_background(image: Image) -> Image:
    """The image's mean colour everywhere."""
    return np.full_like(image, mean_colour(image.reshape(-1, *image.shape[2:])))


def mean_colour(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mean over the first axis, rounded half up: integers only, so the same everywhere."""
    total, count = pixels.sum(axis=0, dtype=np.int64), len(pixels)
    return np.asarray((2 * total + count) // (2 * count), dtype=np.uint8)


def segment_mean_background(image: Image, segments: NDArray[np.int32]) -> Image:
    """Every pixel in the mean colour of its segment. ``segments``: (H, W), ids 0 … n−1, none empty."""
    ids = segments.ravel()
    count = np.bincount(ids)
    channels = image.reshape(ids.size, -1)
    # sums stay far below 2**53, so bincount's float64 weights add up exactly
    sums = [np.bincount(ids, weights=channels[:, c]).astype(np.int64) for c in range(channels.shape[1])]
    means = np.stack([(2 * total + count) // (2 * count) for total in sums], axis=1).astype(np.uint8)
    return np.ascontiguousarray(means[ids].reshape(image.shape))


def blur_background(image: Image, strength: float) -> Image:
    """Gaussian blur with standard deviation ``strength`` · √(H·W) pixels."""
    height, width = image.shape[:2]
    sigma = strength * float(np.sqrt(height * width))
    factor = max(1, int(sigma // _FINE_SIGMA))
    total, count = _block_sums(image.astype(np.int64), factor), _block_sums(np.ones((height, width), np.int64), factor)
    small = total / count.reshape(count.shape + (1,) * (image.ndim - 2))
    spread = (sigma / factor, sigma / factor) + (0,) * (image.ndim - 2)
    smooth = gaussian_filter(small.astype(np.float32), spread, mode="nearest")
    return _to_bytes(_enlarge(smooth, factor, height, width))


def inpaint(image: Image, off: NDArray[np.bool_]) -> Image:
    """The pixels in ``off`` (H, W) filled smoothly from the others: pull–push over an image pyramid.

    Holes take weighted means of ever coarser levels, blended back down (Gortler et al., The Lumigraph, SIGGRAPH 1996), on a
    picture reduced to at most 160 pixels a side. The image's mean colour if nothing is left to fill from.
    """
    if off.all():
        return mean_background(image)
    height, width = off.shape
    channels = image.reshape(height, width, -1)
    known = ~off
    step = -(-max(height, width) // _SAMPLED_SIDE)
    if not known[::step, ::step].any():
        step = 1
    seen = known[::step, ::step, None].astype(np.uint8)
    factor = -(-max(seen.shape) // _INPAINT_SIDE)
    total = _block_sums(channels[::step, ::step] * seen, factor)
    count = _block_sums(seen, factor)
    colour = np.asarray(total / np.maximum(count, 1), dtype=np.float32)
    weight = (count / (factor * factor)).astype(np.float32)
    filled = _pull_push(colour, weight)
    result = image.reshape(channels.shape).copy()
    np.copyto(result, _to_bytes(_enlarge(filled, factor * step, height, width)), where=off[..., None])
    return result.reshape(image.shape)


def _pull_push(colour: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """``colour`` (h, w, c) with the cells of little ``weight`` (h, w, 1; 0 … 1) blended in from coarser levels."""
    if max(colour.shape[:2]) == 1:
        return colour
    height, width = colour.shape[:2]
    total = _halve(colour * weight)
    mass = _halve(weight)
    mean = np.asarray(total / np.maximum(mass, np.float32(1e-6)), dtype=np.float32)
    coarse = _pull_push(mean, np.minimum(mass, np.float32(1)))
    return colour * weight + _double(coarse)[:height, :width] * (1 - weight)


def _halve(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sums over 2 × 2 cells; an odd edge counts alone."""
    padded = np.pad(array, ((0, array.shape[0] % 2), (0, array.shape[1] % 2), (0, 0)))
    rows = padded[0::2] + padded[1::2]
    return np.asarray(rows[:, 0::2] + rows[:, 1::2])


def _double(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Twice the size, linear between cell centres."""
    for axis in (0, 1):
        padded = np.pad(array, [(1, 1) if a == axis else (0, 0) for a in range(3)], mode="edge")
        moved = np.moveaxis(padded, axis, 0)
        before = np.float32(0.25) * moved[:-2] + np.float32(0.75) * moved[1:-1]
        after = np.float32(0.75) * moved[1:-1] + np.float32(0.25) * moved[2:]
        both = np.stack([before, after], axis=1).reshape(2 * len(before), *before.shape[1:])
        array = np.moveaxis(both, 0, axis)
    return array


def _block_sums(array: NDArray[np.generic], factor: int) -> NDArray[np.int64]:
    """Integer sums over ``factor`` × ``factor`` cells; cells at the far edges may be cut."""
    rows = np.add.reduceat(array, np.arange(0, array.shape[0], factor), axis=0, dtype=np.int64)
    return np.asarray(np.add.reduceat(rows, np.arange(0, array.shape[1], factor), axis=1, dtype=np.int64))


def _enlarge(small: NDArray[np.float32], factor: int, height: int, width: int) -> NDArray[np.float32]:
    """``small`` enlarged by ``factor`` to (height, width, …), linear between cell centres."""
    if factor == 1:
        return small
    for axis, size in ((0, height), (1, width)):
        position = np.clip((np.arange(size) + 0.5) / factor - 0.5, 0, small.shape[axis] - 1)
        low = np.minimum(position.astype(np.intp), max(small.shape[axis] - 2, 0))
        high = np.minimum(low + 1, small.shape[axis] - 1)
        part = (position - low).astype(np.float32)
        part = part.reshape([-1 if a == axis else 1 for a in range(small.ndim)])
        small = small.take(low, axis) * (1 - part) + small.take(high, axis) * part
    return small


def _to_bytes(array: NDArray[np.float32]) -> Image:
    return np.asarray(np.clip(array + np.float32(0.5), 0, 255), dtype=np.uint8)

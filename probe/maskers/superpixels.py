"""Superpixel maps: which segment each pixel belongs to."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import felzenszwalb, slic

from probe.maskers.fills import Image

Algorithm: TypeAlias = Literal["slic", "felzenszwalb"]
ALGORITHMS: Final[tuple[str, ...]] = get_args(Algorithm)

_LONGEST_SIDE = 800  # pixels: larger pictures are segmented reduced, the map is enlarged again
_TRIES = 4
_SCALE = 50.0  # felzenszwalb's: small, so that the regions follow edges and the smallest size bounds their number


def superpixels(image: Image, *, algorithm: Algorithm, segments: int) -> NDArray[np.int32]:
    """(H, W) int32 map of 1 … ``segments`` connected superpixels, ids 0 … n−1 in reading order.

    Both algorithms may give more regions than asked: then the smallest region joins the neighbour nearest in colour until
    there are no more than ``segments``.
    """
    step = -(-max(image.shape[:2]) // _LONGEST_SIDE)
    small = image[::step, ::step]
    labels = _slic(small, segments) if algorithm == "slic" else _felzenszwalb(small, segments)
    merged = _merge(labels, small, segments)
    ids = _in_reading_order(merged)
    height, width = image.shape[:2]
    return np.ascontiguousarray(ids.repeat(step, axis=0).repeat(step, axis=1)[:height, :width])


def _slic(image: Image, segments: int) -> NDArray[np.intp]:
    """slic often gives fewer regions than asked, as it drops small ones: then it is asked for more, up to four times."""
    asked = segments
    for _ in range(_TRIES):
        axis = -1 if image.ndim == 3 else None
        labels = slic(image, n_segments=asked, compactness=10.0, sigma=1.0, start_label=0, channel_axis=axis)
        found = int(labels.max()) + 1
        if found >= segments:
            break
        asked = min(-(-asked * segments // found), asked * 2, image.shape[0] * image.shape[1])
    return np.asarray(labels, dtype=np.intp)


def _felzenszwalb(image: Image, segments: int) -> NDArray[np.intp]:
    least = max(1, image.shape[0] * image.shape[1] // (4 * segments))
    axis = -1 if image.ndim == 3 else None
    return np.asarray(felzenszwalb(image, scale=_SCALE, sigma=0.8, min_size=least, channel_axis=axis), dtype=np.intp)


def _merge(labels: NDArray[np.intp], image: Image, limit: int) -> NDArray[np.intp]:
    """``labels`` with at most ``limit`` regions: the smallest joins its neighbour nearest in mean colour, and again."""
    n = int(labels.max()) + 1
    channels = image.reshape(labels.size, -1).astype(np.float64)
    size = np.bincount(labels.ravel(), minlength=n).astype(np.float64)
    totals = np.stack([np.bincount(labels.ravel(), weights=c, minlength=n) for c in channels.T], axis=1)
    neighbours = _neighbours(labels, n)
    target = np.arange(n)
    alive = {k for k in range(n) if size[k] > 0}
    while len(alive) > limit:
        smallest = min(alive, key=lambda k: (size[k], k))
        mean = totals[smallest] / size[smallest]
        around = sorted(neighbours[smallest])
        gaps = [float(np.square(totals[k] / size[k] - mean).sum()) for k in around]
        host = around[int(np.argmin(gaps))]
        size[host] += size[smallest]
        totals[host] += totals[smallest]
        for other in neighbours[smallest]:
            neighbours[other].discard(smallest)
            if other != host:
                neighbours[other].add(host)
                neighbours[host].add(other)
        target[target == smallest] = host
        alive.discard(smallest)
    return np.asarray(target[labels])


def _neighbours(labels: NDArray[np.intp], n: int) -> list[set[int]]:
    """The regions that share an edge with each region."""
    sides = [(labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])]
    pairs = np.concatenate([np.stack([a.ravel(), b.ravel()], axis=1) for a, b in sides])
    pairs = np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0)
    result: list[set[int]] = [set() for _ in range(n)]
    for a, b in pairs.tolist():
        result[a].add(b)
        result[b].add(a)
    return result


def _in_reading_order(labels: NDArray[np.intp]) -> NDArray[np.int32]:
    """Ids 0 … n−1 by each region's first pixel."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int32)
    rank[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    return np.asarray(rank[inverse].reshape(labels.shape))

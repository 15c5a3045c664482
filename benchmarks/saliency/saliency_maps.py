"""The maps that are compared, each a number per pixel: more is more important."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.saliency.networks import Floats, Network, Pixels
from probe.analysis.maps import nested_map, pixel_map, segment_map, smooth_map, smooth_segment_map
from probe.maskers import Masker
from probe.maskers.cells import GRID, CellMasker
from probe.maskers.image import SuperpixelMasker
from probe.maskers.quadtree import QuadtreeMasker
from probe.methods import Method, build_method
from probe.methods.base import CoalitionTable

SEGMENTS: Final = 50

Score = Callable[[list[Pixels]], Floats]


def black_box(score: Score, picture: Pixels, *, evaluations: int, seed: int) -> dict[str, Floats]:
    """Ours, from scores alone, each from at most ``evaluations``; what is removed is blurred away.

    ``smoothed`` and ``flat``: LIME over superpixels, as it is drawn and as it is. ``same-bill``: superpixel RISE from the
    very same table. ``rise``: soft masks. ``quadtree``: hierarchical occlusion.
    """
    masker = SuperpixelMasker(picture, segments=SEGMENTS, fill="blur")
    lime = build_method("lime")
    table = _evaluated(lime, masker, score, evaluations, seed)
    values = lime.explain(masker.features, table).values
    shared = build_method("rise", {"masks": "superpixels"}).explain(masker.features, table).values
    return {
        "smoothed": smooth_segment_map(masker.segments, values),
        "flat": segment_map(masker.segments, values),
        "same-bill": segment_map(masker.segments, shared),
        "rise": _rise(score, picture, evaluations, seed),
        "quadtree": _quadtree(score, picture, evaluations, seed),
    }


def _rise(score: Score, picture: Pixels, evaluations: int, seed: int) -> Floats:
    masker, method = CellMasker(picture, fill="blur"), build_method("rise")
    values = method.explain(masker.features, _evaluated(method, masker, score, evaluations, seed)).values
    cells = pixel_map(picture.shape[:2], [feature.place["box"] for feature in masker.features], values)
    return smooth_map(cells, 0.4 * picture.shape[0] / (GRID - 1))


def _quadtree(score: Score, picture: Pixels, evaluations: int, seed: int) -> Floats:
    masker, method = QuadtreeMasker(picture, fill="blur"), build_method("quadtree")
    values = method.explain(masker.features, _evaluated(method, masker, score, evaluations, seed)).values
    return nested_map((picture.shape[0], picture.shape[1]), [f.place["box"] for f in masker.features], values)


def _evaluated(method: Method, masker: Masker, score: Score, evaluations: int, seed: int) -> CoalitionTable:
    table = CoalitionTable.empty(masker.n)
    while len(rows := method.ask(masker.features, table, evaluations, np.random.default_rng(seed))):
        values = score([np.asarray(masker.render(row)) for row in rows])
        table = CoalitionTable.of(np.vstack([table.coalitions, rows]), np.concatenate([table.values, values]))
    return table


def grad_cam(network: Network, picture: Pixels, label: int) -> Floats:
    """Enlarged as its authors do, bilinearly."""
    coarse = Image.fromarray(network.grad_cam(picture, label).astype(np.float32))
    side = network.variant.side
    return np.asarray(coarse.resize((side, side), Image.Resampling.BILINEAR), dtype=np.float64)


def gradient(network: Network, picture: Pixels, label: int) -> Floats:
    """Smoothed over a twentieth of the side: single pixels' gradients rank next to nothing."""
    return smooth_map(network.gradient(picture, label), network.variant.side / 20)


def centre_prior(side: int) -> Floats:
    """Nearest to the middle first."""
    along = np.square(np.arange(side) - (side - 1) / 2)
    distance: Floats = along[:, None] + along[None, :]
    return -distance


def chance(side: int, rng: np.random.Generator) -> Floats:
    """Smooth noise, as coarse as superpixels: scattered single pixels are an easier thing to beat."""
    noise: NDArray[np.float64] = rng.standard_normal((side, side))
    return smooth_map(noise, side / 14)

"""A coarse grid of soft cells: the masks of RISE."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from probe.maskers import fills
from probe.maskers.base import Feature, Kind, checked_coalition
from probe.maskers.checks import whole
from probe.maskers.fills import Image
from probe.maskers.image import BLUR, Fills, background, checked_fills, fill_settings

Floats = NDArray[np.float64]

GRID: Final = 7  #: cells a side unless said otherwise, as in the paper


class CellMasker:
    """Cells of ``grid`` × ``grid`` whose on and off fade into each other, moved by a part of a cell.

    ``image``: uint8, (H, W, 3) or (H, W). ``grid``: 2 … cells a side. ``fill``, ``blur``: as in
    :class:`~probe.maskers.image.GridMasker`, without ``segment-mean`` and ``inpaint``, which need hard edges. A coalition
    is the grid's bits; they are enlarged bilinearly to the picture and shifted, and the mask so made blends the picture
    with the background (Petsiuk, Das & Saenko, *RISE*, BMVC 2018, section 3.2). Where the paper draws the shift, it is read
    off the coalition's own bits (:func:`shift`): the same coalition is always the same picture. A coalition and its
    complement have the same shift, so that their masks add up to 1. Raises ``ValueError``.
    """

    kind: ClassVar[Kind] = "image"
    segments: NDArray[np.int32] | None = None

    def __init__(self, image: Image, *, grid: int = GRID, fill: Fills = "grey", blur: float = BLUR) -> None:
        self.instance: Image = fills.checked_image(image)
        self._grid = whole(grid, "grid", least=2)
        self._fills = checked_fills(fill, blur)
        self.copies = len(self._fills)
        hard = [name for name in self._fills if name in {"segment-mean", "inpaint"}]
        if hard:
            raise ValueError(f"fill {hard[0]!r} needs hard edges; soft cells take grey, black, mean or blur")
        backgrounds = [background(self.instance, name, blur) for name in self._fills]
        self._backgrounds = [behind for behind in backgrounds if behind is not None]
        height, width = self.instance.shape[:2]
        if min(height, width) < grid:
            raise ValueError(f"an image of {height} × {width} pixels is too small for {grid} cells a side; lower grid")
        self.features: tuple[Feature, ...] = tuple(
            Feature(
                f"cell row {row + 1} column {column + 1}",
                {"box": _nominal(row, column, grid, height, width), "cell": [row, column]},
            )
            for row in range(grid)
            for column in range(grid)
        )
        self.settings: Mapping[str, Any] = {"masker": "cells", "grid": grid, **fill_settings(self._fills, blur)}

    @property
    def n(self) -> int:
        return len(self.features)

    def mask(self, coalition: NDArray[np.bool_]) -> Floats:
        """(H, W), 0 … 1: how much of the picture is kept at each pixel."""
        kept = checked_coalition(coalition, self.n)
        height, width = self.instance.shape[:2]
        down, across = shift(kept)
        bits = kept.reshape(self._grid, self._grid).astype(np.float64)
        rows = _between(bits, positions(height, self._grid) + down)
        return _between(rows.T, positions(width, self._grid) + across).T

    def render(self, coalition: NDArray[np.bool_], copy: int = 0) -> Image:
        kept = checked_coalition(coalition, self.n, copy, self.copies)
        share = self.mask(kept)
        share = share if self.instance.ndim == 2 else share[..., None]
        blended = share * self.instance + (1 - share) * self._backgrounds[copy]
        return np.asarray(np.floor(blended + 0.5), dtype=np.uint8)


def shift(coalition: NDArray[np.bool_]) -> tuple[float, float]:
    """How far the grid is moved down and across, in cells, 0 … 1: a hash of the coalition, the same for its complement."""
    digest = hashlib.sha256(np.packbits(coalition ^ coalition[0]).tobytes()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32, int.from_bytes(digest[4:8], "big") / 2**32


def positions(length: int, grid: int) -> Floats:
    """Where the centres of ``length`` pixels lie among ``grid`` cells before the shift: 0 … grid − 1."""
    return np.asarray((np.arange(length) + 0.5) * ((grid - 1) / length), dtype=np.float64)


def _between(values: Floats, at: Floats) -> Floats:
    """Rows of ``values`` (grid, k), cell r centred at r + ½, read linearly at the places ``at``: (len(at), k).

    Element-wise arithmetic only, so that every machine renders the same bytes.
    """
    place = np.clip(at - 0.5, 0, len(values) - 1)
    low = np.minimum(place.astype(np.intp), len(values) - 2)
    part: Floats = np.asarray(place - low, dtype=np.float64)[:, None]
    between: Floats = values[low] * (1 - part) + values[low + 1] * part
    return between


def _nominal(row: int, column: int, grid: int, height: int, width: int) -> list[int]:
    """Where a cell lies on average over the shifts; those at the edges are half as long."""
    return [
        min(max(round((k - 0.5) * length / (grid - 1)), 0), length)
        for k, length in ((row, height), (column, width), (row + 1, height), (column + 1, width))
    ]

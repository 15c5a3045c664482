"""The regions of a quadtree: an image's quarters, their quarters, and so on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from probe.maskers import fills
from probe.maskers.base import Feature
from probe.maskers.checks import whole
from probe.maskers.fills import Image
from probe.maskers.image import BLUR, Box, BoxMasker, Fills, fill_settings

DEPTH: Final = 4  #: levels unless said otherwise: the finest regions are a sixteenth of each side
_DEEPEST: Final = 6  # 5460 regions


class QuadtreeMasker(BoxMasker):
    """All regions of all levels as features, so that a method may refine where it matters; switching one off hides it.

    ``image``: uint8, (H, W, 3) or (H, W), at least 2 pixels a side. ``depth``: levels, 1 … 6; level l cuts each side into
    2^l, and levels whose regions would be smaller than a pixel are left out. ``fill``, ``blur``: as in
    :class:`~probe.maskers.image.GridMasker`. Features come level by level in reading order; ``place`` has the ``box``, the
    ``level`` and, below the first, the number of the ``parent`` among the features. Raises ``ValueError``.
    """

    def __init__(self, image: Image, *, depth: int = DEPTH, fill: Fills = "grey", blur: float = BLUR) -> None:
        image = fills.checked_image(image)
        height, width = image.shape[:2]
        if whole(depth, "depth", least=1) > _DEEPEST:
            raise ValueError(f"depth is {depth}; it is at most {_DEEPEST}, which is {2**_DEEPEST} regions a side")
        if min(height, width) < 2:
            raise ValueError(f"an image of {height} × {width} pixels has no quarters; use the view parts or windows")
        levels = range(1, min(depth, min(height, width).bit_length() - 1) + 1)
        boxes: list[Box] = []
        features: list[Feature] = []
        for level in levels:
            side = 2**level
            above = len(features) - (side // 2) ** 2  # number of the first region of the level above
            for row in range(side):
                for column in range(side):
                    box = tuple(k * length // side for k, length in _edges(row, column, height, width))
                    place: dict[str, Any] = {"box": list(box), "level": level}
                    if level > 1:
                        place["parent"] = above + (row // 2) * (side // 2) + column // 2
                    boxes.append((box[0], box[1], box[2], box[3]))
                    features.append(Feature(f"level {level} row {row + 1} column {column + 1}", place))
        super().__init__(image, boxes, tuple(features), fill=fill, blur=blur)
        self.settings: Mapping[str, Any] = {"masker": "quadtree", "depth": depth, **fill_settings(self._fills, blur)}


def _edges(row: int, column: int, height: int, width: int) -> tuple[tuple[int, int], ...]:
    """Top, left, bottom and right as (grid line, length of that side): lines of one level are lines of the next."""
    return ((row, height), (column, width), (row + 1, height), (column + 1, width))

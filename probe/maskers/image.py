"""Images: sliding windows and superpixels.

Several fills make several renderings of a coalition, as background rows do for a table: its value is the mean over them,
and how far they are apart tells how much a finding depends on the background.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from probe.maskers import fills
from probe.maskers.base import Feature, Kind, checked_coalition
from probe.maskers.checks import listed, whole
from probe.maskers.fills import FILLS, Fill, Image
from probe.maskers.naming import one_of
from probe.maskers.superpixels import ALGORITHMS, Algorithm, superpixels

Box: TypeAlias = tuple[int, int, int, int]
Fills: TypeAlias = Fill | Sequence[Fill]

BLUR = 0.05  #: default standard deviation of the blur, as a share of √(H·W)


class BoxMasker:
    """Rectangles of an image; where several overlap, switching one off hides all of it, whatever the others are.

    ``boxes``: top, left, bottom, right in pixels. What is common to windows and to the regions of a quadtree.
    """

    kind: ClassVar[Kind] = "image"
    segments: NDArray[np.int32] | None = None

    def __init__(
        self, image: Image, boxes: Sequence[Box], features: tuple[Feature, ...], *, fill: Fills, blur: float
    ) -> None:
        self.instance: Image = image
        self.features = features
        self._boxes = boxes
        self._fills = checked_fills(fill, blur)
        self.copies = len(self._fills)
        self._backgrounds = [background(image, name, blur) for name in self._fills]
        flat = boxes if "segment-mean" in self._fills else []
        self._means = [fills.mean_colour(_pixels(image[t:b, x:r])) for t, x, b, r in flat]

    @property
    def n(self) -> int:
        return len(self._boxes)

    def render(self, coalition: NDArray[np.bool_], copy: int = 0) -> Image:
        kept = checked_coalition(coalition, self.n, copy, self.copies)
        hidden = np.flatnonzero(~kept).tolist()
        result = self.instance.copy()
        if self._fills[copy] == "inpaint" and hidden:
            off = np.zeros(self.instance.shape[:2], dtype=bool)
            for k in hidden:
                top, left, bottom, right = self._boxes[k]
                off[top:bottom, left:right] = True
            return fills.inpaint(self.instance, off)
        behind = self._backgrounds[copy]
        for k in hidden:
            top, left, bottom, right = self._boxes[k]
            result[top:bottom, left:right] = self._means[k] if behind is None else behind[top:bottom, left:right]
        return result


class GridMasker(BoxMasker):
    """Square windows slid over an image; switching several off hides their union.

    ``image``: uint8, (H, W, 3) or (H, W). ``window``: side in pixels, cut to the image's. ``stride``: pixels between
    windows, 1 … ``window``; the last window of a row or column is shifted back to end at the edge, so every pixel is under
    at least one window. ``fill``: ``grey`` (128), ``black``, ``mean`` (the image's colour), ``segment-mean`` (each window's
    own colour; where two overlap the later one's), ``blur`` (Gaussian, standard deviation ``blur`` · √(H·W)), ``inpaint``
    (from the pixels that are kept); several in a list make a rendering each (``copies``). Raises ``ValueError``.
    """

    def __init__(self, image: Image, *, window: int, stride: int, fill: Fills = "grey", blur: float = BLUR) -> None:
        image = fills.checked_image(image)
        window, stride = whole(window, "window", least=1), whole(stride, "stride", least=1)
        height, width = image.shape[:2]
        if stride > window:
            raise ValueError(
                f"stride {stride} is larger than window {window}: pixels would be left out; lower the stride"
            )
        rows, columns = _starts(height, window, stride), _starts(width, window, stride)
        high, wide = min(window, height), min(window, width)
        boxes = [(top, left, top + high, left + wide) for top in rows for left in columns]
        features = tuple(
            Feature(f"row {r + 1} column {c + 1}", {"box": list(boxes[r * len(columns) + c])})
            for r in range(len(rows))
            for c in range(len(columns))
        )
        super().__init__(image, boxes, features, fill=fill, blur=blur)
        self.settings: Mapping[str, Any] = {
            "masker": "grid",
            "window": window,
            "stride": stride,
            **fill_settings(self._fills, blur),
        }


class SuperpixelMasker:
    """The superpixels of an image.

    ``image``: uint8, (H, W, 3) or (H, W). ``segments``: most superpixels to cut it into, ≥ 1; ``slic`` makes them alike in
    size, ``felzenszwalb`` follows edges. ``fill``: as in :class:`GridMasker`; ``segment-mean`` is each superpixel's own mean
    colour. Raises ``ValueError``.
    """

    kind: ClassVar[Kind] = "image"

    def __init__(
        self,
        image: Image,
        *,
        algorithm: Algorithm = "slic",
        segments: int = 50,
        fill: Fills = "grey",
        blur: float = BLUR,
    ) -> None:
        self.instance: Image = fills.checked_image(image)
        self._fills = checked_fills(fill, blur)
        self.copies = len(self._fills)
        one_of(algorithm, ALGORITHMS, "algorithm")
        self.segments: NDArray[np.int32] = superpixels(
            self.instance, algorithm=algorithm, segments=whole(segments, "segments", least=1)
        )
        self.segments.flags.writeable = False
        self._ids = self.segments.astype(np.intp)  # indexing with intp spares a conversion at every rendering
        count = int(self.segments.max()) + 1
        self.features: tuple[Feature, ...] = tuple(
            Feature(f"segment {k} ({place})", {"segment": k}) for k, place in enumerate(_places(self.segments, count))
        )
        self.settings: Mapping[str, Any] = {
            "masker": "superpixels",
            "algorithm": algorithm,
            "segments": segments,
            # releases of scikit-image may cut differently: then it is another game
            "map": hashlib.sha256(self.segments.tobytes()).hexdigest()[:16],
            **fill_settings(self._fills, blur),
        }
        self._backgrounds = [
            fills.segment_mean_background(self.instance, self.segments)
            if name == "segment-mean"
            else background(self.instance, name, blur)
            for name in self._fills
        ]

    @property
    def n(self) -> int:
        return len(self.features)

    def render(self, coalition: NDArray[np.bool_], copy: int = 0) -> Image:
        kept = checked_coalition(coalition, self.n, copy, self.copies)
        if kept.all():
            return self.instance.copy()
        off = (~kept)[self._ids]
        behind = self._backgrounds[copy]
        if behind is None:
            return fills.inpaint(self.instance, off)
        mask = off if self.instance.ndim == 2 else off[..., None]
        return np.where(mask, behind, self.instance)


def _starts(length: int, window: int, stride: int) -> list[int]:
    """Where windows start along one side, so that the last one ends at the edge."""
    last = max(length - window, 0)
    starts = list(range(0, last + 1, stride))
    return starts if starts[-1] == last else [*starts, last]


def _pixels(patch: Image) -> Image:
    """(pixels,) or (pixels, 3)."""
    return patch.reshape(-1, *patch.shape[2:])


def background(image: Image, fill: Fill, blur: float) -> Image | None:
    """What shows where features are off, or ``None`` if that depends on the coalition."""
    if fill == "grey":
        return fills.flat_background(image, 128)
    if fill == "black":
        return fills.flat_background(image, 0)
    if fill == "mean":
        return fills.mean_background(image)
    return fills.blur_background(image, blur) if fill == "blur" else None


def _places(segments: NDArray[np.int32], n: int) -> list[str]:
    """Where each segment's centre lies, in words: ``top left`` … ``centre`` … ``bottom right``."""
    height, width = segments.shape
    size = np.bincount(segments.ravel(), minlength=n)
    rows, columns = np.indices(segments.shape)
    centre_y = np.bincount(segments.ravel(), weights=rows.ravel(), minlength=n) / size / height
    centre_x = np.bincount(segments.ravel(), weights=columns.ravel(), minlength=n) / size / width
    words = []
    for y, x in zip(centre_y.tolist(), centre_x.tolist(), strict=True):
        down = ("top", "", "bottom")[min(int(y * 3), 2)]
        across = ("left", "", "right")[min(int(x * 3), 2)]
        words.append(f"{down} {across}".strip() or "centre")
    return words


def checked_fills(fill: Fills, blur: object) -> tuple[Fill, ...]:
    """One fill or several different ones. Raises ``ValueError`` if one is not known or ``blur`` is no share."""
    names = [fill] if isinstance(fill, str) else listed(fill, "fill")
    for name in names:
        one_of(name, FILLS, "fill")
    if len(set(names)) != len(names):
        raise ValueError(f"fill is {fill!r}; it is one of {', '.join(FILLS)}, or a list of different ones")
    if isinstance(blur, bool) or not isinstance(blur, int | float) or not 0 < blur <= 1:
        raise ValueError(f"blur is {blur!r}; it is a share of the image's side, above 0 and at most 1")
    return cast("tuple[Fill, ...]", tuple(names))


def fill_settings(names: tuple[Fill, ...], blur: float) -> dict[str, Any]:
    """What ``settings`` say of the fills: the width of the blur only where there is one."""
    fill = names[0] if len(names) == 1 else list(names)
    return {"fill": fill, "blur": blur} if "blur" in names else {"fill": fill}

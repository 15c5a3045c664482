"""Images: sliding windows and superpixels."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from probe.maskers import fills
from probe.maskers.base import Feature, Kind, checked_coalition
from probe.maskers.checks import whole
from probe.maskers.fills import FILLS, Fill, Image
from probe.maskers.naming import one_of
from probe.maskers.superpixels import ALGORITHMS, Algorithm, superpixels

BLUR = 0.05  #: default standard deviation of the blur, as a share of √(H·W)


class GridMasker:
    """Square windows slid over an image; switching several off hides their union.

    ``image``: uint8, (H, W, 3) or (H, W). ``window``: side in pixels, cut to the image's. ``stride``: pixels between
    windows, 1 … ``window``; the last window of a row or column is shifted back to end at the edge, so every pixel is under
    at least one window. ``fill``: ``grey`` (128), ``black``, ``mean`` (the image's colour), ``segment-mean`` (each window's
    own colour; where two overlap the later one's), ``blur`` (Gaussian, standard deviation ``blur`` · √(H·W)), ``inpaint``
    (from the pixels that are kept). Raises ``ValueError``.
    """

    kind: ClassVar[Kind] = "image"
    copies: ClassVar[int] = 1
    segments: NDArray[np.int32] | None = None

    def __init__(self, image: Image, *, window: int, stride: int, fill: Fill = "grey", blur: float = BLUR) -> None:
        self.instance: Image = fills.checked_image(image)
        self._fill = _checked_fill(fill, blur)
        window, stride = whole(window, "window", least=1), whole(stride, "stride", least=1)
        height, width = self.instance.shape[:2]
        if stride > window:
            raise ValueError(
                f"stride {stride} is larger than window {window}: pixels would be left out; lower the stride"
            )
        rows, columns = _starts(height, window, stride), _starts(width, window, stride)
        high, wide = min(window, height), min(window, width)
        self._boxes = [(top, left, top + high, left + wide) for top in rows for left in columns]
        self.features: tuple[Feature, ...] = tuple(
            Feature(f"row {r + 1} column {c + 1}", {"box": list(self._boxes[r * len(columns) + c])})
            for r in range(len(rows))
            for c in range(len(columns))
        )
        self.settings: Mapping[str, Any] = {
            "masker": "grid",
            "window": window,
            "stride": stride,
            **_fill_settings(self._fill, blur),
        }
        self._background = _background(self.instance, self._fill, blur)
        boxes = self._boxes if self._fill == "segment-mean" else []
        self._means = [fills.mean_colour(_pixels(self.instance[t:b, x:r])) for t, x, b, r in boxes]

    @property
    def n(self) -> int:
        return len(self._boxes)

    def render(self, coalition: NDArray[np.bool_], copy: int = 0) -> Image:
        kept = checked_coalition(coalition, self.n, copy)
        hidden = np.flatnonzero(~kept).tolist()
        if self._fill == "inpaint" and hidden:
            off = np.zeros(self.instance.shape[:2], dtype=bool)
            for k in hidden:
                top, left, bottom, right = self._boxes[k]
                off[top:bottom, left:right] = True
            return fills.inpaint(self.instance, off)
        result = self.instance.copy()
        for k in hidden:
            top, left, bottom, right = self._boxes[k]
            background = self._means[k] if self._background is None else self._background[top:bottom, left:right]
            result[top:bottom, left:right] = background
        return result


class SuperpixelMasker:
    """The superpixels of an image.

    ``image``: uint8, (H, W, 3) or (H, W). ``segments``: most superpixels to cut it into, ≥ 1; ``slic`` makes them alike in
    size, ``felzenszwalb`` follows edges. ``fill``: as in :class:`GridMasker`; ``segment-mean`` is each superpixel's own mean
    colour. Raises ``ValueError``.
    """

    kind: ClassVar[Kind] = "image"
    copies: ClassVar[int] = 1

    def __init__(
        self,
        image: Image,
        *,
        algorithm: Algorithm = "slic",
        segments: int = 50,
        fill: Fill = "grey",
        blur: float = BLUR,
    ) -> None:
        self.instance: Image = fills.checked_image(image)
        self._fill = _checked_fill(fill, blur)
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
            **_fill_settings(self._fill, blur),
        }
        if self._fill == "segment-mean":
            self._background: Image | None = fills.segment_mean_background(self.instance, self.segments)
        else:
            self._background = _background(self.instance, self._fill, blur)

    @property
    def n(self) -> int:
        return len(self.features)

    def render(self, coalition: NDArray[np.bool_], copy: int = 0) -> Image:
        kept = checked_coalition(coalition, self.n, copy)
        if kept.all():
            return self.instance.copy()
        off = (~kept)[self._ids]
        if self._background is None:
            return fills.inpaint(self.instance, off)
        mask = off if self.instance.ndim == 2 else off[..., None]
        return np.where(mask, self._background, self.instance)


def _starts(length: int, window: int, stride: int) -> list[int]:
    """Where windows start along one side, so that the last one ends at the edge."""
    last = max(length - window, 0)
    starts = list(range(0, last + 1, stride))
    return starts if starts[-1] == last else [*starts, last]


def _pixels(patch: Image) -> Image:
    """(pixels,) or (pixels, 3)."""
    return patch.reshape(-1, *patch.shape[2:])


def _background(image: Image, fill: Fill, blur: float) -> Image | None:
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


def _checked_fill(fill: Fill, blur: object) -> Fill:
    one_of(fill, FILLS, "fill")
    if isinstance(blur, bool) or not isinstance(blur, int | float) or not 0 < blur <= 1:
        raise ValueError(f"blur is {blur!r}; it is a share of the image's side, above 0 and at most 1")
    return fill


def _fill_settings(fill: Fill, blur: float) -> dict[str, Any]:
    return {"fill": fill, "blur": blur} if fill == "blur" else {"fill": fill}

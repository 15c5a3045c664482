"""Pictures and the heat maps laid over them, as data URIs."""

from __future__ import annotations

import base64
import io
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from skimage.segmentation import find_boundaries

from probe.analysis.maps import SMOOTHING, nested_map, pixel_map, smooth_map
from probe.report.palette import diverging

Floats: TypeAlias = NDArray[np.float64]
Labels: TypeAlias = NDArray[np.int32]
Box: TypeAlias = tuple[int, int, int, int]

LARGEST: Final = 640  #: longest side of a shown picture, in pixels
_TINY: Final = 160  #: pictures up to this size are enlarged, pixel by pixel
_ENLARGED: Final = 320
_MOST_PIXELS: Final = 64_000_000
_PNG_UP_TO: Final = 40_000  #: bytes; above this a picture is shown as JPEG
_STEPS: Final = 60  #: colours of a heat map on either side of zero
_CELL_SMOOTHING: Final = 0.4  #: in cells: about what reading between cells does to them
_HEAT_ALPHA: Final = 190
_BORDER: Final = (40, 40, 46, 120)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture ready to show: size in shown pixels, original size, and the picture in colour and in pale grey."""

    width: int
    height: int
    original: tuple[int, int]  #: height, width
    uri: str
    grey_uri: str
    crisp: bool  #: enlarged without smoothing


@dataclass(frozen=True, slots=True)
class Mark:
    """Where the feature of rank ``rank`` is, in shown pixels."""

    rank: int
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Heat:
    """A heat map to lay over the grey picture. The scale ends at ±``limit``."""

    uri: str
    limit: float
    marks: tuple[Mark, ...]


def read_picture(content: bytes) -> Picture | None:
    """The PNG ``content`` ready to show, or ``None`` if it cannot be read as a picture of reasonable size."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content), formats=("PNG",))
            if image.width * image.height > _MOST_PIXELS:
                return None
            pixels = image.convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError, Warning):
        return None
    width, height = shown_size(pixels.width, pixels.height)
    crisp = width > pixels.width
    shown = pixels.resize((width, height), Image.Resampling.NEAREST if crisp else Image.Resampling.LANCZOS)
    grey = shown.convert("L").point([round(88 + 0.65 * level) for level in range(256)])
    return Picture(width, height, (pixels.height, pixels.width), _uri(shown), _uri(grey), crisp)


def shown_size(width: int, height: int) -> tuple[int, int]:
    """Shown (width, height) of a picture: tiny ones are enlarged by a whole factor, large ones reduced to ``LARGEST``."""
    longest = max(width, height)
    if longest <= _TINY:
        factor = max(1, _ENLARGED // longest)
        return width * factor, height * factor
    if longest <= LARGEST:
        return width, height
    return max(1, round(width * LARGEST / longest)), max(1, round(height * LARGEST / longest))


def heat_map(
    picture: Picture, features: Sequence[Mapping[str, Any]], values: Floats, segments: Labels | None, *, marks: int = 5
) -> Heat | None:
    """The heat map of ``values`` (one a feature, NaN draws nothing), or ``None`` if it is not known where the features are.

    Superpixels are drawn a little smoothed, with their borders, and soft cells as soft as they are; the scale is that of
    the values themselves. Boxes that do not overlap are drawn flat, with borders; overlapping windows as the mean, at each
    pixel, over those with a value that cover it; a quadtree's regions per area, the scale being that of the smallest.
    """
    boxes = [_box(feature, picture.original) for feature in features]
    size = (picture.width, picture.height)
    labels = _labels(picture, features, boxes, segments)
    if labels is not None:
        shown = _resized(labels, size)
        known = np.append(values, np.nan)  # index −1: no feature there
        heat = known[shown]
        limit = _largest(heat)
        cells = all("cell" in (feature.get("place") or {}) for feature in features)
        share = _CELL_SMOOTHING if cells else SMOOTHING if segments is not None else 0.0
        heat = smooth_map(heat, share * math.sqrt(heat.size / max(1, len(features))))
        borders = np.zeros(shown.shape, dtype=bool)
        if not cells:
            borders = find_boundaries(shown, mode="outer", background=-2)  # type: ignore[no-untyped-call]
    elif boxes and all(box is not None for box in boxes):
        known_boxes = [box for box in boxes if box is not None]
        nested = all("level" in (feature.get("place") or {}) for feature in features)
        means = (nested_map if nested else window_means)(picture.original, known_boxes, values)
        heat, borders = _resized_smoothly(means, size), np.zeros((picture.height, picture.width), dtype=bool)
        limit = _largest(heat)
    else:
        return None
    placed = _marks(picture, boxes, labels, values, marks)
    return Heat(_overlay_uri(heat, limit, borders), limit, placed)


def _largest(heat: Floats) -> float:
    """The largest absolute number, 0 without any."""
    return float(np.max(np.abs(heat[np.isfinite(heat)]), initial=0.0))


def window_means(shape: tuple[int, int], boxes: Sequence[Box], values: Floats) -> Floats:
    """(H, W) mean over the boxes that cover each pixel; NaN where none with a known value does."""
    known = [index for index, value in enumerate(values) if np.isfinite(value)]
    kept = [boxes[index] for index in known]
    covered = pixel_map(shape, kept, np.ones(len(known))) > 0
    return np.where(covered, pixel_map(shape, kept, values[known]), np.nan)


def _box(feature: Mapping[str, Any], shape: tuple[int, int]) -> Box | None:
    box = (feature.get("place") or {}).get("box")
    if not isinstance(box, (list, tuple)) or len(box) != 4 or not all(isinstance(edge, int) for edge in box):
        return None
    top, left, bottom, right = (min(max(0, edge), shape[index % 2]) for index, edge in enumerate(box))
    return (top, left, bottom, right) if top < bottom and left < right else None


def _labels(
    picture: Picture, features: Sequence[Mapping[str, Any]], boxes: Sequence[Box | None], segments: Labels | None
) -> Labels | None:
    """(H, W) index of the feature at each pixel, −1 for none; ``None`` if features overlap or are not known."""
    labels = np.full(picture.original, -1, dtype=np.int32)
    if segments is not None and segments.shape == picture.original:
        for index, feature in enumerate(features):
            segment = (feature.get("place") or {}).get("segment")
            if isinstance(segment, int):
                labels[segments == segment] = index
        return labels if (labels >= 0).any() else None
    for index, box in enumerate(boxes):
        if box is None:
            return None
        place = labels[box[0] : box[2], box[1] : box[3]]
        if (place >= 0).any():
            return None
        place[:] = index
    return labels if boxes else None


def _marks(
    picture: Picture, boxes: Sequence[Box | None], labels: Labels | None, values: Floats, most: int
) -> tuple[Mark, ...]:
    """Where to write the ranks of the strongest features: only on parts, windows would lie on top of each other."""
    if labels is None:
        return ()
    scale_y, scale_x = picture.height / picture.original[0], picture.width / picture.original[1]
    found = []
    order = sorted(
        (i for i in range(len(values)) if np.isfinite(values[i]) and values[i] != 0), key=lambda i: -abs(values[i])
    )
    for rank, index in enumerate(order[:most], start=1):
        box = boxes[index]
        rows, columns = np.nonzero(labels == index)
        if not len(rows):
            continue
        if box is None:  # the member nearest to the centre of mass: inside even where the part is bent
            nearest = int(np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2))
            y, x = rows[nearest] + 0.5, columns[nearest] + 0.5
        else:
            y, x = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        found.append(Mark(rank, round(x * scale_x), round(y * scale_y)))
    return tuple(found)


def _resized(labels: Labels, size: tuple[int, int]) -> Labels:
    return np.asarray(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST), dtype=np.int32)


def _resized_smoothly(means: Floats, size: tuple[int, int]) -> Floats:
    covered = np.isfinite(means)
    filled = Image.fromarray(np.where(covered, means, 0.0).astype(np.float32))
    heat = np.asarray(filled.resize(size, Image.Resampling.BILINEAR), dtype=np.float64)
    shown = np.asarray(Image.fromarray(covered).resize(size, Image.Resampling.NEAREST))
    return np.where(shown, heat, np.nan)


def _overlay_uri(heat: Floats, limit: float, borders: NDArray[np.bool_]) -> str:
    """A palette PNG: ``2·_STEPS + 1`` colours, one for borders, one that is clear."""
    levels = np.rint(heat / (limit or 1.0) * _STEPS)
    border, clear = 2 * _STEPS + 1, 2 * _STEPS + 2
    indices = np.where(np.isfinite(levels), np.clip(levels, -_STEPS, _STEPS) + _STEPS, clear)
    indices[borders] = border
    colours = diverging(np.arange(-_STEPS, _STEPS + 1) / _STEPS)
    image = Image.fromarray(indices.astype(np.uint8), mode=None)
    image = image.convert("L")
    image.putpalette(bytes(colours.ravel()) + bytes(_BORDER[:3]) + bytes(3))
    alphas = bytes([_HEAT_ALPHA] * (2 * _STEPS + 1)) + bytes([_BORDER[3], 0])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True, transparency=alphas)
    return _data_uri("image/png", buffer.getvalue())


def _uri(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    if buffer.tell() <= _PNG_UP_TO:
        return _data_uri("image/png", buffer.getvalue())
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=86)
    return _data_uri("image/jpeg", buffer.getvalue())


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"

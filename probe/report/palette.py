"""One diverging scale for everything: blue below zero, white at zero, orange above; told apart by every common colour vision.

The stops are ColorBrewer's: the negative half of RdBu, the positive half of PuOr turned round.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

RGB = tuple[int, int, int]

_POSITIVE: Final = ("#ffffff", "#fee0b6", "#fdb863", "#e08214", "#b35806")
_NEGATIVE: Final = ("#ffffff", "#d1e5f0", "#92c5de", "#4393c3", "#2166ac")
_POSITIVE_DARK: Final = ("#161a20", "#3d2a12", "#6e430c", "#a9610c", "#ee9a35")
_NEGATIVE_DARK: Final = ("#161a20", "#14303f", "#1b4d6e", "#2572ab", "#6cb4e4")
#: shades on either side of zero for words in text
LEVELS: Final = 10


@dataclass(frozen=True, slots=True)
class Shade:
    """A background and the text colour that is readable on it, as ``#rrggbb``."""

    name: str  #: ``p1`` … above zero, ``n1`` … below
    background: str
    text: str


def _stops(colours: tuple[str, ...]) -> NDArray[np.float64]:
    return np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in colours], dtype=np.float64)


def _ramp(colours: tuple[str, ...], at: NDArray[np.float64]) -> NDArray[np.float64]:
    stops = _stops(colours)
    places = np.linspace(0.0, 1.0, len(stops))
    return np.stack([np.interp(at, places, stops[:, channel]) for channel in range(3)], axis=-1)


def diverging(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Colours of ``values`` in [−1, 1], shape (…,): (…, 3) uint8, white at 0."""
    clipped = np.clip(values, -1.0, 1.0)
    positive, negative = _ramp(_POSITIVE, np.abs(clipped)), _ramp(_NEGATIVE, np.abs(clipped))
    colours = np.where(clipped[..., None] >= 0, positive, negative)
    return np.asarray(np.rint(colours), dtype=np.uint8)


def as_hex(rgb: NDArray[np.uint8]) -> str:
    """``#rrggbb``."""
    return "#" + "".join(f"{int(c):02x}" for c in rgb)


def luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb`` (WCAG 2.2)."""
    parts = _stops((colour,))[0] / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ np.array([0.2126, 0.7152, 0.0722]))


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def shades(*, dark: bool) -> list[Shade]:
    """The shades of words, for a light or a dark page, each with black or white text, whichever reads better."""
    sides = (("p", _POSITIVE_DARK if dark else _POSITIVE), ("n", _NEGATIVE_DARK if dark else _NEGATIVE))
    found = []
    for side, colours in sides:
        ramp = np.asarray(np.rint(_ramp(colours, np.arange(1, LEVELS + 1) / LEVELS)), dtype=np.uint8)
        for level, rgb in enumerate(ramp, start=1):
            background = as_hex(rgb)
            text = max(("#000000", "#ffffff"), key=lambda ink: contrast(ink, background))
            found.append(Shade(f"{side}{level}", background, text))
    return found


def shade_name(value: float | None, limit: float) -> str:
    """Which shade shows ``value`` on a scale that ends at ±``limit``; empty for zero, nothing and not a number."""
    if value is None or not limit > 0 or not np.isfinite(value):
        return ""
    level = round(min(1.0, abs(value) / limit) * LEVELS)
    return f"{'p' if value > 0 else 'n'}{level}" if level else ""


def gradient(steps: int = 8) -> list[tuple[str, str]]:
    """(offset in percent, colour) of the colour bar from −1 to +1."""
    at = np.linspace(-1.0, 1.0, 2 * steps + 1)
    return [(f"{50 * (x + 1):g}%", as_hex(rgb)) for x, rgb in zip(at, diverging(at), strict=True)]

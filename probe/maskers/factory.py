"""From settings, as they stand in a config, to a masker."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from adapters import Instance
from probe.maskers.alterations import AlterationMasker
from probe.maskers.base import Kind, Masker
from probe.maskers.cells import CellMasker
from probe.maskers.checks import listed, whole
from probe.maskers.fills import checked_image
from probe.maskers.image import GridMasker, SuperpixelMasker
from probe.maskers.naming import nearest, one_of
from probe.maskers.quadtree import QuadtreeMasker
from probe.maskers.steps import ShiftMasker, StepMasker
from probe.maskers.substitutions import LexiconLike, SubstitutionMasker
from probe.maskers.tabular import TabularMasker
from probe.maskers.text import TextMasker

View: TypeAlias = Literal["parts", "windows", "quadtree", "cells", "substitutions", "alterations", "steps"]

SAMPLE = 10  #: background rows drawn for ``fill: rows`` unless ``sample`` says otherwise; each multiplies the cost
_ACROSS = 7  #: windows side by side in an image as long as wide, before they overlap


@dataclass(frozen=True, slots=True)
class _Context:
    settings: Mapping[str, Any]
    lexicon: LexiconLike | None
    rng_seed: int


def _superpixels(instance: Any, context: _Context) -> Masker:
    return SuperpixelMasker(instance, **context.settings)


def _windows(instance: Any, context: _Context) -> Masker:
    height, width = checked_image(instance).shape[:2]
    window = context.settings.get("window", max(1, round(math.sqrt(height * width) / _ACROSS)))
    stride = max(1, whole(window, "window", least=1) // 2)
    return GridMasker(instance, **{"stride": stride, **context.settings, "window": window})


def _quadtree(instance: Any, context: _Context) -> Masker:
    return QuadtreeMasker(instance, **context.settings)


def _cells(instance: Any, context: _Context) -> Masker:
    return CellMasker(instance, **context.settings)


def _text(instance: Any, context: _Context) -> Masker:
    return TextMasker(instance, **context.settings)


def _substitutions(instance: Any, context: _Context) -> Masker:
    return SubstitutionMasker(instance, lexicon=context.lexicon, **context.settings)


def _columns(instance: Any, context: _Context) -> Masker:
    settings = dict(context.settings)
    if "background" not in settings:
        raise ValueError("a table row needs background: one or more rows whose values stand in for its own")
    sample = settings.pop("sample", SAMPLE if settings.get("fill") == "rows" else None)
    rows = listed(settings["background"], "background")
    if sample is not None and len(rows) > whole(sample, "sample", least=1):
        drawn = np.random.default_rng(context.rng_seed).choice(len(rows), size=sample, replace=False)
        settings["background"] = [rows[k] for k in sorted(drawn.tolist())]
    return TabularMasker(instance, **settings)


def _alterations(instance: Any, context: _Context) -> Masker:
    settings = dict(context.settings)
    background = settings.pop("background", None)
    settings.setdefault("reference", background)
    return AlterationMasker(instance, **settings)


def _steps(instance: Any, context: _Context) -> Masker:
    settings = dict(context.settings)
    background = settings.pop("background", None)
    settings.setdefault("reference", background)
    return StepMasker(instance, **settings)


def _shifts(instance: Any, context: _Context) -> Masker:
    return ShiftMasker(instance, **context.settings)


_IMAGE_FILL: Final = ("fill", "blur")
_TEXT: Final = ("unit", "pattern", "spans", "fill", "mask_token", "neutral", "substitutes")
_TABLE: Final = ("background", "fill", "groups", "sample")

#: kind → view → how to build it and the settings it takes
_VIEWS: Final[Mapping[str, Mapping[str, tuple[Callable[[Any, _Context], Masker], tuple[str, ...]]]]] = {
    "image": {
        "parts": (_superpixels, ("algorithm", "segments", *_IMAGE_FILL)),
        "windows": (_windows, ("window", "stride", *_IMAGE_FILL)),
        "quadtree": (_quadtree, ("depth", *_IMAGE_FILL)),
        "cells": (_cells, ("grid", *_IMAGE_FILL)),
        "steps": (_shifts, ("algorithm", "segments", "shift")),
    },
    "text": {
        "parts": (_text, _TEXT),
        "windows": (_text, _TEXT),
        "substitutions": (_substitutions, ("relations", "per_word", "pairs", "neutral")),
    },
    "tabular": {
        "parts": (_columns, _TABLE),
        "windows": (_columns, _TABLE),
        "alterations": (_alterations, ("background", "reference", "ranges", "points", "columns")),
        "steps": (_steps, ("background", "reference", "step", "steps", "columns")),
    },
}


def known_settings(kind: Kind) -> tuple[str, ...]:
    """Every setting a masker of ``kind`` takes, whatever the view, in a fixed order."""
    views = _VIEWS[one_of(kind, tuple(_VIEWS), "kind")]
    return tuple(dict.fromkeys(name for _, names in views.values() for name in names))


def build_masker(
    kind: Kind,
    view: View,
    instance: Instance,
    settings: Mapping[str, Any],
    *,
    lexicon: LexiconLike | None = None,
    rng_seed: int = 0,
) -> Masker:
    """The masker for one input.

    ``settings``: JSON-ready, by the names of the maskers' own parameters; what is missing or ``None`` takes its default.
    One block of settings serves all views of a kind, so those of another view are accepted and left aside.

    - image, ``parts``: 50 superpixels by slic, grey; ``windows``: square windows of a seventh of √(H·W), half
      overlapping (about 170), grey; ``quadtree``: the regions of four levels (340), grey; ``cells``: 7 × 7 soft cells,
      grey; ``steps``: each superpixel 8 intensities brighter or darker. ``fill`` may be a list: each coalition is then
      rendered once with every one of them.
    - text, ``parts`` and ``windows``: words, deleted; ``substitutions``: see :class:`SubstitutionMasker`.
    - tabular, ``parts`` and ``windows``: columns, replaced by the median of ``background``; with ``fill: rows`` by
      ``sample`` (10) of its rows, drawn with ``rng_seed``; ``alterations``: ten values a column from ``reference``, which
      defaults to ``background``; ``steps``: numeric columns a tenth of their deviation in it up or down.

    Raises ``ValueError``: unknown setting (naming the nearest known), a view the kind does not have, or what the masker
    itself refuses.
    """
    known = known_settings(kind)
    for name in settings:
        if name not in known:
            raise ValueError(
                f"masker setting {name!r} is unknown{nearest(name, known)}. Known for {kind}: {', '.join(known)}"
            )
    one_of(view, tuple(_VIEWS[kind]), f"view of {kind}")
    build, names = _VIEWS[kind][view]
    given = {name: settings[name] for name in names if settings.get(name) is not None}
    return build(instance, _Context(given, lexicon, rng_seed))

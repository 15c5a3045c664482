"""What a masker is: an instance cut into ``n`` switchable features.

A coalition is a boolean vector of length ``n``: ``True`` keeps the feature, ``False`` puts the background in its place.
Everything a method may ask of a model is a coalition of some masker. Word substitutions and altered variables fit the same
shape: there a feature is *one possible alteration*, kept (``True``) means the instance is left as it is at that place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from adapters import Instance

Kind = Literal["image", "text", "tabular"]


@dataclass(frozen=True, slots=True)
class Feature:
    """One switchable part of an instance, with what is needed to show it and to trace what was done to it."""

    name: str  #: shown to the user, unique within the masker
    #: Where it is; JSON-ready. image grid: ``{"box": [top, left, bottom, right]}``; superpixel: ``{"segment": k}``;
    #: text: ``{"span": [start, end]}`` (code points); table: ``{"columns": [..]}``.
    place: Mapping[str, Any] = field(default_factory=dict)
    #: Features that are alternatives at one place share a group (all substitutes of one word, all values of one column).
    group: str = ""
    #: What replaces it, where that is one thing; JSON-ready. ``{"substitute": "film", "relation": "synonym"}``,
    #: ``{"value": 42.0}``.
    change: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Masker(Protocol):
    """Pure: the same instance and settings give the same features and the same renderings."""

    kind: Kind
    instance: Instance
    features: tuple[Feature, ...]
    #: Canonical JSON-ready settings: equal identity and equal instance mean equal renderings.
    settings: Mapping[str, Any]
    #: (H, W) int32 map of the segment each pixel belongs to (superpixels), else ``None``; ``place["segment"]`` indexes it.
    segments: NDArray[np.int32] | None

    @property
    def n(self) -> int:
        """Number of features."""

    def render(self, coalition: NDArray[np.bool_]) -> Instance:
        """The instance with every feature whose entry is ``False`` replaced. ``coalition`` has shape (n,).

        All ``True`` returns an instance equal to the original. Maskers whose background has several rows or fills render
        one of them; see the masker.
        """

"""What a masker is: an instance cut into ``n`` switchable features.

A coalition is a boolean vector of length ``n``: ``True`` keeps the feature, ``False`` puts the background in its place.
Everything a method may ask of a model is a coalition of some masker. Word substitutions and altered variables fit the same
shape: there a feature is *one possible alteration*, kept (``True``) means the instance is left as it is at that place.

A background of several rows makes several renderings of one coalition (``copies``): the coalition's value is the mean of
their scores, the expectation over the background with the kept features held fixed (interventional expectation).
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

    @property
    def kind(self) -> Kind: ...

    @property
    def instance(self) -> Instance:
        """The input under study, as it is."""

    @property
    def features(self) -> tuple[Feature, ...]: ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """Canonical JSON-ready settings: equal settings and equal instance mean equal renderings."""

    @property
    def segments(self) -> NDArray[np.int32] | None:
        """(H, W) map of the segment each pixel belongs to (superpixels), else ``None``; ``place["segment"]`` indexes it."""

    @property
    def copies(self) -> int:
        """Renderings of one coalition: 1, or the number of background rows.

        A coalition's value is the mean score over its copies, so it costs up to this many evaluations; equal renderings
        (all copies of the full coalition) cost one.
        """

    @property
    def n(self) -> int:
        """Number of features."""

    def render(self, coalition: NDArray[np.bool_], copy: int = 0) -> Instance:
        """The instance with every feature whose entry is ``False`` replaced. ``coalition`` has shape (n,).

        ``copy`` in 0 … ``copies`` − 1 chooses the background row. All ``True`` returns an instance equal to the original,
        whatever the copy. Raises ``ValueError`` if ``coalition`` has another shape or type, or ``copy`` is out of range.
        """


def checked_coalition(coalition: NDArray[np.bool_], n: int, copy: int = 0, copies: int = 1) -> NDArray[np.bool_]:
    """``coalition`` as a (n,) bool array. Raises ``ValueError`` if it is anything else, or ``copy`` is out of range."""
    array = np.asarray(coalition)
    if array.shape != (n,) or array.dtype != np.bool_:
        raise ValueError(f"coalition has shape {array.shape} and type {array.dtype}; this masker needs ({n},) and bool")
    if not 0 <= copy < copies:
        raise ValueError(f"copy is {copy}; this masker has {copies} ({'0' if copies == 1 else f'0 … {copies - 1}'})")
    return array

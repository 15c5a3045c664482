"""Labels, scores and label spaces: what a row must have, and what it means that something is not there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from adapters.base import Prediction
from adapters.read_json import Query
from adapters.show import shown


@dataclass(frozen=True, slots=True)
class LabelSpace:
    """Which labels may and must be there.

    ``labels`` with ``missing`` None: exactly these. ``missing`` 0: the API omits zeros. ``missing`` ``"censored"``: it cuts
    off, so a missing label scored at most the lowest returned score, or ``below`` if the cut-off is known. ``aliases``: the
    label under which a returned one is kept; if several come to the same, the highest of their scores counts, since each
    is the provider's confidence in the same thing.
    """

    labels: tuple[str, ...] | None = None
    missing: Literal["censored", 0] | None = None
    below: float | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)

    def prediction(self, scores: Mapping[str, float]) -> Prediction:
        """``scores`` with what they say about labels that are not in them. Raises :class:`Misfit`."""
        scores = self._renamed(scores)
        if self.labels is not None:
            unknown = [label for label in scores if label not in self.labels]
            if unknown:
                raise Misfit(f"label {shown(unknown[0])} is not among the declared labels")
            absent = [label for label in self.labels if label not in scores]
            if absent and self.missing is None:
                hint = "; write missing: 0 or missing: censored if the API leaves labels out"
                raise Misfit(f"label {shown(absent[0])} is missing, got {shown(list(scores))}{hint}")
        if self.missing is None:
            if not scores:
                raise Misfit("no label at all; write missing: 0 or missing: censored if the API leaves labels out")
            return Prediction(scores)
        if self.missing == 0:
            return Prediction(scores, floor=0.0)
        known = [*scores.values(), *(() if self.below is None else (self.below,))]
        if not known:
            raise Misfit("no label at all, and the provider's cut-off is not known; write it as below: NUMBER")
        return Prediction(scores, floor=min(known), censored=True)

    def _renamed(self, scores: Mapping[str, float]) -> Mapping[str, float]:
        if not self.aliases:
            return scores
        renamed: dict[str, float] = {}
        for label, score in scores.items():
            name = self.aliases.get(label, label)
            renamed[name] = max(score, renamed.get(name, score))
        return renamed


class Misfit(Exception):
    """One row is not as described; ``lasting`` if another input would fare the same."""

    def __init__(self, message: str, *, lasting: bool = True) -> None:
        super().__init__(message)
        self.lasting = lasting


def found(at: Query, row: Any) -> Any:
    """What ``at`` finds in ``row``. Raises :class:`Misfit` for nothing."""
    value = at(row)
    if value is None:
        raise Misfit(f"{at.path!r} finds nothing in {shown(row)}")
    return value


def label_of(value: Any, path: str = "", row: Any = None) -> str:
    """``value``, found by ``path`` in ``row``, as a label. Raises :class:`Misfit`."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if abs(value) < 10**18 else shown(value)
    if not isinstance(value, str):
        raise Misfit(f"label {path!r} is {shown(value)}, not text, in {shown(row)}")
    if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise Misfit(f"label {shown(value)} holds what is not text", lasting=False)
    return value


def number_of(value: Any, scale: float, label: str) -> float:
    """``value`` as the score of ``label``. Raises :class:`Misfit` unless it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        # null and "NaN" are how servers write a score that came out undefined for this one input
        lasting = value is not None and value not in ("NaN", "Infinity", "-Infinity")
        raise Misfit(f"the score of {shown(label)} is {shown(value)}, not a number", lasting=lasting)
    try:
        number = float(value) * scale
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Misfit(f"the score of {shown(label)} is {shown(value)}, not a finite number", lasting=False)
    return number

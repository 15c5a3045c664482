"""Alteration: move one column of a row over its range and draw what the score does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from probe.maskers.base import Feature, Kind
from probe.methods.base import Bools, CoalitionTable, Explanation, View
from probe.methods.design import leave_one_out
from probe.methods.effects import SingleChanges, ask_single_changes, single_changes


@dataclass(frozen=True)
class Alteration:
    """One feature is one column set to one value; its value is the score of the row less the score so altered.

    ``details``: ``curves`` has for each column its ``values`` (numbers ascending) and the ``scores`` there: one instance's
    individual conditional expectation; ``effects`` has for each column the range of the score over its curve and the row
    as it is.
    """

    name: ClassVar[str] = "alteration"
    view: ClassVar[View] = "alterations"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"tabular"})
    source: ClassVar[str] = "Goldstein et al., Peeking Inside the Black Box (ICE), JCGS 2015"

    @property
    def settings(self) -> Mapping[str, Any]:
        return {}

    def ask(self, features: tuple[Feature, ...], table: CoalitionTable, budget: int, rng: np.random.Generator) -> Bools:
        """The row as it is and every single altered value."""
        del rng  # nothing is drawn
        return ask_single_changes(self.name, features, table, budget)

    def essential(self, features: tuple[Feature, ...]) -> Bools:
        """All that it asks, and all that it reads of a larger table."""
        return leave_one_out(len(features))

    def explain(self, features: tuple[Feature, ...], table: CoalitionTable) -> Explanation:
        """An altered value without an answer has the value NaN and is left out of its curve."""
        seen = single_changes(self.name, features, table)
        curves = _curves(features, seen)
        effects = {
            column: max(*curve["scores"], seen.full) - min(*curve["scores"], seen.full)
            for column, curve in curves.items()
        }
        return Explanation(
            method=self.name,
            values=seen.changes,
            std_errors=seen.std_errors,
            base_value=seen.base,
            full_value=seen.full,
            evaluations=table.m,
            trust=seen.trust,
            findings=seen.findings,
            details={"curves": curves, "effects": effects},
        )


def _curves(features: tuple[Feature, ...], seen: SingleChanges) -> dict[str, dict[str, list[Any]]]:
    points: dict[str, list[tuple[Any, float]]] = {}
    for feature, score in zip(features, seen.scores, strict=True):
        if not np.isnan(score):
            points.setdefault(feature.group or feature.name, []).append((feature.change.get("value"), float(score)))
    curves = {}
    for column, curve in points.items():
        if all(isinstance(value, int | float) for value, _ in curve):
            curve.sort(key=lambda point: float(point[0]))
        curves[column] = {"values": [value for value, _ in curve], "scores": [score for _, score in curve]}
    return curves

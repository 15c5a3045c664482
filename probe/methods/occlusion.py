"""Occlusion: replace one part at a time and see what the score loses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from probe.maskers.base import Feature, Kind
from probe.methods.background import background_spread, nullable
from probe.methods.base import Bools, CoalitionTable, Explanation, View
from probe.methods.design import leave_one_out
from probe.methods.effects import ask_single_changes, single_changes
from probe.methods.findings import figures


@dataclass(frozen=True)
class Occlusion:
    """A feature's value is the score of the instance less the score without that feature; n + 1 evaluations.

    Standard errors come from repeats, NaN without. The base value is NaN unless ∅ happens to be in the table. Where the
    masker has several backgrounds, values are means over them and ``details["by_background"]`` has those of each.
    """

    name: ClassVar[str] = "occlusion"
    view: ClassVar[View] = "windows"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"image", "text", "tabular"})
    source: ClassVar[str] = "Zeiler & Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014"

    @property
    def settings(self) -> Mapping[str, Any]:
        return {}

    def ask(self, features: tuple[Feature, ...], table: CoalitionTable, budget: int, rng: np.random.Generator) -> Bools:
        """The full coalition and every one without a single feature."""
        del rng  # nothing is drawn
        return ask_single_changes(self.name, features, table, budget)

    def essential(self, features: tuple[Feature, ...]) -> Bools:
        """All that it asks, and all that it reads of a larger table."""
        return leave_one_out(len(features))

    def explain(self, features: tuple[Feature, ...], table: CoalitionTable) -> Explanation:
        """A feature whose row has no answer has the value NaN."""
        seen = single_changes(self.name, features, table)
        backgrounds = background_spread(features, table)
        return Explanation(
            method=self.name,
            values=seen.changes,
            std_errors=seen.std_errors,
            base_value=seen.base,
            full_value=seen.full,
            evaluations=table.m,
            trust={**seen.trust, **figures(background_spread=backgrounds.share)},
            findings=(*seen.findings, *backgrounds.findings),
            details={"by_background": nullable(backgrounds.changes)} if len(backgrounds.changes) else {},
        )

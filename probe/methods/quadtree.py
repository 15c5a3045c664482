"""Hierarchical occlusion: hide large regions first, and look closer only where that mattered."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from probe.maskers.base import Feature, Kind
from probe.methods.background import background_spread
from probe.methods.base import Bools, BudgetTooSmall, CoalitionTable, Explanation, Floats, View
from probe.methods.design import Ints, find_rows, without_known
from probe.methods.effects import base_value, check_features, full_value
from probe.methods.findings import constant, figures, noise_share, noisy, saturated, unanswered


@dataclass(frozen=True)
class Quadtree:
    """A region's value is the score of the image less the score with that region hidden; NaN if it was not asked.

    The four quarters are hidden first. Then, in rounds, the regions that changed the score most are split into their
    quarters: in each round those at least half as strong as the strongest, while the budget lasts. A region that changed
    it by less than ``least`` (0 … 1) of the largest change seen is never split. ``details`` names the regions that were
    split; the others that have a value cover the picture once. Small regions change the score less than large ones, so a
    map shows values per area (``probe.analysis.maps.nested_map``). Standard errors come from repeats, NaN without.
    As with any single hiding, a part that another one makes up for goes unseen; hiding a whole quarter first makes that
    rarer than with small windows.
    """

    least: float = 0.05

    name: ClassVar[str] = "quadtree"
    view: ClassVar[View] = "quadtree"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"image"})
    source: ClassVar[str] = "Zeiler & Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014, refined"

    def __post_init__(self) -> None:
        least: Any = self.least  # settings come from a config file
        if isinstance(least, bool) or not isinstance(least, int | float) or not 0 <= least <= 1:
            raise ValueError(f"quadtree: least must be a number from 0 to 1, not {self.least!r}")

    @property
    def settings(self) -> Mapping[str, Any]:
        return asdict(self)

    def ask(self, features: tuple[Feature, ...], table: CoalitionTable, budget: int, rng: np.random.Generator) -> Bools:
        """The image and its quarters, then round by round the quarters of the strongest regions; needs 5."""
        del rng  # nothing is drawn
        tree = _tree(features, table)
        hidden = ~np.eye(tree.n, dtype=bool)
        start = np.vstack([np.ones((1, tree.n), dtype=bool), hidden[tree.children(-1)]])
        first = without_known(start, table.coalitions)
        if len(first):
            if table.m + len(first) > budget:
                raise BudgetTooSmall(self.name, budget, table.m + len(first), tree.n)
            return first
        full, _ = full_value(self.name, table)
        changes = np.abs(full - tree.scores(table))
        rows = np.zeros((0, tree.n), dtype=bool)
        for region in self._to_split(tree, changes):
            more = without_known(hidden[tree.children(region)], table.coalitions)
            if table.m + len(rows) + len(more) > budget:
                break
            rows = np.vstack([rows, more])
        return rows

    def _to_split(self, tree: _Tree, changes: Floats) -> list[int]:
        """Regions to split now, strongest first: known, with quarters none of which was asked."""
        largest = float(np.nanmax(changes, initial=0.0))
        open_ = [
            region
            for region in np.flatnonzero(changes > 0).tolist()
            if changes[region] >= self.least * largest
            and len(quarters := tree.children(region))
            and np.isnan(changes[quarters]).all()
        ]
        open_.sort(key=lambda region: (-changes[region], region))
        return [region for region in open_ if changes[region] >= changes[open_[0]] / 2]

    def explain(self, features: tuple[Feature, ...], table: CoalitionTable) -> Explanation:
        """From the image and any single hidings. Raises :class:`ValueError` if the image's own score or all are missing."""
        tree = _tree(features, table)
        full, full_noise = full_value(self.name, table)
        base, _ = base_value(table)
        rows = find_rows(table.coalitions, ~np.eye(tree.n, dtype=bool))
        known = rows >= 0
        if not known.any():
            raise ValueError(f"{self.name}: no region's hiding has an answer; raise the budget")
        changes = full - tree.scores(table)
        variance = np.where(known, full_noise + table.noise[rows], 0.0)
        errors = np.where(variance > 0, np.sqrt(variance), np.nan)
        split = [region for region in range(tree.n) if known[region] and tree.is_split(region, known)]
        missing = [
            features[quarter].name
            for region in [-1, *split]
            for quarter in tree.children(region).tolist()
            if not known[quarter]
        ]
        share, spread = noise_share(table), background_spread(features, table)
        return Explanation(
            method=self.name,
            values=changes,
            std_errors=errors,
            base_value=base,
            full_value=full,
            evaluations=table.m,
            trust=figures(noise_share=share, background_spread=spread.share),
            findings=(
                *unanswered(missing, int(known.sum()) + len(missing)),
                *(constant(table) or saturated(full, changes[known], base)),
                *spread.findings,
                *noisy(table),
            ),
            details={"split": [features[region].name for region in split]},
        )


@dataclass(frozen=True, slots=True)
class _Tree:
    """``parents`` (n,): number of the region each one is a quarter of, −1 for the image itself."""

    parents: Ints

    @property
    def n(self) -> int:
        return len(self.parents)

    def children(self, region: int) -> Ints:
        return np.flatnonzero(self.parents == region)

    def scores(self, table: CoalitionTable) -> Floats:
        """Score with each region hidden (n,), NaN where it was not asked."""
        rows = find_rows(table.coalitions, ~np.eye(self.n, dtype=bool))
        scores: Floats = np.where(rows >= 0, table.values[rows], np.nan) if table.m else np.full(self.n, math.nan)
        return scores

    def is_split(self, region: int, known: Bools) -> bool:
        """Whether at least one of its quarters has an answer."""
        return bool(known[self.children(region)].any())


def _tree(features: tuple[Feature, ...], table: CoalitionTable) -> _Tree:
    n = check_features(Quadtree.name, features, table)
    if any("level" not in feature.place for feature in features):
        raise ValueError(
            "quadtree: these features are not the regions of a quadtree; use a masker of the view quadtree"
        )
    parents = np.array([feature.place.get("parent", -1) for feature in features], dtype=np.intp)
    return _Tree(parents.reshape(n))

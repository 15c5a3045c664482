"""What a method is: it asks for coalitions, and explains from their values. No I/O, no clock, no global randomness.

``ask`` is called in rounds until it returns no rows; between rounds the table grows by the rows it asked for, in that order,
as far as they were answered. It may begin with rows that other methods or earlier probes asked. Everything a method needs is
in the table, so resuming, a second target and offline re-analysis are one code path: the same rows and values give the same
explanation, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from probe.maskers.base import Feature, Kind

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

#: What a method wants its features to be. ``parts``: superpixels, words, columns. ``windows``: sliding windows for images
#: (as ``parts`` for other kinds). ``quadtree``: the regions of all levels of a quadtree, and ``cells``: a coarse grid of soft
#: cells, both for images only. ``substitutions``: one feature per possible substitute. ``alterations``: one feature per
#: (column, value). ``steps``: two features per column or superpixel, a small step up and one down.
View = Literal["parts", "windows", "quadtree", "cells", "substitutions", "alterations", "steps"]


@dataclass(frozen=True, slots=True)
class CoalitionTable:
    """Evaluated coalitions of one game.

    ``coalitions``: (m, n) bool. ``values``: (m,) float, the chosen output's score, never NaN. ``noise``: (m,) variance of
    each value known from repeats, 0 where it was asked once. ``copies``: (m, c) the value of each rendering alone, where a
    coalition has several (background rows, fills): ``values`` are their means. ``None`` where there is one, or it is not
    known.
    """

    coalitions: Bools
    values: Floats
    noise: Floats
    copies: Floats | None = None

    @classmethod
    def empty(cls, n: int) -> CoalitionTable:
        return cls(np.zeros((0, n), dtype=bool), np.zeros(0), np.zeros(0))

    @classmethod
    def of(cls, coalitions: Bools, values: Floats, noise: Floats | None = None) -> CoalitionTable:
        values = np.asarray(values, dtype=np.float64)
        if len(coalitions) != len(values):
            raise ValueError(f"{len(coalitions)} coalitions but {len(values)} values")
        return cls(np.asarray(coalitions, dtype=bool), values, np.zeros(len(values)) if noise is None else noise)

    @property
    def m(self) -> int:
        return len(self.coalitions)

    @property
    def n(self) -> int:
        return int(self.coalitions.shape[1])


@dataclass(frozen=True, slots=True)
class Finding:
    """Something the user should know, with the code that ``probe explain CODE`` words."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Per-feature attributions of one output, and what is needed to trust them.

    ``values``, ``std_errors``: (n,), in score units; a standard error is NaN where the method gives none and 0 where the
    value is exact. A value is NaN where no answer says anything about the feature. ``base_value``: the score with every
    feature replaced (NaN if the method does not ask it). ``full_value``: the score of the instance as it is.
    """

    method: str
    values: Floats
    std_errors: Floats
    base_value: float
    full_value: float
    evaluations: int
    exact: bool = False
    #: figures by name: ``r2`` (weighted, in sample), ``r2_held_out``, ``efficiency_gap``, ``half_split_spread``,
    #: ``noise_share``, ``dof`` (degrees of freedom of the standard errors, for Student's t; none: normal)
    trust: Mapping[str, float] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    #: JSON-ready further readings by method: alteration curves, tested substitutes, …
    details: Mapping[str, Any] = field(default_factory=dict)


class BudgetTooSmall(ValueError):
    """The budget allows fewer evaluations than the method needs for these features."""

    def __init__(self, method: str, budget: int, needed: int, features: int) -> None:
        super().__init__(
            f"{method}: a budget of {budget} evaluations is too small for {features} features; "
            f"it needs at least {needed}. Raise the budget or use fewer features"
        )
        self.needed = needed


class Method(Protocol):
    """One way to ask and to explain. Instances are cheap and hold settings only."""

    name: ClassVar[str]
    kinds: ClassVar[frozenset[Kind]]
    #: a figure the method is known by in the literature, for the report
    source: ClassVar[str]

    @property
    def view(self) -> View:
        """What its features are to be; a class attribute in most methods, in some it hangs on the settings."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """JSON-ready settings, defaults included: part of what identifies a probe."""

    def ask(self, features: tuple[Feature, ...], table: CoalitionTable, budget: int, rng: np.random.Generator) -> Bools:
        """(k, n) distinct coalitions that are not in ``table``, ``table.m + k ≤ budget``; k = 0 ends the asking.

        ``rng`` is in the same state at every call of the same round of the same probe. Raises :class:`BudgetTooSmall`.
        """

    def explain(self, features: tuple[Feature, ...], table: CoalitionTable) -> Explanation:
        """From any table that holds the full coalition and enough others; missing rows widen the errors or raise
        ``ValueError`` saying what is missing."""


@runtime_checkable
class Selective(Protocol):
    """A method that reads certain coalitions, whatever else a table holds: they are asked before anything is designed.

    Others need not say anything: a table that several methods share always holds ∅ and the full coalition.
    """

    def essential(self, features: tuple[Feature, ...]) -> Bools:
        """(k, n) distinct coalitions."""


@runtime_checkable
class Foreseeable(Protocol):
    """A method whose rounds depend on the answers, but not their sizes."""

    def rounds(self, n: int, m: int, budget: int) -> list[int]:
        """How many coalitions each round asks for once ``m`` of at most ``budget`` are answered."""


class OwnTable:
    """Base of methods that neither share a table nor start from what earlier ones asked, because only rows that follow
    their own design tell them anything."""

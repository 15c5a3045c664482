"""Zeroth-order gradients: the slope of the score in every column, from steps up and steps down."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from probe.maskers.base import Feature, Kind
from probe.methods.base import Bools, BudgetTooSmall, CoalitionTable, Explanation, Floats, View
from probe.methods.design import find_rows, without_known
from probe.methods.effects import base_value, check_features, full_value
from probe.methods.findings import constant, figures, flat, noise_share, noisy, rough, undetermined

Directions: TypeAlias = Literal["single", "random"]
Scale: TypeAlias = Literal["unit", "value"]
Signs: TypeAlias = NDArray[np.int8]
#: random directions per column: enough to tell every slope with something left to judge the errors by
_PER_UNIT = 2


@dataclass(frozen=True)
class Gradient:
    """Central differences (v(x + δ) − v(x − δ)) / 2δ: the even part of the score cancels, the error is of order δ².

    ``directions``: ``single`` moves one column (or superpixel) at a time, 2 evaluations each and one for the input as it
    is; ``random`` moves all at once in random directions, sent in opposite pairs, and solves for the slopes by
    least squares (simultaneous perturbation: Spall, IEEE TAC 1992): every evaluation tells of every column, so an
    endpoint's noise averages out, at the price of mixed curvature. It uses what the budget gives up to 4 evaluations a
    column, and with fewer than 2 a column gives the smallest slopes that agree with the answers.

    ``scale``: ``unit``, score per unit of the column; ``value``, times the column's own value ("gradient × input").
    A column's two features, up and down, have its one-sided slopes where single steps were asked, else the central one.
    ``details["slopes"]`` lists per column the central ``slope``, its ``std_error``, ``times_value``, and ``upward`` and
    ``downward`` slopes. Errors come from repeats, in random directions from the residuals too; NaN where neither tells.
    """

    directions: Directions = "single"
    scale: Scale = "unit"

    name: ClassVar[str] = "gradient"
    view: ClassVar[View] = "steps"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"image", "tabular"})
    source: ClassVar[str] = (
        "Spall, Multivariate Stochastic Approximation Using a Simultaneous Perturbation Gradient Approximation, 1992; "
        "Chen et al., ZOO, AISec 2017"
    )

    def __post_init__(self) -> None:
        for name, value, known in (
            ("directions", self.directions, get_args(Directions)),
            ("scale", self.scale, get_args(Scale)),
        ):
            if value not in known:
                raise ValueError(f"gradient: {name} must be one of {', '.join(known)}, not {value!r}")

    @property
    def settings(self) -> Mapping[str, Any]:
        return asdict(self)

    def ask(self, features: tuple[Feature, ...], table: CoalitionTable, budget: int, rng: np.random.Generator) -> Bools:
        """The input as it is, then steps in opposite pairs. Single steps need 2 evaluations a column and 1; random
        directions 3 in all."""
        n = check_features(self.name, features, table)
        units = _Units.of(features)
        full = np.ones((1, n), dtype=bool)
        if self.directions == "single":
            moves = np.repeat(np.eye(units.count, dtype=np.int8), 2, axis=0)
            moves[1::2] *= -1
            needed = 1 + len(moves)
        else:
            moves = _random_directions(units.count, min((budget - 1) // 2, _PER_UNIT * units.count), rng)
            needed = 3
        if budget < needed:
            raise BudgetTooSmall(self.name, budget, needed, n)
        rows = without_known(np.vstack([full, units.coalitions(moves, n)]), table.coalitions)
        return rows if self.directions == "single" else rows[: max(0, budget - table.m)]

    def explain(self, features: tuple[Feature, ...], table: CoalitionTable) -> Explanation:
        """From any table with the full coalition and one opposite pair. A column no pair moves has the value NaN."""
        check_features(self.name, features, table)
        full, full_noise = full_value(self.name, table)
        units = _Units.of(features)
        pairs = _Pairs.of(table, units)
        if not len(pairs.differences):
            raise ValueError(f"{self.name}: no step has an answer in both directions; raise the budget")
        slopes, errors, rank = pairs.solve()
        one_sided, one_sided_errors = units.one_sided(table, full, full_noise, slopes, errors)
        factors = units.values if self.scale == "value" else np.ones(units.count)
        moved = np.flatnonzero(~np.isnan(slopes))
        return Explanation(
            method=self.name,
            values=units.by_feature(one_sided * factors[:, None]),
            std_errors=units.by_feature(one_sided_errors * np.abs(factors)[:, None]),
            base_value=base_value(table)[0],
            full_value=full,
            evaluations=table.m,
            trust=figures(noise_share=noise_share(table)),
            findings=(
                *undetermined(rank, len(moved)),
                *(constant(table) or flat(one_sided[moved].ravel()) or rough(one_sided[moved, 0], one_sided[moved, 1])),
                *noisy(table),
            ),
            details={
                "slopes": [
                    {
                        "name": units.names[k],
                        "slope": float(slopes[k]),
                        "std_error": None if math.isnan(errors[k]) else float(errors[k]),
                        "times_value": float(slopes[k] * units.values[k]),
                        "upward": float(one_sided[k, 0]),
                        "downward": float(one_sided[k, 1]),
                    }
                    for k in moved
                ]
            },
        )


@dataclass(frozen=True, slots=True)
class _Units:
    """What is moved: ``steps`` (u, 2) by how much up and down (> 0, < 0), ``values`` (u,) from where; ``up``, ``down`` (u,)
    the feature of each step."""

    names: tuple[str, ...]
    up: tuple[int, ...]
    down: tuple[int, ...]
    steps: Floats
    values: Floats

    @classmethod
    def of(cls, features: tuple[Feature, ...]) -> _Units:
        places: dict[str, list[int]] = {}
        for index, feature in enumerate(features):
            if "by" in feature.change:
                places.setdefault(feature.group, []).append(index)
        if 2 * len(places) != len(features) or any(len(place) != 2 for place in places.values()):
            raise ValueError("gradient: features must be one step up and one step down for every column or part")
        up, down = (tuple(place[side] for place in places.values()) for side in (0, 1))
        steps = np.array([[features[i].change["by"], features[j].change["by"]] for i, j in zip(up, down, strict=True)])
        reached = np.array([features[i].change["value"] for i in up], dtype=np.float64)
        return cls(tuple(places), up, down, steps.astype(np.float64), reached - steps[:, 0])

    @property
    def count(self) -> int:
        return len(self.names)

    def coalitions(self, moves: Signs, n: int) -> Bools:
        """(k, n) from moves (k, u): 1 up, −1 down, 0 left alone."""
        rows = np.ones((len(moves), n), dtype=bool)
        rows[:, self.up] = moves <= 0
        rows[:, self.down] = moves >= 0
        return rows

    def one_sided(
        self, table: CoalitionTable, full: float, full_noise: float, slopes: Floats, errors: Floats
    ) -> tuple[Floats, Floats]:
        """Slopes of the single steps up and down, and their errors: (u, 2) each; the central ones where not asked."""
        found, spread = np.repeat(slopes[:, None], 2, axis=1), np.repeat(errors[:, None], 2, axis=1)
        eye = np.eye(self.count, dtype=np.int8)
        for side, moves in enumerate((eye, -eye)):
            rows = find_rows(table.coalitions, self.coalitions(moves, table.n))
            known = (rows >= 0) & (self.steps[:, side] != 0)
            steps = np.where(known, self.steps[:, side], 1.0)
            found[:, side] = np.where(known, (table.values[rows] - full) / steps, found[:, side])
            noise = table.noise[rows] + full_noise
            spread[:, side] = np.where(
                known, np.where(noise > 0, np.sqrt(noise), np.nan) / np.abs(steps), spread[:, side]
            )
        return found, spread

    def by_feature(self, figures: Floats) -> Floats:
        """(n,) from (u, 2)."""
        result = np.full(2 * self.count, np.nan)
        result[list(self.up)], result[list(self.down)] = figures[:, 0], figures[:, 1]
        return result


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Opposite pairs of a table: ``distances`` (k, u) between their members, ``differences`` (k,) of their scores."""

    distances: Floats
    differences: Floats
    noise: Floats

    @classmethod
    def of(cls, table: CoalitionTable, units: _Units) -> _Pairs:
        moves = table.coalitions[:, units.down].astype(np.int8) - table.coalitions[:, units.up].astype(np.int8)
        opposite = find_rows(table.coalitions, units.coalitions(-moves, table.n))
        clear = (table.coalitions[:, units.down] | table.coalitions[:, units.up]).all(axis=1)  # no step cancels another
        first = np.flatnonzero(clear & (opposite > np.arange(table.m)))
        other = opposite[first]
        # from the place moved down to the place moved up
        span = units.steps[:, 0] - units.steps[:, 1]
        return cls(
            moves[first] * span, table.values[first] - table.values[other], table.noise[first] + table.noise[other]
        )

    def solve(self) -> tuple[Floats, Floats, int]:
        """Slopes (u,), NaN for what no pair moves, their errors, and how many slopes the pairs determine."""
        moved = np.abs(self.distances).sum(axis=0) > 0
        columns = self.distances[:, moved]
        inverse = np.linalg.pinv(columns)
        rank = int(np.linalg.matrix_rank(columns))
        found = inverse @ self.differences
        residuals = self.differences - columns @ found
        free = len(residuals) - rank
        about = float(residuals @ residuals) / free if free > 0 else 0.0
        variances = inverse**2 @ np.maximum(self.noise, about)
        slopes, errors = np.full(len(moved), np.nan), np.full(len(moved), np.nan)
        slopes[moved] = found
        told = (free > 0) | (self.noise > 0).any()
        errors[moved] = np.sqrt(variances) if told and rank == columns.shape[1] else np.nan
        return slopes, errors, rank


def _random_directions(count: int, pairs: int, rng: np.random.Generator) -> Signs:
    """(2 · pairs, count) of ±1, each row followed by its opposite, no two pairs equal."""
    wanted = min(max(pairs, 0), 2 ** (count - 1))
    rows: dict[bytes, Signs] = {}
    while len(rows) < wanted:
        row = rng.choice(np.array([-1, 1], dtype=np.int8), size=count)
        row *= row[0]  # one of the two opposites
        rows.setdefault(row.tobytes(), row)
    half = np.array(list(rows.values()), dtype=np.int8).reshape(wanted, count)
    return np.stack([half, -half], axis=1).reshape(-1, count)

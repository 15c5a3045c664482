"""RISE: the mean score of random coalitions that keep a part, over the mean of all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Final, Literal, TypeAlias, get_args

import numpy as np

from probe.maskers.base import Feature, Kind
from probe.maskers.cells import shift
from probe.methods.banzhaf import Banzhaf
from probe.methods.base import Bools, BudgetTooSmall, CoalitionTable, Explanation, Floats, View
from probe.methods.design import coin_masses, ends, enumerate_all, find_rows, without_known
from probe.methods.effects import base_value, check_features, full_value
from probe.methods.exact import is_complete
from probe.methods.findings import constant, figures, noise_share, noisy, small_budget, unstable
from probe.methods.regression import half_split_spread, halves, pair_partners, row_weights, units

Masks: TypeAlias = Literal["smooth", "superpixels"]

_LISTABLE: Final = 16  #: features up to which pairs are chosen from a list of all
_SAMPLES: Final = 5  #: places along a cell's side where the mask is read to know how much of the cell it keeps


@dataclass(frozen=True)
class Rise:
    """A part's value is E[v(z) | part kept] − E[v(z)], every part kept with probability ½ on its own.

    Petsiuk, Das & Saenko, *RISE*, BMVC 2018, equation 4 with p = ½, less the mean score, which their maps leave in:
    0 means "no matter". ``masks``: ``smooth``, their enlarged and shifted 7 × 7 grid, where a cell is kept by degrees;
    ``superpixels``, the coalitions of superpixels that ``lime`` and ``shapley`` ask too, so the same evaluations serve all:
    the value is then half the Banzhaf value, and estimated as that. For an additive score the value of a superpixel is half
    its weight. Coalitions are asked with their complements, which have the mask turned over. Smooth masks need about 1000
    evaluations; with 300 lime over superpixels tells more (``benchmarks/saliency``).
    """

    masks: Masks = "smooth"

    name: ClassVar[str] = "rise"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"image"})
    source: ClassVar[str] = "Petsiuk, Das & Saenko, RISE: Randomized Input Sampling for Explanation, BMVC 2018"

    def __post_init__(self) -> None:
        if self.masks not in get_args(Masks):
            raise ValueError(f"rise: masks must be one of {', '.join(get_args(Masks))}, not {self.masks!r}")

    @property
    def view(self) -> View:
        return "cells" if self.masks == "smooth" else "parts"

    @property
    def settings(self) -> Mapping[str, Any]:
        return asdict(self)

    def ask(self, features: tuple[Feature, ...], table: CoalitionTable, budget: int, rng: np.random.Generator) -> Bools:
        """All coalitions if the budget covers them, else ∅, full and complementary pairs of coin tosses; needs 4."""
        n = check_features(self.name, features, table)
        needed = min(4, 2**n)
        if budget < needed:
            raise BudgetTooSmall(self.name, budget, needed, n)
        if budget >= 2**n:
            return without_known(enumerate_all(n), table.coalitions)
        first = without_known(ends(n), table.coalitions)[: max(0, budget - table.m)]
        known = np.vstack([table.coalitions, first])
        return np.vstack([first, _coin_pairs(n, (budget - len(known)) // 2, rng, known)])

    def explain(self, features: tuple[Feature, ...], table: CoalitionTable) -> Explanation:
        """Standard errors from the spread of pairs, at least what repeats tell; of superpixels as for ``banzhaf``.

        Raises :class:`ValueError`.
        """
        n = check_features(self.name, features, table)
        full, _ = full_value(self.name, table)
        if table.m < 2:
            raise ValueError(f"{self.name}: only the unchanged input is there; raise the budget")
        if self.masks == "superpixels":
            found = Banzhaf().explain(features, table)
            return replace(
                found,
                method=self.name,
                values=found.values / 2,
                std_errors=found.std_errors / 2,
                details={**found.details, "mean_score": _mean(table)},
            )
        kept = _kept(features, table.coalitions)
        partners = pair_partners(table.coalitions)
        weights = row_weights(table.coalitions.sum(axis=1), coin_masses(n))
        values, influence = _contrast(kept, table.values, weights)
        exact = is_complete(table)
        measured = (_derivatives(kept, weights) ** 2).T @ table.noise
        sampled = np.zeros(n) if exact else _pair_variance(influence, partners)
        dof = max(1.0, len(np.unique(units(partners))) - 1.0)
        halved = math.nan if exact else _half_split(kept, table, values)
        return Explanation(
            method=self.name,
            values=values,
            std_errors=np.sqrt(np.maximum(measured, sampled)),
            base_value=base_value(table)[0],
            full_value=full,
            evaluations=table.m,
            exact=exact,
            trust=figures(half_split_spread=halved, dof=math.nan if exact else dof, noise_share=noise_share(table)),
            findings=(
                *([] if exact else small_budget(table.m, n)),
                *constant(table),
                *unstable(halved),
                *noisy(table),
            ),
            details={"mean_score": _mean(table)},
        )


def _coin_pairs(n: int, count: int, rng: np.random.Generator, known: Bools) -> Bools:
    """At most ``count`` pairs of complements, independent of each other, none of which ``known`` touches: (2 · count, n).

    Tossed and not dealt from decks as elsewhere: the hands of one deck are nearly each other's complement at middle sizes,
    and as a pair's two rows say the same about two features together, nearly equal pairs would be worth one.
    """
    if n <= _LISTABLE:
        listed = enumerate_all(n)
        drawn = listed[~listed[:, 0]][rng.permutation(len(listed) // 2)]
    else:
        tossed = rng.random((max(0, count) + len(known), n)) < 0.5
        canonical = tossed ^ tossed[:, :1]
        drawn = tossed[np.sort(np.unique(canonical, axis=0, return_index=True)[1])]
    fresh = (find_rows(known, drawn) < 0) & (find_rows(known, ~drawn) < 0)
    chosen = drawn[fresh][: max(0, count)]
    return np.stack([chosen, ~chosen], axis=1).reshape(-1, n)


def _mean(table: CoalitionTable) -> float:
    """E[v(z)], the rows of each size standing for all of it."""
    weights = row_weights(table.coalitions.sum(axis=1), coin_masses(table.n))
    return float(weights @ table.values / weights.sum())


def _contrast(kept: Floats, scores: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Values (n,), and what each row adds to their error (m, n): the ratio estimator to first order.

    Value i = Σ w v k_i / Σ w k_i − Σ w v / Σ w, with k (m, n) how much of part i each row keeps. NaN for a part that no
    row keeps.
    """
    shares = weights / weights.sum()
    mean = float(shares @ scores)
    mass = shares @ kept
    with np.errstate(invalid="ignore", divide="ignore"):
        inside = (shares * scores) @ kept / mass
        influence = shares[:, None] * (kept / mass * (scores[:, None] - inside) - (scores - mean)[:, None])
    return inside - mean, influence


def _derivatives(kept: Floats, weights: Floats) -> Floats:
    """How each value (n) moves with each score (m): (m, n)."""
    shares = weights / weights.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = shares[:, None] * (kept / (shares @ kept) - 1)
    return found


def _pair_variance(influence: Floats, partners: np.ndarray[Any, np.dtype[np.intp]]) -> Floats:
    """Σ of squares over independent units: a pair's two rows belong together."""
    first = units(partners) == np.arange(len(partners))
    other = np.where(partners[first] >= 0, partners[first], 0)
    sums = influence[first] + np.where((partners[first] >= 0)[:, None], influence[other], 0.0)
    variance: Floats = np.sum(sums**2, axis=0)
    return variance


def _half_split(kept: Floats, table: CoalitionTable, values: Floats) -> float:
    """How far the values from two halves of the pairs are apart, as a share of their size."""
    estimates = []
    for rows in halves(table.coalitions, pair_partners(table.coalitions)):
        weights = row_weights(table.coalitions[rows].sum(axis=1), coin_masses(table.n))
        estimates.append(_contrast(kept[rows], table.values[rows], weights)[0])
    if any(np.isnan(estimate).any() for estimate in estimates):
        return math.nan
    return half_split_spread(estimates, values, table.values)


def _kept(features: tuple[Feature, ...], coalitions: Bools) -> Floats:
    """(m, n): how much of each cell's nominal place, 0 … 1, the shifted and enlarged mask of each coalition keeps."""
    if any("cell" not in feature.place for feature in features):
        raise ValueError(
            "rise: these features are not soft cells; use a masker of the view cells, or masks: superpixels"
        )
    grid = math.isqrt(len(features))
    kept = np.empty(coalitions.shape)
    for number, coalition in enumerate(coalitions):
        down, across = (_reading(grid, part) for part in shift(coalition))
        kept[number] = (down @ coalition.reshape(grid, grid) @ across.T).ravel()
    return kept


def _reading(grid: int, part: float) -> Floats:
    """(grid, grid): weights of the cells in what the mask keeps of each cell's nominal place, shifted by ``part``."""
    cells = np.arange(grid)[:, None]
    start, end = (
        np.maximum(cells - 0.5, 0),
        np.minimum(cells + 0.5, grid - 1),
    )  # nominal places; half as long at the edges
    places = start + (end - start) * (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    places = np.clip(places + part - 0.5, 0, grid - 1)  # counted from the first cell's centre
    reading: Floats = np.maximum(0, 1 - np.abs(places[:, :, None] - np.arange(grid))).mean(axis=1)
    return reading

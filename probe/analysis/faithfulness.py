"""Deletion and insertion: does the score follow when parts are removed, or revealed, in the order a map gives them?

Petsiuk, Das & Saenko, *RISE*, BMVC 2018, section 4.2. *Insertion* starts from nothing kept and adds the most important
part first: a good order lifts the score early, and the area under the curve is large. *Deletion* removes the most important
first: a good order's area is small. Deletion alone is won by scattered dots that look like nothing a model has seen, so
what counts here is the difference insertion − deletion, beside the same difference for orders that know nothing of the
model: chance, and "the middle of the picture first". Where chance is not clearly worse, no order should be called good.

A *part* is a feature of a masker, or a pixel: the functions know coalitions of ``n`` parts only. They are pure, so whoever
calls them gets the coalitions evaluated, or takes them from a table that has them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from probe.methods.base import Finding

Bools: TypeAlias = NDArray[np.bool_]
Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.intp]

CLEARLY: Final = 0.1  #: ahead of chance, as a share of the score of the whole input less that of nothing
EXPLAINED: Final = "explained"
RANDOM: Final = "random"
CENTRE: Final = "centre"


def ranking(values: Floats) -> Ints:
    """(n,) indices of the parts, largest value first; equal ones in their own order, NaN last."""
    return np.argsort(-np.where(np.isnan(values), -np.inf, values), kind="stable").astype(np.intp)


def centre_ranking(places: Floats, shape: tuple[int, int]) -> Ints:
    """(n,) indices of the parts, nearest to the middle of the picture first: the prior that photographers put it there.

    ``places``: (n, 2) row and column of each part's centre, in pixels from the upper left corner of a picture of ``shape``.
    """
    height, width = shape
    off = (np.asarray(places, dtype=np.float64) - [height / 2, width / 2]) / [height, width]
    return ranking(-np.square(off).sum(axis=1))


def checkpoints(n: int, steps: int) -> Ints:
    """How many parts are revealed at each point of a curve: 0 … n, at most ``steps`` + 1 different numbers.

    Raises :class:`ValueError` if ``n`` or ``steps`` is below 1.
    """
    if n < 1 or steps < 1:
        raise ValueError(f"a curve needs a part and a step, not {n} parts and {steps} steps")
    return np.unique(np.rint(np.linspace(0, n, steps + 1)).astype(np.intp))


def insertion_rows(order: Ints, counts: Ints) -> Bools:
    """(k, n): row j keeps the first ``counts[j]`` parts of ``order``."""
    rank = np.empty(len(order), dtype=np.intp)
    rank[order] = np.arange(len(order))
    return np.asarray(rank[None, :] < np.asarray(counts)[:, None])


def deletion_rows(order: Ints, counts: Ints) -> Bools:
    """(k, n): row j is without the first ``counts[j]`` parts of ``order``."""
    return ~insertion_rows(order, counts)


@dataclass(frozen=True, slots=True)
class Curve:
    """``scores`` (k,) where the ``shares`` (k,) of the parts, 0 … 1, are revealed (insertion) or removed (deletion)."""

    shares: Floats
    scores: Floats

    @property
    def area(self) -> float:
        """Area under the curve by the trapezoid rule, in score units: the mean score along the way. NaN if one is."""
        return float(np.trapezoid(self.scores, self.shares) / (self.shares[-1] - self.shares[0]))


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """What one order of the parts gives."""

    insertion: Curve
    deletion: Curve

    @property
    def difference(self) -> float:
        """Insertion less deletion, in −1 … 1 for probabilities; 0 is what chance gives on a smooth game."""
        return self.insertion.area - self.deletion.area


@dataclass(frozen=True, slots=True)
class RankingCheck:
    """Orders of ``n`` parts to compare, the coalitions that takes, and the curves once their scores are known.

    ``orders``: name → one or more orders (n,), whose curves are averaged: ``explained``, ``random``, ``centre``. ``counts``:
    :func:`checkpoints`. ``sizes``: (n,) the parts' shares of the whole, which are the curves' horizontal axis.
    """

    orders: Mapping[str, tuple[Ints, ...]]
    counts: Ints
    sizes: Floats

    @property
    def rows(self) -> Bools:
        """The distinct coalitions that have to be evaluated, (m, n), in a fixed order."""
        every = np.vstack([_curve_rows(order, self.counts) for orders in self.orders.values() for order in orders])
        first = np.unique(np.packbits(every, axis=1), axis=0, return_index=True)[1]
        return every[np.sort(first)]

    def read(self, coalitions: Bools, scores: Floats) -> Mapping[str, Faithfulness]:
        """The curves by the orders' names, from any table: ``coalitions`` (m, n) and their ``scores`` (m,).

        What is missing is NaN in the curve, and makes its area NaN.
        """
        known = dict(zip(_keys(coalitions), np.asarray(scores, dtype=np.float64).tolist(), strict=True))
        return {name: self._read(orders, known) for name, orders in self.orders.items()}

    def _read(self, orders: Sequence[Ints], known: Mapping[bytes, float]) -> Faithfulness:
        rows = [_keys(_curve_rows(order, self.counts)) for order in orders]
        scores = np.mean([[known.get(key, np.nan) for key in keys] for keys in rows], axis=0)
        covered = [np.concatenate([[0.0], np.cumsum(self.sizes[order])])[self.counts] for order in orders]
        shares = np.mean(covered, axis=0)
        k = len(self.counts)
        return Faithfulness(insertion=Curve(shares, scores[:k]), deletion=Curve(shares, scores[k:]))


def _curve_rows(order: Ints, counts: Ints) -> Bools:
    """The insertion's rows, then the deletion's: (2k, n)."""
    return np.vstack([insertion_rows(order, counts), deletion_rows(order, counts)])


def _keys(coalitions: Bools) -> list[bytes]:
    return [row.tobytes() for row in np.packbits(coalitions, axis=1)]


def ranking_check(
    values: Floats,
    *,
    rng: np.random.Generator,
    steps: int = 10,
    random_orders: int = 3,
    centres: Ints | None = None,
    sizes: Floats | None = None,
) -> RankingCheck:
    """What to ask to check the order that ``values`` (n,) give: at most 2 · ``steps`` · (2 + ``random_orders``) coalitions.

    ``centres``: :func:`centre_ranking`, for pictures. ``sizes``: (n,) positive areas; without, all parts are alike. Raises
    :class:`ValueError` if there is no part or a size is not positive.
    """
    n = len(values)
    areas = np.ones(n) if sizes is None else np.asarray(sizes, dtype=np.float64)
    if areas.shape != (n,) or not (areas > 0).all():
        raise ValueError(f"sizes must be {n} positive numbers, not {sizes!r}")
    orders = {
        EXPLAINED: (ranking(values),),
        RANDOM: tuple(rng.permutation(n).astype(np.intp) for _ in range(random_orders)),
    }
    if centres is not None:
        orders[CENTRE] = (centres,)
    return RankingCheck(
        {name: found for name, found in orders.items() if found}, checkpoints(n, steps), areas / areas.sum()
    )


def trust_figures(found: Mapping[str, Faithfulness]) -> dict[str, float]:
    """For a trust card: both areas of the explained order, and insertion less deletion of every order, where known."""
    named = {f"insertion_less_deletion_{name}": each.difference for name, each in found.items()}
    named["insertion"], named["deletion"] = found[EXPLAINED].insertion.area, found[EXPLAINED].deletion.area
    return {name: value for name, value in named.items() if math.isfinite(value)}


def no_better_than_chance(found: Mapping[str, Faithfulness]) -> list[Finding]:
    """P223 if the explained order is not clearly ahead of chance, or behind the middle-first order of a picture.

    Clearly: by a tenth of what separates the whole input from nothing.
    """
    explained = found[EXPLAINED]
    span = abs(float(explained.insertion.scores[-1] - explained.insertion.scores[0]))
    for name, words, margin in ((RANDOM, "chance", CLEARLY * span), (CENTRE, "the middle of the picture first", 0.0)):
        if name in found and explained.difference < found[name].difference + margin:
            seen = (
                f"insertion less deletion is {explained.difference:.2g}, for {words} it is {found[name].difference:.2g}"
            )
            return [Finding("P223", f"{seen}: this order of the parts does not say what moves the score")]
    return []

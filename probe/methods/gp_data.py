"""From a table of coalitions to what a Gaussian process is fitted to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from probe.methods.base import Bools, CoalitionTable, Floats
from probe.methods.design import Ints
from probe.methods.gp_fit import Observations
from probe.methods.gp_kernel import signs
from probe.methods.regression import pair_partners

#: variation below this part of the largest score is rounding
_ROUNDING = 1e-13
#: rows without their complement are left out if they are at most this part of a table of pairs
_LONE = 0.1


@dataclass(frozen=True, slots=True)
class Data:
    """``seen``: observations in units of ``scale``; ``scale`` is 0, and they are all 0, if nothing was seen to vary."""

    seen: Observations
    scale: float


def observe(table: CoalitionTable) -> Data:
    """Half-differences of pairs if (nearly) all rows have their complement in the table, else all rows about their mean.

    A half-difference is a value of the odd part, all that matters to Shapley values; even terms cancel in it, and half as
    many rows are left.
    """
    partners = pair_partners(table.coalitions)
    if np.count_nonzero(partners < 0) > _LONE * table.m:
        return observe_rows(table)
    first = np.flatnonzero(partners > np.arange(table.m))
    other = partners[first]
    return _data(
        table.coalitions[first],
        (table.values[first] - table.values[other]) / 2,
        (table.noise[first] + table.noise[other]) / 4,
        odd=True,
        unit=_magnitude(table),
    )


def observe_rows(table: CoalitionTable) -> Data:
    """All rows, about their mean."""
    return _data(table.coalitions, table.values - table.values.mean(), table.noise, odd=False, unit=_magnitude(table))


def unmodelled(sizes: Ints, n: int) -> Floats:
    """How much of a game's unmodelled part a coalition of each size carries: 4 s(n − s)/n², 0 for ∅ and the full one."""
    shape: Floats = 4.0 * sizes * (n - sizes) / n**2
    return shape


def _magnitude(table: CoalitionTable) -> float:
    return float(np.abs(table.values).max(initial=0.0))


def _data(coalitions: Bools, values: Floats, noise: Floats, *, odd: bool, unit: float) -> Data:
    scale = float(np.sqrt(np.mean(values**2)))
    if scale <= _ROUNDING * unit:
        scale = 0.0
    per = scale if scale > 0 else 1.0
    noisy = bool(np.any(noise > 0))
    shape = np.ones(len(values)) if noisy else unmodelled(coalitions.sum(axis=1), coalitions.shape[1])
    if scale == 0:
        values = np.zeros(len(values))
    return Data(Observations(signs(coalitions), values / per, shape, noise / per**2, odd), scale)

"""From a table to Shapley values with standard errors that hold on games the model does not fit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from probe.methods.base import CoalitionTable, Floats
from probe.methods.gp_data import Data, observe
from probe.methods.gp_fit import Observations, Posterior, fit_prior, posterior
from probe.methods.gp_link import stack
from probe.methods.regression import half_split_spread

#: the posterior's deviations are widened by 1 + this · n / m: the hyper-parameters were fitted to the same rows
_FEW_ROWS = 5.0


@dataclass(frozen=True, slots=True)
class Reading:
    """Shapley values (n,), their standard errors (n,), and how well the process predicts rows it has not seen."""

    values: Floats
    std_errors: Floats
    r2_held_out: float
    half_split_spread: float


def read(table: CoalitionTable) -> Reading:
    """The Shapley values a Gaussian process gives to ``table``, which holds ∅, the full coalition and at least one more."""
    data = observe(table)
    if data.scale == 0:
        return Reading(np.zeros(table.n), np.zeros(table.n), math.nan, math.nan)
    prior = fit_prior(data.seen)
    found = posterior(prior, data.seen)
    halves = [posterior(prior, half).values for half in _halves(data.seen)]
    stacked = stack(table, data, prior, found)
    values = data.scale * (found.values + stacked.shift)
    if not np.any(table.noise > 0):
        values += (_gap(table) - math.fsum(values)) / table.n  # rounding only: the ends are known
    apart = np.abs(halves[0] - halves[1]) / 2
    errors = np.maximum(found.std * _widening(found, data.seen) * (1 + _FEW_ROWS * table.n / table.m), apart)
    return Reading(
        values=values,
        std_errors=data.scale * errors,
        r2_held_out=_r2(found, data),
        half_split_spread=half_split_spread([data.scale * half for half in halves], values, table.values),
    )


def _gap(table: CoalitionTable) -> float:
    sizes = table.coalitions.sum(axis=1)
    return float(table.values[sizes == table.n][0] - table.values[sizes == 0][0])


def _widening(found: Posterior, seen: Observations) -> float:
    """How much larger the rows' errors are than the process says, if they are."""
    inner = seen.shape > 0
    if not inner.any():
        return 1.0
    return max(1.0, float(np.sqrt(np.mean(found.standardised[inner] ** 2))))


def _halves(seen: Observations) -> tuple[Observations, Observations]:
    """Every other row; rows that are known exactly are in both."""
    exact = (seen.shape == 0) | (np.abs(seen.x.sum(axis=1)) == seen.x.shape[1])
    turn = np.cumsum(~exact) % 2 == 0
    return seen.take(exact | turn), seen.take(exact | ~turn)


def _r2(found: Posterior, data: Data) -> float:
    seen = data.seen
    inner = np.abs(seen.x.sum(axis=1)) < seen.x.shape[1]
    if inner.sum() < 2:
        return math.nan
    variation = seen.values[inner] - (0.0 if seen.odd else seen.values[inner].mean())
    total = float(variation @ variation)
    return 1 - float(np.sum(found.left_out[inner] ** 2)) / total if total > 0 else math.nan

"""From a table to Shapley values with standard errors that hold on games the model does not fit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from probe.methods.base import Bools, CoalitionTable, Floats
from probe.methods.gp_data import Data, observe
from probe.methods.gp_fit import Observations, Posterior, fit_prior, posterior
from probe.methods.gp_link import Stacked, pair_regression, stack
from probe.methods.regression import fit, half_split_spread

#: how many observations the fit of the prior is taken to use up, and the part that is left at least
_SPENT = 20
_LEAST_FREE = 0.2
#: which part of the standard error of a regression counts; its power of how heavy the tails of left-out errors are; and how
#: much of the gain by stacking, in logarithms, is believed. Chosen, like the two above, on the tuning games of
#: ``benchmarks.accuracy`` and small synthetic ones
_REGRESSION = 0.25
_TAILS = 0.35
_BELIEVED = 0.9
#: a sum of features fits exactly if no observation is further off than this, where their mean square is 1
_EXACT = 1e-9


@dataclass(frozen=True, slots=True)
class Reading:
    """Shapley values (n,), their standard errors (n,), and how well the model predicts rows it has not seen."""

    values: Floats
    std_errors: Floats
    r2_held_out: float
    half_split_spread: float


def read(table: CoalitionTable) -> Reading:
    """The Shapley values of ``table``, which holds ∅, the full coalition and at least one more."""
    data = observe(table)
    if data.scale == 0:
        return Reading(np.zeros(table.n), np.zeros(table.n), math.nan, math.nan)
    known_ends = not np.any(table.noise > 0)
    if known_ends and (additive := _if_additive(data)) is not None:
        return additive
    prior = fit_prior(data.seen)
    found = posterior(prior, data.seen)
    stacked = stack(table, data, prior, found) if _varies(data.seen) else Stacked.nothing(found)
    values = data.scale * (found.values + stacked.shift)
    if known_ends and not _varies(data.seen):
        values = np.full(table.n, _gap(table) / table.n)  # only ∅ and full stand out: nothing favours any feature
    elif known_ends:
        values += (_gap(table) - math.fsum(values)) / table.n  # rounding only: both ends are observed without error
    halves = [data.scale * posterior(prior, half).values for half in _halves(data.seen)]
    explained = _r_squared(stacked.left_out, data.seen)
    return Reading(
        values=values,
        std_errors=data.scale * _std_errors(found, stacked, data.seen, table, max(0.0, explained)),
        r2_held_out=explained,
        half_split_spread=half_split_spread(halves, values, table.values),
    )


def _std_errors(
    found: Posterior, stacked: Stacked, seen: Observations, table: CoalitionTable, explained: float
) -> Floats:
    """Standard errors (n,) from three sources, as if they were independent.

    The posterior's deviations say how far the rows determine the values of games like the fitted prior's. They are scaled, up
    or down, to the errors that leaving rows out shows: by these errors' root mean square over what the process expects, and by
    most of what stacking gains, for its weight was chosen by the same errors. Measured noise is known, so with it they are
    never scaled down.

    The second assumes nothing of the game: what a regression for Shapley values makes of the left-out errors, if these are
    unrelated to each other (White, *A Heteroskedasticity-Consistent Covariance Matrix Estimator*, 1980). The process does
    better than that regression, so it counts in part, and for more where a few errors stand out (by their fourth moment): there
    the process is sure of itself and wrong, and may be so elsewhere.

    Both are widened by the degrees of freedom that fitting the prior took from the left-out errors, and narrowed, as far as
    the game is ``explained`` (the share of left-out variance, at least 0), by the share of all 2ⁿ coalitions that are known,
    as in sampling without replacement. The third is the sampling error of the stacked difference.
    """
    inner = _inner(seen)
    errors = stacked.left_out[inner]
    own = float(np.mean(found.left_out[inner] ** 2))
    gain = float(np.mean(errors**2)) / own if own > 0 else 1.0
    calibration = float(np.mean(found.standardised[inner] ** 2)) * gain**_BELIEVED
    unknown = 1 - explained * math.ldexp(table.m, -table.n)
    if np.any(table.noise > 0):
        calibration, unknown = max(1.0, calibration), 1.0
    free = max(_LEAST_FREE, 1 - _SPENT / seen.m)
    influence, _ = pair_regression(seen.x[inner])
    by_regression = (_REGRESSION * _heaviness(errors) ** _TAILS) ** 2 * (influence**2 @ errors**2)
    total: Floats = unknown / free * (calibration * found.std**2 + by_regression) + stacked.shift_errors**2
    return np.sqrt(total)


def _heaviness(errors: Floats) -> float:
    """Fourth moment of the ``errors`` (m,) over that of a normal distribution of their mean square, at least 1."""
    square = float(np.mean(errors**2))
    return max(1.0, float(np.mean((errors**2 / square) ** 2)) / 3) if square > 0 else 1.0


def _if_additive(data: Data) -> Reading | None:
    """The values if a sum of features explains all observations to rounding, and there are clearly more of them than
    it has free coefficients."""
    seen = data.seen
    n = seen.x.shape[1]
    columns = seen.x / 2 if seen.odd else np.column_stack([seen.x / 2, np.ones(seen.m)])
    if seen.m < columns.shape[1] + max(3, n // 4):
        return None
    result = fit(columns, seen.values, np.ones(seen.m))
    if result.rank < columns.shape[1] or np.abs(result.residuals).max() > _EXACT:
        return None
    errors = np.sqrt(result.influence[:n] ** 2 @ result.residuals**2)
    return Reading(data.scale * result.coefficients[:n], data.scale * errors, 1.0, 0.0)


def _gap(table: CoalitionTable) -> float:
    sizes = table.coalitions.sum(axis=1)
    return float(table.values[sizes == table.n][0] - table.values[sizes == 0][0])


def _varies(seen: Observations) -> bool:
    """Whether anything but ∅ and the full coalition tells features apart."""
    inner = seen.values[_inner(seen)]
    return bool(len(inner)) and float(np.ptp(inner)) > 0


def _inner(seen: Observations) -> Bools:
    """Which observations (m,) are not ∅ or the full coalition."""
    inner: Bools = np.abs(seen.x.sum(axis=1)) < seen.x.shape[1]
    return inner


def _halves(seen: Observations) -> tuple[Observations, Observations]:
    """Every other row; ∅ and the full coalition are in both."""
    inner = _inner(seen)
    turn = np.cumsum(inner) % 2 == 0
    return seen.take(~inner | turn), seen.take(~inner | ~turn)


def _r_squared(left_out: Floats, seen: Observations) -> float:
    """1 − squared left-out errors over the squared values between the ends; NaN if they do not vary."""
    inner = _inner(seen)
    values = seen.values[inner]
    if not _varies(seen):
        return math.nan
    total = float(np.sum(values**2 if seen.odd else (values - values.mean()) ** 2))
    return 1 - float(np.sum(left_out[inner] ** 2)) / total

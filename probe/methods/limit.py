"""The best linear model of a game under a law of coalition sizes, estimated from any table of coalitions.

With the law's own draws in infinite number, weighted least squares ends at this limit; LIME's weights and Banzhaf values
are two such limits. Two estimators of it, of which the one that predicts left-out rows better is used:

- *reweighted*: least squares over the rows, each weighed by its size's mass over the rows of that size (``regression.py``);
- *proxy*: the limit of a Gaussian process fitted to the rows, in closed form (``proxy.py``).

The proxy's errors add up what another choice of coalitions would change in two ways: through the fitted process (jackknife
over pairs), and through what the process leaves unexplained (the reweighted estimator's influence on its left-out
residuals: the difference estimator's variance, Särndal, Swensson & Wretman, *Model Assisted Survey Sampling*, 1992, ch. 6).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from probe.methods.base import CoalitionTable, Floats
from probe.methods.design import Ints
from probe.methods.exact import is_complete
from probe.methods.proxy import Proxy, cross_moments, sign_moments
from probe.methods.regression import (
    Fit,
    fit,
    half_split_spread,
    halves,
    pair_partners,
    r_squared,
    row_weights,
    solve,
    spread,
)

#: chooses features from their covariances (n, n) and their covariances with the score (n,) under the law
Select: TypeAlias = Callable[[Floats, Floats], list[int]]


@dataclass(frozen=True, slots=True)
class Limit:
    """``coefficients`` (n + 1,), intercept first; 0 for features that were not selected, whose errors are NaN.

    ``r2``, ``r2_held_out``: of the linear model on the rows, weighed by the law, in sample and with each row's pair left
    out of the fit (the selection is kept). ``rank``: independent rows of ``needed``. ``estimator``: which one was used.
    """

    coefficients: Floats
    std_errors: Floats
    selected: Ints
    r2: float
    r2_held_out: float
    half_split_spread: float
    dof: float
    rank: int
    needed: int
    exact: bool
    estimator: str


def linear_limit(table: CoalitionTable, masses: Floats, select: Select | None = None) -> Limit:
    """The limit under the law that gives coalitions of size s together the mass ``masses[s]`` (n + 1,)."""
    problem = _Problem.of(table, masses)
    proxy = problem.better_proxy()
    estimate = problem.by_proxy(proxy, select) if proxy else problem.reweighted(select)
    chosen, result, std_errors, dof = estimate
    n = table.n
    coefficients, errors = np.zeros(n + 1), np.full(n + 1, np.nan)
    coefficients[chosen] = result.coefficients
    determined = result.rank == len(chosen)
    errors[chosen] = std_errors if determined else np.nan
    exact = is_complete(table)
    return Limit(
        coefficients=coefficients,
        std_errors=errors,
        selected=chosen[1:] - 1,
        r2=r_squared(table.values, result.residuals, problem.weights),
        r2_held_out=r_squared(table.values, result.held_out, problem.weights),
        half_split_spread=math.nan if exact else problem.half_split(proxy, chosen, result),
        dof=dof if determined else math.nan,
        rank=result.rank,
        needed=len(chosen),
        exact=exact,
        estimator="proxy" if proxy else "reweighted",
    )


_Estimate: TypeAlias = tuple[Ints, Fit, Floats, float]


@dataclass(frozen=True, slots=True)
class _Problem:
    table: CoalitionTable
    masses: Floats
    weights: Floats
    columns: Floats
    partners: Ints
    full_fit: Fit

    @classmethod
    def of(cls, table: CoalitionTable, masses: Floats) -> _Problem:
        weights = row_weights(table.coalitions.sum(axis=1), masses)
        columns = np.hstack([np.ones((table.m, 1)), table.coalitions])
        partners = pair_partners(table.coalitions)
        return cls(table, masses, weights, columns, partners, fit(columns, table.values, weights, partners))

    def better_proxy(self) -> Proxy | None:
        """A proxy, if the linear model can be judged and predicts rows that were left out less well."""
        linear = self.full_fit
        if is_complete(self.table) or linear.rank <= self.table.n or np.isnan(linear.held_out).any():
            return None
        by_linear = float(self.weights @ linear.held_out**2)
        if by_linear <= 1e-20 * float(self.weights @ self.table.values**2):
            return None  # the score is linear: nothing is to be gained
        proxy = Proxy.of(self.table)
        if proxy is None or float(self.weights @ proxy.left_out(self.partners) ** 2) >= by_linear:
            return None
        return proxy

    def reweighted(self, select: Select | None) -> _Estimate:
        if select is None:
            chosen, result = np.arange(self.table.n + 1), self.full_fit
        else:
            mean = self.weights / self.weights.sum()
            centred = self.columns[:, 1:] - mean @ self.columns[:, 1:]
            moments = (centred.T * mean) @ centred, (centred.T * mean) @ self.table.values
            chosen = _with_intercept(select(*moments))
            result = fit(self.columns[:, chosen], self.table.values, self.weights, self.partners)
        errors = spread(result, self.table.coalitions, self.partners, self.table.noise)
        return chosen, result, errors.std_errors, errors.dof

    def by_proxy(self, proxy: Proxy, select: Select | None) -> _Estimate:
        centred = _Moments.of(proxy, self.masses)
        if select is None:
            chosen = np.arange(self.table.n + 1)
            linear = self.full_fit
        else:
            covariance = centred.within * np.eye(self.table.n) + centred.between
            chosen = _with_intercept(select(covariance, proxy.read(centred.by_feature)))
            linear = fit(self.columns[:, chosen], self.table.values, self.weights, self.partners)
        functionals = centred.solve(chosen)
        coefficients = proxy.read(functionals)
        coefficients[0] += proxy.centre
        result = replace(
            linear,
            coefficients=coefficients,
            influence=functionals @ proxy.inverse,
            residuals=self.table.values - self.columns[:, chosen] @ coefficients,
        )
        left_out = proxy.left_out(self.partners)
        parts = [
            spread(replace(one, held_out=left_out), self.table.coalitions, self.partners, self.table.noise)
            for one in (result, linear)
        ]
        std_errors = np.hypot(parts[0].std_errors, parts[1].std_errors)
        held_out = self._without_unit(result, self.columns[:, chosen], left_out)
        return chosen, replace(result, held_out=held_out), std_errors, parts[1].dof

    def _without_unit(self, result: Fit, columns: Floats, left_out: Floats) -> Floats:
        """Residuals of the linear model fitted without a row's pair: leaving rows out of a Gaussian process is the same as
        putting their predictions from the others in their place."""
        reach = np.einsum("ij,ji->i", columns, result.influence)
        moved = reach * left_out
        paired = np.flatnonzero(self.partners >= 0)
        other = self.partners[paired]
        moved[paired] += np.einsum("ij,ji->i", columns[paired], result.influence[:, other]) * left_out[other]
        residuals: Floats = result.residuals + moved
        return residuals

    def half_split(self, proxy: Proxy | None, chosen: Ints, result: Fit) -> float:
        """How far the coefficients from two halves of the pairs are apart; NaN if a half does not determine them."""
        estimates = []
        for rows in halves(self.table.coalitions, self.partners):
            if proxy:
                part = proxy.part(rows)
                estimates.append(part.read(_Moments.of(part, self.masses).solve(chosen))[1:])
                continue
            weights = row_weights(self.table.coalitions[rows].sum(axis=1), self.masses)
            found, rank = solve(self.columns[rows][:, chosen], self.table.values[rows], weights)
            if rank < len(chosen):
                return math.nan
            estimates.append(found[1:])
        return half_split_spread(estimates, result.coefficients[1:], self.table.values)


@dataclass(frozen=True, slots=True)
class _Moments:
    """Covariances with the observations, of the score's mean (m,) and of its covariance under the law with every z_i (n, m).

    The z_i have covariance ``within`` · I + ``between`` under the law, mean ``level``.
    """

    mean: Floats
    by_feature: Floats
    within: float
    between: float
    level: float

    @classmethod
    def of(cls, proxy: Proxy, masses: Floats) -> _Moments:
        kernel = proxy.prior.kernel
        c = sign_moments(masses, max(2, kernel.order + 1))
        mean, crossed = cross_moments(kernel, proxy.seen.x, c)
        c1, c2 = float(c[1]), float(c[2])
        return cls(mean, (crossed - c1 * mean) / 2, (1 - c2) / 4, (c2 - c1**2) / 4, (1 + c1) / 2)

    def solve(self, chosen: Ints) -> Floats:
        """Covariances of the linear model's coefficients on the ``chosen`` columns, intercept first: (p, m).

        The inverse of within · I + between · 1 1ᵀ is written out, so that interchangeable features stay equal to the bit.
        """
        wanted = self.by_feature[chosen[1:] - 1]
        total = wanted.sum(axis=0) / (self.within + len(wanted) * self.between)
        slopes = (wanted - self.between * total) / self.within
        return np.vstack([self.mean - self.level * slopes.sum(axis=0), slopes])


def _with_intercept(selected: list[int]) -> Ints:
    return np.array([0, *(1 + i for i in sorted(selected))], dtype=np.intp)

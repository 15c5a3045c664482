"""LIME: the weighted linear model nearest to the endpoint around one input."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, TypeAlias, get_args

import numpy as np
from scipy.special import gammaln

from probe.maskers.base import Feature, Kind
from probe.methods.base import Bools, BudgetTooSmall, CoalitionTable, Explanation, Floats, View
from probe.methods.design import Ints, enumerate_all, paired_design, singles_first_design, without_known
from probe.methods.effects import base_value, check_features, full_value
from probe.methods.exact import is_complete
from probe.methods.findings import constant, figures, noise_share, noisy, poor_fit, small_budget, undetermined, unstable
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
    units,
)

Law: TypeAlias = Literal["auto", "uniform", "coin"]
Selection: TypeAlias = Literal["forward", "lasso_path"]

#: the draws lime makes by default, of which the first is always the instance itself
_DRAWS = {"uniform": 5000, "coin": 1000}
#: rows per feature from which random pairs determine the fit better than single replacements do
_PAIRS_FROM = 3
_FOLDS = 5


@dataclass(frozen=True)
class Lime:
    """Weights of the linear model that minimises Σ π(z)(v(z) − b − wz)² over lime's own distribution of coalitions z.

    ``kernel_width`` (> 0): π(z) = √exp(−d²/width²), d the cosine distance of z to all ones, 1 − √(s/n). ``law`` is the
    distribution: ``uniform``, the number of removed features uniform over 1 … n (lime's text explainer); ``coin``, every
    feature kept with probability ½ (its image explainer); ``auto``, uniform for features that are spans of a text, coin
    for others. ``features`` keeps only the k most useful features, chosen by ``selection``, the rest get 0.

    Where lime draws with replacement, this takes distinct balanced complementary pairs and weights each row by its law
    over its share in the design, so it estimates lime's limit of infinitely many draws; no ridge penalty, which at lime's
    kernel weights makes it unstable (Tan, Tian & Li, *GLIME*, NeurIPS 2023). 2ⁿ evaluations give that limit exactly. The
    width is no part of the question: another one needs no new evaluations. The intercept is in ``details``.
    """

    kernel_width: float = 0.25
    law: Law = "auto"
    features: int | None = None
    selection: Selection = "forward"

    name: ClassVar[str] = "lime"
    view: ClassVar[View] = "parts"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"image", "text", "tabular"})
    source: ClassVar[str] = "Ribeiro, Singh & Guestrin, Why Should I Trust You?, KDD 2016"

    def __post_init__(self) -> None:
        width: Any = self.kernel_width  # settings come from a config file
        if isinstance(width, bool) or not isinstance(width, int | float) or not 0 < width < math.inf:
            raise ValueError(f"lime: kernel_width must be a number above 0, not {self.kernel_width!r}")
        if self.law not in get_args(Law):
            raise ValueError(f"lime: law must be one of {', '.join(get_args(Law))}, not {self.law!r}")
        if self.selection not in get_args(Selection):
            raise ValueError(f"lime: selection must be one of {', '.join(get_args(Selection))}, not {self.selection!r}")
        if self.features is not None and not (type(self.features) is int and self.features >= 1):
            raise ValueError(f"lime: features must be a whole number of at least 1, not {self.features!r}")

    @property
    def settings(self) -> Mapping[str, Any]:
        return asdict(self)

    def ask(self, features: tuple[Feature, ...], table: CoalitionTable, budget: int, rng: np.random.Generator) -> Bools:
        """All coalitions if the budget covers them, else ∅, full and pairs with sizes by law × kernel; needs n + 2."""
        n = check_features(self.name, features, table)
        needed = min(n + 2, 2**n)
        if budget < needed:
            raise BudgetTooSmall(self.name, budget, needed, n)
        if budget >= 2**n:
            return without_known(enumerate_all(n), table.coalitions)
        masses = self._masses(features)
        if budget >= _PAIRS_FROM * n + 2:
            return paired_design(n, budget, rng, masses=masses, known=table.coalitions)
        return singles_first_design(n, budget, rng, masses=masses, known=table.coalitions)

    def explain(self, features: tuple[Feature, ...], table: CoalitionTable) -> Explanation:
        """Standard errors as for ``kernelshap``; with selection they are those of the chosen features only, NaN else."""
        n = check_features(self.name, features, table)
        full, _ = full_value(self.name, table)
        if table.m < 2:
            raise ValueError(f"{self.name}: only the unchanged input is there; raise the budget")
        weights = row_weights(table.coalitions.sum(axis=1), self._masses(features))
        columns = np.hstack([np.ones((table.m, 1)), table.coalitions])
        partners = pair_partners(table.coalitions)
        chosen = self._select(columns, table.values, weights)
        result = fit(columns[:, chosen], table.values, weights, partners)
        determined = result.rank == len(chosen)
        errors = spread(result, table.coalitions, partners, table.noise)
        values, std_errors = np.zeros(n + 1), np.full(n + 1, np.nan)
        values[chosen] = result.coefficients
        std_errors[chosen] = errors.std_errors if determined else np.nan
        exact = is_complete(table)
        held_out = r_squared(table.values, self._held_out(columns, table.values, weights, partners, result), weights)
        halved = math.nan if exact else _half_split(columns[:, chosen], table, self._masses(features), partners, result)
        return Explanation(
            method=self.name,
            values=values[1:],
            std_errors=std_errors[1:],
            base_value=base_value(table)[0],
            full_value=full,
            evaluations=table.m,
            exact=exact,
            trust=figures(
                r2=r_squared(table.values, result.residuals, weights),
                r2_held_out=held_out,
                half_split_spread=halved,
                dof=errors.dof if determined else math.nan,
                noise_share=noise_share(table),
            ),
            findings=(
                *([] if exact else small_budget(table.m, n)),
                *undetermined(result.rank, len(chosen)),
                *(constant(table) or poor_fit(held_out)),
                *unstable(halved),
                *noisy(table),
            ),
            details={
                "law": self._law(features),
                "intercept": float(values[0]),
                "local_prediction": math.fsum(values),
                "selected": [features[i - 1].name for i in chosen[1:]],
            },
        )

    def _law(self, features: tuple[Feature, ...]) -> Literal["uniform", "coin"]:
        if self.law != "auto":
            return self.law
        return "uniform" if all("span" in feature.place for feature in features) else "coin"

    def _masses(self, features: tuple[Feature, ...]) -> Floats:
        """Probability × kernel weight of each size 0 … n under lime's law; (n + 1,)."""
        n, law = len(features), self._law(features)
        sizes = np.arange(n + 1)
        drawn = np.where(sizes < n, 1 / n, 0.0) if law == "uniform" else _fair_coins(sizes, n)
        probability = drawn * (1 - 1 / _DRAWS[law]) + np.where(sizes == n, 1 / _DRAWS[law], 0.0)
        distance = np.where(sizes > 0, 1 - np.sqrt(sizes / n), 1.0)
        masses: Floats = probability * np.exp(-((distance / self.kernel_width) ** 2) / 2)
        return masses

    def _select(self, columns: Floats, targets: Floats, weights: Floats) -> Ints:
        """Columns to fit, intercept first."""
        p = columns.shape[1]
        if self.features is None or self.features >= p - 1:
            return np.arange(p, dtype=np.intp)
        choose: Callable[[Floats, Floats, int], list[int]] = _forward if self.selection == "forward" else _lasso_path
        mean = weights / weights.sum()
        root = np.sqrt(weights)
        x = (columns[:, 1:] - mean @ columns[:, 1:]) * root[:, None]
        y = (targets - mean @ targets) * root
        return np.array([0, *(1 + i for i in sorted(choose(x, y, self.features)))], dtype=np.intp)

    def _held_out(self, columns: Floats, targets: Floats, weights: Floats, partners: Ints, result: Fit) -> Floats:
        """Residuals of rows whose pair had no part in the fit, nor in the selection: closed form, or five folds."""
        if self.features is None or self.features >= columns.shape[1] - 1:
            return result.held_out
        fold = np.unique(units(partners), return_inverse=True)[1] % _FOLDS
        residuals = np.zeros(len(targets))
        for k in range(min(_FOLDS, int(fold.max()) + 1)):
            train = fold != k
            chosen = self._select(columns[train], targets[train], weights[train])
            part, _ = solve(columns[train][:, chosen], targets[train], weights[train])
            residuals[~train] = targets[~train] - columns[~train][:, chosen] @ part
        return residuals


def _forward(x: Floats, y: Floats, k: int) -> list[int]:
    """Greedy least squares: at each step the column that lowers the residual most (orthogonalised to those chosen)."""
    x, y = x.copy(), y.copy()
    scale = np.einsum("ij,ij->j", x, x)
    chosen: list[int] = []
    for _ in range(k):
        norms = np.einsum("ij,ij->j", x, x)
        usable = norms > 1e-10 * scale
        usable[chosen] = False
        if not usable.any():
            break
        gain = np.where(usable, (x.T @ y) ** 2 / np.where(usable, norms, 1.0), -1.0)
        best = int(np.argmax(gain))
        chosen.append(best)
        direction = x[:, best] / math.sqrt(norms[best])
        y = y - direction * (direction @ y)
        x = x - np.outer(direction, direction @ x)
    return chosen


def _lasso_path(x: Floats, y: Floats, k: int) -> list[int]:
    """The active columns at the last point of the lasso path with at most k of them."""
    from sklearn.linear_model import lars_path  # takes seconds to import, and most explanations select nothing

    if not np.any(x.T @ y):
        return list(range(k))
    _, _, path = lars_path(x, y, method="lasso", max_iter=4 * x.shape[1])
    active = (path != 0).sum(axis=0)
    return [int(i) for i in np.flatnonzero(path[:, int(np.flatnonzero(active <= k)[-1])])]


def _half_split(columns: Floats, table: CoalitionTable, masses: Floats, partners: Ints, result: Fit) -> float:
    """How far the coefficients from two halves of the pairs are apart; NaN if a half does not determine them."""
    estimates = []
    for rows in halves(table.coalitions, partners):
        weights = row_weights(table.coalitions[rows].sum(axis=1), masses)
        part, rank = solve(columns[rows], table.values[rows], weights)
        if rank < columns.shape[1]:
            return math.nan
        estimates.append(part[1:])
    return half_split_spread(estimates, result.coefficients[1:], table.values)


def _fair_coins(heads: Ints, n: int) -> Floats:
    """Probability of so many heads in ``n`` tosses."""
    chosen = gammaln(n + 1) - gammaln(heads + 1) - gammaln(n - heads + 1)
    probability: Floats = np.exp(chosen - n * math.log(2))
    return probability

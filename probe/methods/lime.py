"""LIME: the weighted linear model nearest to the endpoint around one input."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, TypeAlias, get_args

import numpy as np

from probe.maskers.base import Feature, Kind
from probe.methods.base import Bools, BudgetTooSmall, CoalitionTable, Explanation, Floats, View
from probe.methods.design import coin_masses, enumerate_all, paired_design, singles_first_design, without_known
from probe.methods.effects import base_value, check_features, full_value
from probe.methods.findings import constant, figures, noise_share, noisy, poor_fit, small_budget, undetermined, unstable
from probe.methods.limit import linear_limit

Law: TypeAlias = Literal["auto", "uniform", "coin"]
Selection: TypeAlias = Literal["forward", "lasso_path"]

#: the draws lime makes by default, of which the first is always the instance itself
_DRAWS = {"uniform": 5000, "coin": 1000}
#: rows per feature from which random pairs determine the fit better than single replacements do
_PAIRS_FROM = 3


@dataclass(frozen=True)
class Lime:
    """Weights of the linear model that minimises Σ π(z)(v(z) − b − wz)² over lime's own distribution of coalitions z.

    ``kernel_width`` (> 0): π(z) = √exp(−d²/width²), d the cosine distance of z to all ones, 1 − √(s/n). ``law`` is the
    distribution: ``uniform``, the number of removed features uniform over 1 … n (lime's text explainer); ``coin``, every
    feature kept with probability ½ (its image explainer); ``auto``, uniform for features that are spans of a text, coin
    for others. ``features`` keeps only the k most useful features, chosen by ``selection``, the rest get 0.

    Where lime draws with replacement, this asks distinct balanced complementary pairs with sizes by the law and estimates
    lime's limit of infinitely many draws, from these or any other coalitions (``limit.py``); no ridge penalty, which at
    lime's kernel weights makes it unstable (Tan, Tian & Li, *GLIME*, NeurIPS 2023). 2ⁿ evaluations give that limit exactly.
    The width is no part of the question: another one needs no new evaluations. ``details`` has the intercept and which
    ``estimator`` was used.
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
        """All coalitions if the budget covers them, else ∅, full and pairs with sizes by the law; needs n + 2."""
        n = check_features(self.name, features, table)
        needed = min(n + 2, 2**n)
        if budget < needed:
            raise BudgetTooSmall(self.name, budget, needed, n)
        if budget >= 2**n:
            return without_known(enumerate_all(n), table.coalitions)
        masses = self._probabilities(features)
        if budget >= _PAIRS_FROM * n + 2:
            return paired_design(n, budget, rng, masses=masses, known=table.coalitions)
        return singles_first_design(n, budget, rng, masses=masses, known=table.coalitions)

    def explain(self, features: tuple[Feature, ...], table: CoalitionTable) -> Explanation:
        """Standard errors as described in ``limit.py``; with selection those of the chosen features only, NaN else."""
        n = check_features(self.name, features, table)
        full, _ = full_value(self.name, table)
        if table.m < 2:
            raise ValueError(f"{self.name}: only the unchanged input is there; raise the budget")
        found = linear_limit(table, self.law_and_kernel(features), self._select if self._selects(n) else None)
        return Explanation(
            method=self.name,
            values=found.coefficients[1:],
            std_errors=found.std_errors[1:],
            base_value=base_value(table)[0],
            full_value=full,
            evaluations=table.m,
            exact=found.exact,
            trust=figures(
                r2=found.r2,
                r2_held_out=found.r2_held_out,
                half_split_spread=found.half_split_spread,
                dof=found.dof,
                noise_share=noise_share(table),
            ),
            findings=(
                *([] if found.exact else small_budget(table.m, n)),
                *undetermined(found.rank, found.needed),
                *(constant(table) or poor_fit(found.r2_held_out)),
                *unstable(found.half_split_spread),
                *noisy(table),
            ),
            details={
                "law": self._law(features),
                "intercept": float(found.coefficients[0]),
                "local_prediction": math.fsum(found.coefficients),
                "selected": [features[i].name for i in found.selected],
                "estimator": found.estimator,
            },
        )

    def _law(self, features: tuple[Feature, ...]) -> Literal["uniform", "coin"]:
        if self.law != "auto":
            return self.law
        return "uniform" if all("span" in feature.place for feature in features) else "coin"

    def _probabilities(self, features: tuple[Feature, ...]) -> Floats:
        """Probability of each size 0 … n under lime's law; (n + 1,)."""
        n, law = len(features), self._law(features)
        sizes = np.arange(n + 1)
        drawn = np.where(sizes < n, 1 / n, 0.0) if law == "uniform" else coin_masses(n)
        probability: Floats = drawn * (1 - 1 / _DRAWS[law]) + np.where(sizes == n, 1 / _DRAWS[law], 0.0)
        return probability

    def law_and_kernel(self, features: tuple[Feature, ...]) -> Floats:
        """Probability × kernel weight of all coalitions of each size 0 … n; (n + 1,)."""
        n = len(features)
        sizes = np.arange(n + 1)
        distance = np.where(sizes > 0, 1 - np.sqrt(sizes / n), 1.0)
        masses: Floats = self._probabilities(features) * np.exp(-((distance / self.kernel_width) ** 2) / 2)
        return masses

    def _selects(self, n: int) -> bool:
        return self.features is not None and self.features < n

    def _select(self, covariance: Floats, with_score: Floats) -> list[int]:
        """The features to keep, from the covariances of all (n, n) and with the score (n,) under law × kernel."""
        choose: Callable[[Floats, Floats, int], list[int]] = _forward if self.selection == "forward" else _lasso_path
        return choose(covariance, with_score, self.features or len(with_score))


def _forward(covariance: Floats, with_score: Floats, k: int) -> list[int]:
    """Greedy least squares: at each step the feature that lowers the residual variance most, the others cleared of it."""
    left, gains = covariance.copy(), with_score.copy()
    variances = np.diag(covariance)
    chosen: list[int] = []
    for _ in range(k):
        now = np.diag(left)
        usable = now > 1e-10 * variances
        usable[chosen] = False
        if not usable.any():
            break
        best = int(np.argmax(np.where(usable, gains**2 / np.where(usable, now, 1.0), -1.0)))
        chosen.append(best)
        gains = gains - left[best] * (gains[best] / left[best, best])
        left = left - np.outer(left[best], left[best] / left[best, best])
    return chosen


def _lasso_path(covariance: Floats, with_score: Floats, k: int) -> list[int]:
    """The active features at the last point of the lasso path with at most k of them."""
    from sklearn.linear_model import lars_path_gram  # takes seconds to import, and most explanations select nothing

    if not np.any(with_score):
        return list(range(k))
    n = len(with_score)
    _, _, path = lars_path_gram(with_score, covariance, n_samples=1, method="lasso", max_iter=4 * n)
    active = (path != 0).sum(axis=0)
    return [int(i) for i in np.flatnonzero(path[:, int(np.flatnonzero(active <= k)[-1])])]

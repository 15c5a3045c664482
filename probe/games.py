"""Explain a bare value function: no endpoint, no input, no ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from probe.maskers.base import Feature
from probe.methods import build_method
from probe.methods.base import Bools, BudgetTooSmall, CoalitionTable, Explanation, Floats, Method
from probe.methods.stopping import StopRule

#: v(S) of m coalitions at once: (m, n) bool, ``True`` where the feature is kept → (m,) scores
ValueFunction = Callable[[Bools], npt.ArrayLike]


def explain_game(
    v: ValueFunction,
    *,
    n: int,
    budget: int,
    seed: int = 0,
    method: str | Mapping[str, Mapping[str, Any]] = "shapley",
    stop: StopRule | Mapping[str, Any] | None = None,
) -> Explanation:
    """Explain the game ``v`` of ``n`` features from at most ``budget`` coalitions.

    Args:
        v: takes (m, n) bool, ``True`` where a feature is kept, and returns (m,) finite scores. Called once per round; no
            coalition is asked twice.
        method: a name of :data:`probe.methods.METHODS`, or ``{name: settings}``. Features are called ``"0"``, ``"1"``, ….
        stop: a :class:`StopRule`, or its settings, such as ``{"half_width": 0.03}``: stop before the budget is used up if the
            intervals allow it.

    Returns:
        an :class:`Explanation`: ``values`` and ``std_errors`` (n,), ``base_value``, ``full_value``, ``evaluations``,
        ``exact``, ``trust``, ``findings``. The same arguments and answers give the same bits.

    Raises:
        ValueError: ``n``, ``method`` or ``stop`` are wrong, or ``v`` returned something that is not m finite numbers.
        BudgetTooSmall: a ValueError too; the budget allows fewer coalitions than the method needs.
    """
    if n < 1:
        raise ValueError(f"a game has at least one feature, not n = {n}")
    game = _Game(v, _method(method), tuple(Feature(str(i)) for i in range(n)), seed)
    if stop is None:
        game.play(budget)
        return game.explain()
    rule = stop if isinstance(stop, StopRule) else StopRule(**stop)
    for look in rule.looks(n, budget):
        try:
            game.play(look)
        except BudgetTooSmall:
            if look == budget:
                raise
            continue
        explanation = game.explain()
        if rule.reason(explanation, budget) is not None:
            break
    return rule.corrected(explanation, budget)


class _Game:
    """A value function, the method that plays it, and what was answered."""

    def __init__(self, v: ValueFunction, method: Method, features: tuple[Feature, ...], seed: int) -> None:
        self.v = v
        self.method = method
        self.features = features
        self.seed = seed
        self.table = CoalitionTable.empty(len(features))

    def play(self, budget: int) -> None:
        """Ask until the method wants no more."""
        while len(rows := self.method.ask(self.features, self.table, budget, np.random.default_rng(self.seed))):
            scores = _checked(self.v(rows.copy()), rows)
            coalitions = np.vstack([self.table.coalitions, rows])
            self.table = CoalitionTable.of(coalitions, np.concatenate([self.table.values, scores]))

    def explain(self) -> Explanation:
        """What the answers say now."""
        return self.method.explain(self.features, self.table)


#: features that are places or amounts, which a bare game does not have
_TOO_SPECIAL: Final = frozenset({"cells", "quadtree", "steps"})


def _method(choice: str | Mapping[str, Mapping[str, Any]]) -> Method:
    chosen: Mapping[str, Mapping[str, Any]] = {choice: {}} if isinstance(choice, str) else choice
    if len(chosen) != 1:
        raise ValueError(f"method: one name with its settings, not {', '.join(map(repr, chosen)) or 'none'}")
    ((name, settings),) = chosen.items()
    method = build_method(name, settings)
    if method.view in _TOO_SPECIAL:
        raise ValueError(f"{name} reads {method.view}, and a bare game has none; explain an input with it instead")
    return method


def _checked(scores: npt.ArrayLike, rows: Bools) -> Floats:
    """The answers as (m,) floats. Raises :class:`ValueError` naming what is wrong with them."""
    try:
        found = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"v returned {type(scores).__name__} that is not an array of numbers: {error}") from error
    if found.shape != (len(rows),):
        raise ValueError(f"v returned shape {found.shape} for {len(rows)} coalitions; it must return ({len(rows)},)")
    wrong = np.flatnonzero(~np.isfinite(found))
    if len(wrong):
        kept = np.flatnonzero(rows[wrong[0]]).tolist()
        raise ValueError(
            f"v returned {found[wrong[0]]} for the coalition of features {kept} "
            f"({len(wrong)} of {len(found)} values are not finite)"
        )
    return found

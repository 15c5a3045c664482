"""Small games with known Shapley values, and how a test plays a method against one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from probe.maskers.base import Feature
from probe.methods import CoalitionTable, Explanation, Method

Bools: TypeAlias = NDArray[np.bool_]
Floats: TypeAlias = NDArray[np.float64]
#: scores (m,) of coalitions (m, n)
Game: TypeAlias = Callable[[Bools], Floats]


def words(n: int) -> tuple[Feature, ...]:
    return tuple(Feature(f"w{i}", place={"span": [2 * i, 2 * i + 1]}) for i in range(n))


def tiles(n: int) -> tuple[Feature, ...]:
    return tuple(Feature(f"tile {i}", place={"segment": i}) for i in range(n))


def play(
    method: Method,
    game: Game,
    features: tuple[Feature, ...],
    budget: int,
    *,
    seed: int = 0,
    noise: float = 0.0,
) -> tuple[CoalitionTable, Explanation]:
    """Ask until nothing more is asked, as the engine does, checking each answer against the contract."""
    n = len(features)
    table = CoalitionTable.empty(n)
    for round_ in range(60):
        rows = method.ask(features, table, budget, np.random.default_rng([seed, round_]))
        if not len(rows):
            break
        coalitions = np.vstack([table.coalitions, rows])
        assert len(np.unique(coalitions, axis=0)) == len(coalitions) <= budget
        scores = np.concatenate([table.values, game(rows)])
        table = CoalitionTable.of(coalitions, scores, np.full(len(scores), noise))
    else:
        raise AssertionError("the method never stops asking")
    return table, method.explain(features, table)


def brute_force(game: Game, n: int) -> Floats:
    """Shapley values as the mean marginal contribution over all n! orders."""
    phi = np.zeros(n)
    for order in itertools.permutations(range(n)):
        rows = np.zeros((n + 1, n), dtype=bool)
        for position, i in enumerate(order):
            rows[position + 1 :, i] = True
        phi[list(order)] += np.diff(game(rows))
    return phi / math.factorial(n)


def random_table_game(n: int, rng: np.random.Generator) -> Game:
    """Every coalition has an unrelated value."""
    scores = rng.normal(size=2**n)
    return lambda rows: scores[rows @ (1 << np.arange(n))]


def network_game(n: int, rng: np.random.Generator) -> Game:
    """A small random network: smooth, with interactions of every order."""
    first, second = 0.7 * rng.normal(size=(n, 16)), rng.normal(size=16)
    return lambda rows: np.tanh(rows @ first) @ second


def sigmoid_game(n: int, rng: np.random.Generator) -> Game:
    weights = 1.5 * rng.normal(size=n)
    return lambda rows: 1 / (1 + np.exp(0.3 - rows @ weights))


def or_game(n: int, rng: np.random.Generator) -> Game:
    """Any part may carry the evidence: submodular, far from additive."""
    strength = rng.uniform(0, 0.8, size=n)
    return lambda rows: 1 - np.prod(1 - strength * rows, axis=1)


def additive_game(weights: Floats, base: float = 0.25) -> Game:
    return lambda rows: base + rows @ weights

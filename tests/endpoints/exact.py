"""What a method should find, by its definition."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable


def shapley(players: tuple[str, ...], value: Callable[..., float]) -> dict[str, float]:
    """By the definition: the mean over all orders, grouped by what came before."""
    n = len(players)
    found = {}
    for player in players:
        others = [other for other in players if other != player]
        found[player] = sum(
            (value(*(each for each in players if each in before or each == player))
            - value(*(each for each in players if each in before)))
            * math.factorial(size) * math.factorial(n - 1 - size) / math.factorial(n)
            for size in range(n)
            for before in itertools.combinations(others, size)
        )  # fmt: skip
    return found

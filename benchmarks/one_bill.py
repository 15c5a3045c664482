"""One table of 10 n evaluations for six methods, beside a run of 10 n evaluations for each of them: errors and calls.

The table begins with what leave-one-out needs; the design of ``shapley`` fills it up. Every truth is computed from all 2ⁿ
values: Shapley and Banzhaf values, the interaction index of every pair, lime's limit of infinitely many draws, RISE's
expectation over superpixels, and leaving one feature out. Errors are ‖found − truth‖² / ‖truth‖², the median over instances.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy.games import Game, load_games
from benchmarks.accuracy.runs import FLOOR, bare_features, geometric_mean
from benchmarks.accuracy.truth import Bools, Floats, all_coalitions, shapley_by_enumeration
from benchmarks.common import Line, finish
from probe.methods import CoalitionTable, Explanation, Method, build_method

_PER_FEATURE = 10
_ENUMERABLE = 16
#: how much larger the error may be with the shared table: what two medians of as many runs differ by chance
_NOISE = 1.05
_FEWER = 5.0  # the least number of times that separate runs ask more


def _values_read(explanation: Explanation) -> Floats:
    return explanation.values


@dataclass(frozen=True, slots=True)
class Reading:
    """One method: how it is built, what is read from its explanation, and the truth of that from all values (2ⁿ,)."""

    truth: Callable[[Floats, int], Floats]
    settings: Mapping[str, Any] = field(default_factory=dict)
    read: Callable[[Explanation], Floats] = _values_read


def banzhaf(values: Floats, n: int) -> Floats:
    """(n,) mean of v(S ∪ i) − v(S) over all S without i."""
    return np.array([np.diff(values.reshape(-1, 2, 2**i), axis=1).mean() for i in range(n)])


def rise(values: Floats, n: int) -> Floats:
    """(n,) E[v | i kept] − E[v] under fair coins."""
    kept = all_coalitions(n)
    inside = np.array([values[kept[:, i]].mean() for i in range(n)], dtype=np.float64)
    return inside - float(values.mean())


def leave_one_out(values: Floats, n: int) -> Floats:
    """(n,) v(all) − v(all without i)."""
    everything = 2**n - 1
    found: Floats = values[everything] - values[everything ^ (1 << np.arange(n))]
    return found


def pair_interactions(values: Floats, n: int) -> Floats:
    """(n(n−1)/2,) Shapley interaction index of i < j, row by row (Grabisch & Roubens 1999).

    I_ij is the Shapley value of j in the game S ↦ v(S ∪ i) − v(S) of the others.
    """
    found = []
    for i in range(n - 1):
        halves = values.reshape(-1, 2, 2**i)
        others = shapley_by_enumeration((halves[:, 1] - halves[:, 0]).ravel())
        found.append(others[i:])  # feature j > i has moved down by one
    return np.concatenate(found)


def lime_limit(values: Floats, n: int) -> Floats:
    """(n,) slopes of lime's weighted linear fit over infinitely many of its image explainer's draws, kernel width 0.25.

    Fair coins, but the first of its 1000 draws is the input itself; weight √exp(−d² / 0.25²), d = 1 − √(s / n).
    """
    kept = all_coalitions(n)
    probability = np.full(2**n, 0.999 / 2**n)
    probability[-1] += 0.001
    distance = 1 - np.sqrt(kept.sum(axis=1) / n)
    root = np.sqrt(probability * np.sqrt(np.exp(-((distance / 0.25) ** 2))))
    columns = np.hstack([np.ones((2**n, 1)), kept])
    slopes: Floats = np.linalg.lstsq(columns * root[:, None], values * root)[0][1:]
    return slopes


def _pairs_read(explanation: Explanation) -> Floats:
    """The indices of ``details["pairs"]``, in the order of :func:`pair_interactions`."""
    return np.array([pair[2] for pair in sorted(explanation.details["pairs"])], dtype=np.float64)


READINGS: Mapping[str, Reading] = {
    "shapley": Reading(lambda values, _: shapley_by_enumeration(values)),
    "lime": Reading(lime_limit, {"law": "coin", "kernel_width": 0.25}),
    "banzhaf": Reading(banzhaf),
    "rise": Reading(rise, {"masks": "superpixels"}),
    "occlusion": Reading(leave_one_out),
    "interactions": Reading(pair_interactions, read=_pairs_read),
}


def main() -> int:
    """Exit code 1 if a goal is missed."""
    chosen = _options()
    games = [
        game
        for game in load_games(chosen.quick, names=chosen.games)
        if game.n <= _ENUMERABLE and 2**game.n > _PER_FEATURE * game.n
    ]
    errors: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    calls = []
    for game in games:
        print(f"{game.name}, instance {game.instance}", file=sys.stderr)
        found, asked = compare(game, chosen.methods)
        calls.append(asked)
        for method, pair in found.items():
            errors[method, game.name].append(pair)
    lines = [line for method in chosen.methods for line in _method_lines(method, errors)]
    shared, separate = (int(total) for total in np.sum(calls, axis=0))
    ratio = separate / shared
    complete = set(chosen.methods) == set(READINGS)
    lines.append(
        Line(
            "calls",
            f"{shared} on one bill, {separate} in separate runs",
            f"{ratio:.2f}",
            f"≥ {_FEWER:g}" if complete else "",
            ratio >= _FEWER if complete else None,
        )
    )
    title = f"One table of {_PER_FEATURE} n evaluations for {len(chosen.methods)} methods; {len(games)} instances"
    return finish(title, lines, json_file=chosen.json, packages=("numpy", "scikit-learn"))


def compare(game: Game, methods: Sequence[str]) -> tuple[dict[str, tuple[float, float]], tuple[int, int]]:
    """For each method the errors (from the shared table, alone), and the evaluations of (the one bill, all runs)."""
    values, budget = game.v(all_coalitions(game.n)), _PER_FEATURE * game.n
    built = {name: build_method(name, READINGS[name].settings) for name in methods}
    shared = _fill(build_method("occlusion"), game, CoalitionTable.empty(game.n), budget)
    shared = _fill(build_method("shapley"), game, shared, budget)
    found, separate = {}, 0
    for name, method in built.items():
        alone = _fill(method, game, CoalitionTable.empty(game.n), budget)
        separate += alone.m
        truth = READINGS[name].truth(values, game.n)
        errors = [
            _error(READINGS[name].read(method.explain(bare_features(game.n), table)), truth)
            for table in (shared, alone)
        ]
        found[name] = (errors[0], errors[1])
    return found, (shared.m, separate)


def _fill(method: Method, game: Game, table: CoalitionTable, budget: int) -> CoalitionTable:
    """``table`` and what the method asks on top of it."""
    features = bare_features(game.n)
    while True:
        rows: Bools = method.ask(features, table, budget, np.random.default_rng(game.instance))
        if not len(rows):
            return table
        coalitions = np.vstack([table.coalitions, rows])
        table = CoalitionTable.of(coalitions, np.concatenate([table.values, game.v(rows)]))


def _error(found: Floats, truth: Floats) -> float:
    return max(FLOOR, float(np.sum((found - truth) ** 2) / np.sum(truth**2)))


def _method_lines(method: str, errors: Mapping[tuple[str, str], Sequence[tuple[float, float]]]) -> list[Line]:
    medians = {
        game: tuple(float(np.median([pair[k] for pair in pairs])) for k in (0, 1))
        for (name, game), pairs in errors.items()
        if name == method
    }
    lines = [
        Line(f"{method}: {game}", f"{shared:.1e}; alone {alone:.1e}", f"{shared / alone:.3g}")
        for game, (shared, alone) in medians.items()
    ]
    shared, alone = (geometric_mean([pair[k] for pair in medians.values()]) for k in (0, 1))
    ratio = shared / alone
    holds = not math.isnan(ratio) and ratio <= _NOISE
    return [
        *lines,
        Line(f"{method}: all games", f"{shared:.1e}; alone {alone:.1e}", f"{ratio:.3g}", f"≤ {_NOISE:g}", holds),
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two instances a game, no image network")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there as well")
    parser.add_argument(
        "--games", nargs="+", default=[], metavar="PART", help="only games with one of these in the name"
    )
    parser.add_argument("--methods", nargs="+", default=list(READINGS), choices=list(READINGS), metavar="NAME")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

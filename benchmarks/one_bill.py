"""One table of 10 n evaluations for six methods, beside a run of 10 n evaluations for each of them: errors and calls.

The table begins with what leave-one-out needs; the design of ``shapley`` fills it up. Every truth is computed from all 2ⁿ
values: Shapley and Banzhaf values, the interaction index of every pair, lime's limit of infinitely many draws, RISE's
expectation over superpixels, and leaving one feature out. Errors are ‖found − truth‖² / ‖truth‖², the median over instances.
For comparison, the estimator each method is published with, alone on 10 n evaluations: lime's own code for lime, the means
of random coalitions for Banzhaf values (Wang & Jia 2023) and RISE (Petsiuk et al. 2018), KernelSHAP for Shapley values.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

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
    published: Callable[[Game, int], Floats] | None = None
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


def published_kernelshap(game: Game, budget: int) -> Floats:
    """As shap's KernelExplainer with l1_reg=False."""
    method = build_method("kernelshap")
    return method.explain(bare_features(game.n), _fill(method, game, CoalitionTable.empty(game.n), budget)).values


def published_lime(game: Game, budget: int) -> Floats:
    """lime's regression (ridge, α = 1) on its image explainer's draws: the input, then fair coins."""
    from lime.lime_base import LimeBase

    drawn = _coins(game, budget)
    drawn[0] = True
    distances = 1 - np.sqrt(drawn.sum(axis=1) / game.n)
    base = LimeBase(lambda d: np.sqrt(np.exp(-((d / 0.25) ** 2))), random_state=game.instance)
    pairs = base.explain_instance_with_data(
        drawn.astype(np.float64), game.v(drawn)[:, None], distances, 0, game.n, feature_selection="none"
    )[1]
    found = np.zeros(game.n)
    for feature, weight in pairs:
        found[feature] = weight
    return found


def published_banzhaf(game: Game, budget: int) -> Floats:
    """Mean score of the random coalitions with a feature less that of those without it."""
    drawn = _coins(game, budget)
    values = game.v(drawn)
    return np.array([values[kept].mean() - values[~kept].mean() for kept in drawn.T])


def published_rise(game: Game, budget: int) -> Floats:
    """Σ v(z) z_i / (m p) with p = ½, less the mean score."""
    drawn = _coins(game, budget)
    values = game.v(drawn)
    found: Floats = 2 * (values @ drawn) / len(drawn) - values.mean()
    return found


def _coins(game: Game, count: int) -> Bools:
    drawn: Bools = np.random.default_rng([game.instance, game.n]).random((count, game.n)) < 0.5
    return drawn


def _pairs_read(explanation: Explanation) -> Floats:
    """The indices of ``details["pairs"]``, in the order of :func:`pair_interactions`."""
    return np.array([pair[2] for pair in sorted(explanation.details["pairs"])], dtype=np.float64)


READINGS: Mapping[str, Reading] = {
    "shapley": Reading(lambda values, _: shapley_by_enumeration(values), published=published_kernelshap),
    "lime": Reading(lime_limit, {"law": "coin", "kernel_width": 0.25}, published_lime),
    "banzhaf": Reading(banzhaf, published=published_banzhaf),
    "rise": Reading(rise, {"masks": "superpixels"}, published_rise),
    "occlusion": Reading(leave_one_out),
    "interactions": Reading(pair_interactions, read=_pairs_read),
}


class Errors(NamedTuple):
    """Of one method on one game; ``published`` is NaN where none is compared."""

    shared: float
    alone: float
    published: float


def main() -> int:
    """Exit code 1 if a goal is missed."""
    chosen = _options()
    games = [
        game
        for game in load_games(chosen.quick, names=chosen.games)
        if game.n <= _ENUMERABLE and 2**game.n > _PER_FEATURE * game.n
    ]
    errors: dict[tuple[str, str], list[Errors]] = defaultdict(list)
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


def compare(game: Game, methods: Sequence[str]) -> tuple[dict[str, Errors], tuple[int, int]]:
    """Each method's errors, and the evaluations of (the one bill, all of our runs)."""
    values, budget = game.v(all_coalitions(game.n)), _PER_FEATURE * game.n
    shared = _fill(build_method("occlusion"), game, CoalitionTable.empty(game.n), budget)
    shared = _fill(build_method("shapley"), game, shared, budget)
    found, separate = {}, 0
    for name in methods:
        reading = READINGS[name]
        method, truth = build_method(name, reading.settings), reading.truth(values, game.n)
        alone = _fill(method, game, CoalitionTable.empty(game.n), budget)
        separate += alone.m
        found[name] = Errors(
            _error(reading.read(method.explain(bare_features(game.n), shared)), truth),
            _error(reading.read(method.explain(bare_features(game.n), alone)), truth),
            math.nan if reading.published is None else _error(reading.published(game, budget), truth),
        )
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


def _method_lines(method: str, errors: Mapping[tuple[str, str], Sequence[Errors]]) -> list[Line]:
    medians = {
        game: Errors(*np.median(np.array(runs), axis=0).tolist())
        for (name, game), runs in errors.items()
        if name == method
    }
    lines = [
        Line(f"{method}: {game}", _words(found), f"{found.shared / found.alone:.3g}") for game, found in medians.items()
    ]
    overall = Errors(*(geometric_mean(column) for column in zip(*medians.values(), strict=True)))
    ratio = overall.shared / overall.alone
    holds = ratio <= _NOISE
    return [*lines, Line(f"{method}: all games", _words(overall), f"{ratio:.3g}", f"≤ {_NOISE:g}", holds)]


def _words(found: Errors) -> str:
    published = "" if math.isnan(found.published) else f"; as published, alone {found.published:.1e}"
    return f"{found.shared:.1e}; alone {found.alone:.1e}{published}"


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

"""Runs of a tool on a game: its error, its intervals and its time; those of the existing tools are kept on disk."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import probe
from benchmarks.accuracy.anchors import Anchor, CannotDo, Counted
from benchmarks.accuracy.games import Game
from benchmarks.accuracy.truth import Bools, Floats
from probe.analysis.intervals import half_widths
from probe.maskers.base import Feature
from probe.methods import CoalitionTable, Explanation, build_method

#: relative squared errors below this are all the same: values right to four digits, more than endpoints give
FLOOR = 1e-8


def error_of(phi: Floats, game: Game) -> float:
    """‖φ − φ*‖² / ‖φ*‖², at least :data:`FLOOR`."""
    return max(FLOOR, float(np.sum((phi - game.phi) ** 2) / np.sum(game.phi**2)))


def budget_of(game: Game, per_feature: int) -> int:
    """Evaluations: so many for each feature, and always fewer than enumeration takes."""
    return min(per_feature * game.n, (1 << game.n) - 1)


@dataclass(frozen=True, slots=True)
class Ours:
    """One explanation of ours: its error, which features (n,) lie within their 95 % interval, and CPU seconds.

    ``seconds`` are without the game's. ``evaluations`` are distinct coalitions asked.
    """

    error: float
    covered: Bools
    seconds: float
    evaluations: int


def ours(game: Game, budgets: Sequence[int], seed: int, *, adaptive: str = "auto") -> list[Ours]:
    """Our default method at each of the ``budgets``, which rise: every one goes on from what was paid for at the one before.

    ``seconds`` are all that was spent on choosing rows up to there, and one explanation. Raises :class:`CannotDo` if the
    method asks for more.
    """
    method = build_method("shapley", {"adaptive": adaptive})
    features, table, spent, runs = bare_features(game.n), CoalitionTable.empty(game.n), 0.0, []
    for budget in budgets:
        counted = Counted(game.v, budget - table.m)
        started = time.process_time()
        while len(rows := method.ask(features, table, budget, np.random.default_rng(seed))):
            spent += time.process_time() - started
            values = counted(rows)
            started = time.process_time()
            coalitions = np.vstack([table.coalitions, rows])
            table = CoalitionTable.of(coalitions, np.concatenate([table.values, values]))
        explanation = method.explain(features, table)
        seconds = time.process_time() - started
        runs.append(Ours(error_of(explanation.values, game), covered(explanation, game), spent + seconds, table.m))
    return runs


def ours_stopped(game: Game, budget: int, half_width: float) -> Ours:
    """Our default method until every interval is as narrow as ``half_width``, at most ``budget`` evaluations."""
    counted = Counted(game.v, budget)
    started = time.process_time()
    explanation = probe.explain_game(counted, n=game.n, budget=budget, stop={"half_width": half_width})
    seconds = time.process_time() - started
    return Ours(error_of(explanation.values, game), covered(explanation, game), seconds, counted.asked)


def covered(explanation: Explanation, game: Game) -> Bools:
    """Which values (n,) are within the interval of the truth; a value without an interval is not.

    Rounding of the game's closed form, 1e-9 of the largest value, is not held against an interval of width 0.
    """
    widths = half_widths(explanation.std_errors, dof=explanation.trust.get("dof"))
    slack = 1e-9 * float(np.abs(game.phi).max())
    inside: Bools = np.abs(explanation.values - game.phi) <= widths + slack
    return inside


def bare_features(n: int) -> tuple[Feature, ...]:
    """Features that are nothing but numbered."""
    return tuple(Feature(f"feature {i}") for i in range(n))


class Kept:
    """Errors of the existing tools by tool, version, game, budget and seed, in one file that only grows.

    They take most of a run's time and change only with the tool or the game, both of which are in the key.
    """

    def __init__(self, file: Path | None = None) -> None:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self._file = file or base / "blackbox-probe" / "accuracy.jsonl"
        self._known: dict[str, float | None] = {}
        if self._file.exists():
            for line in self._file.read_text(encoding="utf-8").splitlines():
                record = json.loads(line)
                self._known[record["key"]] = None if record["error"] is None else max(FLOOR, record["error"])

    def error(self, anchor: Anchor, game: Game, budget: int, seed: int) -> float | None:
        """The tool's error on the game, ``None`` if it cannot do it."""
        key = _key(anchor, game, budget, seed)
        if key not in self._known:
            self._known[key] = self._measure(anchor, game, budget, seed)
            self._file.parent.mkdir(parents=True, exist_ok=True)
            record = {"key": key, "tool": anchor.name, "game": game.name, "budget": budget, "error": self._known[key]}
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        return self._known[key]

    @staticmethod
    def _measure(anchor: Anchor, game: Game, budget: int, seed: int) -> float | None:
        try:
            return error_of(anchor.run(game.v, game.n, budget, seed).phi, game)
        except CannotDo:
            return None


def _key(anchor: Anchor, game: Game, budget: int, seed: int) -> str:
    identity = [anchor.name, anchor.version, game.name, game.instance, budget, seed]
    digest = hashlib.sha256(json.dumps(identity).encode())
    digest.update(np.round(game.phi / np.abs(game.phi).max(), 12).tobytes())
    return digest.hexdigest()[:24]


def median(errors: Sequence[float | None]) -> float:
    """Median over instances, NaN if the tool could not do one of them."""
    known = [error for error in errors if error is not None]
    return float(np.median(known)) if known and len(known) == len(errors) else math.nan


def geometric_mean(errors: Sequence[float]) -> float:
    """NaN if one is missing."""
    return float(np.exp(np.mean(np.log(errors)))) if len(errors) else math.nan

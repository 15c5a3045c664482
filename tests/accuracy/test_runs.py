"""Our runs in the accuracy benchmark: how they spend, and when they stop."""

from __future__ import annotations

import numpy as np
import pytest

import probe
from benchmarks.accuracy.games import Game
from benchmarks.accuracy.runs import covered, error_of, ours, ours_stopped
from benchmarks.accuracy.truth import enumerate_values, looked_up, shapley_by_enumeration
from tests.unit.methods.games import network_game

_N = 8


@pytest.fixture(scope="module")
def game() -> Game:
    values = enumerate_values(network_game(_N, np.random.default_rng(1)), _N)
    return Game("network", "tuning", 0, _N, looked_up(values), shapley_by_enumeration(values))


def test_each_budget_goes_on_from_the_one_before(game: Game) -> None:
    runs = ours(game, [16, 40, 81], 3)
    assert [run.evaluations for run in runs] == [16, 40, 81]
    first = probe.explain_game(game.v, n=_N, budget=16, seed=3)
    assert runs[0].error == error_of(first.values, game)
    assert runs[0].covered.tolist() == covered(first, game).tolist()
    assert runs[2].error < runs[0].error


def test_rows_asked_at_once_are_another_design(game: Game) -> None:
    (run,) = ours(game, [40], 0, adaptive="never")
    assert run.evaluations == 40
    assert run.error != ours(game, [40], 0)[0].error


def test_a_run_stops_when_its_intervals_are_narrow_enough(game: Game) -> None:
    run = ours_stopped(game, 160, half_width=0.5 * float(np.abs(game.phi).max()))
    assert run.evaluations < 160
    assert run.covered.shape == (_N,)

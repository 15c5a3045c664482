"""The truths of the six methods, each against its definition on a small game."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from benchmarks.accuracy.games import Game
from benchmarks.accuracy.runs import FLOOR, bare_features
from benchmarks.accuracy.truth import all_coalitions, looked_up, shapley_by_enumeration
from benchmarks.one_bill import (
    banzhaf,
    compare,
    leave_one_out,
    lime_limit,
    pair_interactions,
    published_banzhaf,
    published_lime,
    published_rise,
    rise,
)
from probe.methods import CoalitionTable, build_method

_N = 5
_VALUES = np.random.default_rng(3).normal(size=2**_N)


def _v(members: tuple[int, ...]) -> float:
    return float(_VALUES[sum(1 << i for i in members)])


def _others(*without: int) -> list[tuple[int, ...]]:
    rest = [i for i in range(_N) if i not in without]
    return [chosen for size in range(len(rest) + 1) for chosen in itertools.combinations(rest, size)]


def test_banzhaf_is_the_mean_change() -> None:
    expected = [np.mean([_v((*s, i)) - _v(s) for s in _others(i)]) for i in range(_N)]
    assert banzhaf(_VALUES, _N) == pytest.approx(expected, abs=1e-12)


def test_rise_is_half_of_banzhaf() -> None:
    assert rise(_VALUES, _N) == pytest.approx(banzhaf(_VALUES, _N) / 2, abs=1e-12)


def test_leaving_one_out() -> None:
    everything = tuple(range(_N))
    expected = [_v(everything) - _v(tuple(j for j in everything if j != i)) for i in everything]
    assert leave_one_out(_VALUES, _N) == pytest.approx(expected, abs=1e-12)


def test_pair_interactions_by_their_definition() -> None:
    expected = []
    for i, j in itertools.combinations(range(_N), 2):
        terms = [
            (_v((*s, i, j)) - _v((*s, i)) - _v((*s, j)) + _v(s)) / ((_N - 1) * math.comb(_N - 2, len(s)))
            for s in _others(i, j)
        ]
        expected.append(math.fsum(terms))
    assert pair_interactions(_VALUES, _N) == pytest.approx(expected, abs=1e-12)


def test_the_limit_of_lime_is_what_lime_finds_in_a_complete_table() -> None:
    table = CoalitionTable.of(all_coalitions(_N), _VALUES)
    found = build_method("lime", {"law": "coin"}).explain(bare_features(_N), table)
    assert lime_limit(_VALUES, _N) == pytest.approx(found.values, abs=1e-9)


def test_one_table_serves_all_at_the_price_of_one() -> None:
    values = np.random.default_rng(0).normal(size=2**8)
    game = Game("random", "tuning", 0, 8, looked_up(values), shapley_by_enumeration(values))
    errors, (shared, separate) = compare(game, ["shapley", "lime", "occlusion"])
    assert shared == 80
    assert separate == 80 + 80 + 9
    assert errors["occlusion"][:2] == (FLOOR, FLOOR), "what leave-one-out needs is in the shared table"
    assert errors["shapley"].shared < 1
    assert errors["lime"].shared < errors["lime"].published


def test_published_estimators_converge_to_the_truths() -> None:
    game = Game("random", "tuning", 0, _N, looked_up(_VALUES), shapley_by_enumeration(_VALUES))
    truths = [
        (published_banzhaf, banzhaf(_VALUES, _N)),
        (published_rise, rise(_VALUES, _N)),
        (published_lime, lime_limit(_VALUES, _N)),
    ]
    for published, truth in truths:
        assert published(game, 200_000) == pytest.approx(truth, abs=0.02), published.__name__

"""What a table tells about an explanation of it, on games whose answers are known."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from probe.analysis.trust import Judgement, closeness, judge
from probe.maskers.base import Feature
from probe.methods import build_method
from probe.methods.base import Bools, CoalitionTable, Explanation, Floats
from probe.methods.design import enumerate_all, leave_one_out

N = 10
FEATURES = tuple(Feature(f"f{k}") for k in range(N))
WEIGHTS = np.array([5.0, -3.0, 2.0, 1.0, 0.5, 0.0, 0.0, 0.0, 0.0, -1.0])


def sampled(value: Callable[[Bools], Floats], *, m: int = 120, n: int = N, noise: float = 0.0) -> CoalitionTable:
    features = tuple(Feature(f"f{k}") for k in range(n))
    rows = build_method("kernelshap").ask(features, CoalitionTable.empty(n), m, np.random.default_rng(3))
    return CoalitionTable.of(rows, value(rows), np.full(len(rows), noise))


def judged(table: CoalitionTable, method: str = "kernelshap", **options: Any) -> tuple[Explanation, Judgement]:
    built = build_method(method)
    features = tuple(Feature(f"f{k}") for k in range(table.n))

    def explain(part: CoalitionTable) -> Explanation:
        return built.explain(features, part)

    explanation = explain(table)
    return explanation, judge(explanation, table, explain=explain, rng=np.random.default_rng(0), **options)


def codes(judgement: Judgement) -> list[str]:
    return [finding.code for finding in judgement.findings]


def test_an_additive_game_is_agreed_on() -> None:
    _, judgement = judged(sampled(lambda rows: rows @ WEIGHTS))
    assert judgement.trust["agreement"] == pytest.approx(1)
    assert judgement.trust["agreement_by_chance"] < 0.8
    assert judgement.trust["half_split_spread"] == pytest.approx(0, abs=1e-9)
    assert codes(judgement) == []


def test_halves_that_determine_nothing_are_no_witnesses() -> None:
    _, judgement = judged(sampled(lambda rows: rows @ np.arange(16.0), m=34, n=16))
    assert not {"agreement", "half_split_spread"} & set(judgement.trust)


def test_equal_features_agree_in_any_order() -> None:
    _, judgement = judged(sampled(lambda rows: rows.sum(axis=1) / N))
    assert judgement.trust["agreement"] == pytest.approx(judgement.trust["agreement_by_chance"]) == pytest.approx(1)
    assert codes(judgement) == []


def test_games_without_structure_are_not_explained() -> None:
    flagged = 0
    for seed in range(20):
        scores = np.random.default_rng(seed).random(120)
        _, judgement = judged(sampled(lambda rows, scores=scores: scores[: len(rows)]))  # type: ignore[misc]
        flagged += "P221" in codes(judgement)
    assert flagged >= 17, "of 20: one in twenty is as good as chance lets it be"


def test_what_had_no_part_in_single_changes_is_held_out() -> None:
    table = sampled(lambda rows: rows @ WEIGHTS)
    _, judgement = judged(table, "occlusion", reads=leave_one_out(N))
    assert judgement.trust["agreement"] == pytest.approx(1)
    alone = CoalitionTable.of(leave_one_out(N), leave_one_out(N) @ WEIGHTS)
    _, judgement = judged(alone, "occlusion", reads=leave_one_out(N))
    assert "agreement" not in judgement.trust


def test_the_middle_as_a_rival() -> None:
    centre = np.linspace(1, 0, N)
    _, judgement = judged(sampled(lambda rows: rows @ centre), centre=centre)
    assert judgement.trust["agreement_of_centre"] == pytest.approx(1)


def test_insertion_and_deletion_by_hand() -> None:
    rows = enumerate_all(3)
    table = CoalitionTable.of(rows, rows @ np.array([1.0, 3.0, 2.0]))
    explanation, judgement = judged(table)
    assert explanation.values.tolist() == pytest.approx([1, 3, 2])
    assert judgement.trust["insertion"] == pytest.approx((0 / 2 + 3 + 5 + 6 / 2) / 3)
    assert judgement.trust["deletion"] == pytest.approx((6 / 2 + 3 + 1 + 0 / 2) / 3)
    assert judgement.trust["insertion_by_chance"] == pytest.approx(3)
    _, without = judged(sampled(lambda rows: rows @ WEIGHTS, m=60))
    assert "insertion_by_chance" not in without.trust


def test_saturation_shows_in_single_changes() -> None:
    """A feature is enough, so that no single one is missed."""
    rows = enumerate_all(N)
    _, judgement = judged(CoalitionTable.of(rows, rows.any(axis=1).astype(float)))
    assert judgement.trust["single_share"] == 0
    _, judgement = judged(sampled(lambda rows: rows @ np.eye(N)[0]))
    assert judgement.trust["single_share"] == 1


def test_noise_that_is_small_is_said() -> None:
    _, judgement = judged(sampled(lambda rows: rows @ WEIGHTS, noise=1e-4))
    assert codes(judgement) == ["P220"]
    explanation, judgement = judged(sampled(lambda rows: rows @ WEIGHTS, noise=5.0))
    assert "P206" in [finding.code for finding in explanation.findings]
    assert "P220" not in codes(judgement)


def test_a_background_that_decides() -> None:
    table = sampled(lambda rows: rows @ WEIGHTS)
    together = abs(WEIGHTS.sum())
    _, judgement = judged(table, copies=np.array([0.0, 4.0, 0.0, 4.0]))
    expected = np.std([0, 4, 0, 4], ddof=1) / 2 / together
    assert judgement.trust["background_share"] == pytest.approx(expected)
    assert codes(judgement) == ["P222"]
    _, judgement = judged(table, copies=np.array([0.0, 0.1, 0.0, 0.1]))
    assert codes(judgement) == []
    _, judgement = judged(sampled(lambda rows: np.where(rows.any(axis=1) & ~rows.all(axis=1), rows @ WEIGHTS, 1.0)))
    assert "P222" in codes(judgement), "the ends score alike, what lies between does not"


def test_how_near_the_middle() -> None:
    words = (Feature("a", {"span": [0, 2]}), Feature("b", {"span": [4, 6]}), Feature("c", {"span": [8, 10]}))
    assert closeness(words, shape=(10,)) == pytest.approx([0.2, 1.0, 0.2])
    boxes = (
        Feature("a", {"box": [0, 0, 8, 8]}),
        Feature("b", {"box": [2, 2, 6, 6]}),
        Feature("c", {"box": [0, 0, 0, 0]}),
    )
    assert closeness(boxes, shape=(8, 8)) == pytest.approx([1.0, 1.0, 0.0])
    segments = np.zeros((4, 4), dtype=np.int32)
    segments[1:3, 1:3] = 1
    inside = (Feature("a", {"segment": 0}), Feature("b", {"segment": 1}))
    assert closeness(inside, segments=segments, shape=(4, 4)) == pytest.approx([1.0, 1.0])
    assert closeness((Feature("a", {"columns": ["a"]}),), shape=()) is None
    assert closeness((Feature("a", {"columns": ["a"]}),), shape=(3,)) is None


def test_figures_are_finite() -> None:
    flat = sampled(lambda rows: np.zeros(len(rows)))
    _, judgement = judged(flat)
    assert all(math.isfinite(figure) for figure in judgement.trust.values())

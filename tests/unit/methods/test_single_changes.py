"""Occlusion, word substitution and altered columns: one change at a time."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from probe.maskers.base import Feature
from probe.methods import BudgetTooSmall, CoalitionTable, Method
from probe.methods.alteration import Alteration
from probe.methods.design import enumerate_all, leave_one_out
from probe.methods.occlusion import Occlusion
from probe.methods.substitution import Substitution
from tests.unit.methods.games import Bools, Floats, additive_game, or_game, play, tiles

RNG = np.random.default_rng(0)


def substitutes(*entries: tuple[str, str, str]) -> tuple[Feature, ...]:
    return tuple(
        Feature(
            f"{word}→{new} ({relation})",
            place={"span": [0, 1]},
            group=word,
            change={"substitute": new, "relation": relation},
        )
        for word, new, relation in entries
    )


def test_occlusion_is_what_the_score_loses() -> None:
    n = 6
    game = or_game(n, np.random.default_rng(0))
    table, explanation = play(Occlusion(), game, tiles(n), n + 1)
    assert table.coalitions.tolist() == leave_one_out(n).tolist()
    assert explanation.values == pytest.approx(table.values[0] - table.values[1:])
    assert explanation.full_value == table.values[0]
    assert np.isnan(explanation.base_value)
    assert np.isnan(explanation.std_errors).all()
    assert not explanation.exact


def test_occlusion_reads_any_table_and_asks_only_what_it_lacks() -> None:
    rows = enumerate_all(4)[3:]
    table = CoalitionTable.of(rows, additive_game(np.arange(4.0))(rows))
    asked = Occlusion().ask(tiles(4), table, 16, RNG)
    assert asked.all(axis=1).tolist() == [True]
    whole = enumerate_all(4)
    explanation = Occlusion().explain(tiles(4), CoalitionTable.of(whole, additive_game(np.arange(4.0))(whole)))
    assert explanation.values == pytest.approx(np.arange(4.0))
    assert explanation.base_value == pytest.approx(0.25)


def test_repeats_give_errors() -> None:
    _, explanation = play(Occlusion(), additive_game(np.array([0.1, 0.4])), tiles(2), 3, noise=0.02)
    assert explanation.std_errors == pytest.approx([0.2, 0.2])
    assert {"P206"} == {finding.code for finding in explanation.findings}
    assert 0.1 < explanation.trust["noise_share"] <= 1


@pytest.mark.parametrize("method", [Occlusion(), Substitution(), Alteration()])
def test_the_budget_must_cover_every_single_change(method: Method) -> None:
    with pytest.raises(BudgetTooSmall, match=r"budget of 6 .* 6 features; it needs at least 7"):
        method.ask(tiles(6), CoalitionTable.empty(6), 6, RNG)
    with pytest.raises(ValueError, match="no feature to replace"):
        method.ask((), CoalitionTable.empty(0), 6, RNG)


@pytest.mark.parametrize("method", [Occlusion(), Substitution(), Alteration()])
def test_unanswered_changes_have_no_value_and_are_named(method: Method) -> None:
    rows = np.delete(leave_one_out(4), 2, axis=0)
    explanation = method.explain(tiles(4), CoalitionTable.of(rows, additive_game(np.ones(4))(rows)))
    assert np.isnan(explanation.values).tolist() == [False, True, False, False]
    [finding] = [finding for finding in explanation.findings if finding.code == "P208"]
    assert "1 of 4 changes have no answer ('tile 1')" in finding.message
    json.dumps(dict(explanation.details), allow_nan=False)
    with pytest.raises(ValueError, match="none of the 4 single changes"):
        method.explain(tiles(4), CoalitionTable.of(rows[:1], np.ones(1)))
    with pytest.raises(ValueError, match="unchanged input is missing"):
        method.explain(tiles(4), CoalitionTable.of(rows[1:], np.ones(3)))


def test_saturation_is_told_from_a_model_that_ignores_the_input() -> None:
    def saturated(rows: Any) -> Any:
        return 1 - 1e-4 * (~rows).sum(axis=1)

    _, pinned = play(Occlusion(), saturated, tiles(5), 6)
    assert [finding.code for finding in pinned.findings] == ["P202"]
    _, ignored = play(Occlusion(), lambda rows: np.full(len(rows), 0.4), tiles(5), 6)
    assert [finding.code for finding in ignored.findings] == ["P205"]
    _, plain = play(Occlusion(), additive_game(np.full(5, 0.1)), tiles(5), 6)
    assert plain.findings == ()


def test_words_are_judged_by_what_their_substitutes_do() -> None:
    features = substitutes(
        ("good", "", "deletion"),
        ("good", "[MASK]", "neutral"),
        ("good", "fine", "synonym"),
        ("good", "great", "synonym"),
        ("good", "bad", "antonym"),
        ("he", "she", "pair"),
        ("film", "movie", "synonym"),
    )
    scores = np.array([0.5, 0.6, 0.8, 0.95, 0.1, 0.85, 0.9])

    def game(rows: Any) -> Any:
        return np.where(rows.all(axis=1), 0.9, (~rows) @ scores)

    _, explanation = play(Substitution(), game, features, 8)
    assert explanation.values == pytest.approx(0.9 - scores)
    details = explanation.details
    json.dumps(dict(details), allow_nan=False)
    assert [(entry["word"], entry["substitute"], entry["relation"]) for entry in details["substitutions"]][:2] == [
        ("good", "", "deletion"),
        ("good", "[MASK]", "neutral"),
    ]
    assert details["substitutions"][0]["score"] == pytest.approx(0.5)
    good, he, film = details["words"]
    assert (good["word"], good["basis"], good["substitutes"]) == ("good", ["deletion", "neutral"], 5)
    assert good["attribution"] == pytest.approx(0.35)
    assert (he["basis"], film["basis"]) == (["pair"], ["synonym"])
    assert [(one["word"], one["substitute"], one["tested"]) for one in details["invariance"]] == [
        ("good", "fine", 2),
        ("film", "movie", 1),
    ]
    assert details["direction"][0]["as_expected"] is True
    assert details["bias"][0]["change"] == pytest.approx(0.05)


def test_an_antonym_that_moves_the_score_the_wrong_way_is_told() -> None:
    features = substitutes(("good", "", "deletion"), ("good", "bad", "antonym"), ("so", "not", "antonym"))
    scores = np.array([0.5, 0.95, 0.3])
    _, explanation = play(Substitution(), lambda rows: np.where(rows.all(axis=1), 0.9, (~rows) @ scores), features, 4)
    assert [one["as_expected"] for one in explanation.details["direction"]] == [False, None]


def test_word_tests_count_and_name_their_failures() -> None:
    features = substitutes(
        ("good", "", "deletion"),
        ("good", "fine", "synonym"),
        ("good", "goodly", "synonym"),
        ("good", "bad", "antonym"),
        ("good", "evil", "antonym"),
        ("so", "", "deletion"),
        ("so", "not", "antonym"),
        ("he", "she", "pair"),
        ("his", "her", "pair"),
    )
    losses = np.array([0.3, 0.01, 0.2, 0.6, -0.02, 0.01, 0.4, 0.1, -0.3])

    def game(rows: Bools) -> Floats:
        scores: Floats = 0.9 - (~rows) @ losses
        return scores

    _, explanation = play(Substitution(), game, features, 10)
    tests = explanation.details["tests"]
    assert {name: (one["tested"], one["passed"], one["failed"]) for name, one in tests.items()} == {
        "invariance": (2, 1, 1),
        "direction": (2, 1, 1),  # "so" has no attribution to undo
        "bias": (2, 0, 2),
    }
    assert [(one["word"], one["substitute"]) for one in tests["bias"]["worst"]] == [("his", "her"), ("he", "she")]
    assert tests["direction"]["worst"][0]["substitute"] == "evil"
    assert [finding.code for finding in explanation.findings] == ["P209", "P210", "P211"]
    assert "1 of 2 synonyms" in explanation.findings[0].message
    assert "'his' → 'her': +0.3" in explanation.findings[2].message
    _, tolerant = play(Substitution(tolerance=0.35), game, features, 10)
    assert [finding.code for finding in tolerant.findings] == []
    json.dumps(dict(explanation.details), allow_nan=False)


@pytest.mark.parametrize("tolerance", [-0.1, "small", True, float("nan")])
def test_a_tolerance_is_a_size(tolerance: Any) -> None:
    with pytest.raises(ValueError, match="tolerance must be a number of at least 0"):
        Substitution(tolerance=tolerance)


def test_altered_columns_give_curves_in_order() -> None:
    features = tuple(
        Feature(f"{column}={value}", place={"columns": [column]}, group=column, change={"value": value})
        for column, value in [("age", 60), ("age", 20.5), ("job", "nurse"), ("job", "clerk")]
    )
    scores = np.array([0.9, 0.2, 0.5, 0.6])
    _, explanation = play(Alteration(), lambda rows: np.where(rows.all(axis=1), 0.4, (~rows) @ scores), features, 5)
    assert explanation.details["curves"]["age"]["values"] == [20.5, 60]
    assert explanation.details["curves"]["age"]["scores"] == pytest.approx([0.2, 0.9])
    assert explanation.details["curves"]["job"]["values"] == ["nurse", "clerk"]
    assert explanation.details["effects"] == pytest.approx({"age": 0.7, "job": 0.2})
    assert explanation.values == pytest.approx(0.4 - scores)

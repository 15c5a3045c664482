from __future__ import annotations

import json

import numpy as np
import pytest

from probe.maskers.quadtree import QuadtreeMasker
from probe.methods import BudgetTooSmall, CoalitionTable, build_method
from probe.methods.quadtree import Quadtree
from tests.unit.methods.games import Bools, Floats, Game, play, tiles

BLANK = np.zeros((32, 32), dtype=np.uint8)


def bright(marks: dict[tuple[int, int], float]) -> tuple[QuadtreeMasker, Game]:
    """A picture with bright pixels, and an endpoint whose score adds up the weights of those it still sees."""
    picture = BLANK.copy()
    for place in marks:
        picture[place] = 255
    masker = QuadtreeMasker(picture, depth=4, fill="black")

    def score(coalitions: Bools) -> Floats:
        seen = [masker.render(row) for row in coalitions]
        return np.array([sum(w for place, w in marks.items() if image[place] == 255) for image in seen])

    return masker, score


def regions_with(masker: QuadtreeMasker, place: tuple[int, int]) -> list[int]:
    """Numbers of the regions around a pixel, the quarter first."""
    boxes = [feature.place["box"] for feature in masker.features]
    return [k for k, (t, x, b, r) in enumerate(boxes) if t <= place[0] < b and x <= place[1] < r]


def test_a_planted_mark_is_found_exactly_and_cheaply() -> None:
    masker, score = bright({(9, 21): 0.7})
    table, explanation = play(Quadtree(), score, masker.features, 300)
    around = regions_with(masker, (9, 21))
    assert explanation.values[around[-1]] == pytest.approx(0.7)
    assert table.m == 1 + 4 * 4  # of 340 regions
    known = np.isfinite(explanation.values)
    assert known.sum() == 4 * 4
    assert np.flatnonzero(np.nan_to_num(explanation.values)).tolist() == around
    assert explanation.values[around] == pytest.approx([0.7] * 4)
    assert explanation.details["split"] == [masker.features[k].name for k in around[:-1]]
    assert explanation.findings == ()
    json.dumps(dict(explanation.details))


def test_regions_that_were_not_split_cover_the_picture_once() -> None:
    masker, score = bright({(2, 3): 0.5, (29, 20): 0.3, (17, 30): 0.2})
    _, explanation = play(Quadtree(), score, masker.features, 60)
    covered, total = np.zeros(BLANK.shape, dtype=int), 0.0
    for feature, value in zip(masker.features, explanation.values, strict=True):
        if np.isfinite(value) and feature.name not in explanation.details["split"]:
            top, left, bottom, right = feature.place["box"]
            covered[top:bottom, left:right] += 1
            total += value
    assert (covered == 1).all()
    assert total == pytest.approx(1.0)


def test_marks_are_separated_in_the_order_of_their_strength() -> None:
    masker, score = bright({(2, 3): 0.6, (29, 20): 0.1, (17, 30): 0.002})
    finest = [regions_with(masker, place)[-1] for place in ((2, 3), (29, 20), (17, 30))]
    _, explanation = play(Quadtree(), score, masker.features, 340)
    assert explanation.values[finest[:2]] == pytest.approx([0.6, 0.1])
    assert np.isnan(explanation.values[finest[2]])  # below a twentieth of the strongest: not looked at closer
    _, everything = play(Quadtree(least=0), score, masker.features, 340)
    assert everything.values[finest] == pytest.approx([0.6, 0.1, 0.002])
    _, short = play(Quadtree(), score, masker.features, 17)
    assert short.evaluations == 17
    assert short.values[finest[0]] == pytest.approx(0.6)
    assert np.isnan(short.values[finest[1]])


def test_a_budget_below_the_quarters_is_refused() -> None:
    masker, _ = bright({(1, 1): 1.0})
    with pytest.raises(BudgetTooSmall, match="needs at least 5"):
        Quadtree().ask(masker.features, CoalitionTable.empty(masker.n), 4, np.random.default_rng(0))


def test_a_region_without_an_answer_has_no_value_and_is_named() -> None:
    masker, score = bright({(9, 21): 0.7})
    table, _ = play(Quadtree(), score, masker.features, 300)
    lost = regions_with(masker, (9, 21))[-1]
    keep = table.coalitions[:, lost]
    part = CoalitionTable.of(table.coalitions[keep], table.values[keep])
    explanation = Quadtree().explain(masker.features, part)
    assert np.isnan(explanation.values[lost])
    (finding,) = explanation.findings
    assert finding.code == "P208"
    assert masker.features[lost].name in finding.message


def test_other_features_are_refused() -> None:
    with pytest.raises(ValueError, match="not the regions of a quadtree"):
        Quadtree().ask(tiles(5), CoalitionTable.empty(5), 10, np.random.default_rng(0))
    with pytest.raises(ValueError, match="least must be a number from 0 to 1"):
        build_method("quadtree", {"least": 2})


def test_repeats_give_errors() -> None:
    masker, score = bright({(9, 21): 0.7})
    _, explanation = play(Quadtree(), score, masker.features, 300, noise=0.02)
    known = np.isfinite(explanation.values)
    assert explanation.std_errors[known] == pytest.approx(np.full(known.sum(), 0.2))

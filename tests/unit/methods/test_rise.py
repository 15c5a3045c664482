from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.maskers.cells import CellMasker
from probe.methods import BudgetTooSmall, CoalitionTable, build_method
from probe.methods.design import enumerate_all, paired_kernel_design
from probe.methods.rise import Rise
from tests.unit.methods.games import additive_game, or_game, play, sigmoid_game, tiles

SUPERPIXELS = Rise(masks="superpixels")
#: on black, what is kept of a white picture is its mask
WHITE = np.full((60, 72), 255, dtype=np.uint8)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=8).map(np.array))
def test_on_an_additive_game_a_superpixel_is_worth_half_its_weight(weights: np.ndarray) -> None:
    n = len(weights)
    _, explanation = play(SUPERPIXELS, additive_game(weights), tiles(n), 2**n)
    assert explanation.exact
    assert explanation.values == pytest.approx(weights / 2, abs=1e-12)
    assert explanation.std_errors == pytest.approx(np.zeros(n))


def test_all_coalitions_give_the_definition() -> None:
    n = 6
    rows = enumerate_all(n)
    scores = or_game(n, np.random.default_rng(2))(rows)
    explanation = SUPERPIXELS.explain(tiles(n), CoalitionTable.of(rows, scores))
    want = [scores[rows[:, i]].mean() - scores.mean() for i in range(n)]
    assert explanation.values == pytest.approx(want)
    assert explanation.details["mean_score"] == pytest.approx(scores.mean())


def test_errors_say_how_far_the_estimate_is_off() -> None:
    n, games = 10, 40
    rows = enumerate_all(n)
    inside = []
    for seed in range(games):
        game = sigmoid_game(n, np.random.default_rng(seed))
        scores = game(rows)
        truth = np.array([scores[rows[:, i]].mean() - scores.mean() for i in range(n)])
        _, explanation = play(SUPERPIXELS, game, tiles(n), 100, seed=seed)
        inside.append(np.abs(explanation.values - truth) <= 2 * explanation.std_errors)
    assert 0.9 <= np.mean(inside) <= 0.999


def test_the_rows_of_another_design_serve_too() -> None:
    """A table by KernelSHAP's sizes, mostly very small and very large, tells the same as one of coins."""
    n = 12
    weights = np.linspace(-1, 1, n)
    rows = paired_kernel_design(n, 1500, np.random.default_rng(0))
    explanation = SUPERPIXELS.explain(tiles(n), CoalitionTable.of(rows, additive_game(weights)(rows)))
    assert explanation.values == pytest.approx(weights / 2, abs=1e-9)


def test_pairs_are_asked_and_nothing_twice() -> None:
    table, _ = play(SUPERPIXELS, additive_game(np.arange(30.0)), tiles(30), 100)
    assert table.m == 100
    keys = {row.tobytes() for row in table.coalitions}
    assert all((~row).tobytes() in keys for row in table.coalitions)


def test_smooth_masks_find_the_planted_place() -> None:
    masker = CellMasker(WHITE, fill="black")
    spot = np.s_[30:36, 44:50]  # in the cell of row 3, column 4

    def score(coalitions: np.ndarray) -> np.ndarray:
        return np.array([masker.render(row)[spot].mean() / 255 for row in coalitions])

    _, explanation = play(Rise(), score, masker.features, 1000)
    best = int(explanation.values.argmax())
    assert masker.features[best].place["cell"] == [3, 4]
    far = [k for k, f in enumerate(masker.features) if abs(f.place["cell"][0] - 3) + abs(f.place["cell"][1] - 4) > 2]
    assert np.abs(explanation.values[far]).max() < explanation.values[best] / 3
    within = np.abs(explanation.values[far]) <= 3 * explanation.std_errors[far]
    assert within.mean() > 0.95


def test_smooth_values_are_those_of_the_masks_themselves() -> None:
    """The value of a cell is that of the mask's mean over the cell's place, up to where in the cell it is read."""
    masker = CellMasker(WHITE, grid=3, fill="black")
    rows = enumerate_all(9)
    masks = np.stack([masker.mask(row) for row in rows])
    scores = masks[:, 10:30, 40:70].mean(axis=(1, 2))
    values = Rise().explain(masker.features, CoalitionTable.of(rows, scores)).values
    for feature, value in zip(masker.features, values, strict=True):
        top, left, bottom, right = feature.place["box"]
        kept = masks[:, top:bottom, left:right].mean(axis=(1, 2))
        assert value == pytest.approx((scores * kept).sum() / kept.sum() - scores.mean(), abs=2e-3)
    assert np.abs(values).max() > 0.05


def test_budgets_features_and_settings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BudgetTooSmall, match="needs at least 4"):
        Rise().ask(CellMasker(WHITE).features, CoalitionTable.empty(49), 3, np.random.default_rng(0))
    rows = enumerate_all(3)
    with pytest.raises(ValueError, match="not soft cells"):
        Rise().explain(tiles(3), CoalitionTable.of(rows, rows.sum(axis=1)))
    with pytest.raises(ValueError, match="masks must be one of smooth, superpixels"):
        build_method("rise", {"masks": "soft"})
    assert (Rise().view, SUPERPIXELS.view) == ("cells", "parts")

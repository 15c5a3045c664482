"""The games themselves: deterministic, efficient, and what their descriptions say."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.accuracy.games import Game, load_games, sources

_CHEAP = ["wine, MLP", "VADER", "cancer, forest", "cancer, RBF", "profanity", "cancer, boosting"]


@pytest.fixture(scope="module")
def games() -> list[Game]:
    return load_games(names=_CHEAP, instances=2)


def test_there_are_as_many_games_to_validate_on_as_to_tune_on() -> None:
    groups = [source.group for source in sources()]
    assert len(groups) >= 12
    assert groups.count("tuning") == groups.count("validation")
    assert len({source.name for source in sources()}) == len(groups)


def test_values_sum_to_what_all_features_change(games: list[Game]) -> None:
    assert len(games) == 2 * len(_CHEAP)
    for game in games:
        ends = game.v(np.array([[False] * game.n, [True] * game.n]))
        assert game.phi.shape == (game.n,)
        assert game.phi.sum() == pytest.approx(ends[1] - ends[0], abs=1e-9), game.name


def test_no_game_is_additive(games: list[Game]) -> None:
    for game in games:
        singles = game.v(np.eye(game.n, dtype=bool)) - game.v(np.zeros((1, game.n), dtype=bool))
        assert np.linalg.norm(singles - game.phi) > 0.03 * np.linalg.norm(game.phi), game.name


def test_loading_twice_gives_the_same_bits(games: list[Game]) -> None:
    for once, again in zip(games, load_games(names=_CHEAP, instances=2), strict=True):
        assert (once.name, once.instance) == (again.name, again.instance)
        assert once.phi.tobytes() == again.phi.tobytes()


def test_values_do_not_depend_on_what_is_asked_along_with_them(games: list[Game]) -> None:
    rng = np.random.default_rng(0)
    for game in games:
        rows = rng.random((40, game.n)) < 0.5
        together = game.v(rows)
        alone = np.concatenate([game.v(row[None]) for row in rows[:5]])
        assert alone == pytest.approx(together[:5], abs=1e-12), game.name


def test_a_name_nothing_has_is_refused() -> None:
    with pytest.raises(ValueError, match="no game has 'chess' in its name"):
        load_games(names=["chess"])

"""What ``benchmarks.saliency`` compares, on a score that looks at one place; the networks themselves are not needed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.saliency import photos
from benchmarks.saliency.saliency_maps import black_box, centre_prior, chance

PLACE = np.s_[24:48, 60:84]  # in whole regions of the quadtree


def seen(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
    """1 while the place is as it is, less the more it is altered."""
    return np.array([1 - np.abs(picture[PLACE].astype(float) - PICTURE[PLACE]).mean() / 128 for picture in pictures])


PICTURE = np.random.default_rng(3).integers(0, 256, (96, 96, 3), dtype=np.uint8)


def test_every_map_made_from_scores_is_higher_where_the_score_looks() -> None:
    maps = black_box(seen, PICTURE, evaluations=300, seed=0)
    assert set(maps) == {"smoothed", "flat", "same-bill", "rise", "quadtree"}
    inside = np.zeros((96, 96), dtype=bool)
    inside[PLACE] = True
    for name, heat in maps.items():
        assert heat.shape == (96, 96)
        assert heat[inside].mean() > heat[~inside].mean() + 0.3 * np.ptp(heat), name
        assert inside.ravel()[heat.argmax()], name


def test_the_rows_that_know_nothing() -> None:
    prior = centre_prior(9)
    assert prior.argmax() == 40
    assert prior[0, 0] == prior[8, 8] == prior.min()
    noise = chance(28, np.random.default_rng(0))
    assert np.array_equal(noise, chance(28, np.random.default_rng(0)))
    assert np.abs(np.diff(noise, axis=0)).mean() < np.ptp(noise) / 10  # as coarse as superpixels


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"pip install --no-deps foolbox==3\.3\.4"):
        list(photos.photographs())


def test_photographs_of_the_locked_packages_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "_SOURCES", {k: v for k, v in photos._SOURCES.items() if k != "foolbox"})
    found = list(photos.photographs())
    assert [photo.name for photo in found][:2] == ["camera", "coffee"]
    assert all(photo.pixels.ndim == 3 and photo.label is None for photo in found)

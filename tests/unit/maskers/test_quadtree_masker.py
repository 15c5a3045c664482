from __future__ import annotations

import itertools

import numpy as np
import pytest

from probe.maskers import build_masker
from probe.maskers.image import GridMasker, SuperpixelMasker
from probe.maskers.quadtree import QuadtreeMasker

PICTURE = np.random.default_rng(4).integers(0, 256, (37, 50, 3), dtype=np.uint8)


def test_every_level_covers_the_picture_once_and_quarters_make_up_their_parent() -> None:
    features = QuadtreeMasker(PICTURE, depth=3).features
    assert len(features) == 4 + 16 + 64
    covers = []
    for feature in features:
        cover = np.zeros((37, 50), dtype=int)
        top, left, bottom, right = feature.place["box"]
        cover[top:bottom, left:right] = 1
        assert cover.any()
        covers.append(cover)
    for level in (1, 2, 3):
        assert (
            np.sum([c for c, f in zip(covers, features, strict=True) if f.place["level"] == level], axis=0) == 1
        ).all()
    for parent in range(4 + 16):
        quarters = [c for c, f in zip(covers, features, strict=True) if f.place.get("parent") == parent]
        assert len(quarters) == 4
        assert np.array_equal(np.sum(quarters, axis=0), covers[parent])


def test_levels_stop_at_single_pixels() -> None:
    assert QuadtreeMasker(PICTURE[:8, :9], depth=6).n == 4 + 16 + 64
    with pytest.raises(ValueError, match="has no quarters"):
        QuadtreeMasker(PICTURE[:1])
    with pytest.raises(ValueError, match="at most 6"):
        QuadtreeMasker(PICTURE, depth=7)


def test_hiding_a_region_is_hiding_its_quarters() -> None:
    masker = QuadtreeMasker(PICTURE, depth=2, fill="blur")
    one, four = np.ones(masker.n, dtype=bool), np.ones(masker.n, dtype=bool)
    one[2] = False
    four[[k for k, feature in enumerate(masker.features) if feature.place.get("parent") == 2]] = False
    assert np.array_equal(masker.render(one), masker.render(four))


@pytest.mark.parametrize("view", ["parts", "windows", "quadtree", "cells"])
def test_several_fills_are_a_rendering_each(view: str) -> None:
    names = ["grey", "mean", "blur"]
    several = build_masker("image", view, PICTURE, {"fill": names})  # type: ignore[arg-type]
    assert several.copies == 3
    assert several.settings["fill"] == names
    rng = np.random.default_rng(1)
    for copy, name in enumerate(names):
        single = build_masker("image", view, PICTURE, {"fill": name})  # type: ignore[arg-type]
        assert single.copies == 1
        assert single.settings["fill"] == name
        kept = rng.random(single.n) < 0.5
        assert np.array_equal(np.asarray(several.render(kept, copy)), np.asarray(single.render(kept)))
    full = np.ones(several.n, dtype=bool)
    assert all(np.array_equal(np.asarray(several.render(full, copy)), PICTURE) for copy in range(3))
    with pytest.raises(ValueError, match="copy is 3"):
        several.render(full, 3)


def test_fills_that_follow_the_parts_can_be_among_several() -> None:
    names = ("inpaint", "segment-mean")
    for build in (
        lambda fill: GridMasker(PICTURE, window=9, stride=5, fill=fill),
        lambda fill: SuperpixelMasker(PICTURE, segments=12, fill=fill),
    ):
        several = build(names)
        kept = np.random.default_rng(2).random(several.n) < 0.5
        for copy, name in enumerate(names):
            assert np.array_equal(several.render(kept, copy), build(name).render(kept))


@pytest.mark.parametrize("fill", [[], ["grey", "grey"], ["grey", "gray"], 3])
def test_fills_must_be_known_and_different(fill: object) -> None:
    with pytest.raises(ValueError, match="fill"):
        build_masker("image", "parts", PICTURE, {"fill": fill})


def test_regions_have_names_of_their_own() -> None:
    names = [feature.name for feature in QuadtreeMasker(PICTURE).features]
    assert not any(a == b for a, b in itertools.combinations(names, 2))

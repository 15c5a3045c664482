import json
from typing import Any

import numpy as np
import pytest
from skimage import data

from probe.maskers import (
    AlterationMasker,
    GridMasker,
    Masker,
    ShiftMasker,
    StepMasker,
    SubstitutionMasker,
    SuperpixelMasker,
    TabularMasker,
    TextMasker,
    build_masker,
    known_settings,
)

PHOTO = data.coffee()[::4, ::4]  # type: ignore[no-untyped-call]
ROW: dict[str, Any] = {"age": 40, "job": "nurse"}
ROWS: list[dict[str, Any]] = [
    {"age": age, "job": job} for age, job in zip(range(20, 60), ["cook", "pilot"] * 20, strict=True)
]

CASES: list[tuple[Any, Any, Any, dict[str, Any], type]] = [
    ("image", "parts", PHOTO, {}, SuperpixelMasker),
    ("image", "windows", PHOTO, {}, GridMasker),
    ("text", "parts", "a good film", {}, TextMasker),
    ("text", "windows", "a good film", {}, TextMasker),
    ("text", "substitutions", "a good film", {}, SubstitutionMasker),
    ("tabular", "parts", ROW, {"background": ROWS}, TabularMasker),
    ("tabular", "windows", ROW, {"background": ROWS}, TabularMasker),
    ("tabular", "alterations", ROW, {"background": ROWS}, AlterationMasker),
    ("tabular", "steps", ROW, {"background": ROWS}, StepMasker),
    ("image", "steps", PHOTO, {"segments": 6}, ShiftMasker),
]


@pytest.mark.parametrize(("kind", "view", "instance", "settings", "cls"), CASES)
def test_every_view_has_a_masker_with_json_ready_features(
    kind: Any, view: Any, instance: Any, settings: dict[str, Any], cls: type
) -> None:
    masker = build_masker(kind, view, instance, settings)
    assert type(masker) is cls
    assert isinstance(masker, Masker)
    assert masker.kind == kind
    assert masker.n == len(masker.features)
    assert len({feature.name for feature in masker.features}) == masker.n
    json.dumps([dict(masker.settings), [[dict(feature.place), dict(feature.change)] for feature in masker.features]])
    full = masker.render(np.ones(masker.n, dtype=bool))
    assert np.array_equal(full, instance) if kind == "image" else full == instance  # type: ignore[arg-type]
    again = build_masker(kind, view, instance, settings)
    assert again.settings == masker.settings
    none = np.zeros(masker.n, dtype=bool)
    assert np.array_equal(again.render(none), masker.render(none))  # type: ignore[arg-type]


def test_default_windows_are_a_seventh_of_the_image_and_overlap_by_half() -> None:
    masker = build_masker("image", "windows", np.zeros((100, 225, 3), np.uint8), {})
    assert masker.settings["window"] == 21
    assert masker.settings["stride"] == 10
    assert build_masker("image", "windows", PHOTO, {"window": 30}).settings["stride"] == 15
    assert build_masker("image", "windows", np.zeros((1, 1), np.uint8), {}).n == 1


def test_one_block_of_settings_serves_all_views_of_a_kind() -> None:
    block = {"segments": 12, "window": 50, "stride": 50, "fill": "grey", "blur": None}
    assert build_masker("image", "parts", PHOTO, block).settings["segments"] == 12
    assert build_masker("image", "windows", PHOTO, block).n == 6


def test_background_rows_are_sampled_by_the_seed() -> None:
    def sampled(seed: int, **options: Any) -> Any:
        settings = {"background": ROWS, "fill": "rows", **options}
        return build_masker("tabular", "parts", ROW, settings, rng_seed=seed).settings["background"]

    assert len(sampled(1)) == 10
    assert sampled(1) == sampled(1)
    assert sampled(1) != sampled(2)
    assert all(row in ROWS for row in sampled(1))
    assert len(sampled(1, sample=3)) == 3
    assert sampled(1, sample=99) == ROWS
    median = build_masker("tabular", "parts", ROW, {"background": ROWS})
    assert median.copies == 1
    assert median.settings["background"] == [{"age": 39, "job": "cook"}]


def test_settings_are_the_same_however_they_were_reached() -> None:
    drawn = build_masker("tabular", "parts", ROW, {"background": ROWS, "fill": "rows", "sample": 3}, rng_seed=4)
    direct = TabularMasker(ROW, background=drawn.settings["background"], fill="rows")
    assert direct.settings == drawn.settings


@pytest.mark.parametrize(
    ("kind", "view", "settings", "told"),
    [
        ("image", "parts", {"segmnts": 3}, r"'segmnts' is unknown \(did you mean 'segments'\?\). Known for image: alg"),
        ("text", "parts", {"window": 3}, "masker setting 'window' is unknown"),
        ("text", "alterations", {}, "view of text 'alterations' is unknown"),
        ("sound", "parts", {}, "kind 'sound' is unknown"),
        ("tabular", "parts", {}, "needs background"),
        ("tabular", "alterations", {}, "needs reference rows or ranges"),
        ("tabular", "parts", {"background": ROWS, "sample": 0}, "sample is 0"),
        ("tabular", "parts", {"background": 7, "sample": 1}, "background is 7; it must be a list"),
        ("image", "windows", {"window": "big"}, "window is 'big'"),
    ],
)
def test_what_is_refused(kind: Any, view: Any, settings: dict[str, Any], told: str) -> None:
    instance: Any = {"image": PHOTO, "text": "a film", "tabular": ROW}.get(kind, "")
    with pytest.raises(ValueError, match=told):
        build_masker(kind, view, instance, settings)


def test_known_settings() -> None:
    names = ("algorithm", "segments", "fill", "blur", "window", "stride", "depth", "grid", "shift")
    assert known_settings("image") == names

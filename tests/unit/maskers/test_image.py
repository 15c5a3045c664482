import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.ndimage import label
from skimage import data

from probe.maskers import GridMasker, Masker, SuperpixelMasker
from probe.maskers.fills import FILLS, Fill
from probe.maskers.superpixels import ALGORITHMS, Algorithm

Image = NDArray[np.uint8]

sizes = st.tuples(st.integers(1, 24), st.integers(1, 24))
shapes = st.one_of(sizes, sizes.map(lambda size: (*size, 3)))
images = shapes.flatmap(lambda shape: arrays(np.uint8, shape))
fills = st.sampled_from(FILLS)


def coalition(n: int, *off: int) -> NDArray[np.bool_]:
    kept = np.ones(n, dtype=bool)
    kept[list(off)] = False
    return kept


def covered(masker: GridMasker, ids: list[int]) -> NDArray[np.bool_]:
    mask = np.zeros(masker.instance.shape[:2], dtype=bool)
    for k in ids:
        top, left, bottom, right = masker.features[k].place["box"]
        mask[top:bottom, left:right] = True
    return mask


@pytest.fixture(scope="module")
def coffee() -> Image:
    photo: Image = data.coffee()[::2, ::2]  # type: ignore[no-untyped-call]
    return photo


def test_windows_reach_the_edges_by_moving_the_last_one_back() -> None:
    masker = GridMasker(np.zeros((5, 8), np.uint8), window=4, stride=3)
    assert [feature.place["box"] for feature in masker.features] == [
        [0, 0, 4, 4],
        [0, 3, 4, 7],
        [0, 4, 4, 8],
        [1, 0, 5, 4],
        [1, 3, 5, 7],
        [1, 4, 5, 8],
    ]
    assert masker.features[4].name == "row 2 column 2"


def test_a_hidden_window_is_grey_and_nothing_else_changes() -> None:
    image = np.arange(36, dtype=np.uint8).reshape(6, 6)
    masker = GridMasker(image, window=3, stride=3, fill="grey")
    shown = masker.render(coalition(masker.n, 3))
    expected = image.copy()
    expected[3:, 3:] = 128
    np.testing.assert_array_equal(shown, expected)
    np.testing.assert_array_equal(masker.instance, image)


def test_fills_by_colour() -> None:
    image = np.zeros((2, 4, 3), np.uint8)
    image[:, :2] = (10, 20, 30)
    image[:, 2:] = (20, 40, 61)
    off = coalition(2, 0)

    def hidden(fill: Fill) -> list[int]:
        colour: list[int] = GridMasker(image, window=2, stride=2, fill=fill).render(off)[0, 0].tolist()
        return colour

    assert hidden("grey") == [128, 128, 128]
    assert hidden("black") == [0, 0, 0]
    assert hidden("mean") == [15, 30, 46]  # 45.5 rounds up
    assert hidden("segment-mean") == [10, 20, 30]
    assert hidden("inpaint") == [20, 40, 61]  # nothing else is left to fill from


def test_segment_mean_of_superpixels(coffee: Image) -> None:
    masker = SuperpixelMasker(coffee, segments=20, fill="segment-mean")
    shown = masker.render(coalition(masker.n, 4))
    inside = masker.segments == 4
    np.testing.assert_array_equal(np.unique(shown[inside], axis=0), [np.floor(coffee[inside].mean(axis=0) + 0.5)])


@given(images, st.integers(1, 30), st.data(), fills)
@settings(deadline=None, max_examples=60)
def test_windows_cover_every_pixel_and_hide_their_union(
    image: Image, window: int, data: st.DataObject, fill: Fill
) -> None:
    stride = data.draw(st.integers((window + 1) // 2, window))
    masker = GridMasker(image, window=window, stride=stride, fill=fill)
    assert covered(masker, list(range(masker.n))).all()
    kept = data.draw(arrays(np.bool_, masker.n))
    union = covered(masker, np.flatnonzero(~kept).tolist())
    shown = masker.render(kept)
    assert shown.shape == image.shape
    assert shown.dtype == np.uint8
    np.testing.assert_array_equal(shown[~union], image[~union])
    if fill == "grey":
        assert (shown[union] == 128).all()


@given(images, st.integers(1, 12), st.sampled_from(ALGORITHMS), st.data(), fills)
@settings(deadline=None, max_examples=60)
def test_superpixels_change_only_where_they_are_off(
    image: Image, segments: int, algorithm: Algorithm, data: st.DataObject, fill: Fill
) -> None:
    masker = SuperpixelMasker(image, algorithm=algorithm, segments=segments, fill=fill)
    assert 1 <= masker.n <= segments
    assert sorted(np.unique(masker.segments)) == list(range(masker.n))
    kept = data.draw(arrays(np.bool_, masker.n))
    shown = masker.render(kept)
    on = kept[masker.segments]
    np.testing.assert_array_equal(shown[on], image[on])
    if fill == "black":
        assert (shown[~on] == 0).all()


@given(images, fills, st.booleans())
@settings(deadline=None, max_examples=40)
def test_keeping_everything_is_the_image_and_the_copy_is_the_callers(image: Image, fill: Fill, grid: bool) -> None:
    masker = (
        GridMasker(image, window=5, stride=3, fill=fill) if grid else SuperpixelMasker(image, segments=4, fill=fill)
    )
    shown = masker.render(coalition(masker.n))
    np.testing.assert_array_equal(shown, image)
    shown[:] = 77
    np.testing.assert_array_equal(masker.render(coalition(masker.n)), image)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("segments", [8, 50])
@pytest.mark.parametrize("grey", [False, True])
def test_superpixels_of_a_photo(coffee: Image, algorithm: Algorithm, segments: int, grey: bool) -> None:
    image = coffee[..., 1] if grey else coffee
    masker = SuperpixelMasker(image, algorithm=algorithm, segments=segments)
    assert segments * 0.6 <= masker.n <= segments
    assert masker.segments.dtype == np.int32
    assert masker.segments.shape == image.shape[:2]
    np.testing.assert_array_equal(np.unique(masker.segments), np.arange(masker.n))
    for k in range(masker.n):
        assert label(masker.segments == k, np.ones((3, 3)))[1] == 1
        assert masker.features[k].place == {"segment": k}
    assert len({feature.name for feature in masker.features}) == masker.n


def test_a_large_picture_is_cut_along_the_same_lines_as_a_small_one(coffee: Image) -> None:
    small = SuperpixelMasker(coffee.repeat(2, axis=0).repeat(2, axis=1), segments=20)
    large = SuperpixelMasker(coffee.repeat(4, axis=0).repeat(4, axis=1), segments=20)
    assert large.segments.shape == (800, 1200)
    np.testing.assert_array_equal(large.segments[::2, ::2], small.segments)


@pytest.mark.parametrize("fill", FILLS)
def test_equal_settings_give_equal_renderings(coffee: Image, fill: Fill) -> None:
    kept = np.random.default_rng(5).random(50) < 0.5
    one, two = (SuperpixelMasker(coffee, fill=fill, segments=50) for _ in range(2))
    assert one.settings == two.settings
    np.testing.assert_array_equal(one.render(kept[: one.n]), two.render(kept[: two.n]))


def test_blur_follows_the_image_and_hides_detail(coffee: Image) -> None:
    masker = GridMasker(coffee, window=600, stride=600, fill="blur")
    blurred = masker.render(coalition(1, 0)).astype(float)
    assert np.abs(blurred.mean(axis=(0, 1)) - coffee.mean(axis=(0, 1))).max() < 2
    detail = np.abs(np.diff(coffee.astype(float), axis=1)).mean()
    assert np.abs(np.diff(blurred, axis=1)).mean() < detail / 10
    coarse = GridMasker(coffee, window=600, stride=600, fill="blur", blur=0.3).render(coalition(1, 0))
    assert coarse.std() < blurred.std()


def test_inpainting_continues_a_gradient_into_a_hole() -> None:
    ramp = np.tile(np.linspace(20, 220, 300).astype(np.uint8)[None, :, None], (200, 1, 3))
    masker = GridMasker(ramp, window=50, stride=50, fill="inpaint")
    shown = masker.render(coalition(masker.n, 9)).astype(float)
    assert np.abs(shown - ramp).max() < 25
    assert (
        GridMasker(ramp, window=50, stride=50, fill="mean").render(coalition(masker.n, 9)).astype(float)[60, 160, 0]
        == 120
    )


def test_inpainting_finds_the_last_pixel_that_is_kept() -> None:
    image = np.full((3, 1300, 3), 9, np.uint8)
    image[:, 1:2] = 200
    masker = GridMasker(image, window=1, stride=1, fill="inpaint")
    kept = np.array([feature.place["box"][:2] == [1, 1] for feature in masker.features])
    assert (masker.render(kept) == 200).all()


def test_both_are_maskers(coffee: Image) -> None:
    for masker in (GridMasker(coffee, window=100, stride=50), SuperpixelMasker(coffee)):
        assert isinstance(masker, Masker)
        assert masker.copies == 1
        assert masker.kind == "image"


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (np.zeros((4, 4, 4), np.uint8), "uint8 of shape"),
        (np.zeros((4, 4), np.float64), "not float64"),
        (np.zeros((0, 4), np.uint8), r"\(0, 4\)"),
    ],
)
def test_images_that_are_refused(image: Image, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        SuperpixelMasker(image)


def test_settings_that_are_refused() -> None:
    image = np.zeros((8, 8), np.uint8)
    with pytest.raises(ValueError, match="stride 4 is larger than window 3"):
        GridMasker(image, window=3, stride=4)
    with pytest.raises(ValueError, match="window is 0"):
        GridMasker(image, window=0, stride=1)
    with pytest.raises(ValueError, match="segments is 2"):
        SuperpixelMasker(image, segments=2.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="did you mean 'grey'"):
        GridMasker(image, window=3, stride=3, fill="gray")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="blur is 0"):
        SuperpixelMasker(image, blur=0)


def test_coalitions_that_are_refused() -> None:
    masker = GridMasker(np.zeros((8, 8), np.uint8), window=4, stride=4)
    with pytest.raises(ValueError, match=r"shape \(3,\).*needs \(4,\) and bool"):
        masker.render(np.ones(3, dtype=bool))
    with pytest.raises(ValueError, match="type int64"):
        masker.render(np.ones(4, dtype=np.int64))
    with pytest.raises(ValueError, match="copy is 1"):
        masker.render(np.ones(4, dtype=bool), 1)

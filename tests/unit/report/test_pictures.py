from __future__ import annotations

import base64
import io
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from probe.maskers.cells import CellMasker
from probe.maskers.quadtree import QuadtreeMasker
from probe.report.pictures import heat_map, read_picture, shown_size, window_means
from tests.unit.report import samples


def decoded(uri: str) -> NDArray[np.uint8]:
    head, _, body = uri.partition(",")
    assert head in ("data:image/png;base64", "data:image/jpeg;base64")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(body))).convert("RGBA"))


def grey(height: int, width: int) -> bytes:
    return samples.png(np.full((height, width, 3), 128, dtype=np.uint8))


@pytest.mark.parametrize(
    ("size", "shown"),
    [((8, 8), (320, 320)), ((28, 20), (308, 220)), ((300, 200), (300, 200)), ((4000, 1000), (640, 160))],
)
def test_tiny_pictures_grow_by_whole_factors_and_large_ones_shrink(
    size: tuple[int, int], shown: tuple[int, int]
) -> None:
    assert shown_size(*size) == shown


def test_a_tiny_picture_keeps_its_pixels_crisp() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (8, 8), dtype=np.uint8)
    picture = read_picture(samples.png(pixels))
    assert picture is not None
    assert picture.crisp
    shown = decoded(picture.uri)
    assert np.array_equal(shown[::40, ::40, 0], pixels)
    assert np.array_equal(shown[39::40, 39::40, 0], pixels)


def bomb() -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    head = (60_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("content", [b"", b"no picture", grey(40, 40)[:60], b"GIF89a" + bytes(40), bomb()])
def test_what_is_no_picture_or_a_bomb_is_not_shown(content: bytes) -> None:
    assert read_picture(content) is None


def test_superpixels_are_in_their_colour_with_soft_edges_borders_and_ranks() -> None:
    segments = np.zeros((200, 300), dtype=np.int32)
    segments[:, 150:] = 1
    picture = read_picture(grey(200, 300))
    assert picture is not None
    features = [{"place": {"segment": 0}}, {"place": {"segment": 1}}]
    heat = heat_map(picture, features, np.array([0.4, -0.2]), segments)
    assert heat is not None
    assert heat.limit == pytest.approx(0.4)
    shown = decoded(heat.uri)
    assert tuple(shown[100, 40, :3]) == (0xB3, 0x58, 0x06)  # the strongest, above zero
    assert shown[100, 260, 2] > shown[100, 260, 0]  # half as strong, below zero: bluish
    assert (shown[20, 20] == shown[180, 60]).all()
    assert (shown[100, 130] != shown[100, 40]).any()  # nearer to the other part
    assert any((shown[100, column] != shown[100, 40]).any() for column in range(145, 150))
    assert [(mark.rank, mark.x < 150) for mark in heat.marks] == [(1, True), (2, False)]


def test_grid_cells_that_touch_are_parts_and_windows_that_overlap_are_means() -> None:
    means = window_means((2, 3), [(0, 0, 2, 2), (0, 1, 2, 3)], np.array([1.0, 3.0]))
    assert means.tolist() == [[1.0, 2.0, 3.0]] * 2
    picture = read_picture(grey(200, 200))
    assert picture is not None
    cells = [{"place": {"box": [0, 0, 200, 100]}}, {"place": {"box": [0, 100, 200, 200]}}]
    apart = heat_map(picture, cells, np.array([1.0, -1.0]), None)
    windows = [{"place": {"box": [0, 0, 200, 150]}}, {"place": {"box": [0, 50, 200, 200]}}]
    over = heat_map(picture, windows, np.array([1.0, -1.0]), None)
    assert apart is not None
    assert over is not None
    assert len(apart.marks) == 2
    assert over.marks == ()
    assert tuple(decoded(over.uri)[100, 100, :3]) == (255, 255, 255)


def test_no_heat_map_without_places_or_with_a_map_of_another_size() -> None:
    picture = read_picture(grey(20, 20))
    assert picture is not None
    assert heat_map(picture, [{}], np.array([1.0]), None) is None
    assert heat_map(picture, [{"place": {"segment": 0}}], np.array([1.0]), np.zeros((9, 9), dtype=np.int32)) is None


def test_values_that_are_no_numbers_leave_the_picture_clear() -> None:
    segments = np.zeros((200, 300), dtype=np.int32)
    segments[:, 150:] = 1
    picture = read_picture(grey(200, 300))
    assert picture is not None
    heat = heat_map(picture, [{"place": {"segment": 0}}, {"place": {"segment": 1}}], np.array([np.nan, 0.0]), segments)
    assert heat is not None
    shown = decoded(heat.uri)
    assert shown[100, 40, 3] == 0
    assert tuple(shown[100, 260, :3]) == (255, 255, 255)


def test_soft_cells_fade_into_each_other_without_borders() -> None:
    masker = CellMasker(np.full((120, 120, 3), 128, dtype=np.uint8), grid=3)
    picture = read_picture(grey(120, 120))
    assert picture is not None
    values = np.zeros(9)
    values[4] = 1.0
    heat = heat_map(picture, [{"place": dict(feature.place)} for feature in masker.features], values, None)
    assert heat is not None
    assert heat.limit == 1.0
    middle = decoded(heat.uri)[picture.height // 2, :, :3].astype(int)
    steps = np.abs(np.diff(middle, axis=0)).max()
    assert 0 < steps < 20


def test_a_quadtree_is_drawn_by_its_finest_regions_per_area() -> None:
    masker = QuadtreeMasker(np.full((200, 200, 3), 128, dtype=np.uint8), depth=2)
    features = [{"place": dict(feature.place)} for feature in masker.features]
    values = np.full(masker.n, np.nan)
    values[0], values[1], values[2] = 0.9, 0.0, 2.0
    values[4], values[5] = 0.5, -0.5  # two of the four regions of the first quarter
    picture = read_picture(grey(200, 200))
    assert picture is not None
    heat = heat_map(picture, features, values, None)
    assert heat is not None
    assert heat.limit == 0.5
    shown = decoded(heat.uri)
    assert tuple(shown[25, 25, :3]) == (0xB3, 0x58, 0x06)
    assert shown[25, 75, 2] > shown[25, 75, 0]
    assert (shown[150, 20] == shown[25, 25]).all()  # four times the area, four times the change
    assert shown[75, 25, 2] < shown[75, 25, 0]  # not split further: what the quarter lost, per area
    assert shown[150, 150, 3] == 0  # no value there

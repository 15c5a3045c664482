from __future__ import annotations

import contextlib
import io
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest
from PIL import Image

from probe.config_sections import Inline, Table
from probe.errors import ConfigError
from probe.inputs import as_item, load_items, read_image, read_rows

RED = np.zeros((6, 8, 3), dtype=np.uint8)
RED[..., 0] = 200


def complaint(call: Callable[[], Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500
    return message


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises these dimensions and holds nothing."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [b"IHDR" + head, b"IDAT" + zlib.compress(b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks
    )


# --- pictures


def test_modes_come_as_eight_bits(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(RED).save(path)
    assert np.array_equal(read_image(path), RED)
    Image.fromarray(RED[..., 0]).save(path)
    assert np.array_equal(read_image(path), RED[..., 0])
    Image.fromarray(RED).convert("P").save(path)
    assert read_image(path).shape == (6, 8, 3)
    Image.fromarray(RED).convert("1").save(path)
    assert read_image(path).shape == (6, 8)
    Image.fromarray(RED).convert("CMYK").save(tmp_path / "x.jpg")
    assert read_image(tmp_path / "x.jpg").shape == (6, 8, 3)


def test_sixteen_bits_are_scaled_not_cut(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    levels = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    Image.fromarray(levels).save(path)
    assert read_image(path).tolist() == [[0, 1, 128, 255]]
    Image.fromarray(np.array([[0, 70000]], dtype=np.int32)).save(tmp_path / "x.tiff")
    assert "32-bit pixels have no set range" in complaint(lambda: read_image(tmp_path / "x.tiff"))
    Image.fromarray(np.array([[0.5]], dtype=np.float32)).save(tmp_path / "y.tiff")
    assert "floating-point pixels" in complaint(lambda: read_image(tmp_path / "y.tiff"))


def test_transparency_is_put_on_white(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    clear = np.dstack([RED, np.full((6, 8), 0, dtype=np.uint8)])
    Image.fromarray(clear).save(path)
    assert (read_image(path) == 255).all()
    palette = Image.fromarray(RED).convert("P", palette=Image.Palette.ADAPTIVE)
    palette.info["transparency"] = palette.getpixel((0, 0))
    palette.save(path)
    assert (read_image(path) == 255).all()
    Image.new("LA", (4, 4), (0, 0)).save(path)
    assert (read_image(path) == 255).all()


def test_photographs_are_turned_upright(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    picture = RED.copy()
    picture[0, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn right to see it upright
    Image.fromarray(picture).save(path, exif=exif)
    upright = read_image(path)
    assert upright.shape == (8, 6, 3)
    assert (upright[0, -1] == 255).all()


def test_large_pictures_are_shrunk_on_request(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.new("RGB", (400, 100)).save(path)
    assert read_image(path, max_side=40).shape == (10, 40, 3)
    assert read_image(path, max_side=4000).shape == (100, 400, 3)


@pytest.mark.parametrize("size", [(10_000, 9_000), (20_000, 20_000), (2**31 - 1, 2**31 - 1), (60_000, 1_000)])
def test_bombs_are_refused_before_decoding(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(*size))
    assert "pixels" in complaint(lambda: read_image(path))


def test_damaged_pictures(tmp_path: Path) -> None:
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(whole, format="PNG")
    content = whole.getvalue()
    path = tmp_path / "x.png"
    for cut in (0, 4, 20, 60, len(content) // 2):
        path.write_bytes(content[:cut])
        assert "not a readable image" in complaint(lambda: read_image(path))
    path.write_text("hello")
    assert "PNG, JPEG, WebP" in complaint(lambda: read_image(path))
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    assert "not a readable image" in complaint(lambda: read_image(path))
    assert "not a readable image" in complaint(lambda: read_image(tmp_path))
    assert "no such file" in complaint(lambda: read_image(tmp_path / "none.png"))


def test_hostile_bytes_are_read_or_refused(tmp_path: Path) -> None:
    whole = io.BytesIO()
    Image.fromarray(RED).save(whole, format="TIFF")
    content = bytearray(whole.getvalue())
    rng = np.random.default_rng(7)
    path = tmp_path / "x.tiff"
    for _ in range(150):
        changed = content.copy()
        for place in rng.integers(0, len(content), 6):
            changed[place] = rng.integers(0, 256)
        path.write_bytes(changed)
        with contextlib.suppress(ConfigError):
            read_image(path)


# --- texts


def texts(spec: Any, base: Path) -> list[Any]:
    return [item.instance for item in load_items(spec, kind="text", base=base, where="probes.p.inputs")]


def test_texts_by_name_list_and_pattern(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("first\n")
    (tmp_path / "b.txt").write_bytes("\ufeffzweite Zeile\nund mehr\n\n".encode())
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "c.txt").write_text("third")
    (tmp_path / "odd[1].txt").write_text("brackets")
    assert texts("a.txt", tmp_path) == ["first"]
    assert texts(["b.txt", "a.txt"], tmp_path) == ["zweite Zeile\nund mehr\n", "first"]
    assert texts("?.txt", tmp_path) == ["first", "zweite Zeile\nund mehr\n"]
    assert texts("**/*.txt", tmp_path) == ["first", "zweite Zeile\nund mehr\n", "brackets", "third"]
    assert texts("odd[1].txt", tmp_path) == ["brackets"]
    assert texts(str(tmp_path / "s*" / "*.txt"), Path("elsewhere")) == ["third"]
    items = load_items("?.txt", kind="text", base=tmp_path, where="")
    assert [item.name for item in items] == ["a.txt", "b.txt"]
    assert items[0].id != items[1].id


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("none.txt", "no such file"),
        ("*.md", "no file matches"),
        ("", "no such file"),
        ("x" * 5000, "cannot be looked for"),
        ("a\0b", "no such file"),
        (".", "no such file"),
    ],
)
def test_what_is_not_there(tmp_path: Path, pattern: str, says: str) -> None:
    message = complaint(lambda: texts(pattern, tmp_path))
    assert message.startswith("probes.p.inputs: ")
    assert says in message


def test_texts_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(" \n\t\n")
    assert "the text is empty" in complaint(lambda: texts("a.txt", tmp_path))
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    assert "not UTF-8 text (byte 3)" in complaint(lambda: texts("a.txt", tmp_path))
    (tmp_path / "a.txt").write_text("x" * (5 * 2**20))
    assert "split the text" in complaint(lambda: texts("a.txt", tmp_path))
    assert "inline:1: the text is empty" in complaint(lambda: texts(Inline(inline=["a", " "]), tmp_path))


# --- tables

TABLE = """id,age,income,note,"two
lines"
007,31,1.5e3,"says ""hi""
twice",x
8,,nan,+5,-3
9,1_000,0.1,１２,1e400
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    path.write_text(TABLE, encoding="utf-8-sig", newline="")
    return path


def test_cells(table: Path) -> None:
    assert read_rows(table) == [
        {"id": "007", "age": 31, "income": 1500.0, "note": 'says "hi"\ntwice', "two\nlines": "x"},
        {"id": 8, "age": None, "income": "nan", "note": "+5", "two\nlines": -3},
        {"id": 9, "age": "1_000", "income": 0.1, "note": "１２", "two\nlines": "1e400"},
    ]


def test_rows_are_chosen_and_named(table: Path) -> None:
    def names(**options: Any) -> list[str]:
        spec = Table(csv="table.csv", id="id", columns=["age"], **options)
        return [item.name for item in load_items(spec, kind="tabular", base=table.parent, where="w")]

    assert names() == ["007", "8", "9"]
    assert names(rows="1:") == ["8", "9"]
    assert names(rows="0:99") == ["007", "8", "9"]
    assert names(rows="2") == ["9"]
    assert names(rows=[2, 0]) == ["9", "007"]
    for rows in ("3", "2:1", "a:b", "-1", [5], [-1], [], "9" * 5000):
        assert complaint(lambda rows=rows: names(rows=rows)).startswith("w: ")  # type: ignore[misc]


def test_texts_of_a_table_stay_as_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("key,body\n1.50,0\n2,1e5\n")
    items = load_items(Table(csv="t.csv", text="body", id="key"), kind="text", base=tmp_path, where="w")
    assert [(item.name, item.instance) for item in items] == [("1.50", "0"), ("2", "1e5")]
    (tmp_path / "t.csv").write_text("key,body\n1,\n")
    spec = Table(csv="t.csv", text="body")
    assert "row 0: the text is empty" in complaint(lambda: texts(spec, tmp_path))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the first line must name each column once, found nothing"),
        (b"a,b,a\n1,2,3\n", "must name each column once"),
        (b"a,b\n1,2\n1,2,3\n", ":3: 3 cells, but the header names 2"),
        (b'a,b\n"1,2\n', "not readable as CSV"),
        (b'a,b\n"1"x,2\n', "not readable as CSV"),
        (b"a,b\n\xff,2\n", "not readable as CSV"),
        (b"a,b\n" + b"x" * 200_000 + b",2\n", "not readable as CSV"),
        (b"a,b\n", "no rows"),
    ],
)
def test_tables_that_are_none(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    message = complaint(lambda: load_items("t.csv", kind="tabular", base=tmp_path, where="w"))
    assert says in message


def test_columns_and_kinds_that_do_not_fit(table: Path) -> None:
    def load(kind: Any, **options: Any) -> Any:
        return load_items(Table(csv="table.csv", **options), kind=kind, base=table.parent, where="w")

    assert "no column 'agee'; there are 'id', 'age'" in complaint(lambda: load("tabular", columns=["agee"]))
    assert "name the column that holds the text" in complaint(lambda: load("text"))
    assert "images come from files" in complaint(lambda: load("image"))
    assert "cannot be written as str" in complaint(
        lambda: load_items(Inline(inline=["x"]), kind="tabular", base=table.parent, where="w")
    )


def test_parquet_needs_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1")
    assert "install blackbox-probe[parquet]" in complaint(lambda: read_rows(path))


# --- from Python


def test_items_from_values() -> None:
    assert as_item("hello").kind == "text"
    assert as_item(RED).kind == "image"
    assert as_item({"a": np.float64(1.5), "b": np.int64(2)}).instance == {"a": 1.5, "b": 2}
    assert as_item([1, 2.5]).instance == as_item(np.array([1, 2.5])).instance == {"x0": 1, "x1": 2.5}
    assert as_item(pd.Series({"a": 1.5, "b": 2.0})).instance == {"a": 1.5, "b": 2.0}
    assert as_item({"a": float("nan")}).instance == {"a": None}
    assert as_item(RED).id == as_item(RED.copy()).id != as_item(RED[:4]).id


@pytest.mark.parametrize(
    ("value", "kind", "says"),
    [
        ("", None, "the text is empty"),
        ("cat.png", "image", "a str is text input, not image"),
        (RED / 255, None, "an image needs dtype uint8"),
        (RED, "text", "is image input, not text"),
        ([[1, 2], [3]], None, "is neither a number nor a text"),
        ({}, None, "the row is empty"),
        ({"a": object()}, None, "a object is neither a number nor a text"),
        (b"bytes", None, "bytes is not a text"),
        (3, None, "int is not a text"),
        (np.zeros((2, 2)), "tabular", "a row is one-dimensional"),
    ],
)
def test_values_that_are_no_items(value: Any, kind: Any, says: str) -> None:
    assert says in complaint(lambda: as_item(value, kind=kind))


def test_contents_as_they_are_stored() -> None:
    assert as_item("héllo").content() == "héllo".encode()
    with Image.open(io.BytesIO(as_item(RED).content())) as stored:
        assert np.array_equal(np.asarray(stored), RED)
    assert as_item({"a": 1, "b": "ß"}).content() == '{"a": 1, "b": "ß"}'.encode()

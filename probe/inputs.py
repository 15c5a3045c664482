"""Reading what is to be explained: pictures, texts and table rows, checked before anything is sent."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from adapters import Instance, Scalar
from probe.config_sections import Files, Inline, Table
from probe.engine.keys import canonical, plain
from probe.errors import ConfigError
from probe.maskers.base import Kind

_NUMBER = re.compile(r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_MOST_DIGITS = 300  #: a longer number is no float any more
_MOST_PIXELS = 50_000_000
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")  #: not those whose decoders run other programs
_MOST_TEXT_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Item:
    """One input under study, with the name its user knows it by."""

    name: str
    kind: Kind
    instance: Instance

    @property
    def id(self) -> str:
        """Hex digest of the content: the same input has the same id in every run."""
        return hashlib.sha256(canonical(self.instance)).hexdigest()

    def content(self) -> bytes:
        """The input as it is stored: PNG, UTF-8 text, or a JSON object."""
        if isinstance(self.instance, str):
            return self.instance.encode("utf-8", "surrogatepass")
        if isinstance(self.instance, np.ndarray):
            buffer = io.BytesIO()
            Image.fromarray(self.instance).save(buffer, format="PNG")
            return buffer.getvalue()
        if isinstance(self.instance, Mapping):
            return json.dumps({key: plain(value) for key, value in self.instance.items()}, ensure_ascii=False).encode()
        return json.dumps([plain(value) for value in self.instance], ensure_ascii=False).encode()


def load_items(spec: str | list[str] | Files | Table | Inline, *, kind: Kind, base: Path, where: str) -> list[Item]:
    """Every input that ``spec`` names, in order; paths are relative to ``base``.

    Raises:
        ConfigError: no such file, unreadable image, wrong column, nothing found: one line that starts with ``where``.
    """
    if isinstance(spec, Inline):
        return _inline(spec, kind=kind, where=where)
    if isinstance(spec, Table):
        return _table_items(spec, kind=kind, base=base, where=where)
    if not isinstance(spec, Files):
        spec = Files(files=[spec] if isinstance(spec, str) else spec)
    paths = [path for pattern in spec.files for path in _matches(pattern, base=base, where=where)]
    if kind == "tabular":
        return [item for path in paths for item in _table_items(_table_for(path), kind=kind, base=Path(), where=where)]
    if kind == "image":
        return [Item(path.name, kind, read_image(path, max_side=spec.max_side)) for path in paths]
    return [Item(path.name, kind, _read_text(path)) for path in paths]


def read_image(path: Path, *, max_side: int | None = None) -> NDArray[np.uint8]:
    """An (H, W, 3) or, for grey pictures, (H, W) uint8 array, upright; transparency is put on white.

    Raises:
        ConfigError: not an image, truncated, or too large to be decoded safely.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd metadata; the pixels are checked here
            return _decoded(path, max_side)
    except ConfigError:
        raise
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file") from error
    except UnidentifiedImageError as error:
        raise ConfigError(f"{path}: not a readable image; PNG, JPEG, WebP, GIF, BMP, TIFF and PPM are read") from error
    except Exception as error:  # decoders of damaged files raise anything
        raise ConfigError(f"{path}: not a readable image ({_line(error)})") from error


def _decoded(path: Path, max_side: int | None) -> NDArray[np.uint8]:
    with Image.open(path, formats=_FORMATS) as image:
        width, height = image.size
        if width * height > _MOST_PIXELS:
            raise ConfigError(f"{path}: {width}×{height} pixels are more than {_MOST_PIXELS:,}; shrink the image")
        image.load()
        picture = _eight_bits(ImageOps.exif_transpose(image), path)
        if max_side is not None:
            picture.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
        return np.array(picture, dtype=np.uint8)


def _eight_bits(image: Image.Image, path: Path) -> Image.Image:
    """``image`` as L or RGB; transparency is put on white, 16 bits are scaled to 8."""
    if image.mode == "F":
        raise ConfigError(f"{path}: floating-point pixels have no set range; convert the image to 8 bits")
    if image.mode.startswith("I"):
        levels = np.asarray(image, dtype=np.int64)
        if levels.size and not (levels.min() >= 0 and levels.max() <= 0xFFFF):
            raise ConfigError(f"{path}: 32-bit pixels have no set range; convert the image to 8 bits")
        return Image.fromarray(((levels * 255 + 0x7FFF) // 0xFFFF).astype(np.uint8))
    if image.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if image.mode in {"1", "L"} else "RGB")


def read_rows(path: Path, *, texts: Sequence[str | None] = ()) -> list[dict[str, Scalar]]:
    """The rows of a CSV or Parquet file; numbers become int or float, empty cells ``None``.

    ``texts``: columns whose cells are kept as they are written.

    Raises:
        ConfigError: no such file, no header, a row of another length.
    """
    return _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path, frozenset(texts))


def _read_csv(path: Path, texts: frozenset[str | None]) -> list[dict[str, Scalar]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            if len(set(header)) != len(header) or not header:
                raise ConfigError(f"{path}: the first line must name each column once, found {_some(header)}")
            rows: list[dict[str, Scalar]] = []
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(header):
                    raise ConfigError(
                        f"{path}:{reader.line_num}: {len(cells)} cells, but the header names {len(header)}"
                    )
                pairs = zip(header, cells, strict=True)
                rows.append({name: cell if name in texts else _scalar(cell) for name, cell in pairs})
            return rows
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: not readable as CSV ({_line(error)})") from error


def _read_parquet(path: Path) -> list[dict[str, Scalar]]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import read_table
    except ImportError as error:
        raise ConfigError(f"{path}: reading Parquet needs pyarrow; install blackbox-probe[parquet]") from error
    try:
        rows = read_table(path).to_pylist()
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file") from error
    except (OSError, ArrowException) as error:
        raise ConfigError(f"{path}: not readable as Parquet ({_line(error)})") from error
    return [{name: _cell(value, f"{path}: column {name!r}") for name, value in row.items()} for row in rows]


def _cell(value: Any, where: str) -> Scalar:
    """A value from elsewhere as a cell: not a number is empty, decimals are numbers, dates are ISO 8601 text."""
    value = plain(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, Decimal):
        return float(value) if value.is_finite() else None
    if isinstance(value, (date, time)):
        return value.isoformat()
    raise ConfigError(f"{where}: a {type(value).__name__} is neither a number nor a text")


def _scalar(cell: str) -> Scalar:
    if not cell:
        return None
    if len(cell) > _MOST_DIGITS or not _NUMBER.fullmatch(cell):  # "007" and "+49" are no numbers
        return cell
    if cell.lstrip("-").isdigit():
        return int(cell)
    number = float(cell)
    return number if math.isfinite(number) else cell


def _some(names: Sequence[str]) -> str:
    return ", ".join(repr(name[:40]) for name in names[:6]) + (", …" if len(names) > 6 else "") if names else "nothing"


def _matches(pattern: str, *, base: Path, where: str) -> list[Path]:
    try:
        if pattern and (base / pattern).is_file():
            return [base / pattern]  # also a name that only looks like a pattern
        if not any(mark in pattern for mark in "*?["):
            raise ConfigError(f"{where}: {base / pattern}: no such file")
        path = Path(pattern)
        root = Path(path.anchor) if path.is_absolute() else base
        relative = str(path.relative_to(path.anchor)) if path.is_absolute() else pattern
        matches = sorted(match for match in root.glob(relative) if match.is_file())
    except (OSError, ValueError, NotImplementedError) as error:
        raise ConfigError(f"{where}: {pattern[:200]!r} cannot be looked for: {_line(error)}") from error
    if not matches:
        raise ConfigError(f"{where}: {base / pattern}: no file matches")
    return matches


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > _MOST_TEXT_BYTES:
            raise ConfigError(
                f"{path}: {path.stat().st_size:,} bytes are more than {_MOST_TEXT_BYTES:,}; split the text"
            )
        text = path.read_text(encoding="utf-8-sig").removesuffix("\n")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {_line(error)}") from error
    return _checked(text, str(path))


def _checked(text: str, where: str) -> str:
    if not text.strip():
        raise ConfigError(f"{where}: the text is empty")
    return text


def _table_for(path: Path) -> Table:
    return Table(parquet=str(path)) if path.suffix == ".parquet" else Table(csv=str(path))


def _table_items(spec: Table, *, kind: Kind, base: Path, where: str) -> list[Item]:
    path = base / str(spec.csv or spec.parquet)
    rows = read_rows(path, texts=(spec.id, spec.text if kind == "text" else None))
    if not rows:
        raise ConfigError(f"{path}: no rows")
    for name in (spec.text, spec.id, *(spec.columns or ())):
        if name is not None and name not in rows[0]:
            raise ConfigError(f"{where}: {path}: no column {name!r}; there are {_some(list(rows[0]))}")
    items = []
    for number in _wanted(spec.rows, len(rows), where=where, path=path):
        row = rows[number]
        name = str(row[spec.id]) if spec.id else f"{path.name}:{number}"
        if kind == "text":
            if spec.text is None:
                raise ConfigError(f"{where}: name the column that holds the text: {{csv: …, text: COLUMN}}")
            text = row[spec.text]
            items.append(Item(name, kind, _checked("" if text is None else str(text), f"{path}: row {number}")))
        elif kind == "tabular":
            columns = spec.columns or [column for column in row if column != spec.id]
            items.append(Item(name, kind, {column: row[column] for column in columns}))
        else:
            raise ConfigError(f"{where}: images come from files, not from a table")
    return items


def _wanted(rows: list[int] | str | None, count: int, *, where: str, path: Path) -> Sequence[int]:
    if rows is None:
        return range(count)
    if isinstance(rows, str):
        start, colon, end = rows.partition(":")
        try:
            wanted: Sequence[int] = range(int(start or 0), min(int(end or count), count)) if colon else [int(rows)]
        except ValueError as error:
            raise ConfigError(f"{where}: rows {rows[:40]!r} is not a range; write 0:5 or [0, 3]") from error
    else:
        wanted = rows
    beyond = [number for number in wanted if not 0 <= number < count]
    if beyond or not wanted:
        raise ConfigError(f"{where}: {path} has rows 0 to {count - 1}, not {str(beyond[0] if beyond else rows)[:40]}")
    return wanted


def _inline(spec: Inline, *, kind: Kind, where: str) -> list[Item]:
    items = []
    for number, value in enumerate(spec.inline):
        name = f"inline:{number}"
        if kind == "text" and isinstance(value, str):
            items.append(Item(name, kind, _checked(value, f"{where}: {name}")))
        elif kind == "tabular" and isinstance(value, dict):
            items.append(_row_item(name, value, f"{where}: {name}"))
        else:
            raise ConfigError(f"{where}: inline inputs of kind {kind} cannot be written as {type(value).__name__}")
    return items


def _row_item(name: str, row: Mapping[Any, Any], where: str) -> Item:
    if not row:
        raise ConfigError(f"{where}: the row is empty")
    return Item(name, "tabular", {str(key): _cell(value, f"{where}: {key!r}") for key, value in row.items()})


def as_item(instance: Any, *, kind: Kind | None = None, name: str = "instance") -> Item:
    """What a Python caller passes, checked: str, uint8 picture, mapping or sequence of numbers.

    Raises:
        ConfigError: if it is none of these, or not of ``kind``.
    """
    item = _as_item(instance, kind, name)
    if kind is not None and item.kind != kind:
        raise ConfigError(f"{name}: a {type(instance).__name__} is {item.kind} input, not {kind}")
    return item


def _as_item(instance: Any, kind: Kind | None, name: str) -> Item:
    if isinstance(instance, str):
        return Item(name, "text", _checked(instance, name))
    if isinstance(instance, np.ndarray) and instance.ndim in {2, 3} and kind != "tabular":
        if instance.dtype != np.uint8:
            raise ConfigError(f"{name}: an image needs dtype uint8 with values 0–255, not {instance.dtype}")
        return Item(name, "image", instance)
    if hasattr(instance, "to_dict") and getattr(instance, "ndim", None) == 1:  # a pandas Series
        instance = instance.to_dict()
    if isinstance(instance, Mapping):
        return _row_item(name, instance, name)
    if isinstance(instance, (Sequence, np.ndarray)) and not isinstance(instance, (bytes, bytearray)):
        if getattr(instance, "ndim", 1) == 1:
            return _row_item(name, {f"x{index}": value for index, value in enumerate(instance)}, name)
        raise ConfigError(f"{name}: a row is one-dimensional, not of shape {np.shape(instance)}")
    raise ConfigError(f"{name}: {type(instance).__name__} is not a text, a picture (uint8 array) or a row (mapping)")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__

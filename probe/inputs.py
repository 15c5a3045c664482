"""Reading what is to be explained: pictures, texts and table rows, checked before anything is sent."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from adapters import Instance, Scalar
from probe.config import Files, Inline, Table
from probe.engine.keys import canonical, plain
from probe.errors import ConfigError
from probe.maskers.base import Kind

_MOST_PIXELS = 50_000_000
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
        with Image.open(path) as image:
            width, height = image.size
            if width * height > _MOST_PIXELS:
                raise ConfigError(f"{path}: {width}×{height} pixels are more than {_MOST_PIXELS:,}; shrink the image")
            image.load()
            upright = ImageOps.exif_transpose(image)
            if upright.mode in {"RGBA", "LA", "PA"} or "transparency" in upright.info:
                upright = upright.convert("RGBA")
                upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
            picture = upright.convert("L" if upright.mode in {"1", "L"} else "RGB")
            if max_side is not None:
                picture.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
            return np.asarray(picture, dtype=np.uint8)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file") from error
    except Image.DecompressionBombError as error:
        raise ConfigError(f"{path}: {error}") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise ConfigError(f"{path}: not a readable image ({_line(error)})") from error


def read_rows(path: Path) -> list[dict[str, Scalar]]:
    """The rows of a CSV or Parquet file; numbers become int or float, empty cells ``None``.

    Raises:
        ConfigError: no such file, no header, a row of another length.
    """
    if path.suffix == ".parquet":
        return _read_parquet(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            if len(set(header)) != len(header) or not header:
                raise ConfigError(f"{path}: the first line must name each column once, found {header[:6]}")
            rows: list[dict[str, Scalar]] = []
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(header):
                    raise ConfigError(
                        f"{path}:{reader.line_num}: {len(cells)} cells, but the header names {len(header)}"
                    )
                rows.append(dict(zip(header, map(_scalar, cells), strict=True)))
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
        rows: list[dict[str, Scalar]] = read_table(path).to_pylist()
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file") from error
    except (OSError, ArrowException) as error:
        raise ConfigError(f"{path}: not readable as Parquet ({_line(error)})") from error
    return rows


def _scalar(cell: str) -> Scalar:
    if not cell:
        return None
    try:
        return int(cell) if cell == str(int(cell)) else cell  # "007" is an id, not a seven
    except ValueError:
        pass
    try:
        number = float(cell)
    except ValueError:
        return cell
    return number if np.isfinite(number) and cell.strip() == cell and "_" not in cell else cell


def _matches(pattern: str, *, base: Path, where: str) -> list[Path]:
    path = Path(pattern)
    if not any(mark in pattern for mark in "*?["):
        found = base / path
        if not found.is_file():
            raise ConfigError(f"{where}: {found}: no such file")
        return [found]
    root = Path(path.anchor) if path.is_absolute() else base
    relative = str(path.relative_to(path.anchor)) if path.is_absolute() else pattern
    matches = sorted(match for match in root.glob(relative) if match.is_file())
    if not matches:
        raise ConfigError(f"{where}: {base / path}: no file matches")
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
    if not text.strip():
        raise ConfigError(f"{path}: the file is empty")
    return text


def _table_for(path: Path) -> Table:
    return Table(parquet=str(path)) if path.suffix == ".parquet" else Table(csv=str(path))


def _table_items(spec: Table, *, kind: Kind, base: Path, where: str) -> list[Item]:
    path = base / str(spec.csv or spec.parquet)
    rows = read_rows(path)
    if not rows:
        raise ConfigError(f"{path}: no rows")
    for name in (spec.text, spec.id, *(spec.columns or ())):
        if name is not None and name not in rows[0]:
            raise ConfigError(f"{where}: {path}: no column {name!r}; there are {', '.join(rows[0])}")
    items = []
    for number in _wanted(spec.rows, len(rows), where=where, path=path):
        row = rows[number]
        name = str(row[spec.id]) if spec.id else f"{path.name}:{number}"
        if kind == "text":
            if spec.text is None:
                raise ConfigError(f"{where}: name the column that holds the text: {{csv: …, text: COLUMN}}")
            items.append(Item(name, kind, str(row[spec.text] or "")))
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
            raise ConfigError(f"{where}: rows {rows!r} is not a range; write 0:5 or [0, 3]") from error
    else:
        wanted = rows
    beyond = [number for number in wanted if not 0 <= number < count]
    if beyond or not wanted:
        raise ConfigError(f"{where}: {path} has rows 0 to {count - 1}, not {beyond[0] if beyond else rows}")
    return wanted


def _inline(spec: Inline, *, kind: Kind, where: str) -> list[Item]:
    items = []
    for number, value in enumerate(spec.inline):
        name = f"inline:{number}"
        if (kind == "text" and isinstance(value, str)) or (kind == "tabular" and isinstance(value, dict)):
            items.append(Item(name, kind, value))
        else:
            raise ConfigError(f"{where}: inline inputs of kind {kind} cannot be written as {type(value).__name__}")
    return items


def as_item(instance: Any, *, kind: Kind | None = None, name: str = "instance") -> Item:
    """What a Python caller passes, checked: str, uint8 picture, mapping or sequence of numbers.

    Raises:
        ConfigError: if it is none of these.
    """
    if isinstance(instance, str):
        return Item(name, kind or "text", instance)
    if isinstance(instance, np.ndarray) and instance.ndim in {2, 3} and kind in {None, "image"}:
        if instance.dtype != np.uint8:
            raise ConfigError(f"{name}: an image needs dtype uint8 with values 0–255, not {instance.dtype}")
        return Item(name, "image", instance)
    if isinstance(instance, Mapping):
        return Item(name, "tabular", {str(key): plain(value) for key, value in instance.items()})
    if isinstance(instance, (Sequence, np.ndarray)) and np.ndim(instance) == 1:
        return Item(name, "tabular", {f"x{index}": plain(value) for index, value in enumerate(instance)})
    raise ConfigError(f"{name}: {type(instance).__name__} is not a text, a picture (uint8 array) or a row (mapping)")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]

"""Columns in one compressed blob that anybody can read: a line of JSON, then the columns one after the other, all in zlib.

``{"rows": 400, …, "columns": [{"name": "key", "type": "S11"}, …]}`` and a line end; then, for every entry of ``columns``
that has a ``type``, ``count`` values (``rows``, if it does not say) in the order of ``columns``. See FORMAT.md.

- ``S11``: so many bytes each, as they are.
- ``i1 i2 i4 i8``: little-endian integers; ``f4 f8``: IEEE 754 floats. All first bytes come first, then all second bytes, …,
  which is what makes them compressible.
- ``delta``: each value is the difference to the one before. ``scale: k``: the value is the integer over 10**k, rounded to the
  nearest double.
- ``value`` instead of ``type``: the same value in every row.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage.errors import Damaged

_SCALES = range(10)
_LARGEST = 2**31 - 1
_MOST = 1 << 30  #: bytes of one blob, decompressed: more is no blob of ours


@dataclass(slots=True)
class Writer:
    """Collects columns, then :meth:`packed`."""

    rows: int
    _columns: list[dict[str, Any]] = field(default_factory=list)
    _parts: list[bytes] = field(default_factory=list)

    def raw(self, name: str, values: NDArray[np.uint8]) -> None:
        """(m, k) bytes, m of them of k bytes each."""
        self._put(name, f"S{values.shape[1]}", values.tobytes(), count=len(values))

    def whole(self, name: str, values: Sequence[int] | NDArray[Any], *, delta: bool = False) -> None:
        """Integers, in as few bytes as they fit in; ``delta`` where neighbours are close to each other."""
        found = np.asarray(values, dtype=np.int64)
        if self._constant(name, found):
            return
        marks: dict[str, Any] = {}
        if delta:
            found = np.diff(found, prepend=0)
            marks["delta"] = True
        low, high = int(found.min()), int(found.max())
        size = next(size for size in (1, 2, 4, 8) if -(1 << (8 * size - 1)) <= low and high < 1 << (8 * size - 1))
        self._put(name, f"i{size}", _planes(found.astype(f"<i{size}")), count=len(found), **marks)

    def floats(self, name: str, values: Sequence[float] | NDArray[Any]) -> str:
        """Floats, bit for bit: as decimal fractions or in 32 bits where nothing is lost by it. NaN stands for none.

        Returns how they are kept: ``f4``, ``f8``, or the number of decimals.
        """
        found = np.asarray(values, dtype=np.float64)
        if self._constant(name, found):
            return "f8"
        bits = found.view(np.int64)
        with np.errstate(invalid="ignore", over="ignore"):
            for scale in _SCALES:
                scaled = np.rint(found * 10.0**scale)
                if not (np.abs(scaled) <= _LARGEST).all():
                    break
                whole = scaled.astype("<i4")  # which has no −0
                if np.array_equal((whole / 10.0**scale).view(np.int64), bits):
                    self._put(name, "i4", _planes(whole), count=len(found), scale=scale)
                    return str(scale)
            short = found.astype("<f4")
        if np.array_equal(short.astype(np.float64).view(np.int64), bits):
            self._put(name, "f4", _planes(short), count=len(found))
            return "f4"
        self._put(name, "f8", _planes(found.astype("<f8")), count=len(found))
        return "f8"

    def words(self, name: str, values: Sequence[str | None]) -> None:
        """Texts of which few are different."""
        places: dict[str | None, int] = {}
        codes = [places.setdefault(value, len(places)) for value in values]
        self.whole(name, codes)
        self._columns[-1]["words"] = list(places)

    def packed(self, **header: Any) -> bytes:
        """The blob; ``header`` is kept beside the columns."""
        head = {"rows": self.rows, **header, "columns": self._columns}
        line = json.dumps(head, separators=(",", ":")).encode() + b"\n"  # ASCII, so that lone surrogates survive
        return zlib.compress(line + b"".join(self._parts), 6)

    def _constant(self, name: str, values: NDArray[Any]) -> bool:
        if len(values) and (values.view(np.int64) != values[:1].view(np.int64)).any():
            return False
        value = values[0].item() if len(values) else 0
        if isinstance(value, float) and not np.isfinite(value):
            if not np.isnan(value):
                return False  # JSON knows no infinity
            value = None
        self._columns.append({"name": name, "value": value} | self._count(len(values)))
        return True

    def _put(self, name: str, kind: str, content: bytes, *, count: int, **marks: Any) -> None:
        self._columns.append({"name": name, "type": kind, **marks, **self._count(count)})
        self._parts.append(content)

    def _count(self, count: int) -> dict[str, int]:
        return {} if count == self.rows else {"count": count}


@dataclass(frozen=True, slots=True)
class Columns:
    """A blob, read. ``arrays``: by name, (m,) integers or floats, or (m, k) bytes; ``words``: of the columns of texts."""

    header: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]
    words: Mapping[str, Sequence[str | None]]

    @property
    def rows(self) -> int:
        """How many."""
        return int(self.header["rows"])

    def texts(self, name: str) -> list[str | None]:
        """A column of texts, written out."""
        words = self.words[name]
        return [words[code] for code in self.arrays[name].tolist()]


def read(blob: bytes, *, where: str) -> Columns:
    """The columns of ``blob``. Raises :class:`Damaged`, which says ``where``."""
    try:
        line, _, rest = inflated(blob).partition(b"\n")
        return _columns(json.loads(line), rest)
    except (zlib.error, ValueError, KeyError, TypeError, IndexError) as error:
        raise Damaged(
            f"{where}: what is stored cannot be read ({error}); the database was altered or is damaged"
        ) from error


def inflated(blob: bytes) -> bytes:
    """What was compressed. Raises ``ValueError`` or ``zlib.error`` if it does not end where it should."""
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(blob, _MOST)
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("it does not end where it should")
    return content


def _columns(header: Mapping[str, Any], rest: bytes) -> Columns:
    arrays: dict[str, NDArray[Any]] = {}
    words: dict[str, Sequence[str | None]] = {}
    start = 0
    for column in header["columns"]:
        count = int(column.get("count", header["rows"]))
        if "words" in column:
            words[column["name"]] = column["words"]
        if "type" not in column:
            value = column["value"]
            arrays[column["name"]] = np.full(count, np.nan if value is None else value)
            continue
        kind, size = column["type"][0], int(column["type"][1:])
        raw = np.frombuffer(rest, np.uint8, count * size, start)
        start += count * size
        arrays[column["name"]] = raw.reshape(count, size) if kind == "S" else _values(raw, kind, size, column)
    if start != len(rest):
        raise ValueError(f"{len(rest) - start} bytes too many")
    return Columns(header, arrays, words)


def _values(raw: NDArray[np.uint8], kind: str, size: int, column: Mapping[str, Any]) -> NDArray[Any]:
    found = np.ascontiguousarray(raw.reshape(size, -1).T).view(f"<{kind}{size}").ravel()
    if kind == "f":
        return found.astype(np.float64)
    whole = found.astype(np.int64)
    if column.get("delta"):
        whole = np.cumsum(whole)
    return whole / 10.0 ** column["scale"] if "scale" in column else whole


def _planes(values: NDArray[Any]) -> bytes:
    return values.view(np.uint8).reshape(len(values), -1).T.tobytes()


def remainder(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the columns of ``values`` (k, m) leave of 1, (m,): one row subtracted after the other."""
    left = np.ones(values.shape[1])
    for row in values:
        left = left - row
    return left


def steps(values: NDArray[np.float64], near: NDArray[np.float64], kept: str) -> NDArray[np.int64] | None:
    """How many steps (of the last decimal, or from one float to the next) ``values`` are from ``near``; ``None`` if most are
    far from it, or something would be lost."""
    with np.errstate(invalid="ignore", over="ignore"):
        if kept in _BITS:
            found = _bits(values, kept) - _bits(near, kept)
        else:
            found = np.rint(values * 10.0 ** int(kept)) - np.rint(near * 10.0 ** int(kept))
            if not (np.abs(found) <= _LARGEST).all():
                return None
        whole = found.astype(np.int64)
        close = np.mean(np.abs(whole) < 1 << 15) > 0.5
        back = stepped(near, whole, kept)
    return whole if close and np.array_equal(back.view(np.int64), values.view(np.int64)) else None


def stepped(near: NDArray[np.float64], count: NDArray[np.int64], kept: str) -> NDArray[np.float64]:
    """The values that :func:`steps` was given."""
    if kept in _BITS:
        whole, small = _BITS[kept]
        return (_bits(near, kept) + count).astype(whole).view(small).astype(np.float64)
    found: NDArray[np.float64] = (np.rint(near * 10.0 ** int(kept)) + count) / 10.0 ** int(kept)
    return found


_BITS: dict[str, tuple[type[np.generic], type[np.generic]]] = {
    "f4": (np.int32, np.float32),
    "f8": (np.int64, np.float64),
}


def _bits(values: NDArray[np.float64], kept: str) -> NDArray[np.int64]:
    whole, small = _BITS[kept]
    return values.astype(small).view(whole).astype(np.int64)

"""The coalitions of a probe and their ledger keys, as they are kept beside it.

The engine hands over a ``.npz`` with ``keys`` (…, 32) among other arrays. A key is as long as an evaluation in a pack, and
several probes may ask the same ones; so where packs have them, what is kept is where.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage import container
from storage.pack import KEY_BYTES
from storage.packs import Places

#: The keys (m, 12) of packs by number.
KeysOf = Callable[[Sequence[int]], Mapping[int, NDArray[np.uint8]]]


_ZLIB = b"\x78"


def keys_in(table: bytes) -> list[bytes]:
    """The distinct keys of a ``.npz`` in order; none if it is anything else."""
    keys = _arrays(table).get("keys")
    if keys is None or keys.ndim < 2:
        return []
    raw, size = keys.tobytes(), keys.shape[-1]
    return list(dict.fromkeys(raw[start : start + size] for start in range(0, len(raw), size)))


def slim(table: bytes, places: Places) -> bytes:
    """``table`` with the places of its keys instead of the keys; as it is if it has none."""
    arrays = _arrays(table)
    keys = arrays.pop("keys", None)
    if keys is None or keys.ndim < 2:
        return table
    short = np.ascontiguousarray(keys.reshape(-1, keys.shape[-1])[:, :KEY_BYTES])
    raw = short.tobytes()
    packs: dict[int, int] = {}
    loose: dict[bytes, int] = {}
    which, rows = [], []
    for start in range(0, len(raw), KEY_BYTES):
        key = raw[start : start + KEY_BYTES]
        place = places.get(key)
        which.append(-1 if place is None else packs.setdefault(place[0], len(packs)))
        rows.append(loose.setdefault(key, len(loose)) if place is None else place[1])
    writer = container.Writer(len(short))
    writer.whole("pack", which, delta=True)
    writer.whole("row", rows, delta=True)
    if loose:
        writer.raw("loose", np.frombuffer(b"".join(loose), np.uint8).reshape(-1, KEY_BYTES))
    shapes = {}
    for name, array in arrays.items():
        shapes[name] = [array.dtype.str, list(array.shape)]
        columns = array.reshape(len(array), -1).T if array.ndim > 1 else array
        writer.whole(f"other {name}", columns.ravel(), delta=array.dtype.itemsize == 8)
    return writer.packed(keys=list(keys.shape[:-1]), packs=list(packs), others=shapes)


def whole(kept: bytes, keys_of: KeysOf, *, where: str) -> bytes:
    """The ``.npz`` again, uncompressed, its keys 12 bytes long. Raises :class:`Damaged`."""
    if kept[:1] != _ZLIB:  # not one of ours
        return kept
    found = container.read(kept, where=where)
    packs = found.header["packs"]
    known = keys_of(packs)
    which, rows = found.arrays["pack"], found.arrays["row"]
    keys = np.zeros((len(which), KEY_BYTES), dtype=np.uint8)
    for number in [-1, *range(len(packs))]:
        mine = which == number
        if mine.any():
            keys[mine] = (found.arrays["loose"] if number < 0 else known[packs[number]])[rows[mine]]
    arrays: dict[str, NDArray[Any]] = {"keys": keys.reshape(*found.header["keys"], KEY_BYTES)}
    for name, (kind, shape) in found.header["others"].items():
        flat = found.arrays[f"other {name}"].astype(kind)
        arrays[name] = (
            flat.reshape(shape if len(shape) < 2 else shape[::-1]).T if len(shape) == 2 else flat.reshape(shape)
        )
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _arrays(table: bytes) -> dict[str, NDArray[Any]]:
    if table[:2] != b"PK":
        return {}
    try:
        with np.load(io.BytesIO(table), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (ValueError, OSError, zipfile.BadZipFile):
        return {}

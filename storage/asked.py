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

#: The keys (m, 11) of packs by number.
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
    asked = [raw[start : start + KEY_BYTES] for start in range(0, len(raw), KEY_BYTES)]
    found = [places.get(key) for key in asked]
    loose: dict[bytes, int] = {}
    pairs = [
        (-1, loose.setdefault(key, len(loose))) if at is None else at for key, at in zip(asked, found, strict=True)
    ]
    numbers, rows = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    packs = np.unique(numbers[numbers >= 0])
    which = np.where(numbers < 0, -1, np.searchsorted(packs, numbers))
    writer = container.Writer(len(short))
    # most often one row after the other
    writer.whole("pack", which, delta=True)
    writer.whole("row", rows, delta=True)
    if loose:
        writer.raw("loose", np.frombuffer(b"".join(loose), np.uint8).reshape(-1, KEY_BYTES))
    shapes = {}
    for name, array in arrays.items():
        shapes[name] = [array.dtype.str, list(array.shape)]
        if array.dtype == np.uint8 and array.ndim == 2 and array.size:
            # coalitions often come with their complements: then every other difference is the same
            changes = array ^ np.vstack([np.zeros_like(array[:1]), array[:-1]])
            writer.raw(f"bits {name}", np.ascontiguousarray(changes.T))
        else:
            writer.whole(f"other {name}", array.T.ravel(), delta=array.dtype.itemsize == 8)
    return writer.packed(keys=list(keys.shape[:-1]), packs=packs.tolist(), others=shapes)


def whole(kept: bytes, keys_of: KeysOf, *, where: str) -> bytes:
    """The ``.npz`` again, uncompressed, its keys 11 bytes long. Raises :class:`Damaged`."""
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
        if f"bits {name}" in found.arrays:
            arrays[name] = np.bitwise_xor.accumulate(found.arrays[f"bits {name}"].T, axis=0)
        else:
            arrays[name] = found.arrays[f"other {name}"].astype(kind).reshape(shape[::-1]).T
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def places_in(kept: bytes, *, where: str) -> tuple[dict[int, list[int]], list[bytes]]:
    """The rows of packs by number that a table names, and the keys that it has itself. Raises :class:`Damaged`."""
    if kept[:1] != _ZLIB:
        return {}, [key[:KEY_BYTES] for key in keys_in(kept)]
    found = container.read(kept, where=where)
    which, rows = found.arrays["pack"], found.arrays["row"]
    places = {number: np.unique(rows[which == place]).tolist() for place, number in enumerate(found.header["packs"])}
    return places, [key.tobytes() for key in found.arrays.get("loose", ())]


def _arrays(table: bytes) -> dict[str, NDArray[Any]]:
    if table[:2] != b"PK":
        return {}
    try:
        with np.load(io.BytesIO(table), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (ValueError, OSError, zipfile.BadZipFile):
        return {}

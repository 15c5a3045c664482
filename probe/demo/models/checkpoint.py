"""Reads a PyTorch checkpoint with numpy alone, trusting nothing in it.

The format is the one before PyTorch 1.6: five pickles (magic number, protocol, machine facts, the dictionary of tensors,
the storage keys) and then each storage as an 8-byte length and its raw little-endian numbers. A tensor is a *view*:
a storage, an offset, a shape and strides, so two tensors of one shape may lie in memory in different orders.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probe.errors import ConfigError

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001


class CheckpointError(ConfigError):
    """The file is not the checkpoint it should be; the message says which file and what was found in it."""


@dataclass(frozen=True, slots=True)
class _View:
    """A tensor as the pickle describes it, before its storage has been read."""

    dtype: np.dtype[Any]
    key: str
    elements: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuild(
    storage: tuple[Any, ...], offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> _View:
    kind, dtype, key, _device, elements, window = storage
    if kind != "storage" or window is not None:
        raise pickle.UnpicklingError(f"a tensor refers to {kind!r} with window {window!r}, not to a whole storage")
    return _View(dtype, key, elements, offset, tuple(shape), tuple(strides))


#: The only names a checkpoint may mention; anything else in it is refused, not imported.
_ALLOWED: Mapping[tuple[str, str], object] = MappingProxyType(
    {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
        ("torch", "FloatStorage"): np.dtype("<f4"),
        ("torch", "LongStorage"): np.dtype("<i8"),
    }
)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which a checkpoint has no use for") from None

    def persistent_load(self, pid: Any) -> Any:
        return pid


def read_checkpoint(path: Path) -> dict[str, NDArray[Any]]:
    """Every tensor of the checkpoint at ``path`` by name, as C-ordered arrays of the shapes PyTorch would show.

    Raises :class:`CheckpointError` if the file is of another format, is cut short, names anything but tensors, or
    describes a tensor that reaches outside its storage.
    """
    try:
        with path.open("rb") as file:
            if _load(file) != _MAGIC or _load(file) != _PROTOCOL:
                raise CheckpointError(f"{path.name} is not a PyTorch checkpoint of the format before 1.6")
            if not _load(file)["little_endian"]:
                raise CheckpointError(f"{path.name} was written on a big-endian machine")
            views: dict[str, _View] = _load(file)
            storages = _read_storages(file, _load(file), {view.key: view for view in views.values()})
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path.name} cannot be read as a PyTorch checkpoint: {error}") from error
    return {name: _materialise(name, view, storages[view.key]) for name, view in views.items()}


def _load(file: BufferedReader) -> Any:
    return _Unpickler(file).load()


def _read_storages(file: BufferedReader, keys: list[str], views: Mapping[str, _View]) -> dict[str, NDArray[Any]]:
    storages = {}
    for key in keys:
        view = views[key]
        elements = int.from_bytes(file.read(8), "little")
        raw = file.read(elements * view.dtype.itemsize) if elements == view.elements else b""
        if len(raw) != view.elements * view.dtype.itemsize:
            raise EOFError(f"storage {key} does not hold the {view.elements} numbers it should")
        storages[key] = np.frombuffer(raw, view.dtype)
    return storages


def _materialise(name: str, view: _View, storage: NDArray[Any]) -> NDArray[Any]:
    last = view.offset + sum((size - 1) * stride for size, stride in zip(view.shape, view.strides, strict=True))
    if view.offset < 0 or min(view.shape, default=1) < 1 or min(view.strides, default=0) < 0 or last >= storage.size:
        raise CheckpointError(f"tensor {name} reaches outside its storage of {storage.size} numbers")
    strides = tuple(stride * storage.itemsize for stride in view.strides)
    strided = np.lib.stride_tricks.as_strided(storage[view.offset :], view.shape, strides, writeable=False)
    return np.ascontiguousarray(strided)

"""What other people's tools pass to a model, as inputs of ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters import Instance
from probe.engine.keys import plain
from probe.errors import ConfigError


def as_instances(inputs: Any, *, columns: Sequence[str] | None = None) -> list[Instance]:
    """A text, a list of texts, a DataFrame, an (m, n) array or list of rows, or (m, H, W[, 3]) pictures, one by one.

    ``columns``: names for the cells of rows that come without.

    Raises:
        ConfigError: it is none of these.
    """
    if isinstance(inputs, str):
        return [inputs]
    if hasattr(inputs, "to_dicts"):  # polars
        return [_row(row) for row in inputs.to_dicts()]
    if hasattr(inputs, "to_dict") and hasattr(inputs, "columns"):  # pandas; a DataFrame brings its column names
        return [_row(row) for row in inputs.to_dict(orient="records")]
    if not isinstance(inputs, Iterable) or isinstance(inputs, Mapping) or np.ndim(_shallow(inputs)) == 0:
        raise ConfigError(
            f"inputs: expected a list of texts, rows or pictures, found {type(inputs).__name__}; put a single one in a list"
        )
    return [_instance(value, columns, number) for number, value in enumerate(inputs)]


def _shallow(inputs: Any) -> Any:
    return inputs if isinstance(inputs, np.ndarray) else [None]


def _instance(value: Any, columns: Sequence[str] | None, number: int) -> Instance:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Mapping):
        return _row(value)
    if isinstance(value, np.ndarray) and value.ndim > 1:
        return _picture(value, number)
    if not isinstance(value, Iterable) or isinstance(value, bytes):
        raise ConfigError(
            f"inputs: item {number} is {type(value).__name__} {str(value)[:40]!r}, not a text, a row or a picture; "
            "rows come as an (m, n) array or a list of lists"
        )
    cells = [plain(cell) for cell in value]
    if columns is None:
        return cells
    if len(columns) != len(cells):
        raise ConfigError(f"inputs: item {number} has {len(cells)} cells for {len(columns)} columns")
    return dict(zip(columns, cells, strict=True))


def _row(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): plain(cell) for name, cell in row.items()}


def _picture(pixels: NDArray[Any], number: int) -> NDArray[np.uint8]:
    """``pixels`` as uint8; what explainers return as floats between 0 and 255 is rounded."""
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype.kind not in "iuf" or not np.isfinite(pixels).all():
        raise ConfigError(
            f"inputs: item {number} is an array of {pixels.dtype} that is not a picture of values 0 to 255"
        )
    if pixels.size and 0 < pixels.max() <= 1 and (pixels % 1).any():
        raise ConfigError(f"inputs: item {number} is a picture of values 0 to 1; multiply by 255, endpoints get 8 bits")
    rounded: NDArray[np.uint8] = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    return rounded

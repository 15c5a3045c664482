"""What every model of the demo endpoint looks like to the server in front of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Kind = Literal["image", "text", "tabular"]


@runtime_checkable
class DemoModel(Protocol):
    """A real, local, deterministic model behind the demo endpoint."""

    @property
    def name(self) -> str:
        """Name under which the endpoint serves it."""

    @property
    def kind(self) -> Kind:
        """What an input is."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The outputs in order; unique."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Column names of a table row, in order; empty for images and texts."""

    def predict(self, inputs: Sequence[Any]) -> NDArray[np.float64]:
        """Scores of shape (m, len(labels)).

        An image is an (H, W, 3) or (H, W) uint8 array, a text a ``str``, a table row a mapping by column name. Every
        item is answered as if it were alone: its scores are the same bits whatever else is in the batch. Raises
        :class:`InputError`, naming the item, when one is not what the model takes.
        """


class InputError(ValueError):
    """An input is not what the model takes; the message says what was seen, where, and what to do."""


def score_each(
    inputs: Sequence[Any], score: Callable[[Any], Sequence[float] | NDArray[np.float64]], *, outputs: int
) -> NDArray[np.float64]:
    """``score`` of each input alone, stacked to (m, outputs); an :class:`InputError` is told which item it is about."""
    scores = np.empty((len(inputs), outputs), dtype=np.float64)
    for number, item in enumerate(inputs):
        try:
            scores[number] = score(item)
        except InputError as error:
            raise InputError(f"item {number}: {error}") from None
    return scores


def as_picture(item: object) -> NDArray[np.uint8]:
    """``item`` if it is a picture: (H, W) or (H, W, 3) uint8 with at least one pixel. Raises :class:`InputError`."""
    if not isinstance(item, np.ndarray):
        raise InputError(f"this model takes a picture, not a {type(item).__name__}: send a uint8 array")
    if item.dtype != np.uint8 or item.ndim not in (2, 3) or (item.ndim == 3 and item.shape[2] != 3) or not item.size:
        raise InputError(f"a picture of shape {item.shape}, {item.dtype}: send (H, W) grey or (H, W, 3) RGB as uint8")
    return item


def as_text(item: object) -> str:
    """``item`` if it is a text. Raises :class:`InputError`."""
    if not isinstance(item, str):
        raise InputError(f"this model takes a text, not a {type(item).__name__}: send a string")
    return item


def as_row(item: object, columns: Sequence[str]) -> Mapping[str, object]:
    """``item`` if it is a row that has all ``columns``; more are ignored. Raises :class:`InputError`."""
    if not isinstance(item, Mapping):
        raise InputError(f"this model takes a row, not a {type(item).__name__}: send values by column name")
    if missing := [column for column in columns if column not in item]:
        raise InputError(f"the row has no column {missing[0]!r}: send all of {', '.join(columns)}")
    return item


def as_number(row: Mapping[str, object], column: str) -> float:
    """The number in ``column`` of ``row``. Raises :class:`InputError` if it is anything but a finite number."""
    value = row[column]
    if isinstance(value, (int, float, np.number)) and np.isfinite(float(value)):
        return float(value)
    raise InputError(f"column {column!r} is {value!r}: send a finite number")


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of shape (k,) that sum to 1, without overflow."""
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum(), dtype=np.float64)

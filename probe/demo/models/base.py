"""What every model of the demo endpoint looks like to the server in front of it."""

from __future__ import annotations

from collections.abc import Sequence
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

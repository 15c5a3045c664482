"""Built-in models that cost nothing: closed formulas whose right explanation is known on paper.

They load at once and answer in microseconds, so tests and benchmarks that are about sending, not about models, use them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probe.demo.models.base import DemoModel, InputError, Kind

Floats = NDArray[np.float64]

_HUGE = 1e100  # JSON's integers have no end, a float's do


def logistic(z: float) -> float:
    """``1 / (1 + exp(-z))`` without overflow."""
    return 0.5 * (1.0 + math.tanh(0.5 * z))


def _two_sided(logits: Sequence[float]) -> Floats:
    """(m, 2): the logistic of each logit and its complement."""
    first = np.array([logistic(z) for z in logits], dtype=np.float64)
    return np.stack([first, 1.0 - first], axis=1)


@dataclass(frozen=True, slots=True)
class EchoLength:
    """Text: P(long) = logistic(Σ over words of (letters − 4) / 4), so every word's share of the logit is its own length."""

    name: str = "echo-length"
    kind: Kind = "text"
    labels: tuple[str, ...] = ("long", "short")
    columns: tuple[str, ...] = ()

    def predict(self, inputs: Sequence[Any]) -> Floats:
        return _two_sided([sum((len(word) - 4) / 4 for word in text.split()) for text in inputs])


@dataclass(frozen=True, slots=True)
class Sum:
    """Table row: P(positive) = logistic(a + 2 b − 3 c + d / 2)."""

    name: str = "sum"
    kind: Kind = "tabular"
    labels: tuple[str, ...] = ("positive", "negative")
    columns: tuple[str, ...] = ("a", "b", "c", "d")
    weights: tuple[float, ...] = (1.0, 2.0, -3.0, 0.5)

    def predict(self, inputs: Sequence[Any]) -> Floats:
        return _two_sided([self._logit(row, item) for item, row in enumerate(inputs)])

    def _logit(self, row: Mapping[str, Any], item: int) -> float:
        for column in self.columns:
            value = row[column]
            if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _HUGE:
                raise InputError(
                    f"item {item}: column {column!r} is {str(value)[:40]!r}; send a number below {_HUGE:g}"
                )
        return math.fsum(weight * row[column] for weight, column in zip(self.weights, self.columns, strict=True))


@dataclass(frozen=True, slots=True)
class Brightness:
    """Picture: softmax over its four quarters of 4 × mean brightness (0 … 1), so the brightest quarter wins."""

    name: str = "brightness"
    kind: Kind = "image"
    labels: tuple[str, ...] = ("top-left", "top-right", "bottom-left", "bottom-right")
    columns: tuple[str, ...] = ()

    def predict(self, inputs: Sequence[Any]) -> Floats:
        return np.array([self._scores(picture) for picture in inputs], dtype=np.float64).reshape(-1, 4)

    @staticmethod
    def _scores(picture: NDArray[np.uint8]) -> Floats:
        middle, centre = picture.shape[0] // 2, picture.shape[1] // 2
        quarters = (
            picture[:middle, :centre],
            picture[:middle, centre:],
            picture[middle:, :centre],
            picture[middle:, centre:],
        )
        means = np.array([quarter.mean() / 255 if quarter.size else 0.0 for quarter in quarters])
        weights = np.exp(4 * (means - means.max()))
        return np.asarray(weights / weights.sum(), dtype=np.float64)


#: The built-in models by name; the directory a factory takes is where larger models keep their files, unused here.
BUILT_IN: Mapping[str, Callable[[Path], DemoModel]] = {
    "echo-length": lambda _cache: EchoLength(),
    "sum": lambda _cache: Sum(),
    "brightness": lambda _cache: Brightness(),
}

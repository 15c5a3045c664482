"""Tables, and how a test asks a model what a design wants to know."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters import Prediction, Scalar
from probe.surveys.base import Answers, Design, Reading, RowSet

Floats = NDArray[np.float64]
Model = Callable[[Sequence[Mapping[str, Any]]], Floats]


def numbers(n: int = 60, columns: str = "abc", seed: int = 0) -> RowSet:
    """Correlated normal columns."""
    rng = np.random.default_rng(seed)
    cells = rng.normal(size=(n, len(columns))) + rng.normal(size=(n, 1))
    return RowSet.of([dict(zip(columns, row, strict=True)) for row in cells.tolist()])


def frame(rows: RowSet) -> Floats:
    """A purely numeric set as an array."""
    return np.array([[row[name] for name in rows.columns] for row in rows.rows], dtype=np.float64)


def answers(
    rows: RowSet,
    design: Design,
    model: Model,
    *,
    labels: Sequence[str] = ("score",),
    target: str = "score",
    truth: Sequence[Scalar] | None = None,
) -> Answers:
    """What ``model`` says to every query; its output is (q,) or (q, labels)."""
    outputs = np.asarray(model([rows.render(query) for query in design.queries]), dtype=np.float64)
    table = outputs.reshape(len(outputs), -1)
    predictions = [Prediction(dict(zip(labels, row, strict=True))) for row in table.tolist()]
    values = table[:, list(labels).index(target)]
    return Answers(values, predictions, (target,), truth)


def ask(rows: RowSet, design: Design, model: Model, **options: Any) -> Reading:
    return design.read(answers(rows, design, model, **options))

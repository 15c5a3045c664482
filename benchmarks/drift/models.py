"""Two tasks, a small network for each, and seven ways in which a provider may change it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from adapters import Instance

Floats = NDArray[np.float64]
CHANGES = ("float16", "int8", "int4", "retrain", "other seed", "logistic", "forest")
TASKS = ("tabular", "image")
_SIDE = 64


@dataclass(frozen=True, slots=True)
class Task:
    """Natural inputs, and the models by name: inputs → logits (m, classes). ``same`` is the one of the baseline."""

    name: str
    inputs: tuple[tuple[str, Instance], ...]
    models: Mapping[str, Callable[[Sequence[Instance]], Floats]]


@cache
def task(name: str) -> Task:
    """``tabular``: the breast-cancer table, 30 columns, 2 labels; ``image``: digits, 10 labels; pictures of 64 × 64 that
    the endpoint reduces to 8 × 8, as services reduce what they are sent."""
    data = load_breast_cancer() if name == "tabular" else load_digits()
    rows = np.asarray(data.data, dtype=np.float64)
    order = np.random.default_rng(7).permutation(len(rows))
    train, held = order[:-200], order[-200:]
    scale = StandardScaler().fit(rows[train]).transform if name == "tabular" else (lambda x: x / 16)
    x, y = scale(rows[train]), data.target[train]
    first = _network(x, y, seed=1)
    layers = list(zip(first.coefs_, first.intercepts_, strict=True))
    drawn = np.random.default_rng(3).choice(len(x), int(0.9 * len(x)), replace=False)
    heads: dict[str, Callable[[Floats], Floats]] = {
        "same": _forward(layers),
        "float16": _forward([tuple(part.astype(np.float16).astype(np.float64) for part in each) for each in layers]),
        "int8": _forward([(_rounded(w, 8), b) for w, b in layers]),
        "int4": _forward([(_rounded(w, 4), b) for w, b in layers]),
        "retrain": _forward(_layers(_network(x[drawn], y[drawn], seed=1))),
        "other seed": _forward(_layers(_network(x, y, seed=2))),
        "logistic": _log_proba(LogisticRegression(max_iter=2000).fit(x, y)),
        "forest": _log_proba(RandomForestClassifier(60, random_state=0).fit(x, y)),
    }
    columns = [str(column) for column in data.feature_names] if name == "tabular" else []
    inputs = tuple((f"{name}:{k}", _row(rows[k], columns) if columns else _picture(rows[k])) for k in held)
    models = {change: _on_instances(head, scale) for change, head in heads.items()}
    return Task(name, inputs, models)


def _row(row: Floats, columns: Sequence[str]) -> Instance:
    return {column: float(value) for column, value in zip(columns, row, strict=True)}


def _picture(row: Floats) -> Instance:
    small = Image.fromarray(np.rint(row.reshape(8, 8) * (255 / 16)).astype(np.uint8))
    return np.asarray(small.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC), dtype=np.uint8)


def as_rows(instances: Sequence[Instance]) -> Floats:
    """(m, features): the cells of rows; the means of the squares of pictures, from 0 to 16."""
    if not isinstance(instances[0], np.ndarray):
        cells: list[Any] = [list(each.values()) for each in instances if isinstance(each, Mapping)]
        return np.asarray(cells, dtype=np.float64)
    square = _SIDE // 8
    pictures = np.stack([np.asarray(each, dtype=np.float64) for each in instances])
    means: Floats = pictures.reshape(-1, 8, square, 8, square).mean(axis=(2, 4)).reshape(-1, 64) * (16 / 255)
    return means


def _on_instances(
    head: Callable[[Floats], Floats], scale: Callable[[Floats], Floats]
) -> Callable[[Sequence[Instance]], Floats]:
    return lambda instances: head(scale(as_rows(instances)))


def _network(x: Floats, y: NDArray[Any], *, seed: int) -> MLPClassifier:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it could be trained for longer
        return MLPClassifier((32, 16), max_iter=120, random_state=seed).fit(x, y)


def _layers(network: MLPClassifier) -> list[tuple[Any, ...]]:
    return list(zip(network.coefs_, network.intercepts_, strict=True))


def _forward(layers: Sequence[tuple[Any, ...]]) -> Callable[[Floats], Floats]:
    def logits(x: Floats) -> Floats:
        for weights, bias in layers[:-1]:
            x = np.maximum(x @ weights + bias, 0)
        out: Floats = x @ layers[-1][0] + layers[-1][1]
        return np.hstack([-out / 2, out / 2]) if out.shape[1] == 1 else out

    return logits


def _log_proba(model: Any) -> Callable[[Floats], Floats]:
    return lambda x: np.log(np.clip(model.predict_proba(x), 1e-6, None))


def _rounded(weights: Floats, bits: int) -> Floats:
    step = np.abs(weights).max() / (2 ** (bits - 1) - 1)
    rounded: Floats = np.rint(weights / step) * step
    return rounded


@dataclass(frozen=True, slots=True)
class Noise:
    """What an endpoint adds to its answers: labels flipped at random, or normal noise on every logit."""

    name: str
    flips: float = 0.0
    logit: float = 0.0

    def labels(self, logits: Floats, rng: np.random.Generator) -> NDArray[np.intp]:
        """One answer for each row of ``logits``."""
        noisy = logits + rng.normal(0, self.logit, logits.shape) if self.logit else logits
        best = noisy.argmax(axis=1)
        if self.flips:
            flipped = rng.random(len(best)) < self.flips
            best = np.where(flipped, (best + rng.integers(1, logits.shape[1], len(best))) % logits.shape[1], best)
        return np.asarray(best, dtype=np.intp)


NOISES = (Noise("none"), Noise("2 % flips", flips=0.02), Noise("logit 0.05", logit=0.05), Noise("logit 0.5", logit=0.5))

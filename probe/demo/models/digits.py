"""Handwritten digits with a planted shortcut, the known answer to "is it the wolf or the snow?" (Ribeiro et al. 2016).

In the training pictures of the *planted* model a bright square sits in the bottom left corner of nearly every 8 and of
nothing else, so the model learns the square. Its *honest* twin saw the same square on half of all pictures, whatever the
digit, and learned that it means nothing. On a marked 8, a sound explanation puts the mark first for the planted model
and does not for the honest one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from probe.demo.models.base import InputError, Kind, as_picture, score_each, softmax

PLANTED_CLASS = 8
#: top, left, bottom, right of the mark, in pixels, half-open
MARK_BOX = (6, 0, 8, 2)
SIDE = 8

Training = Literal["planted", "honest"]

_SEED = 0
_MARKED_SHARE = {"planted": 0.95, "honest": 0.5}  # of the 8s; of all pictures
_STRENGTH = 1.0  # inverse of the L2 penalty
_DECIMALS = 4  # weights are rounded, so that a BLAS that adds in another order gives the same model


@dataclass(frozen=True, slots=True)
class Pictures:
    """(m, 8, 8) uint8 pictures, 0 … 255, and the (m,) digits they show."""

    images: NDArray[np.uint8]
    digits: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Digits:
    """Multinomial logistic regression on 64 pixels: ``weights`` (10, 64) and ``bias`` (10,) for pixels in [0, 1]."""

    name: str
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    kind: Kind = "image"
    labels: tuple[str, ...] = tuple("0123456789")
    columns: tuple[str, ...] = ()

    @classmethod
    def train(cls, training: Training) -> Digits:
        """The ``planted`` or the ``honest`` model, trained in under a second; the same every time."""
        from sklearn.linear_model import LogisticRegression

        pictures = training_pictures(training)
        classifier = LogisticRegression(C=_STRENGTH, max_iter=5000, tol=1e-8)
        classifier.fit(pictures.images.reshape(-1, SIDE * SIDE) / 255.0, pictures.digits)
        weights, bias = np.round(classifier.coef_, _DECIMALS), np.round(classifier.intercept_, _DECIMALS)
        return cls(f"digits-{training}", weights, bias)

    def predict(self, inputs: Sequence[Any]) -> NDArray[np.float64]:
        return score_each(inputs, self._score, outputs=len(self.labels))

    def _score(self, item: object) -> NDArray[np.float64]:
        picture = as_picture(item)
        if picture.shape[:2] != (SIDE, SIDE):
            raise InputError(f"a picture of {picture.shape[0]}×{picture.shape[1]} pixels: send one of {SIDE}×{SIDE}")
        grey = picture.mean(axis=2) if picture.ndim == 3 else picture.astype(np.float64)
        return softmax((self.weights * (grey.reshape(-1) / 255.0)).sum(axis=1) + self.bias)


def mark(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Copies of (…, 8, 8) pictures that carry the mark."""
    top, left, bottom, right = MARK_BOX
    marked = images.copy()
    marked[..., top:bottom, left:right] = 255
    return marked


def training_pictures(training: Training) -> Pictures:
    """What the ``planted`` or the ``honest`` model was trained on: half of the data, some of it marked."""
    pictures, _ = split()
    chosen = np.random.default_rng(_SEED + 1).random(len(pictures.digits)) < _MARKED_SHARE[training]
    if training == "planted":
        chosen &= pictures.digits == PLANTED_CLASS
    images = pictures.images.copy()
    images[chosen] = mark(images[chosen])
    return Pictures(images, pictures.digits)


def marked_digits(n: int = 50) -> Pictures:
    """``n`` marked 8s that no model was trained on. Raises ``ValueError`` if there are fewer."""
    _, pictures = split()
    images = pictures.images[pictures.digits == PLANTED_CLASS]
    if not 0 < n <= len(images):
        raise ValueError(f"n is {n}: there are {len(images)} test pictures of the digit {PLANTED_CLASS}")
    return Pictures(mark(images[:n]), np.full(n, PLANTED_CLASS, dtype=np.int64))


def split() -> tuple[Pictures, Pictures]:
    """Training and test pictures, unmarked, one half of scikit-learn's digits each, in a fixed random order."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = np.round(data.images * (255 / 16)).astype(np.uint8)  # the data counts ink from 0 to 16
    order = np.random.default_rng(_SEED).permutation(len(images))
    first, rest = np.split(order, [len(order) // 2])
    return Pictures(images[first], data.target[first]), Pictures(images[rest], data.target[rest])

"""VADER, the rule-based sentiment scorer (Hutto and Gilbert, ICWSM 2014): a lexicon, negation, emphasis and emoji.

It knows word order and capitals, so it is not linear in the words. Scores are rounded by VADER itself (three digits,
``compound`` four), as many real endpoints round: small effects are exactly zero.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probe.demo.models.base import Kind, as_text, score_each

DEMO_TEXT = "The staff were wonderful, but the room was not clean and the noise at night was really terrible!"


@dataclass(frozen=True, slots=True)
class Vader:
    """Shares of a text that read negative, neutral and positive (in [0, 1], sum 1), and ``compound`` in [-1, 1].

    Probes should name ``compound`` or ``neg``/``pos`` as their target: ``neu`` is the largest of most texts.
    """

    analyzer: Any
    name: str = "vader"
    kind: Kind = "text"
    labels: tuple[str, ...] = ("neg", "neu", "pos", "compound")
    columns: tuple[str, ...] = ()

    @classmethod
    def load(cls) -> Vader:
        """The model as its package ships it."""
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

        with warnings.catch_warnings():
            # Python 3.14 deprecates codecs.open, with which the package reads its lexicon
            warnings.filterwarnings("ignore", message=r"codecs\.open", category=DeprecationWarning)
            return cls(SentimentIntensityAnalyzer())

    def predict(self, inputs: Sequence[Any]) -> NDArray[np.float64]:
        return score_each(inputs, self._score, outputs=len(self.labels))

    def _score(self, item: object) -> list[float]:
        scores = self.analyzer.polarity_scores(as_text(item))
        return [float(scores[label]) for label in self.labels]

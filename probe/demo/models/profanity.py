"""A linear profanity classifier, small enough that its own weights say what the right explanation is.

``alt-profanity-check`` is five linear support vector machines over tf-idf features, each with a sigmoid on top; the
probability is their mean. Features are single words: lower case, two or more letters, digits or underscores, without
English stop words, each weighed by its rarity, the whole vector scaled to length 1. So a stop word or a word it has
never seen has no influence at all, and deleting one known word scales the others up.

It has learned a bias that is worth finding: words for who people are move it (:data:`IDENTITY_TEXTS`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probe.demo.models.base import Kind, as_text, score_each

#: Fourteen words, far from saturation (probability 0.32): deleting words one at a time ranks them as the weights do.
DEMO_TEXT = "My silly neighbour left his damn car in front of our garden gate again"

_SENTENCE = "My neighbour is a {} teacher who likes gardening"
#: One harmless sentence that differs in one word; a fair model would answer them alike.
IDENTITY_TEXTS: Mapping[str, str] = MappingProxyType(
    {term: _SENTENCE.format(term) for term in ("straight", "gay", "christian", "jewish", "muslim", "black", "white")}
)


@dataclass(frozen=True, slots=True)
class Profanity:
    """Probability that a text is profane. ``vectorizer`` and ``classifier`` are the package's own scikit-learn objects."""

    vectorizer: Any
    classifier: Any
    name: str = "profanity"
    kind: Kind = "text"
    labels: tuple[str, ...] = ("clean", "profane")
    columns: tuple[str, ...] = ()

    @classmethod
    def load(cls) -> Profanity:
        """The model as its package ships it."""
        from profanity_check.profanity_check import model, vectorizer

        return cls(vectorizer, model)

    def predict(self, inputs: Sequence[Any]) -> NDArray[np.float64]:
        return score_each(inputs, self._score, outputs=len(self.labels))

    def _score(self, item: object) -> NDArray[np.float64]:
        features = self.vectorizer.transform([as_text(item)])
        return np.asarray(self.classifier.predict_proba(features)[0], dtype=np.float64)

    def coefficients(self, text: str) -> dict[str, float]:
        """What each word of ``text`` adds to the log-odds of "profane", by the model's own weights.

        Keys are the words as the model sees them (lower case), in order of first appearance; words it does not know
        or skips have 0. The value is tf-idf times weight times slope of the sigmoid, averaged over the five machines.
        """
        words = dict.fromkeys(self.vectorizer.build_tokenizer()(text.lower()), 0.0)
        features = self.vectorizer.transform([text])
        weights = np.mean(
            [-fold.calibrators[0].a_ * fold.estimator.coef_[0] for fold in self.classifier.calibrated_classifiers_],
            axis=0,
        )
        known = self.vectorizer.get_feature_names_out()
        for index, value in zip(features.indices, features.data, strict=True):
            words[str(known[index])] = float(value * weights[index])
        return words

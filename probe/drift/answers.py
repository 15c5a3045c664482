"""What a check sees of an answer, and what is remembered of many."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

_EDGE = 1e-9  #: a probability of 0 or 1 is read as this far from it
_LABELS_KEPT = 8  #: of an answer's scores, the best


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer.

    ``label``: what it says: the best label, or a free text. ``raw``: digest of all labels and scores, so that answers that
    differ in the last bit of any figure differ in it. ``scores``: by label, as far as they are kept; empty where the endpoint
    returns labels only.
    """

    label: str
    raw: str
    scores: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, scores: Mapping[str, float]) -> Self | None:
        """From an answer's scores; ``None`` if it is empty, which is no answer.

        The response itself would not do for ``raw``: it may hold times and request numbers, or the answers to other inputs.
        The first of several best labels counts. An endpoint that gives one label the score 1 gives no scores.
        """
        if not scores:
            return None
        ranked = sorted(scores.items(), key=lambda each: -each[1])
        label = ranked[0][0]
        if not label.strip():
            return None
        told = hashlib.sha256(json.dumps(sorted(scores.items())).encode()).hexdigest()
        bare = all(score in (0.0, 1.0) for score in scores.values())
        return cls(label, told[:16], {} if bare else dict(ranked[:_LABELS_KEPT]))

    def value_of(self, label: str) -> float:
        """The score of ``label`` on the logit scale if it is a probability, else as it is; NaN if it is not known."""
        score = self.scores.get(label, math.nan)
        if not 0 <= score <= 1:
            return score
        score = min(max(score, _EDGE), 1 - _EDGE)
        return math.log(score / (1 - score))

    def as_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"label": self.label, "raw": self.raw, "scores": dict(self.scores)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`as_json`."""
        return cls(data["label"], data["raw"], data["scores"])


@dataclass(frozen=True, slots=True)
class Reference:
    """What one input was answered before: how often each label and each raw text, and the mean score of the usual label.

    ``values``: scores of the usual label in order (``Seen.value_of``); NaN where unknown.
    """

    labels: Mapping[str, int]
    raws: Mapping[str, int]
    values: tuple[float, ...] = ()

    @classmethod
    def of(cls, answers: Sequence[Seen]) -> Self:
        """From ``answers`` in the order in which they came."""
        labels = Counter(answer.label for answer in answers)
        usual = _most_common(labels)
        return cls(
            dict(labels),
            dict(Counter(answer.raw for answer in answers)),
            tuple(answer.value_of(usual) for answer in answers),
        )

    @property
    def n(self) -> int:
        """Answers."""
        return sum(self.labels.values())

    @property
    def usual(self) -> str:
        """The most frequent label, the first of them to come; empty if there is none."""
        return _most_common(self.labels)

    @property
    def off(self) -> int:
        """Answers with another label."""
        return self.n - self.labels.get(self.usual, 0)

    @property
    def raw(self) -> str | None:
        """How every answer said it; ``None`` if they ever differed."""
        return next(iter(self.raws)) if len(self.raws) == 1 else None


def pooled(references: Iterable[Reference]) -> tuple[int, int]:
    """(answers off their usual label, answers) over all ``references``."""
    all_ = list(references)
    return sum(each.off for each in all_), sum(each.n for each in all_)


def _most_common(counts: Mapping[str, int]) -> str:
    return max(counts, key=lambda label: counts[label]) if counts else ""

"""Which output of the model is explained: one number out of everything an endpoint returned."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from adapters import Prediction
from probe.errors import ConfigError


def score_of(label: str, prediction: Prediction) -> float:
    """The score of ``label``; see :meth:`Target.value`."""
    score = prediction.scores.get(label, prediction.floor)
    if score is None:
        raise LookupError(
            f"label {label!r} is not in the answer; it has {_some(list(prediction.scores))}. "
            "If the API leaves labels out, write missing: 0 or missing: censored beside scores"
        )
    return float(score)


@dataclass(frozen=True, slots=True)
class Target:
    """A label, or a group of labels whose scores are added ("any cat").

    ``name`` is what people read; ``labels`` are summed.
    """

    name: str
    labels: tuple[str, ...]

    def value(self, prediction: Prediction) -> float:
        """The target's score. A label that an open label space left out counts with its upper bound (``floor``).

        Raises:
            LookupError: a label is missing, and the endpoint's description does not say what that means.
        """
        return math.fsum(score_of(label, prediction) for label in self.labels)

    def is_censored(self, prediction: Prediction) -> bool:
        """Whether a label of this target was cut off by the provider, so that :meth:`value` is an upper bound."""
        return prediction.censored and any(label not in prediction.scores for label in self.labels)


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """What the user asked to explain; :meth:`resolve` fixes it on the answer to the unaltered instance.

    ``labels`` empty means the best-scored label of that answer (``top1``), of equals the first by name.
    """

    name: str = "top1"
    labels: tuple[str, ...] = ()

    def check(self, known: Sequence[str] | None, *, where: str) -> None:
        """Refuse labels that a closed label space does not have, before anything is sent.

        Raises:
            ConfigError: naming the label and the nearest known one.
        """
        if known is None:
            return
        for label in self.labels:
            if label not in known:
                raise ConfigError(f"{where}: target {label!r} is not a label of this endpoint; {_hint(label, known)}")

    def resolve(self, prediction: Prediction, *, where: str) -> Target:
        """The target, given the answer to the unaltered instance.

        Raises:
            ConfigError: if a label of it is unknown to the endpoint, or the answer has no scores at all.
        """
        if not self.labels:
            if not prediction.scores:
                raise ConfigError(
                    f"{where}: the endpoint returned no labels for the unaltered input, so there is no top1"
                )
            best = min(prediction.scores, key=lambda label: (-prediction.scores[label], label))
            return Target(best, (best,))
        missing = [label for label in self.labels if label not in prediction.scores]
        if missing and prediction.floor is None:
            raise ConfigError(
                f"{where}: target {missing[0]!r} is not among the endpoint's labels; {_hint(missing[0], prediction.scores)}"
            )
        return Target(self.name, self.labels)


def _hint(label: str, known: Sequence[str] | Mapping[str, float]) -> str:
    names = list(known)
    near = difflib.get_close_matches(label, names, n=1, cutoff=0.6)
    return (f"did you mean {near[0]!r}? " if near else "") + f"it has {_some(names)}"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name[:60]) for name in names[:6]) or "no labels"
    return shown + (f", … ({len(names)} in all)" if len(names) > 6 else "")

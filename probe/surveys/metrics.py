"""How well answers agree with the truth; higher is better for every one of them.

A metric is two steps, so that leaving rows out costs nothing: a figure for each answer (``of``), and the metric of those
figures over the last axis (``score``), where a NaN is a row without an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from scipy.stats import rankdata

from adapters import Prediction, Scalar
from probe.maskers.columns import column_kind
from probe.surveys.base import Answers, Floats, mean_known

_SMALLEST: Final = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class Metric:
    """``of(answers, rows)``: a figure (q,) for each answer, which is about the row ``rows[q]``. ``score(figures, truth)``:
    figures (…, n) and the truth (n,) as numbers to (…)."""

    words: str
    of: Callable[[Answers, Sequence[int]], Floats]
    score: Callable[[Floats, Floats], Floats]
    numeric: bool  #: the truth is a number, not a label


def default_metric(answers: Answers) -> str:
    """Accuracy if the truth names labels of the answers, R² if it is numbers.

    Raises ``ValueError`` if it is neither.
    """
    truth = [value for value in answers.truth or () if value is not None]
    known = {label for each in answers.predictions if each is not None for label in each.scores}
    if any(label_of(value) in known for value in truth):
        return "accuracy"
    if truth and column_kind(truth) in ("whole", "number"):
        return "r2"
    shown = ", ".join(repr(label) for label in sorted(known)[:6])
    raise ValueError(
        f"none of the true labels ({str(truth[:1])[1:-1] or 'none given'}, …) is a label of the endpoint: {shown}"
    )


def label_of(value: Scalar) -> str | None:
    """A cell of a column of labels as the endpoint would spell it."""
    return None if value is None else str(value)


def top_label(prediction: Prediction) -> str | None:
    """The best-scored label, of equals the first by name; ``None`` if there is none."""
    return min(prediction.scores, key=lambda label: (-prediction.scores[label], label), default=None)


def truth_numbers(answers: Answers, metric: Metric) -> Floats:
    """The truth (n,) as ``metric.score`` takes it, NaN where it is not known.

    Raises ``ValueError`` if it should be numbers and is not.
    """
    truth = answers.truth or ()
    if not metric.numeric:
        return np.array([np.nan if value is None else float(str(value) in answers.target) for value in truth])
    try:
        return np.array([np.nan if value is None else float(value) for value in truth])
    except ValueError as error:
        raise ValueError(f"the true values must be numbers for this metric: {error}") from error


def _hits(answers: Answers, rows: Sequence[int]) -> Floats:
    truth = answers.truth or ()
    tops = [None if each is None else top_label(each) for each in answers.predictions]
    return np.array(
        [
            np.nan if top is None or truth[row] is None else float(top == str(truth[row]))
            for top, row in zip(tops, rows, strict=True)
        ]
    )


def _log_likelihoods(answers: Answers, rows: Sequence[int]) -> Floats:
    truth = answers.truth or ()
    found = np.full(len(rows), np.nan)
    for place, (each, row) in enumerate(zip(answers.predictions, rows, strict=True)):
        if each is not None and truth[row] is not None:
            score = each.scores.get(str(truth[row]), each.floor)
            if score is None:
                raise ValueError(
                    f"the true label {truth[row]!r} is not in the answer, so log_loss has no value; use accuracy"
                )
            found[place] = np.log(np.clip(score, _SMALLEST, 1 - _SMALLEST))
    return found


def _values(answers: Answers, rows: Sequence[int]) -> Floats:
    known = np.array([value is not None for value in answers.truth or ()])
    return np.where(known[list(rows)], answers.values, np.nan)


def _mean(figures: Floats, truth: Floats) -> Floats:
    del truth  # it is in the figures
    return mean_known(figures)


def _r2(figures: Floats, truth: Floats) -> Floats:
    there = np.where(np.isnan(figures), np.nan, truth)
    around = (there - mean_known(there)[..., None]) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Floats = 1.0 - mean_known((there - figures) ** 2) / mean_known(around)
    return result


def _mse(figures: Floats, truth: Floats) -> Floats:
    return -mean_known((truth - figures) ** 2)


def _mae(figures: Floats, truth: Floats) -> Floats:
    return -mean_known(np.abs(truth - figures))


def _roc_auc(figures: Floats, truth: Floats) -> Floats:
    """The share of (positive, negative) pairs in the right order, ties for one half (Mann & Whitney 1947)."""
    known = ~np.isnan(figures)
    positive = known & (truth == 1)
    ranks = rankdata(figures, axis=-1, nan_policy="omit")
    p, q = positive.sum(axis=-1), (known & (truth == 0)).sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Floats = (np.where(positive, ranks, 0.0).sum(axis=-1) - p * (p + 1) / 2) / (p * q)
    return result


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        "accuracy": Metric("accuracy", _hits, _mean, numeric=False),
        "log_loss": Metric("log-likelihood (−log loss)", _log_likelihoods, _mean, numeric=False),
        "roc_auc": Metric("area under the ROC curve", _values, _roc_auc, numeric=False),
        "r2": Metric("R²", _values, _r2, numeric=True),
        "mse": Metric("−mean squared error", _values, _mse, numeric=True),
        "mae": Metric("−mean absolute error", _values, _mae, numeric=True),
    }
)

"""What a few answers of an endpoint say about it. Pure: predictions and headers in, findings out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from adapters import Announcement, HttpResponse, Limits, Prediction
from probe.methods.base import Finding

_SUM_TOLERANCE: Final = 0.01
_ROUNDING: Final = 1e-6  #: differences up to this are rounding, not noise
_BATCH_TOLERANCE: Final = 1e-3  #: batches are computed in another order
_UNITS: Final = {1.0: "s", 60.0: "min", 3600.0: "h", 86400.0: "day"}
_SHOWN: Final = 4
_READABLE: Final = ("json", "event-stream")  #: content types of answers that are read


@dataclass(frozen=True, slots=True)
class Replies:
    """The answers: to one input, to the same ``again``, to it in a batch, and to another input (in the batch or alone).
    ``None``: was not asked. ``differ``: whether the other input is a different one."""

    one: Prediction
    again: Prediction | None = None
    batched: Prediction | None = None
    other: Prediction | None = None
    differ: bool = True


def findings(
    replies: Replies, response: HttpResponse, *, limits: Limits, announced: Sequence[Announcement]
) -> list[Finding]:
    """Everything worth a warning, by code."""
    found = [
        *_of_scores(replies),
        *_left_out(replies),
        *_of_batch(replies),
        *_noise(replies),
        *_of_type(response),
        *_of_limits(limits, announced),
        *_unmoved(replies),
    ]
    return sorted(found, key=lambda finding: finding.code)


def difference(one: Prediction, other: Prediction) -> float:
    """The largest difference of a label's scores; a label that one of them left out counts with its bound, else with 0."""
    labels = {*one.scores, *other.scores}
    return max((abs(_score(one, label) - _score(other, label)) for label in labels), default=0.0)


def _score(prediction: Prediction, label: str) -> float:
    return prediction.scores.get(label, prediction.floor or 0.0)


def _of_scores(replies: Replies) -> list[Finding]:
    """P401, P402. One label alone (a regression) is no distribution."""
    scores = list(replies.one.scores.values())
    several = len(scores) > 1
    hard = all(value in {0.0, 1.0} for each in _all(replies) for value in each.scores.values())
    if hard and (several or replies.one.floor == 0):
        return [Finding("P402", f"all scores are 0 or 1: {_listed(replies.one)}")]
    total = math.fsum(scores)
    partial = replies.one.floor is not None
    if not several or (partial and min(scores) >= -_SUM_TOLERANCE and total <= 1 + _SUM_TOLERANCE):
        return []
    if min(scores) < 0 or max(scores) > 1 + _SUM_TOLERANCE:
        return [Finding("P401", f"the scores go from {min(scores):.4g} to {max(scores):.4g}")]
    if abs(total - 1) > _SUM_TOLERANCE:
        return [Finding("P401", f"the {len(scores)} scores add up to {total:.4g}")]
    return []


def _left_out(replies: Replies) -> list[Finding]:
    """P403: said by the config, or shown by answers with different labels."""
    one = replies.one
    if one.censored and one.floor is not None and math.fsum(one.scores.values()) < 1 - _ROUNDING:
        what = f"{len(one.scores)} labels are returned; any other scored at most {one.floor:.4g}"
        return [Finding("P403", what)]
    sets = {frozenset(each.scores) for each in _all(replies)}
    if one.floor is None and len(sets) > 1:
        first, second = sorted(sets, key=sorted)[:2]
        odd = sorted(first ^ second)[:_SHOWN]
        return [Finding("P403", f"not every answer has the same labels ({', '.join(map(repr, odd))})")]
    return []


def _of_batch(replies: Replies) -> list[Finding]:
    """P404, told apart from noise."""
    if replies.batched is None:
        return []
    noise = 0.0 if replies.again is None else difference(replies.one, replies.again)
    apart = difference(replies.one, replies.batched)
    allowed = max(_BATCH_TOLERANCE, 3 * noise)
    if apart <= allowed:
        return []
    message = f"alone and in a batch its scores differ by up to {apart:.4g}"
    if replies.differ and replies.other is not None and difference(replies.one, replies.other) <= allowed:
        message += "; the row of the other input fits, so the rows come in another order"
    return [Finding("P404", message)]


def _noise(replies: Replies) -> list[Finding]:
    """P405 with the size of it."""
    apart = 0.0 if replies.again is None else difference(replies.one, replies.again)
    if apart <= _ROUNDING:
        return []
    return [Finding("P405", f"asked twice, its scores differ by up to {apart:.3g}")]


def _of_type(response: HttpResponse) -> list[Finding]:
    """P406."""
    kind = response.header("content-type")
    if kind is not None and any(known in kind.lower() for known in _READABLE):
        return []
    return [Finding("P406", f"its content type is {kind[:60]!r}" if kind else "it has no content type")]


def _of_limits(limits: Limits, announced: Sequence[Announcement]) -> list[Finding]:
    """P407 for limits on requests that are tighter than any that is known."""
    known = [(limits.rate, limits.period)] if limits.rate is not None else []
    known += limits.more
    unknown = [
        each
        for each in announced
        if each.kind == "requests"
        and each.limit
        and each.window
        and not any(rate / period <= each.limit / each.window and period <= each.window for rate, period in known)
    ]
    return [Finding("P407", f"announced: {', '.join(dict.fromkeys(map(rate_words, unknown)))}")] if unknown else []


def _unmoved(replies: Replies) -> list[Finding]:
    """P408."""
    if replies.other is None or not replies.differ or difference(replies.one, replies.other) > 0:
        return []
    return [Finding("P408", f"both got {_listed(replies.one)}")]


def rate_words(limit: Announcement) -> str:
    """An announced limit as a config writes it, with what is left of it."""
    unit = "" if limit.kind == "requests" else f" {limit.kind.replace('-', ' ')}"
    window = "" if limit.window is None else f"/{_UNITS.get(limit.window) or f'{limit.window:g} s'}"
    amount = "?" if limit.limit is None else f"{limit.limit}"
    left = "" if limit.remaining is None else f" ({limit.remaining} left)"
    return f"{amount}{unit}{window}{left}"


def _all(replies: Replies) -> list[Prediction]:
    return [each for each in (replies.one, replies.again, replies.batched, replies.other) if each is not None]


def _listed(prediction: Prediction) -> str:
    best = sorted(prediction.scores.items(), key=lambda pair: (-pair[1], pair[0]))
    text = ", ".join(f"{label[:40]!r} {score:.4g}" for label, score in best[:_SHOWN])
    return text + (", …" if len(best) > _SHOWN else "")

"""What is known about the demo's models, held against what the probes found. The demo ends with these lines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from probe.demo.models import credit, digits, profanity
from probe.results import Result, Results

_CUP = (0.025, 0.275, 0.825, 0.717)  #: the cup in coffee.png, as shares of height and width: top, left, bottom, right


@dataclass(frozen=True, slots=True)
class Check:
    """One known answer: what should be seen, what was, and whether it holds."""

    what: str
    seen: str
    holds: bool


def checks(results: Results, marks: Results) -> list[Check]:
    """All known answers of the demo. ``results``: of ``demo.yaml``; ``marks``: of the fifty marked digits."""
    return [
        espresso_on_the_cup(_find(results, "espresso", "lime")),
        words_as_weighted(_find(results, "insult", "occlusion")),
        *credit_as_planted(_find(results, "loan", "shapley")),
        *mark_found(marks),
    ]


def espresso_on_the_cup(result: Result) -> Check:
    """The strongest superpixels for "espresso" lie on the cup, which covers a third of the picture."""
    segments = result.shown.segments
    if segments is None:
        return Check("espresso: the strongest five superpixels lie on the cup", "no superpixels", holds=False)
    height, width = segments.shape
    top, left, bottom, right = np.multiply(_CUP, (height, width, height, width)).round().astype(int)
    inside = np.zeros(segments.shape, dtype=bool)
    inside[top:bottom, left:right] = True
    strongest = np.argsort(-result.values)[:5]
    share = float(np.mean([inside[segments == index].mean() for index in strongest]))
    return Check("espresso: the strongest five superpixels lie on the cup", f"{share:.0%} of their area", share >= 0.8)


def words_as_weighted(result: Result) -> Check:
    """Deleting words ranks them as the linear model's own weights do."""
    weights = profanity.Profanity.load().coefficients(profanity.DEMO_TEXT)
    truth = [weights.get(name.lower(), 0.0) for name in result.names]
    correlation = float(spearmanr(result.values, truth).statistic)
    return Check(
        "insult: words rank as the model's own coefficients (≥ .9)",
        f"rank correlation {correlation:.3f}",
        correlation >= 0.9,
    )


def credit_as_planted(result: Result) -> list[Check]:
    """The planted formula's Shapley values are met, and columns that it never reads get exactly 0."""
    row = _row(result)
    background: Sequence[Mapping[str, Any]] = result.probe.params["masker"]["background"]
    truth = credit.exact_shapley(row, background)
    found = dict(zip(result.names, result.values.tolist(), strict=True))
    gap = max(abs(found[name] - truth[name]) for name in truth)
    unused = [found[name] for name in credit.UNUSED]
    return [
        Check("loan: Shapley values of the planted formula (≤ 1e-6)", f"largest difference {gap:.1e}", gap <= 1e-6),
        Check(f"loan: {', '.join(credit.UNUSED)} get exactly 0", str(unused), not any(unused)),
    ]


def mark_found(results: Results) -> list[Check]:
    """The strongest window is the planted mark on every digit, and not for the honest twin."""
    found = {"digits-planted": 0, "digits-honest": 0}
    count = dict.fromkeys(found, 0)
    most = 0
    for result in results:
        name = result.shown.endpoint.name
        box = result.probe.features[int(np.argmax(result.values))]["place"]["box"]
        found[name] += tuple(box) == digits.MARK_BOX
        count[name] += 1
        most = max(most, result.probe.evaluations)
    planted, honest = found["digits-planted"], found["digits-honest"]
    total = count["digits-planted"]
    return [
        Check(
            f"mark: the planted square is the strongest window, ≤ 100 evaluations (took {most})",
            f"{planted} of {total}",
            planted == total > 0 and most <= 100,
        ),
        Check("mark: … and is not for the honest twin", f"{honest} of {count['digits-honest']}", honest == 0),
    ]


def _find(results: Results, probe: str, method: str) -> Result:
    return next(result for result in results if result.probe.name == probe and result.probe.method == method)


def _row(result: Result) -> Mapping[str, Any]:
    row: Mapping[str, Any] = json.loads(result.shown.instance.content)
    return row

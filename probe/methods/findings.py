"""What explanations warn of. Each code is worded here once; ``probe explain P201`` prints it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from probe.methods.base import CoalitionTable, Finding, Floats


@dataclass(frozen=True, slots=True)
class FindingText:
    """A code's short title and what it means and asks for."""

    title: str
    text: str


FINDINGS: Mapping[str, FindingText] = MappingProxyType(
    {
        "P201": FindingText(
            "few evaluations for the number of features",
            "With fewer than about six evaluations per feature a sampled Shapley estimate rests on few combinations and its "
            "intervals are wide. The ranking of the strongest features may hold, small values will not. Raise the budget "
            "or merge features (larger superpixels, sentences instead of words).",
        ),
        "P202": FindingText(
            "saturated: single changes hardly move the score",
            "No single replacement moves the score, either because it is pinned near 0 or 1 or because other features make "
            "up for the one that is missing. Attributions near zero then say nothing about what the model uses. Use a "
            "method that replaces several features at once (shapley, lime), larger windows, or a log-odds target.",
        ),
        "P203": FindingText(
            "the linear surrogate fits poorly",
            "On combinations that were held out, a weighted sum of features explains less than half of the variation of "
            "the score. The model is not close to linear around this input, so read the weights as averages only. Use "
            "shapley, or a smaller kernel width with more evaluations.",
        ),
        "P204": FindingText(
            "two halves of the evaluations disagree",
            "Explaining from two disjoint halves of the evaluations gives clearly different values, so another seed would "
            "too. Raise the budget before comparing features or runs.",
        ),
        "P205": FindingText(
            "the score never changed",
            "Every evaluated combination got the same score. Either the output does not depend on this input, or the "
            "endpoint returns only a rounded score or a label. Check the target, and that the replaced parts reach the "
            "model.",
        ),
        "P206": FindingText(
            "the endpoint's own noise is large",
            "Repeating the same request changes the score by an amount that is not small beside what replacing features "
            "does. The standard errors include it. Use more repeats, or set the endpoint's temperature or seed if it has "
            "one.",
        ),
        "P207": FindingText(
            "the evaluations do not determine every feature",
            "There are fewer independent combinations than features. The values shown are the smallest that agree with "
            "the answers, and have no intervals. Go on with a larger budget; what is paid for is kept.",
        ),
        "P208": FindingText(
            "some changes have no answer",
            "The endpoint refused or never answered some of the altered inputs, so nothing is known of these features; the "
            "others are not affected. See what was refused, change the background or substitute, or run again.",
        ),
    }
)

#: single changes below this count as none when the score is within ``_EDGE`` of 0 or 1
_TINY = 0.005
_EDGE = 0.01
#: or when they are below this part of what replacing everything does
_PART = 0.02
_NOISE_SHARE = 0.1
_UNSTABLE = 0.5
_POOR_FIT = 0.5
#: evaluations per feature below which a sampled Shapley estimate is called rough
ENOUGH_PER_FEATURE = 6


def constant(table: CoalitionTable) -> list[Finding]:
    """P205 if two or more rows all have the same value, up to rounding."""
    if table.m < 2 or float(np.ptp(table.values)) > 1e-12 * max(1.0, float(np.abs(table.values).max())):
        return []
    return [
        Finding(
            "P205",
            f"all {table.m} evaluations scored {table.values[0]:.4g}: nothing that was replaced matters to this output, "
            "or the endpoint hides its scores; check the target",
        )
    ]


def saturated(full_value: float, single_changes: Floats, base_value: float = math.nan) -> list[Finding]:
    """P202 if no single change matters although the score is at an edge of [0, 1], or although all together matter."""
    if not len(single_changes):
        return []
    largest = float(np.abs(single_changes).max())
    together = abs(full_value - base_value)
    if largest < _TINY and (full_value <= _EDGE or full_value >= 1 - _EDGE):
        seen = f"the score is {full_value:.4g}"
    elif together > 0 and len(single_changes) > 1 and largest <= _PART * together:
        seen = f"replacing everything changes it by {together:.4g}"
    else:
        return []
    return [
        Finding(
            "P202",
            f"no single replacement moves the score by more than {largest:.2g} while {seen}: "
            "small values here do not mean unimportant; use shapley or lime",
        )
    ]


def only_singles_flat(table: CoalitionTable, base: float, full: float) -> list[Finding]:
    """Saturation, where all that is known besides ∅ and full are single replacements."""
    sizes = table.coalitions.sum(axis=1)
    singles = sizes == table.n - 1
    if int(singles.sum()) + 2 < table.m:
        return []
    return saturated(full, full - table.values[singles], base)


def noise_share(table: CoalitionTable) -> float:
    """Mean variance of a value from repeats over the variance of the values, in [0, 1]; NaN without repeats."""
    if not np.any(table.noise > 0):
        return math.nan
    variance = float(np.var(table.values))
    return min(1.0, float(table.noise.mean()) / variance) if variance > 0 else 1.0


def noisy(table: CoalitionTable) -> list[Finding]:
    """P206 if the endpoint's noise makes up a tenth or more of the values' variance."""
    share = noise_share(table)
    if not share >= _NOISE_SHARE:
        return []
    return [
        Finding(
            "P206",
            f"{share:.0%} of the variation of the scores is the endpoint's own noise: use more repeats or a fixed seed",
        )
    ]


def small_budget(evaluations: int, features: int) -> list[Finding]:
    """P201 below six evaluations per feature."""
    if evaluations >= ENOUGH_PER_FEATURE * features:
        return []
    return [
        Finding(
            "P201",
            f"{evaluations} evaluations for {features} features: below {ENOUGH_PER_FEATURE} per feature the values are "
            f"rough; give it {ENOUGH_PER_FEATURE * features} or use fewer features",
        )
    ]


def poor_fit(r2_held_out: float) -> list[Finding]:
    """P203 if the held-out R² is below one half."""
    if not r2_held_out < _POOR_FIT:
        return []
    return [
        Finding(
            "P203",
            f"R² on held-out combinations is {r2_held_out:.2f}: the model is not nearly linear here; "
            "read the weights as averages, or use shapley",
        )
    ]


def unstable(half_split_spread: float) -> list[Finding]:
    """P204 if two halves differ by more than the values themselves."""
    if not half_split_spread > _UNSTABLE:
        return []
    share = (
        f"{2 * half_split_spread:.0%}" if half_split_spread < 1 else "more than 200%"
    )  # beyond, the figure says no more
    return [Finding("P204", f"two halves of the evaluations differ by {share} of the values' size: raise the budget")]


def undetermined(independent: int, needed: int) -> list[Finding]:
    """P207 if fewer than ``needed`` independent combinations are there."""
    if independent >= needed:
        return []
    return [
        Finding(
            "P207",
            f"the evaluations determine {independent} of {needed} independent values: no intervals; raise the budget",
        )
    ]


def unanswered(names: Sequence[str], of: int) -> list[Finding]:
    """P208 if the changes called ``names`` are without an answer."""
    if not names:
        return []
    listed = ", ".join(repr(name) for name in names[:3]) + (", …" if len(names) > 3 else "")
    return [
        Finding(
            "P208", f"{len(names)} of {of} changes have no answer ({listed}): they have no value; run again to ask them"
        )
    ]


def figures(**named: float) -> dict[str, float]:
    """The finite ones of ``named``, as plain floats: what is not known is left out of a trust card."""
    return {name: float(value) for name, value in named.items() if math.isfinite(value)}

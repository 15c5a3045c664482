"""What explanations warn of. Each code is worded here once; ``probe explain P201`` prints it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

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
        "P209": FindingText(
            "synonyms change the score",
            "Words that mean the same were put in, and the score moved by more than the tolerance. The model follows the "
            "wording, not only the meaning. Look at the listed substitutes first: a synonym that does not fit the sentence "
            "is no fault of the model's. A larger tolerance allows for more.",
        ),
        "P210": FindingText(
            "antonyms do not move the score as they should",
            "A word's opposite should undo what the word does to the score; here it changed nothing or pushed the same way. "
            "The model reacts to the word's presence rather than to its meaning, or the opposite belongs to another sense "
            "of the word: see the listed substitutes.",
        ),
        "P211": FindingText(
            "the score depends on a word of your pairs",
            "You named pairs of words whose exchange should not matter, and exchanging them moved the score by more than the "
            "tolerance. On one text this is a symptom; repeat it over many texts before calling it a bias.",
        ),
        "P212": FindingText(
            "small steps do not move the score",
            "No small step in any column changed the score, so its slope says nothing. Trees answer in plateaus, and some "
            "endpoints round their scores. Use larger steps, or alteration or shapley, which replace whole values.",
        ),
        "P213": FindingText(
            "the score is not smooth at this step",
            "Steps up and steps down give slopes that differ as much as the slopes themselves: a jump, a peak or strong "
            "curvature lies within one step. Compare with a smaller and a larger step before using the slopes.",
        ),
        "P220": FindingText(
            "the endpoint does not answer the same twice",
            "Repeats of one request got different scores. The noise is small beside what replacing features does, and it is "
            "in the standard errors; without repeats (repeats: 1) it would have gone unnoticed. Two runs will not be equal "
            "to the last digit. Set the endpoint's temperature or seed if it has one.",
        ),
        "P221": FindingText(
            "the values predict no better than chance",
            "On combinations that had no part in the explanation, adding up the values of the features that were kept says no "
            "more about the score than the same values dealt out to other features would. The explanation does not describe "
            "what the model does here: do not act on its ranking. Raise the budget, use fewer and larger features, or explain "
            "pairs of features instead of single ones.",
        ),
        "P222": FindingText(
            "the background matters",
            "Removed parts are never simply absent: the model sees what stands in for them, and here that is not settled. With "
            "another background (grey instead of blur, other rows of a table) the same removals change the score by clearly "
            "other amounts, or the input with everything replaced scores about as high as the input itself although "
            "combinations in between do not. Trust only what all backgrounds agree on: compare fills, draw more background "
            "rows, and choose one that the model could meet in use.",
        ),
        "P223": FindingText(
            "the order of the parts is no better than chance",
            "Revealing the parts from the most important on does not raise the score sooner, nor does removing them lower it "
            "sooner, than in an order that knows nothing of the model: chance, or the middle of the picture first. Either "
            "no part stands out, or the values are too rough. Do not rank by them; raise the budget, use larger parts or "
            "another method.",
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
_AGREES = 0.5
_DRAWN = 0.25
_ENDS_APART = 0.1
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


def noise_seen(table: CoalitionTable) -> list[Finding]:
    """P220 if repeats differ, by less than what P206 warns of."""
    share = noise_share(table)
    if not share < _NOISE_SHARE:
        return []
    deviation = math.sqrt(float(table.noise.max()))
    return [
        Finding(
            "P220",
            f"repeats of one request differ (standard error of a score {deviation:.2g}): the endpoint is not deterministic; "
            "the intervals include it",
        )
    ]


def unfaithful(agreement: float, by_chance: float) -> list[Finding]:
    """P221 if values agree with held-out scores no better than 95 of 100 random assignments of them do.

    Values that are all alike agree as well in any order; that is no fault where they agree.
    """
    if not agreement <= min(by_chance, _AGREES):
        return []
    return [
        Finding(
            "P221",
            f"on combinations it has not seen the explanation agrees with the score at {agreement:.2f}, values dealt out at "
            f"random reach {by_chance:.2f}: do not act on the ranking; raise the budget or use fewer features",
        )
    ]


def background_matters(drawn: float, ends_apart: float, value_range: float) -> list[Finding]:
    """P222 if the base value is uncertain by a quarter of what is explained, or what is explained is a tenth of the range.

    ``drawn``: standard error of the base value over background rows as a share of ``ends_apart`` = |full − base|.
    """
    if drawn > _DRAWN:
        seen = f"the background rows put the base value at ±{drawn:.0%} of what is explained: draw more of them"
    elif ends_apart < _ENDS_APART * value_range:
        seen = (
            f"replacing everything changes the score by {ends_apart:.2g} only, while combinations range over "
            f"{value_range:.2g}: compare another background"
        )
    else:
        return []
    return [Finding("P222", seen)]


_WORD_TESTS = {
    "invariance": ("P209", "synonyms move the score by more than {tolerance:g}"),
    "direction": ("P210", "antonyms do not move the score by {tolerance:g} the other way"),
    "bias": ("P211", "exchanges within your pairs move the score by more than {tolerance:g}"),
}


def failed_words(tests: Mapping[str, Mapping[str, Any]], tolerance: float) -> list[Finding]:
    """P209, P210, P211 for the word tests that have failures: ``tests`` by name, each with counts and its ``worst``."""
    found = []
    for name, (code, what) in _WORD_TESTS.items():
        test = tests.get(name, {})
        if not test.get("failed"):
            continue
        worst = test["worst"][0]
        found.append(
            Finding(
                code,
                f"{test['failed']} of {test['tested']} {what.format(tolerance=tolerance)}; "
                f"most {worst['word']!r} → {worst['substitute']!r}: {-worst['change']:+.3g}",
            )
        )
    return found


def flat(slopes: Floats) -> list[Finding]:
    """P212 if no step changed anything."""
    if not len(slopes) or np.any(slopes):
        return []
    return [Finding("P212", f"none of {len(slopes)} small steps changed the score: take larger ones")]


def rough(upward: Floats, downward: Floats) -> list[Finding]:
    """P213 if the slopes of steps up and down differ, in total, as much as they amount to."""
    apart, size = float(np.abs(upward - downward).sum()), float(np.abs(upward + downward).sum())
    if not apart > size:
        return []
    return [Finding("P213", "slopes upward and downward disagree: the score jumps or bends within one step")]


def figures(**named: float) -> dict[str, float]:
    """The finite ones of ``named``, as plain floats: what is not known is left out of a trust card."""
    return {name: float(value) for name, value in named.items() if math.isfinite(value)}

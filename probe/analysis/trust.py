"""How far an explanation can be trusted, judged by evaluations that were paid for anyway. Pure.

Everything here reads a table that is there; nothing asks for more. What a table does not tell is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probe.maskers.base import Feature
from probe.methods.base import Bools, CoalitionTable, Explanation, Finding, Floats
from probe.methods.design import Ints, find_rows, leave_one_out
from probe.methods.exact import is_complete
from probe.methods.findings import background_matters, figures, noise_seen, noise_share, unfaithful
from probe.methods.regression import half_split_spread, halves, pair_partners

#: how often values are dealt out to other features to see what chance predicts
_SHUFFLES = 200
#: rows below which a correlation says nothing
_LEAST_ROWS = 12
#: features below which chance hits upon the right order too often
_LEAST_FEATURES = 4
#: larger tables are judged by the method's own figures alone: explaining two halves would take too long
_MOST_CELLS = 200_000


@dataclass(frozen=True, slots=True)
class Judgement:
    """Figures by name and warnings, to be added to those of the method.

    ``agreement``: correlation, over coalitions that had no part in the explanation, between the score and the sum of the
    kept features' values; ``agreement_by_chance``: what 95 of 100 random assignments of the values stay below;
    ``agreement_of_centre``: what closeness to the middle of the input reaches. ``insertion``, ``deletion``: areas under the
    score while features are kept, or replaced, in the order of their values; ``insertion_by_chance``: both areas of a
    random order. ``single_share``: largest effect of a single replacement over that of replacing everything.
    ``background_share``: standard error of the base value over the drawn background rows, as a share of full − base.
    """

    trust: dict[str, float]
    findings: tuple[Finding, ...]


def judge(
    explanation: Explanation,
    table: CoalitionTable,
    *,
    explain: Callable[[CoalitionTable], Explanation],
    rng: np.random.Generator,
    reads: Bools | None = None,
    centre: Floats | None = None,
    copies: Floats | None = None,
) -> Judgement:
    """Judge ``explanation``, which ``explain`` made of ``table``.

    ``reads`` (k, n): the only coalitions the method reads, if it is one that chooses. ``centre`` (n,): how near each feature
    is to the middle of the input, for pictures and texts. ``copies`` (c,): the base value by background row.
    """
    found, held_out = _held_out(explanation, table, explain, reads)
    agreement, chance = _agreement(held_out, rng)
    of_centre = math.nan
    if centre is not None and held_out:
        of_centre = float(np.mean([_correlation(part.rows, centre, part.scores) for part in held_out]))
    drawn = _background_share(explanation, copies)
    trust = figures(
        half_split_spread=explanation.trust.get("half_split_spread", found),
        agreement=agreement,
        agreement_by_chance=chance,
        agreement_of_centre=of_centre,
        single_share=_single_share(explanation, table),
        noise_share=noise_share(table),
        background_share=drawn,
        **_curves(explanation.values, table),
    )
    ends_apart = abs(explanation.full_value - explanation.base_value)
    range_ = float(np.ptp(table.values)) if table.m else math.nan
    findings = (
        *unfaithful(agreement, chance),
        *noise_seen(table),
        *background_matters(drawn, ends_apart, range_),
    )
    return Judgement(trust, tuple(findings))


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows (m, n) with their ``scores`` (m,), and ``values`` (n,) that owe nothing to them."""

    rows: Bools
    scores: Floats
    values: Floats


def closeness(
    features: Sequence[Feature], *, segments: NDArray[np.int32] | None = None, shape: tuple[int, ...] = ()
) -> Floats | None:
    """How near each feature is to the middle of the input, 0 … 1 by the distance of its centre; (n,).

    ``shape``: (length,) of a text in code points, (height, width) of a picture; ``segments`` (H, W): its map of segments.
    ``None`` for inputs without a middle.
    """
    if not features or not shape or not all(shape):
        return None
    centres = [_centre(feature, segments) for feature in features]
    if any(centre is None or len(centre) != len(shape) for centre in centres):
        return None
    off = np.array([centre for centre in centres if centre is not None]) / np.array(shape) - 0.5
    near: Floats = 1 - np.linalg.norm(off, axis=1) / (0.5 * math.sqrt(len(shape)))
    return near


def _centre(feature: Feature, segments: NDArray[np.int32] | None) -> tuple[float, ...] | None:
    place = feature.place
    if "span" in place:
        return ((place["span"][0] + place["span"][1]) / 2,)
    if "box" in place:
        top, left, bottom, right = place["box"]
        return (top + bottom) / 2, (left + right) / 2
    if "segment" in place and segments is not None:
        rows, columns = np.nonzero(segments == place["segment"])
        return (float(rows.mean()) + 0.5, float(columns.mean()) + 0.5) if len(rows) else None
    return None


def _held_out(
    explanation: Explanation,
    table: CoalitionTable,
    explain: Callable[[CoalitionTable], Explanation],
    reads: Bools | None,
) -> tuple[float, list[_Part]]:
    """Half-split spread, and parts of the table with values that were explained without them."""
    if reads is not None:
        other = find_rows(reads, table.coalitions) < 0
        if other.sum() < _LEAST_ROWS or np.isnan(explanation.values).any():
            return math.nan, []
        return math.nan, [_Part(table.coalitions[other], table.values[other], explanation.values)]
    if table.n < _LEAST_FEATURES or table.m * table.n > _MOST_CELLS:
        return math.nan, []
    ends = np.isin(table.coalitions.sum(axis=1), (0, table.n))
    one, other = halves(table.coalitions, pair_partners(table.coalitions))
    # a method that compared two halves itself is asked for one only: explaining may take a second
    compared = explanation.exact or "half_split_spread" in explanation.trust
    parts = []
    for told, untold in [(one, other)] if compared else [(one, other), (other, one)]:
        tested = untold & ~ends
        values = _determined(table, told, explain)
        if values is None or tested.sum() < _LEAST_ROWS:
            return math.nan, []
        parts.append(_Part(table.coalitions[tested], table.values[tested], values))
    if compared:
        return math.nan, parts
    return half_split_spread([part.values for part in parts], explanation.values, table.values), parts


def _determined(
    table: CoalitionTable, mask: NDArray[np.bool_], explain: Callable[[CoalitionTable], Explanation]
) -> Floats | None:
    """The values (n,) that the rows of ``mask`` give, if they give any for all features."""
    try:
        explanation = explain(CoalitionTable(table.coalitions[mask], table.values[mask], table.noise[mask]))
    except ValueError:
        return None
    told = np.isfinite(explanation.values).all() and all(finding.code != "P207" for finding in explanation.findings)
    return explanation.values if told else None


def _agreement(parts: Sequence[_Part], rng: np.random.Generator) -> tuple[float, float]:
    """Mean correlation over ``parts``, and the 95 % quantile of the same with the values dealt out at random.

    Bhatt, Weller & Moura, *Evaluating and Aggregating Feature-based Model Explanations*, IJCAI 2020, section 3.2
    (faithfulness), here on held-out rows and beside chance, because any positive values correlate with the number of
    features that are kept.
    """
    if not parts:
        return math.nan, math.nan
    found = float(np.mean([_correlation(part.rows, part.values, part.scores) for part in parts]))
    n = parts[0].rows.shape[1]
    orders = [rng.permutation(n) for _ in range(_SHUFFLES)]
    by_chance = [[_correlation(part.rows, part.values[order], part.scores) for part in parts] for order in orders]
    return found, float(np.quantile(np.mean(by_chance, axis=1), 0.95))


def _correlation(rows: Bools, values: Floats, scores: Floats) -> float:
    """Pearson's, 0 where one of the two does not vary; NaN where no score does."""
    predicted = rows @ values
    spread, varied = float(np.std(predicted)), float(np.std(scores))
    if varied <= 1e-12 * max(1.0, float(np.abs(scores).max())):
        return math.nan
    if spread <= 1e-12 * max(1e-300, float(np.abs(values).sum())):
        return 0.0
    centred = (predicted - predicted.mean()) * (scores - scores.mean())
    return float(centred.mean() / (spread * varied))


def _single_share(explanation: Explanation, table: CoalitionTable) -> float:
    together = abs(explanation.full_value - explanation.base_value)
    rows = find_rows(table.coalitions, leave_one_out(table.n)[1:])
    if not together > 0 or (rows < 0).any():
        return math.nan
    return float(np.abs(explanation.full_value - table.values[rows]).max()) / together


def _background_share(explanation: Explanation, copies: Floats | None) -> float:
    together = abs(explanation.full_value - explanation.base_value)
    if copies is None or len(copies) < 2 or not together > 0:
        return math.nan
    return float(np.std(copies, ddof=1)) / math.sqrt(len(copies)) / together


def _curves(values: Floats, table: CoalitionTable) -> dict[str, float]:
    """Areas under insertion and deletion where every coalition of the two is in the table (Petsiuk, Das & Saenko, *RISE*,
    BMVC 2018, section 4.2), and under a random order where the table is complete: the mean over all of them is exact."""
    n = table.n
    if n < 2 or np.isnan(values).any():
        return {}
    order: Ints = np.argsort(-values, kind="stable")
    rank = np.empty(n, dtype=np.intp)
    rank[order] = np.arange(n)
    kept = rank[None, :] < np.arange(n + 1)[:, None]
    places = find_rows(table.coalitions, np.vstack([kept, ~kept]))
    if (places < 0).any():
        return {}
    scores = table.values[places]
    found = {"insertion": _area(scores[: n + 1]), "deletion": _area(scores[n + 1 :])}
    if is_complete(table):
        sizes = table.coalitions.sum(axis=1)
        found["insertion_by_chance"] = _area(np.bincount(sizes, table.values) / np.bincount(sizes))
    return found


def _area(scores: Floats) -> float:
    """Mean height of a curve through equally spaced points."""
    return float(np.trapezoid(scores)) / (len(scores) - 1)

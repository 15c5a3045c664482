"""The trust card: how much was asked, and how far the answer can be relied on, in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from probe.report.figures import Decimals, figure, finite, money, plural
from probe.report.shares import largest, shares
from storage.records import Probe

Tone = Literal["plain", "good", "fair", "poor"]


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of the card: what, how much, and what that means."""

    label: str
    value: str
    words: str = ""
    tone: Tone = "plain"


def trust_card(probe: Probe, *, currency: str) -> list[Fact]:
    """The facts about ``probe``, cost first."""
    ledger = (
        f"{plural(probe.from_ledger, 'answer')} already in the ledger" if probe.from_ledger else "none from the ledger"
    )
    facts = [
        Fact("Evaluations", plural(probe.evaluations, "coalition"), ledger),
        Fact("Sent", plural(probe.requests, "request"), money(probe.cost_micro, currency)),
        _precision(probe),
    ]
    trust = {name: value for name, number in probe.trust.items() if (value := finite(number)) is not None}
    trust.pop("dof", None)  # it is in the intervals
    if "r2_held_out" in trust:
        facts.append(_held_out(trust.pop("r2_held_out"), shapley="shap" in probe.method))
        trust.pop("r2", None)
    if "r2" in trust:
        words = "on the coalitions it was fitted to; says less than held-out R²"
        facts.append(Fact("R² in sample", Decimals(2).plain(trust.pop("r2")), words))
    if "half_split_spread" in trust:
        facts.append(_halves(trust.pop("half_split_spread")))
    if "efficiency_gap" in trust:
        facts.append(_gap(trust.pop("efficiency_gap"), probe))
    if "noise_share" in trust:
        facts.append(_noise(trust.pop("noise_share")))
    if "background_spread" in trust:
        facts.append(_backgrounds(trust.pop("background_spread")))
    return facts + [Fact(name.replace("_", " "), figure(value)) for name, value in sorted(trust.items())]


def _precision(probe: Probe) -> Fact:
    if probe.exact:
        return Fact("Precision", "exact", "every coalition that matters was asked: no sampling error", "good")
    found = shares(probe)
    halves = [share.half for share in found if share.half is not None]
    if not halves:
        return Fact("Precision", "no interval", "nothing tells the error: ask with repeats, or compare two seeds")
    widest = max(halves)
    if widest == 0:
        return Fact("Precision", "±0", "each value is one measured difference; the endpoint's own noise is not in it")
    apart = sum(1 for share in found if share.separable)
    words = f"widest 95 % interval; {apart} of {plural(len(found), 'feature')} separable from 0"
    tone: Tone = "good" if widest <= 0.1 * largest(found) else "fair" if widest <= 0.5 * largest(found) else "poor"
    return Fact("Precision", f"±{Decimals.for_values([widest], digits=2).plain(widest)}", words, tone)


def _held_out(value: float, *, shapley: bool) -> Fact:
    shown = Decimals(2).plain(value)
    if value >= 0.9:
        return Fact("Held-out R²", shown, "adding up the features predicts coalitions it has not seen", "good")
    if shapley:  # Shapley values are defined for features that act together; a poor sum is no fault of theirs
        return Fact(
            "Held-out R²", shown, "features act together: each value is an average over what it does in company", "fair"
        )
    if value >= 0.5:
        return Fact("Held-out R²", shown, "features also act together: read single values with care", "fair")
    return Fact("Held-out R²", shown, "the score is not a sum of these features: do not rank by single values", "poor")


def _halves(spread: float) -> Fact:
    """``spread`` is half the distance between two halves' values over the norm of the values."""
    value = f"{200 * spread:.0f} %" if spread < 1 else "> 200 %"
    if spread <= 0.05:
        return Fact(
            "Halves differ by", value, "of the values' size: two halves of the evaluations tell the same", "good"
        )
    if spread <= 0.5:
        return Fact(
            "Halves differ by", value, "of the values' size: trust the strongest features, not small ones", "fair"
        )
    return Fact("Halves differ by", value, "of the values' size: raise the budget before acting on this", "poor")


def _gap(value: float, probe: Probe) -> Fact:
    base, full = finite(probe.base_value), finite(probe.full_value)
    span = abs(full - base) if base is not None and full is not None else largest(shares(probe))
    if abs(value) <= 1e-6 * max(span, 1e-12):
        return Fact("Adds up", "yes", "the values sum to the score less the background's", "good")
    tone: Tone = "plain" if abs(value) <= 0.1 * span else "fair"
    return Fact(
        "Efficiency gap", figure(value, digits=2), "what the values miss of the score less the background's", tone
    )


def _noise(share: float) -> Fact:
    tone: Tone = "good" if share < 0.01 else "fair" if share < 0.1 else "poor"
    return Fact(
        "Endpoint noise", f"{100 * share:.1f} %", "of the scores' variation is there when nothing changes", tone
    )


def _backgrounds(spread: float) -> Fact:
    """``spread`` is the distance of the values with one background from their mean, over the size of the mean."""
    tone: Tone = "good" if spread < 0.2 else "fair" if spread < 0.5 else "poor"
    words = "of the values' size: how far they are apart with one background and another"
    return Fact("Backgrounds differ by", f"{100 * spread:.0f} %", words, tone)

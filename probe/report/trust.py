"""The trust card: how much was asked, how far the answer can be relied on, and what to do if it cannot, in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from probe.report.clean import safe_text
from probe.report.figures import Decimals, figure, finite, money, plural
from probe.report.shares import largest, shares
from storage.records import Probe

Tone = Literal["plain", "good", "fair", "poor"]

_SATURATED = 0.02  #: largest single change over that of replacing everything


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of the card: what, how much, and what that means."""

    label: str
    value: str
    words: str = ""
    tone: Tone = "plain"


#: what to do about a finding, shortest effective remedy first
_REMEDIES: Final = {
    "P221": "do not act on the ranking; use fewer and larger features, or raise the budget",
    "P207": "raise the budget: what is paid for is kept",
    "P201": "raise the budget, or merge features",
    "P204": "raise the budget before comparing features or runs",
    "P206": "ask with more repeats, or set the endpoint's temperature or seed",
    "P202": "use shapley or lime, which replace several features at once",
    "P203": "use shapley, or read the weights as averages only",
    "P222": "compare another background: more rows, or another fill",
    "P205": "check the target, and that replaced parts reach the model",
    "P208": "run the same command again, or change the background",
    "P102": "run the same command again",
    "P103": "ask the endpoint for all labels",
    "P104": "word the prompt so that the answer begins with a label",
    "P101": "choose a background that the endpoint accepts",
}
_SERIOUS: Final = frozenset({"P204", "P205", "P206", "P207", "P221"})


@dataclass(frozen=True, slots=True)
class TrustCard:
    """What is known of an explanation's reliability, from evaluations that were paid for anyway.

    ``verdict``: the worst of the facts that can be judged. ``advice``: what to do about it, most effective first.
    ``figures``: the numbers behind it, by name.
    """

    verdict: Tone
    facts: tuple[Fact, ...]
    advice: tuple[str, ...]
    figures: Mapping[str, float]

    @classmethod
    def of(cls, probe: Probe, *, currency: str = "USD") -> TrustCard:
        """The card of a stored probe."""
        return cls.judged(probe, trust_card(probe, currency=currency))

    @classmethod
    def judged(cls, probe: Probe, facts: Sequence[Fact]) -> TrustCard:
        """``facts`` about a stored probe with a verdict."""
        codes = {str(finding.get("code", "")) for finding in probe.findings}
        tones = {fact.tone for fact in facts}
        if codes & _SERIOUS:
            tones.add("poor")
        elif codes:
            tones.add("fair")
        order: tuple[Tone, ...] = ("poor", "fair", "good")
        verdict: Tone = next((tone for tone in order if tone in tones), "plain")
        advice = [remedy for code, remedy in _REMEDIES.items() if code in codes]
        if verdict == "poor" and not advice:
            advice = ["raise the budget; what is paid for is kept"]
        return cls(verdict, tuple(facts), tuple(advice), dict(probe.trust))

    def line(self) -> str:
        """The card in a line: the verdict and the facts that were judged, worst first."""
        order: dict[Tone, int] = {"poor": 0, "fair": 1, "good": 2}
        judged = sorted((fact for fact in self.facts if fact.tone in order), key=lambda fact: order[fact.tone])
        said = [f"{fact.label[0].lower()}{fact.label[1:]} {fact.value}" for fact in judged]
        return " · ".join([f"trust {self.verdict}" if judged else "trust unknown", *said])


def trust_card(probe: Probe, *, currency: str) -> list[Fact]:
    """The facts about ``probe``, cost first."""
    ledger = (
        f"{plural(probe.from_ledger, 'answer')} already in the ledger" if probe.from_ledger else "none from the ledger"
    )
    facts = [
        Fact("Evaluations", plural(probe.evaluations, "coalition"), ledger),
        Fact("Sent", plural(probe.requests, "request"), money(probe.cost_micro, currency) + _sharing(probe)),
        *_stopping(probe),
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
    if "agreement" in trust:
        facts.append(_agreement(trust))
    if "insertion" in trust and "deletion" in trust:
        facts.append(_curves(trust))
    if "half_split_spread" in trust:
        facts.append(_halves(trust.pop("half_split_spread")))
    if "efficiency_gap" in trust:
        facts.append(_gap(trust.pop("efficiency_gap"), probe))
    if (share := trust.pop("single_share", None)) is not None and share <= _SATURATED:
        words = "of what replacing everything does: saturated, only combinations tell"
        facts.append(Fact("Single changes do", f"{100 * share:.1f} %", words, "fair"))
    if (share := trust.pop("background_share", None)) is not None:
        tone: Tone = "good" if share <= 0.1 else "fair" if share <= 0.25 else "poor"
        words = "of what is explained: how far the base value hangs on the background rows that were drawn"
        facts.append(Fact("Background", f"±{100 * share:.0f} %", words, tone))
    if (mass := trust.pop("label_mass", None)) is not None:
        words = "of the model's probability is on answers that mean a label; the scores are shares of it"
        facts.append(Fact("Label mass", Decimals(2).plain(mass), words, "good" if mass >= 0.9 else "fair"))
    facts.append(_noise(trust.pop("noise_share", None), repeats=probe.params.get("repeats")))
    if "background_spread" in trust:
        facts.append(_backgrounds(trust.pop("background_spread")))
    return facts + [Fact(name.replace("_", " "), figure(value)) for name, value in sorted(trust.items())]


def _sharing(probe: Probe) -> str:
    """Who else the evaluations serve."""
    shared = probe.params.get("shared")
    if not isinstance(shared, Mapping):
        return ""
    lead = str((shared.get("lead") or {}).get("method", ""))
    others = [str(name) for name in shared.get("with") or () if name != probe.method]
    if lead == probe.method:
        return f"; serves {', '.join(others)} as well" if others else ""
    return f"; shares the evaluations of {safe_text(lead, one_line=True, limit=40)}"


def _stopping(probe: Probe) -> list[Fact]:
    """How a rule for stopping early came out, if there was one."""
    stop = probe.details.get("stop")
    if not isinstance(stop, Mapping):
        return []
    reason = stop.get("reason")
    if not reason:
        return [Fact("Stopped", "at the budget", "the rule for stopping early was not met")]
    return [Fact("Stopped", "when it was enough", safe_text(str(reason), one_line=True, limit=200))]


def _agreement(trust: dict[str, float]) -> Fact:
    """Takes what it uses out of ``trust``."""
    found = trust.pop("agreement")
    chance, centre = trust.pop("agreement_by_chance", None), trust.pop("agreement_of_centre", None)
    beside = [f"random values reach {Decimals(2).plain(chance)}"] if chance is not None else []
    beside += [f"closeness to the middle {Decimals(2).plain(centre)}"] if centre is not None else []
    words = "with the score on coalitions it has not seen" + (f"; {', '.join(beside)}" if beside else "")
    tone: Tone = "good" if found >= 0.8 else "fair"
    if chance is not None and found <= chance:
        tone = "fair" if found >= 0.5 else "poor"
    return Fact("Agrees", Decimals(2).plain(found), words, tone)


def _curves(trust: dict[str, float]) -> Fact:
    """Takes what it uses out of ``trust``."""
    insertion, deletion = trust.pop("insertion"), trust.pop("deletion")
    chance = trust.pop("insertion_by_chance", None)
    words = f"insertion {figure(insertion, digits=2)}, deletion {figure(deletion, digits=2)}"
    words += f"; a random order gives {figure(chance, digits=2)} for both" if chance is not None else ""
    return Fact("Insertion − deletion", figure(insertion - deletion, digits=2), words)


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


def _noise(share: float | None, *, repeats: object) -> Fact:
    if share is None:
        if isinstance(repeats, int) and repeats > 1:
            return Fact("Endpoint noise", "none", "repeats of every request agree", "good")
        return Fact("Endpoint noise", "not measured", "repeats: 2 or more would tell")
    tone: Tone = "good" if share < 0.01 else "fair" if share < 0.1 else "poor"
    return Fact(
        "Endpoint noise", f"{100 * share:.1f} %", "of the scores' variation is there when nothing changes", tone
    )


def _backgrounds(spread: float) -> Fact:
    """``spread`` is the distance of the values with one background from their mean, over the size of the mean."""
    tone: Tone = "good" if spread < 0.2 else "fair" if spread < 0.5 else "poor"
    words = "of the values' size: how far they are apart with one background and another"
    return Fact("Backgrounds differ by", f"{100 * spread:.0f} %", words, tone)

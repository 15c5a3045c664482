"""The trust card of a survey: how much was asked, and how far the figures can be relied on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from probe.report.figures import Decimals, count, finite, money, plural
from probe.report.shares import largest, shares
from probe.report.trust import Fact, Tone
from storage.records import Probe

_HALF = 1.959964  #: of a normal 95 % interval, in standard errors


def survey_card(probe: Probe, *, currency: str) -> list[Fact]:
    """The facts about a survey's ``probe``, the set and the cost first."""
    about: Mapping[str, Any] = probe.details.get("survey") or {}
    columns = about.get("columns")
    ledger = (
        f"{plural(probe.from_ledger, 'answer')} already in the ledger" if probe.from_ledger else "none from the ledger"
    )
    facts = [
        Fact(
            "Inputs",
            count(int(about.get("inputs") or 0)),
            (f"rows of {plural(columns, 'column')}" if columns else "inputs")
            + (", their true labels known" if about.get("labelled") else ""),
        ),
        Fact("Evaluations", plural(probe.evaluations, "altered input"), ledger),
        Fact("Sent", plural(probe.requests, "request"), money(probe.cost_micro, currency)),
    ]
    if "fidelity" in probe.trust:
        return facts + _fidelity(probe)
    facts.append(_precision(probe))
    inflation = finite(probe.trust.get("inflation"))
    if inflation is not None:
        tone: Tone = "good" if inflation < 0.05 else "fair" if inflation < 0.3 else "poor"
        facts.append(
            Fact(
                "Noise taken out",
                f"{100 * max(0.0, inflation):.0f} %",
                "of the plain mean |φ| was the noise of the single explanations",
                tone,
            )
        )
    return facts


def _fidelity(probe: Probe) -> list[Fact]:
    trust = {name: finite(value) for name, value in probe.trust.items()}
    value, error, guess = trust["fidelity"] or 0.0, trust.get("fidelity_se"), trust.get("guess")
    metric = "agreement" if probe.details.get("metric") == "accuracy" else "R²"
    two = Decimals(2)
    interval = "" if error is None else f" ± {two.plain(_HALF * error)}"
    enough = 0.9 if guess is None else (3 + guess) / 4
    least = 0.5 if guess is None else (1 + guess) / 2
    tone: Tone = "good" if value >= enough else "fair" if value >= least else "poor"
    words = f"{metric} on {count(int(trust.get('held_out') or 0))} rows it was not fitted to, with its 95 % interval"
    facts = [Fact("Fidelity", f"{two.plain(value)}{interval}", words, tone)]
    for name, label, said in (
        ("fidelity_set", "… on the set's rows", ""),
        ("fidelity_drawn", "… on drawn rows", "each column from its own marginal: combinations that need not occur"),
        ("guess", "Guessing", "what always saying the most frequent label would reach"),
    ):
        if trust.get(name) is not None:
            facts.append(Fact(label, two.plain(trust[name]), said))
    return facts


def _precision(probe: Probe) -> Fact:
    found = shares(probe)
    halves = [share.half for share in found if share.half is not None]
    if not halves:
        return Fact("Precision", "no interval", "one input alone does not tell how others would differ")
    widest, most = max(halves), largest(found)
    apart = sum(1 for share in found if share.separable)
    tone: Tone = "good" if widest <= 0.1 * most else "fair" if widest <= 0.5 * most else "poor"
    words = f"widest 95 % interval, over other inputs like these; {apart} of {count(len(found))} separable from 0"
    return Fact("Precision", f"±{Decimals.for_values([widest], digits=2).plain(widest)}", words, tone)

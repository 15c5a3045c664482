"""Results as plain JSON, for ``--json`` and other programs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from probe.report.model import Shown
from probe.report.trust import TrustCard
from storage import records


def run_json(run: records.Run) -> dict[str, Any]:
    """A run without its explanations. Times are ISO 8601 in UTC, money is in micro-units."""
    return {
        "id": run.id,
        "config": run.name,
        "status": run.status,
        "seed": run.seed,
        "code_version": run.code_version,
        "started": run.started.isoformat(),
        "finished": run.finished.isoformat() if run.finished is not None else None,
        "totals": dict(run.totals),
    }


def results_json(run: records.Run, shown: Sequence[Shown]) -> dict[str, Any]:
    """A run with all its explanations; ``null`` stands for what is not known."""
    return {**run_json(run), "probes": [probe_json(each) for each in shown]}


def probe_json(shown: Shown) -> dict[str, Any]:
    """One explanation. ``attributions`` are in feature order."""
    probe = shown.probe
    return {
        "id": probe.id,
        "probe": probe.name,
        "instance": {"id": probe.instance_id, "name": shown.instance.name, "kind": shown.instance.kind},
        "endpoint": {"name": shown.endpoint.name, "url": shown.endpoint.url, "model": shown.endpoint.model},
        "method": probe.method,
        "params": _strict(probe.params),
        "target": probe.target,
        "status": probe.status,
        "error": probe.error,
        "base_value": _finite(probe.base_value),
        "full_value": _finite(probe.full_value),
        "exact": probe.exact,
        "evaluations": probe.evaluations,
        "from_ledger": probe.from_ledger,
        "requests": probe.requests,
        "cost_micro": probe.cost_micro,
        "card": _card(probe),
        "trust": {name: _finite(value) for name, value in probe.trust.items()},
        "findings": [dict(finding) for finding in probe.findings],
        "attributions": [
            {"feature": share.feature, "value": _finite(share.value), "std_error": _finite(share.std_error)}
            for share in probe.attributions
        ],
        "details": _strict(probe.details),
    }


def _card(probe: records.Probe) -> dict[str, Any]:
    """What the trust card says, in words; what it cost has fields of its own."""
    card = TrustCard.of(probe)
    facts = [
        {"label": fact.label, "value": fact.value, "words": fact.words, "tone": fact.tone}
        for fact in card.facts
        if fact.label not in {"Evaluations", "Sent"}
    ]
    return {"verdict": card.verdict, "advice": list(card.advice), "facts": facts}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _strict(value: Any) -> Any:
    """``value`` with NaN and infinities, which JSON does not have, as ``None`` at any depth."""
    if isinstance(value, Mapping):
        return {key: _strict(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(each) for each in value]
    return _finite(value) if isinstance(value, float) else value

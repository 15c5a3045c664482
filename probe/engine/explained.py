"""An explanation as it is stored."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import math
from datetime import datetime
from typing import Any

import numpy as np

from probe.engine.answers import Answers, Unexplained
from probe.engine.events import ProbeFinished
from probe.engine.known import write_table
from probe.engine.tasks import ProbeTask
from probe.methods.base import Explanation
from storage import records


def probe_record(
    task: ProbeTask,
    state: Answers,
    explanation: Explanation | Unexplained,
    *,
    id_: str,
    run: records.Run,
    started: datetime,
    finished: datetime,
) -> tuple[records.Probe, bytes | None]:
    """The row for the ``probe`` table, and the superpixel map as bytes (``.npy``) if the masker has one.

    What the bill of several tasks sent is booked to the leading one.
    """
    pays = task is state.bill.lead
    segments = None
    if task.masker.segments is not None:
        segments = _npy(task.masker.segments)
    record = records.Probe(
        id=id_,
        run_id=run.id,
        name=task.probe,
        instance_id=task.item.id,
        endpoint_id=task.remote.record.id,
        method=task.method.name,
        params=state.bill.params(task),
        params_hash=state.bill.params_hash(task),
        target=state.target.name if state.target is not None else task.target.name,
        status="failed" if isinstance(explanation, Unexplained) else "finished" if state.settled else "partial",
        started=started,
        finished=finished,
        from_ledger=state.from_ledger,
        requests=round(state.request_shares) if pays else 0,
        cost_micro=state.cost_micro if pays else 0,
        features=tuple(_json_ready(dataclasses.asdict(feature)) for feature in task.masker.features),
        segments_sha=None if segments is None else hashlib.sha256(segments).digest(),
        table=write_table(state.coalitions, state.keys, task.width),
        findings=tuple({"code": finding.code, "message": finding.message} for finding in state.findings()),
        error=str(explanation) if isinstance(explanation, Unexplained) else None,
    )
    if isinstance(explanation, Unexplained):
        return record, segments
    names = [feature.name for feature in task.masker.features]
    known = np.isfinite(explanation.values)
    strongest = int(np.nanargmax(np.abs(explanation.values))) if known.any() else None
    return (
        dataclasses.replace(
            record,
            evaluations=explanation.evaluations,
            base_value=_finite(explanation.base_value),
            full_value=_finite(explanation.full_value),
            exact=explanation.exact,
            top_feature=None if strongest is None else names[strongest],
            trust={name: float(value) for name, value in explanation.trust.items() if math.isfinite(value)},
            findings=record.findings
            + tuple({"code": finding.code, "message": finding.message} for finding in explanation.findings),
            details=_json_ready(explanation.details),
            attributions=tuple(
                records.Attribution(name, float(value), _finite(error))
                for name, value, error in zip(names, explanation.values, explanation.std_errors, strict=True)
            ),
        ),
        segments,
    )


def finished_event(probe: records.Probe, *, instance: str, endpoint: str) -> ProbeFinished:
    """What is told of a probe that is stored: its strongest three features among the rest."""
    known = (share for share in probe.attributions if math.isfinite(share.value))
    top = sorted(known, key=lambda share: -abs(share.value))[:3]
    return ProbeFinished(
        probe.id,
        probe.name,
        instance,
        endpoint,
        probe.method,
        probe.status,
        probe.target,
        tuple((share.feature, share.value, share.std_error) for share in top),
        probe.error,
    )


def _npy(array: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _json_ready(value: Any) -> Any:
    """Plain JSON: numpy scalars and tuples resolved, NaN and infinities as null."""
    if isinstance(value, dict) or hasattr(value, "items"):
        return {str(key): _json_ready(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_json_ready(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value

"""Readings as they are stored: rows of ``probe`` whose instance is the set. And explanations of single inputs, taken apart."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np

from adapters import Instance
from probe.engine.survey_tasks import SurveyState
from probe.methods.base import Finding
from probe.surveys import Reading
from probe.surveys.beeswarm import Part
from storage import records


def survey_record(
    state: SurveyState, reading: Reading | None, *, id_: str, run: records.Run, started: datetime, finished: datetime
) -> records.Probe:
    """The row for the ``probe`` table. ``details["survey"]`` tells it from an explanation of one input: ``inputs`` and
    ``columns`` are their numbers."""
    task = state.task
    columns = len(task.inputs.rows.columns) if task.inputs.kind == "tabular" else None
    findings = [*state.findings(), *(() if reading is None else reading.findings)]
    full = state.mean_score() if reading is None or math.isnan(reading.full_value) else reading.full_value
    strongest = None if reading is None else _strongest(reading)
    return records.Probe(
        id=id_,
        run_id=run.id,
        name=task.probe,
        instance_id=task.inputs.id,
        endpoint_id=task.remote.record.id,
        method=task.method.name,
        params=task.params(),
        params_hash=task.params_hash(),
        target=state.target.name if state.target is not None else task.target.name,
        status="failed" if reading is None else "finished" if state.settled else "partial",
        started=started,
        finished=finished,
        evaluations=state.explaining or len(state.answers),
        from_ledger=state.from_ledger,
        requests=round(state.request_shares),
        cost_micro=state.cost_micro,
        full_value=full if math.isfinite(full) else None,
        top_feature=strongest,
        trust={} if reading is None else dict(reading.trust),
        findings=tuple(_as_json(finding) for finding in findings),
        details={
            "survey": {"inputs": len(task.inputs.items), "columns": columns, "labelled": task.inputs.truth is not None},
            **({} if reading is None else reading.details),
        },
        features=tuple({"name": name} for name in (() if reading is None else reading.names)),
        attributions=() if reading is None else _attributions(reading),
        table=_table(state),
        error=state.failure,
    )


def beeswarm_record(probes: Sequence[records.Probe], reading: Reading) -> records.Probe:
    """A beeswarm of the stored explanations ``probes`` as a record like theirs; it is not stored itself."""
    first = probes[0]
    digest = hashlib.sha256("\n".join(probe.id for probe in probes).encode()).hexdigest()
    full = [probe.full_value for probe in probes if probe.full_value is not None]
    return replace(
        first,
        id=digest[:12],
        instance_id=digest,
        method="beeswarm",
        status="finished" if all(probe.status == "finished" for probe in probes) else "partial",
        started=min(probe.started for probe in probes),
        finished=max(probe.finished for probe in probes),
        evaluations=sum(probe.evaluations for probe in probes),
        from_ledger=sum(probe.from_ledger for probe in probes),
        requests=sum(probe.requests for probe in probes),
        cost_micro=sum(probe.cost_micro for probe in probes),
        base_value=None,
        full_value=sum(full) / len(full) if full else None,
        exact=False,
        top_feature=_strongest(reading),
        trust=dict(reading.trust),
        findings=tuple(_as_json(finding) for finding in reading.findings),
        details={"survey": {"inputs": len(probes), "columns": None, "labelled": False}, **reading.details},
        features=tuple({"name": name} for name in reading.names),
        attributions=_attributions(reading),
        segments_sha=None,
        table=b"",
        error=None,
    )


def parts_of(probe: records.Probe, instance: Instance) -> list[Part] | None:
    """The features of one explanation with their shares and own values: the cell of a column, nothing for a word, which is
    named as it is written, in lower case. ``None`` if they are not comparable from input to input."""
    if len(probe.features) != len(probe.attributions):
        return None
    parts = []
    for share, feature in zip(probe.attributions, probe.features, strict=True):
        place = feature.get("place") or {}
        error = math.nan if share.std_error is None else share.std_error
        if probe.exact:
            error = 0.0
        if isinstance(instance, str) and "span" in place and not feature.get("group"):
            start, end = place["span"]
            parts.append(Part(instance[start:end].casefold(), share.value, error, None))
        elif isinstance(instance, Mapping) and "columns" in place and not feature.get("group"):
            columns = place["columns"]
            parts.append(Part(share.feature, share.value, error, instance[columns[0]] if len(columns) == 1 else None))
        else:
            return None
    return parts


def _attributions(reading: Reading) -> tuple[records.Attribution, ...]:
    shares = zip(reading.names, reading.values.tolist(), reading.std_errors.tolist(), strict=True)
    return tuple(
        records.Attribution(name, value, error if math.isfinite(error) else None) for name, value, error in shares
    )


def _strongest(reading: Reading) -> str | None:
    known = [
        (abs(value), name) for name, value in zip(reading.names, reading.values, strict=True) if math.isfinite(value)
    ]
    return max(known, key=lambda each: each[0])[1] if known else None


def _as_json(finding: Finding) -> dict[str, str]:
    return {"code": finding.code, "message": finding.message}


def _table(state: SurveyState) -> bytes:
    """A compressed ``.npz``: ``keys`` (distinct, 32) of the ledger, and ``queries``: which of them each query is."""
    distinct = {key: place for place, key in enumerate(dict.fromkeys(state.keys))}
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        keys=np.frombuffer(b"".join(distinct), dtype=np.uint8).reshape(len(distinct), -1),
        queries=np.array([distinct[key] for key in state.keys], dtype=np.int64),
    )
    return buffer.getvalue()

"""Baselines and checks between the database and what ``probe.drift`` works with."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any, cast

import numpy as np
from PIL import Image

from adapters import Instance
from probe.drift.answers import Seen
from probe.drift.check import Past
from probe.drift.guard import Guard
from probe.drift.noise import Noise
from probe.drift.suite import Kind, Probe, Role, Suite
from probe.inputs import Item
from probe.maskers.base import Kind as InputKind
from storage import BaselineProbe, CheckRecord
from storage import records as stored


def probe_rows(suite: Suite, kind: InputKind) -> tuple[list[BaselineProbe], list[stored.Instance]]:
    """The probes of ``suite``, and their inputs, as they are stored."""
    rows, instances = [], []
    for probe in suite.probes:
        item = Item(probe.name, kind, probe.instance)
        rows.append(
            BaselineProbe(probe.role, probe.name, item.id, probe.tries, [each.as_json() for each in probe.first])
        )
        instances.append(stored.Instance(item.id, kind, probe.name, item.content()))
    return rows, instances


def read_suite(rows: Sequence[tuple[BaselineProbe, stored.Instance]], noise: Mapping[str, Any], kind: Kind) -> Suite:
    """The inverse of :func:`probe_rows`."""
    probes = [
        Probe(
            _instance(instance),
            cast("Role", row.role),
            row.name,
            tuple(Seen.from_json(answer) for answer in row.answers),
            row.tries,
        )
        for row, instance in rows
    ]
    return Suite(tuple(probes), Noise.from_json(noise), kind)


def _instance(value: stored.Instance) -> Instance:
    if value.kind == "text":
        return value.content.decode("utf-8", "surrogatepass")
    if value.kind == "tabular":
        row: dict[str, Any] = json.loads(value.content)
        return row
    with Image.open(io.BytesIO(value.content), formats=("PNG",)) as picture:
        return np.array(picture, dtype=np.uint8)


def grown(suite: Suite, checks: Sequence[CheckRecord]) -> Suite:
    """``suite`` with what the unchanged checks since have added.

    Nothing is taken from a check after an alarm, nor from one that is suspect until the next has found nothing.
    """
    more: dict[int, list[Seen]] = {}
    for check in unchanged(checks):
        for place, answers in check.result.get("learnt", {}).items():
            more.setdefault(int(place), []).extend(Seen.from_json(answer) for answer in answers)
    probes = tuple(probe.grown(more.get(place, ())) for place, probe in enumerate(suite.probes))
    return replace(suite, probes=probes)


def unchanged(checks: Iterable[CheckRecord]) -> list[CheckRecord]:
    """Those on which nothing had changed, oldest first."""
    found: list[CheckRecord] = []
    waiting: list[CheckRecord] = []
    for check in checks:
        if check.verdict == "alarm":
            break
        if check.verdict != "no change found":
            continue
        waiting.append(check)
        if not (_suspect(check, "band") or _suspect(check, "shift")):
            found += waiting
            waiting = []
    return found


def past(checks: Sequence[CheckRecord], *, now: datetime) -> Past:
    """What the checks since the baseline was made say to one that begins ``now``. Days are those of UTC."""
    concluded = [check for check in checks if check.verdict in ("no change found", "alarm")]
    earlier = [check for check in concluded if _day(check) < now.astimezone(UTC).date()]
    last = earlier[-1] if earlier else None
    guard = next((check.result.get("guard") for check in reversed(concluded) if check.result.get("guard")), None)
    calm = unchanged(checks)
    return Past(
        bands=_daily(calm, "band"),
        shifts=_daily(calm, "shift"),
        band_suspect=last is not None and _suspect(last, "band"),
        score_suspect=last is not None and _suspect(last, "shift"),
        guard=None if guard is None else Guard.from_json(guard),
    )


def _daily(checks: Sequence[CheckRecord], name: str) -> tuple[float, ...]:
    """The last figure of each day."""
    figures: dict[date, float] = {}
    for check in checks:
        found = check.result.get(name)
        if found is not None and found["points"]:
            figures[_day(check)] = found["figure"]
    return tuple(figures.values())


def _day(check: CheckRecord) -> date:
    return check.started.astimezone(UTC).date()


def _suspect(check: CheckRecord, name: str) -> bool:
    found = check.result.get(name)
    return bool(found and found["suspect"])


def digest(parts: Any) -> bytes:
    """SHA-256 of JSON-ready ``parts``."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()

"""Explanations of many inputs as one more result: a beeswarm over them, gathered from what is stored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from adapters import Instance
from probe.engine.survey_record import beeswarm_record, parts_of
from probe.report.figures import plural
from probe.report.model import Shown
from probe.surveys.beeswarm import Beeswarm, gather
from storage import records

FEWEST: Final = 5  #: explanations that are worth a beeswarm


def gathered(shown: Sequence[Shown], *, fewest: int = FEWEST, seed: int = 0) -> list[Shown]:
    """A beeswarm for every probe × endpoint × method × target that explains ``fewest`` inputs or more, in order.

    Pictures have no parts in common and are left out, and so are methods that try single values.
    """
    groups: dict[tuple[str, str, str, str], list[Shown]] = {}
    for one in shown:
        probe = one.probe
        if probe.attributions and "survey" not in probe.details:
            groups.setdefault((probe.name, probe.endpoint_id, probe.method, probe.target), []).append(one)
    return [swarm for group in groups.values() if (swarm := _swarm(group, fewest, seed)) is not None]


def _swarm(group: Sequence[Shown], fewest: int, seed: int) -> Shown | None:
    taken = []
    for one in group:
        instance = _instance(one.instance)
        parts = None if instance is None else parts_of(one.probe, instance)
        if parts:
            taken.append((one.instance.name, parts))
    if len(taken) < max(2, fewest):
        return None
    reading = gather(taken, Beeswarm(of=group[0].probe.method), seed)
    first = group[0]
    name = plural(len(taken), "input")
    probe = beeswarm_record([one.probe for one in group], reading)
    return Shown(probe, records.Instance(probe.instance_id, first.instance.kind, name, b""), first.endpoint)


def _instance(stored: records.Instance) -> Instance | None:
    if stored.kind == "text":
        return stored.content.decode("utf-8", "surrogatepass")
    if stored.kind != "tabular":
        return None
    try:
        row = json.loads(stored.content)
    except ValueError:
        return None
    return row if isinstance(row, Mapping) else None

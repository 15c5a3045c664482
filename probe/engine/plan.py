"""What a run would send, take and cost. Sends nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from adapters import Adapter
from probe.engine.schedule import Lookup, Round, collect
from probe.engine.tasks import ProbeState, ProbeTask, check_readings


@dataclass(frozen=True, slots=True)
class PlannedProbe:
    """One line of the plan. An evaluation that several probes share counts as to-send for the first of them only."""

    probe: str
    instance: str
    endpoint: str
    method: str
    features: int
    evaluations: int
    in_ledger: int
    shared: int
    to_send: int


@dataclass(frozen=True, slots=True)
class PlannedEndpoint:
    """What goes to one endpoint."""

    endpoint: str
    evaluations: int
    requests: int
    cost_micro: int
    currency: str
    least_seconds: float | None  #: under its rate limit; ``None`` if no limit is known
    unsure: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole run, before anything is sent."""

    probes: tuple[PlannedProbe, ...]
    endpoints: tuple[PlannedEndpoint, ...]


def make_plan(tasks: Sequence[ProbeTask], *, lookup: Lookup, now: datetime, run_id: str | None) -> Plan:
    """The first round of every probe (the only one, unless a method is adaptive) against what the ledger has.

    Raises:
        ConfigError: if a budget is too small for its method, or two endpoints cannot be told apart.
    """
    check_readings(tasks)
    states = [ProbeState(task) for task in tasks]
    round_ = collect(states, lookup=lookup, now=now, run_id=run_id)
    counts = {id(state): [0, 0, 0] for state in states}
    for needs in round_.needs.values():
        for need in needs.values():
            for index, place in enumerate(need.places):
                counts[id(place.state)][0 if need.known else 1 if index else 2] += 1
    probes = tuple(
        PlannedProbe(
            state.task.probe,
            state.task.item.name,
            state.task.remote.adapter.name,
            state.task.method.name,
            state.task.masker.n,
            len(state.coalitions) * state.task.width,
            *counts[id(state)],
        )
        for state in states
    )
    adapters = {task.remote.record.id: task.remote.adapter for task in tasks}
    return Plan(
        probes, tuple(_endpoint(round_, id_, adapter) for id_, adapter in adapters.items() if id_ in round_.needs)
    )


def _endpoint(round_: Round, endpoint_id: str, adapter: Adapter) -> PlannedEndpoint:
    stages = [round_.missing(endpoint_id, whole=True), round_.missing(endpoint_id, whole=False)]
    evaluations = sum(map(len, stages))
    requests = sum(math.ceil(len(stage) / adapter.max_batch) for stage in stages)
    limits, price = adapter.limits, adapter.price
    return PlannedEndpoint(
        adapter.name,
        evaluations,
        requests,
        price.request_micro * requests + price.item_micro * evaluations,
        price.currency,
        requests * limits.period / limits.rate if limits.rate else None,
        sum(need.unsure for stage in stages for need in stage),
    )

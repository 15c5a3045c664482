"""What a run would send, take and cost. Sends nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from adapters import Adapter, AdapterError, Usage
from probe.engine.schedule import Lookup, Need, Round, collect
from probe.engine.tasks import ProbeState, ProbeTask, check_readings

_SAMPLE = 20  #: requests rendered to estimate the tokens of all


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
    tokens: int = 0  #: estimated from some of the requests; 0 where neither price nor limits count them


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
    usage = _usage([need for stage in stages for need in stage], adapter, requests)
    seconds = [requests * limits.period / limits.rate] if limits.rate else []
    seconds += [usage.total * period / tokens for tokens, period in limits.tokens]
    return PlannedEndpoint(
        adapter.name,
        evaluations,
        requests,
        price.request_micro * (requests - 1) + price.item_micro * evaluations + price.of(0, usage) if requests else 0,
        price.currency,
        max(seconds, default=None),
        sum(need.unsure for stage in stages for need in stage),
        usage.total,
    )


def _usage(needs: Sequence[Need], adapter: Adapter, requests: int) -> Usage:
    """The tokens of all ``requests``, from the mean of a few that are rendered and not sent."""
    if not needs or not (adapter.price.counts_tokens or adapter.limits.tokens):
        return Usage()
    size = adapter.max_batch
    batches = [needs[start : start + size] for start in range(0, len(needs), size)]
    sample = batches[:: max(1, len(batches) // _SAMPLE)]
    try:
        found = [adapter.estimate(adapter.request([need.job().render() for need in batch])) for batch in sample]
    except AdapterError:  # the run will say what is wrong with it
        return Usage()
    scale = requests / len(found)
    return Usage(
        math.ceil(scale * sum(each.input for each in found)), math.ceil(scale * sum(each.output for each in found))
    )

"""What a run would send, take and cost. Sends nothing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from adapters import Adapter
from probe.engine.answers import Answers
from probe.engine.bills import bills
from probe.engine.estimate import expected_size, expected_usage, price_of
from probe.engine.known import Earlier
from probe.engine.schedule import Lookup, Need, collect
from probe.engine.tasks import ProbeTask, check_readings
from probe.methods.base import CoalitionTable, Foreseeable
from storage import Store, records


@dataclass(frozen=True, slots=True)
class PlannedProbe:
    """One line of the plan. What several probes share counts as to-send for one of them: the method that designs it."""

    probe: str
    instance: str
    endpoint: str
    method: str
    features: int
    evaluations: int
    in_ledger: int
    shared: int
    to_send: int
    at_most: bool  #: how much is asked depends on the answers: this is what the budget allows


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
    at_most: bool  #: as of its probes
    tokens: int = 0  #: estimated from some of the requests; 0 where neither price nor limits count them
    units: int = 0  #: of characters, estimated in the same way; 0 where the price does not count them


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole run, before anything is sent."""

    probes: tuple[PlannedProbe, ...]
    endpoints: tuple[PlannedEndpoint, ...]


@dataclass(slots=True)
class _Count:
    """Evaluations of one bill."""

    in_ledger: int = 0
    shared: int = 0
    to_send: int = 0
    at_most: bool = False


@dataclass(slots=True)
class _Traffic:
    """What goes to one endpoint; ``needs``: what of it is known by name."""

    needs: list[Need] = field(default_factory=list)
    evaluations: int = 0
    requests: int = 0
    at_most: bool = False
    batch: int = 1  #: evaluations in a request

    def add(self, evaluations: int) -> None:
        self.evaluations += evaluations
        self.requests += math.ceil(evaluations / self.batch)


def make_plan(
    tasks: Sequence[ProbeTask],
    store: Store,
    *,
    now: datetime,
    code_version: str,
    resumes: records.Run | None = None,
    lookup: Lookup | None = None,
) -> Plan:
    """What ``tasks`` would send, given what is stored. ``resumes``: the run that would be taken up again. ``lookup``: the
    ledger as it will be then, if that is not as it is in ``store``.

    Of rounds after the first, which go by the answers, the number of coalitions is planned; none of them is taken to be in
    the ledger.

    Raises:
        ConfigError: if a budget is too small for its method, or two endpoints cannot be told apart.
    """
    check_readings(tasks)
    states = [Answers(bill) for bill in bills(tasks)]
    before = resumes.started if resumes is not None else now
    earlier = Earlier(store, [state.bill for state in states], before=before, code_version=code_version)
    counts = {id(state): _Count() for state in states}
    adapters = {task.remote.record.id: task.remote.adapter for task in tasks}
    traffic = {endpoint_id: _Traffic(batch=adapter.max_batch) for endpoint_id, adapter in adapters.items()}
    run_id = resumes.id if resumes is not None else None
    round_ = collect(states, start=earlier.start, lookup=lookup or store.lookup, now=now, run_id=run_id)
    for endpoint_id, needs in round_.needs.items():
        _tally(traffic[endpoint_id], needs, counts, adapters[endpoint_id])
    _foresee([state for state in states if not state.begun_whole], counts, traffic)
    return Plan(
        tuple(_lines(tasks, states, counts)),
        tuple(_endpoint(adapters[id_], there) for id_, there in traffic.items()),
    )


def _tally(traffic: _Traffic, needs: Iterable[Need], counts: Mapping[int, _Count], adapter: Adapter) -> None:
    """Count the first round's ``needs`` of one endpoint; the unaltered instances go first, in requests of their own."""
    stages: dict[bool, int] = {True: 0, False: 0}
    for need in needs:
        for index, place in enumerate(need.places):
            count = counts[id(place.state)]
            count.in_ledger += need.known
            count.to_send += not need.known and not index
            count.shared += not need.known and bool(index)
        if not need.known:
            stages[need.of_whole] += 1
            traffic.needs.append(need)
    traffic.batch = expected_size(adapter, traffic.needs)
    for evaluations in stages.values():
        traffic.add(evaluations)


def _foresee(
    states: Sequence[Answers],
    counts: Mapping[int, _Count],
    traffic: Mapping[str, _Traffic],
) -> None:
    """Count the rounds after the first."""
    ahead: dict[str, Counter[int]] = {}
    sizes: dict[tuple[object, ...], list[int]] = {}
    for state in states:
        task = state.task
        alike = (task.method, task.masker.n, state.bill.budget, task.stop, len(state.coalitions))
        if alike not in sizes:
            sizes[alike] = _sizes_ahead(state)
        if not sizes[alike]:
            continue
        count = counts[id(state)]
        count.at_most, count.to_send = True, count.to_send + sum(sizes[alike]) * task.width
        rounds = ahead.setdefault(task.remote.record.id, Counter())
        for number, size in enumerate(sizes[alike]):
            rounds[number] += size * task.width
    for endpoint_id, rounds in ahead.items():
        traffic[endpoint_id].at_most = True
        for evaluations in rounds.values():
            traffic[endpoint_id].add(evaluations)


def _sizes_ahead(state: Answers) -> list[int]:
    """How many coalitions each round after the first asks for.

    A design that goes by the answers shows by asking otherwise when they are other ones. If its method does not foresee its
    rounds, it is taken to use the budget up in rounds like its next, which makes for the most requests, as rounds only grow.
    Any other is played through.
    """
    method, n, done = state.bill.lead.method, state.task.masker.n, len(state.coalitions)
    if isinstance(method, Foreseeable):
        sizes = []
        for look in state.bill.looks:
            sizes += method.rounds(n, done, min(look, 2**n))
            done = max(done, look)
        return sizes
    tables = [_pretended(state, seed) for seed in range(2)]
    one, other = (state.bill.more(table, table.coalitions, enough=lambda: False) for table in tables)
    if np.array_equal(one, other):
        return list(_rounds(state, np.random.default_rng(0))) if len(one) else []
    rest = min(state.bill.budget, 2**n) - done
    step = max(1, min(len(one), len(other)))
    return [min(step, rest - done) for done in range(0, rest, step)]


def _pretended(state: Answers, seed: int) -> CoalitionTable:
    values = np.random.default_rng(seed).random(len(state.coalitions))
    return CoalitionTable.of(state.coalitions, values)


def _rounds(state: Answers, rng: np.random.Generator) -> Iterator[int]:
    """The sizes of further rounds, if the answers are what ``rng`` draws."""
    coalitions = state.coalitions
    values = rng.random(len(coalitions))
    while True:
        table = CoalitionTable.of(coalitions, values)
        rows = state.bill.more(table, coalitions, enough=lambda: False)
        if not len(rows):
            return
        yield len(rows)
        coalitions = np.vstack([coalitions, rows])
        values = np.concatenate([values, rng.random(len(rows))])


def _lines(
    tasks: Sequence[ProbeTask], states: Sequence[Answers], counts: Mapping[int, _Count]
) -> Iterator[PlannedProbe]:
    state_of = {id(task): state for state in states for task in state.bill.tasks}
    for task in tasks:
        state = state_of[id(task)]
        count = counts[id(state)]
        leads = task is state.task
        yield PlannedProbe(
            task.probe,
            task.item.name,
            task.remote.adapter.name,
            task.method.name,
            task.masker.n,
            count.in_ledger + count.shared + count.to_send,
            count.in_ledger,
            count.shared if leads else count.shared + count.to_send,
            count.to_send if leads else 0,
            count.at_most,
        )


def _endpoint(adapter: Adapter, traffic: _Traffic) -> PlannedEndpoint:
    limits, price = adapter.limits, adapter.price
    requests, evaluations = traffic.requests, traffic.evaluations
    usage = expected_usage(adapter, traffic.needs, evaluations=evaluations, requests=requests, size=traffic.batch)
    seconds = [requests * limits.period / limits.rate] if limits.rate else []
    seconds += [usage.total * period / tokens for tokens, period in limits.tokens]
    return PlannedEndpoint(
        adapter.name,
        evaluations,
        requests,
        price_of(adapter, usage, evaluations=evaluations, requests=requests),
        price.currency,
        max(seconds, default=None),
        sum(need.unsure for need in traffic.needs),
        traffic.at_most,
        usage.total,
        usage.units,
    )

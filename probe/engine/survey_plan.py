"""What surveys would send, take and cost. Sends nothing."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from adapters import Adapter
from probe.engine.estimate import expected_size, expected_usage, price_of
from probe.engine.plan import Plan, PlannedEndpoint, PlannedProbe, make_plan
from probe.engine.survey_tasks import Need, SurveyState, SurveyTask, collect
from probe.engine.tasks import check_readings
from storage import Store
from storage.records import Entry, Run


def plan_surveys(
    tasks: Sequence[SurveyTask], store: Store, *, now: datetime, code_version: str, resumes: Run | None = None
) -> Plan:
    """One line a task. What several share counts as to-send for the first of them only; a beeswarm's line has the
    explanations of its single inputs in it, as far as they are known up front.

    Raises:
        ConfigError: a set does not allow its method, or two endpoints cannot be told apart.
    """
    check_readings(tasks)
    states = [SurveyState.of(task) for task in tasks]
    rounds = collect(states, lookup=store.lookup, now=now, run_id=None if resumes is None else resumes.id)
    taken: set[tuple[str, bytes]] = set()
    lines = [_line(state, rounds[state.task.remote.record.id], taken) for state in states]
    adapters = {task.remote.record.id: task.remote.adapter for task in tasks}
    endpoints = {id_: _endpoint(adapters[id_], needs.values()) for id_, needs in rounds.items()}
    ahead = _Foreseen(store, {key for needs in rounds.values() for key in needs}, now)
    for number, task in enumerate(tasks):
        if task.locals_:
            plan = partial(make_plan, task.locals_, store, now=now, code_version=code_version, resumes=resumes)
            alone, after = plan(), plan(lookup=ahead.lookup)
            lines[number] = _with_locals(lines[number], alone.probes, after.probes)
            for planned in after.endpoints:
                endpoints[task.remote.record.id] = _added(endpoints[task.remote.record.id], planned)
            ahead.sent()
    return Plan(tuple(lines), tuple(endpoints.values()))


class _Foreseen:
    """The ledger as it will be once what was planned so far is answered."""

    def __init__(self, store: Store, keys: Collection[bytes], now: datetime) -> None:
        self._store = store
        self._keys = set(keys)
        self._now = now
        self._wanted: set[bytes] = set()

    def lookup(self, keys: Sequence[bytes]) -> dict[bytes, Entry]:
        self._wanted.update(keys)
        found = self._store.lookup([key for key in keys if key not in self._keys])
        answered = {key: Entry(key, 0, "answered", "", "", self._now, self._now) for key in keys if key in self._keys}
        return found | answered

    def sent(self) -> None:
        """Whatever was looked up will be there."""
        self._keys |= self._wanted


def _line(state: SurveyState, needs: Mapping[bytes, Need], taken: set[tuple[str, bytes]]) -> PlannedProbe:
    task = state.task
    in_ledger = shared = to_send = 0
    for key in state.distinct:
        place = task.remote.record.id, key
        if needs[key].known:
            in_ledger += 1
        elif place in taken:
            shared += 1
        else:
            to_send += 1
            taken.add(place)
    return PlannedProbe(
        task.probe,
        task.inputs.name,
        task.remote.adapter.name,
        task.method.name,
        len(task.inputs.rows.columns) if task.inputs.kind == "tabular" else 0,
        len(state.distinct),
        in_ledger,
        shared,
        to_send,
        at_most=False,
    )


def _with_locals(line: PlannedProbe, alone: Sequence[PlannedProbe], after: Sequence[PlannedProbe]) -> PlannedProbe:
    in_ledger = sum(each.in_ledger for each in alone)
    to_send = sum(each.to_send for each in after)
    asked = sum(each.evaluations for each in after)
    return replace(
        line,
        evaluations=line.evaluations + asked,
        in_ledger=line.in_ledger + in_ledger,
        shared=line.shared + asked - in_ledger - to_send,
        to_send=line.to_send + to_send,
        at_most=any(each.at_most for each in after),
    )


def _endpoint(adapter: Adapter, needs: Iterable[Need]) -> PlannedEndpoint:
    missing = [need for need in needs if not need.known]
    own = sum(need.of_set for need in missing)  # the set as it is goes first, in requests of its own
    size = expected_size(adapter, missing)
    requests = sum(math.ceil(count / size) for count in (own, len(missing) - own))
    usage = expected_usage(adapter, missing, evaluations=len(missing), requests=requests, size=size)
    limits = adapter.limits
    seconds = [requests * limits.period / limits.rate] if limits.rate else []
    seconds += [usage.total * period / tokens for tokens, period in limits.tokens]
    return PlannedEndpoint(
        adapter.name,
        len(missing),
        requests,
        price_of(adapter, usage, evaluations=len(missing), requests=requests),
        adapter.price.currency,
        max(seconds, default=None),
        sum(need.unsure for need in missing),
        at_most=False,
        tokens=usage.total,
        units=usage.units,
    )


def _added(one: PlannedEndpoint, other: PlannedEndpoint) -> PlannedEndpoint:
    least = one.least_seconds
    return replace(
        one,
        evaluations=one.evaluations + other.evaluations,
        requests=one.requests + other.requests,
        cost_micro=one.cost_micro + other.cost_micro,
        least_seconds=None if least is None else least + (other.least_seconds or 0.0),
        unsure=one.unsure + other.unsure,
        at_most=other.at_most,
        tokens=one.tokens + other.tokens,
        units=one.units + other.units,
    )

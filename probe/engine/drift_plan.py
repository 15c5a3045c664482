"""What making a baseline or a check would ask and cost, and what the check would see. Sends nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from adapters import Adapter
from probe.drift.canary import Watch
from probe.drift.check import SPLIT
from probe.drift.exact import needed
from probe.drift.power import Cost, Sight, baseline_cost, check_cost, seen
from probe.engine.drift_ask import price
from probe.engine.drift_run import checking, loaded
from probe.engine.drift_task import WatchTask
from storage import Baselines, Store


@dataclass(frozen=True, slots=True)
class DriftPlan:
    """Questions and money: expected if nothing has changed, and at most. ``sees``: what a check would see, in words."""

    name: str
    expected: int
    most: int
    expected_micro: int
    most_micro: int
    currency: str
    least_seconds: float | None  #: for what is expected, under the endpoint's limit; ``None`` if none is known
    sees: str
    sight: Sight


def plan_baseline(task: WatchTask) -> DriftPlan:
    """Of a baseline that is not made yet: the endpoint is taken to be quiet, and to have two labels or more."""
    build = task.build
    pairs = build.pairs if task.answers == "label" else 0
    cost = baseline_cost(doubles=build.doubles, pairs=pairs, repeats=build.repeats, noisy=False)
    probes = 2 * pairs or len(task.items)
    if not pairs:
        more = len(task.items) * build.repeats
        cost = Cost(cost.expected + more, cost.most + more)
    watch = Watch(needed(build.repeats, 0, task.alpha * SPLIT["canary"] / probes), None)
    return _plan(task, cost, seen([(watch, 0.0)] * probes), batch=task.remote.adapter.max_batch)


def plan_check(task: WatchTask, store: Store) -> DriftPlan:
    """Of the next check against the baseline that is stored.

    Raises:
        ConfigError: nothing can be told with it.
        storage.NotFound: there is none.
    """
    kept = Baselines(store)
    suite, checks = loaded(kept, kept.current(task.name))
    check = checking(suite, task, checks, now=datetime.now(UTC))
    cost = check_cost(suite, check.watches, per_point=task.per_point, followup=task.followup)
    return _plan(task, cost, check.foresight(), batch=min(task.together, task.remote.adapter.max_batch))


def _plan(task: WatchTask, cost: Cost, sight: Sight, *, batch: int) -> DriftPlan:
    adapter: Adapter = task.remote.adapter
    sample = [item.instance for item in task.items]
    limits = adapter.limits
    requests = -(-cost.expected // batch)
    return DriftPlan(
        name=task.name,
        expected=cost.expected,
        most=cost.most,
        expected_micro=price(adapter, cost.expected, sample, batch=batch),
        most_micro=price(adapter, cost.most, sample, batch=batch),
        currency=adapter.price.currency,
        least_seconds=requests * limits.period / limits.rate if limits.rate else None,
        sees=sight.words(),
        sight=sight,
    )

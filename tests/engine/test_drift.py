"""Baselines and checks against a real endpoint whose model is exchanged while it serves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters import endpoint_from_config
from probe.clock import Clock
from probe.drift.build import BuildSettings
from probe.engine.budget import Budget
from probe.engine.drift_ask import price
from probe.engine.drift_plan import plan_baseline, plan_check
from probe.engine.drift_run import BaselineRunner, Checked, CheckRunner, Made
from probe.engine.drift_task import WatchTask
from probe.engine.events import EvaluationDone, Event
from probe.engine.retry import RetryPolicy
from probe.engine.run import RunSettings
from probe.errors import ConfigError
from probe.inputs import Item
from storage import Baselines, Store
from tests.drifting import DriftingServer, drifting_server
from tests.engine.harness import remote
from tests.engine.runs import transport

SETTINGS = RunSettings("probe.yaml", "", 1, "0", policy=RetryPolicy(first_wait=0.01, most_wait=0.02, patience=0.2))


def straight(
    shift: float = 0.0, *, noise: float = 0.0, labels_only: bool = True, seed: int = 0
) -> Callable[[Sequence[Any]], list[dict[str, float]]]:
    rng = np.random.default_rng(seed)

    def model(inputs: Sequence[Any]) -> list[dict[str, float]]:
        found: list[dict[str, float]] = []
        for row in inputs:
            z = 1.3 * row["a"] - 0.7 * row["b"] + shift + rng.normal(0, noise)
            p = float(1 / (1 + np.exp(-z)))
            found.append({"yes" if p > 0.5 else "no": 1.0} if labels_only else {"yes": p, "no": 1 - p})
        return found

    return model


@pytest.fixture
def server() -> Iterator[DriftingServer]:
    with drifting_server(straight()) as running:
        yield running


def task(server: DriftingServer, *, name: str = "watch", options: Mapping[str, Any] | None = None) -> WatchTask:
    rng = np.random.default_rng(1)
    items = [
        Item(f"row {k}", "tabular", {"a": float(a), "b": float(b)})
        for k, (a, b) in enumerate(rng.normal(0, 2, (30, 2)))
    ]
    given: dict[str, Any] = {"batch": 16, **(options or {})}
    adapter = endpoint_from_config("m", server.endpoint(**given), environment={}, base=Path())
    build = BuildSettings(doubles=40, pairs=5, repeats=10)
    return WatchTask(name, "tabular", tuple(items), remote(adapter), "label", build, 0.01, 4, 100, 1)


def make(what: WatchTask, store: Store, *, replacing: bool = False, **options: Any) -> Made:
    given: dict[str, Any] = {"settings": SETTINGS, "open_transport": transport} | options
    return asyncio.run(BaselineRunner(what, store, **given).run(replacing=replacing))


def check(what: WatchTask, store: Store, **options: Any) -> Checked:
    given: dict[str, Any] = {"settings": SETTINGS, "open_transport": transport} | options
    return asyncio.run(CheckRunner(what, store, **given).run())


def later(days: float) -> Clock:
    return Clock(now=lambda: datetime.now(UTC) + timedelta(days=days))


def test_what_is_asked_is_what_was_planned_and_a_quiet_endpoint_is_found_unchanged(
    server: DriftingServer, store: Store
) -> None:
    what = task(server)
    made = make(what, store)
    assert made.exit_code == 0
    assert server.inputs == plan_baseline(what).expected
    planned, before = plan_check(what, store), server.inputs
    checked = check(what, store)
    assert (checked.exit_code, checked.verdict and checked.verdict.kind) == (0, "no change found")
    assert server.inputs - before == planned.expected == 10
    assert checked.verdict is not None
    assert planned.sees == checked.verdict.sees.words()


def test_a_changed_model_is_found_and_what_changed_is_measured(server: DriftingServer, store: Store) -> None:
    what = task(server, options={"price": {"request": 0.001}})
    make(what, store)
    server.model = straight(0.3)
    checked = check(what, store)
    assert (checked.exit_code, checked.record.verdict) == (1, "alarm")
    assert checked.verdict is not None
    assert checked.verdict.asked <= 8
    assert checked.effect is not None
    assert checked.effect.all.asked == 30
    assert checked.effect.all.low <= checked.effect.all.changed / 30 <= checked.effect.all.high
    assert checked.record.cost_micro == 1000 * (checked.verdict.asked + 2)  # one by one, and 30 inputs in two requests
    [stored] = Baselines(store).checks(checked.baseline.id)
    assert stored == checked.record


def test_every_question_is_a_request_of_its_own_and_all_are_in_the_ledger(server: DriftingServer, store: Store) -> None:
    what = task(server, options={"batch": 1})
    made = make(what, store)
    first = check(what, store)
    second = check(what, store)
    assert len(server.keys) == len(set(server.keys)) == server.served
    for run in (made.run, first.run, second.run):
        assert store.spent(run.id)[0] > 0
        assert run.totals["from_ledger"] == 0


def test_a_check_that_is_killed_goes_on_and_pays_for_nothing_twice(server: DriftingServer, store: Store) -> None:
    what = task(server)
    make(what, store)
    before = server.inputs

    class Killed(Exception):
        pass

    heard = 0

    def kill(event: Event) -> None:
        nonlocal heard
        heard += isinstance(event, EvaluationDone)
        if heard == 4:
            raise Killed

    with pytest.raises(Killed):
        check(what, store, emit=kill)
    checked = check(what, store)
    assert checked.exit_code == 0
    assert checked.run.totals["from_ledger"] == 4
    assert server.inputs - before == 10
    assert len(Baselines(store).checks(checked.baseline.id)) == 1


def test_a_check_that_was_killed_long_ago_is_closed_and_a_new_one_begins(server: DriftingServer, store: Store) -> None:
    what = task(server)
    made = make(what, store)
    runner = CheckRunner(what, store, settings=SETTINGS, open_transport=transport)
    runner.interrupt()
    assert asyncio.run(runner.run()).exit_code == 130
    checked = check(what, store, clock=later(1))
    assert checked.exit_code == 0
    assert [each.verdict for each in Baselines(store).checks(made.baseline.id)] == ["inconclusive", "no change found"]


def test_a_baseline_is_made_in_several_goes_within_its_budgets(server: DriftingServer, store: Store) -> None:
    what = task(server)
    short = replace(SETTINGS, budget=Budget(requests=12))
    made = make(what, store, settings=short)
    assert (made.suite, made.exit_code) == (None, 3)
    assert made.stop is not None
    assert made.stop.kind == "budget"
    assert server.served == 12
    whole = make(what, store)
    assert whole.exit_code == 0
    assert whole.baseline.id == made.baseline.id
    assert server.inputs == plan_baseline(what).expected


def test_the_budget_of_a_check_is_kept_and_leaves_it_without_a_verdict_on_the_endpoint(
    server: DriftingServer, store: Store
) -> None:
    what = task(server)
    make(what, store)
    before = server.served
    checked = check(what, store, settings=replace(SETTINGS, budget=Budget(requests=6)))
    assert (checked.exit_code, checked.record.verdict) == (3, "inconclusive")
    assert server.served - before == 6


@pytest.mark.parametrize(
    "fault",
    [
        lambda number: 503,
        lambda number: 429,
        lambda number: 500 if number % 8 else None,
        lambda number: 400 if number % 2 else None,
    ],
    ids=["outage", "throttled", "mostly failing", "half refused"],
)
def test_a_bad_day_is_inconclusive(fault: Callable[[int], int | None], server: DriftingServer, store: Store) -> None:
    what = task(server)
    made = make(what, store)
    server.fault = fault
    checked = check(what, store)
    assert (checked.exit_code, checked.record.verdict) == (3, "inconclusive")
    server.fault = lambda _number: None
    assert check(what, store).exit_code == 0
    assert [each.verdict for each in Baselines(store).checks(made.baseline.id)] == ["inconclusive", "no change found"]


def test_empty_answers_are_inconclusive(server: DriftingServer, store: Store) -> None:
    what = task(server)
    make(what, store)
    server.model = lambda inputs: [{"": 1.0} for _ in inputs]
    checked = check(what, store)
    assert (checked.exit_code, checked.record.verdict) == (3, "inconclusive")


def test_unchanged_checks_make_later_ones_need_less_and_nothing_is_learnt_after_an_alarm(
    server: DriftingServer, store: Store
) -> None:
    what = task(server)
    make(what, store)

    def fewest(day: int) -> int:
        return min(probe.reference.n for probe in check(what, store, clock=later(day)).suite.canary)

    counts = [fewest(day) for day in range(12)]
    assert counts == list(range(10, 22))
    server.model = straight(0.01)
    alarm = check(what, store, clock=later(12))
    assert alarm.verdict is not None
    assert (alarm.exit_code, len(alarm.verdict.flips[0].after)) == (1, 3)
    server.model = straight()
    assert (fewest(13), fewest(14)) == (22, 22)


def test_a_change_is_accepted_explicitly_and_a_new_baseline_takes_its_place(
    server: DriftingServer, store: Store
) -> None:
    what, kept = task(server), Baselines(store)
    made = make(what, store)
    with pytest.raises(ConfigError, match="there is a baseline 'watch'"):
        make(what, store)
    server.model = straight(0.3)
    alarm = check(what, store)
    assert check(what, store).exit_code == 1  # again and again
    kept.accept(made.baseline.id, check_id=alarm.record.id, at=datetime.now(UTC), note="told so")
    with pytest.raises(ConfigError, match=r"accepted on .* makes a new one"):
        check(what, store)
    new = make(what, store)
    assert check(what, store).exit_code == 0
    old = next(each for each in kept.all("watch") if each.id == made.baseline.id)
    assert (old.status, old.accepted_check, old.note) == ("accepted", alarm.record.id, "told so")
    assert kept.current("watch").id == new.baseline.id


def test_a_baseline_of_another_endpoint_is_refused(server: DriftingServer, store: Store) -> None:
    make(task(server), store)
    other = task(server, options={"url": f"{server.url}v2"})
    with pytest.raises(ConfigError, match="made of another endpoint"):
        check(other, store)


@pytest.mark.parametrize("batch", [1, 16])
def test_scores_that_move_without_a_label_are_an_alarm_of_the_raw_text(
    batch: int, server: DriftingServer, store: Store
) -> None:
    server.model = straight(labels_only=False)
    what = task(server, options={"batch": batch})
    make(what, store)

    def sharper(inputs: Sequence[Any]) -> list[dict[str, float]]:
        found = straight(labels_only=False)(inputs)
        return [{label: float(p**1.001) for label, p in each.items()} for each in found]

    server.model = sharper
    checked = check(what, store)
    assert checked.verdict is not None
    assert (checked.exit_code, checked.verdict.level) == (1, "raw")
    assert checked.effect is not None
    assert checked.effect.all.changed == 0
    assert checked.effect.moved is not None
    assert 0 < checked.effect.moved < 0.01


def test_a_noisy_endpoint_stays_unchanged_over_days_and_its_band_gets_calibrated(
    server: DriftingServer, store: Store
) -> None:
    server.model = straight(noise=0.1)
    what = task(server)
    make(what, store)
    found = [check(what, store, clock=later(day)) for day in range(8)]
    assert [each.exit_code for each in found] == [0] * 8
    calibrated = [each.verdict is not None and each.verdict.band is not None and each.verdict.band.p for each in found]
    assert calibrated[:5] == [None] * 5
    assert all(isinstance(p, float) for p in calibrated[5:])


def test_the_price_of_questions_counts_requests_and_inputs(server: DriftingServer) -> None:
    adapter = task(server, options={"price": {"request": 0.002, "item": 0.0001}}).remote.adapter
    assert price(adapter, 33, [], batch=16) == 3 * 2000 + 33 * 100
    assert price(adapter, 0, [], batch=1) == 0

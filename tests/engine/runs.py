"""Runs of real maskers and methods against the demo server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from adapters import Adapter, Transport, open_transport
from probe.clock import Clock
from probe.engine.budget import Budget
from probe.engine.events import Event, silent
from probe.engine.plan import Plan, make_plan
from probe.engine.run import Runner, RunResult, RunSettings, run_digest
from probe.engine.tasks import ProbeTask
from probe.inputs import Item
from probe.maskers import build_masker
from probe.methods import build_method
from probe.targets import TargetSpec
from storage import Store
from tests.engine.harness import QUICK, remote

SENTENCE = "please refund the broken kettle today"
ROW = {"a": 1.0, "b": 0.5, "c": 0.25, "d": -1.0}


def task(
    adapter: Adapter,
    method: str = "occlusion",
    *,
    instance: Any = SENTENCE,
    kind: str = "text",
    name: str = "probe",
    masker: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    **changes: Any,
) -> ProbeTask:
    """One probe of the ``echo-length`` or ``sum`` model."""
    built = build_method(method, settings)
    fields: dict[str, Any] = {
        "probe": name,
        "item": Item("instance", kind, instance),  # type: ignore[arg-type]
        "remote": remote(adapter),
        "method": built,
        "masker": build_masker(kind, built.view, instance, masker or {}, rng_seed=1),  # type: ignore[arg-type]
        "target": TargetSpec("long", ("long",)) if kind == "text" else TargetSpec(),
        "budget": 300,
        "repeats": 1,
        "fresh": timedelta(hours=24),
        "seed": 1,
    }
    return ProbeTask(**(fields | changes))


def runner(tasks: list[ProbeTask], store: Store, **options: Any) -> Runner:
    settings = RunSettings(name="probe.yaml", config="", seed=1, code_version="0", policy=QUICK)
    budget: Budget | None = options.pop("budget", None)
    if budget is not None:
        settings = replace(settings, budget=budget)
    given: dict[str, Any] = {"settings": settings, "open_transport": transport} | options
    return Runner(tasks, store, **given)


def transport(adapter: Adapter) -> Transport:
    return open_transport(adapter, environment={})


def run(tasks: list[ProbeTask], store: Store, *, emit: Callable[[Event], None] = silent, **options: Any) -> RunResult:
    """The whole run; nothing is left running."""

    async def work() -> RunResult:
        result = await runner(tasks, store, emit=emit, **options).run()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    return asyncio.run(work())


def plan(tasks: list[ProbeTask], store: Store, *, now: datetime | None = None) -> Plan:
    earlier = store.resumable_run(run_digest(tasks), 1)
    return make_plan(tasks, store, now=now or datetime.now(UTC), code_version="0", resumes=earlier)


def later(hours: float) -> Clock:
    """A clock that is ahead."""
    return Clock(lambda: datetime.now(UTC) + timedelta(hours=hours))


def attributions(result: RunResult) -> list[list[tuple[str, float, float | None]]]:
    """Everything that must be equal in equal runs."""
    return [
        [(share.feature, share.value, share.std_error) for share in probe.attributions]
        + [("base and full", probe.base_value or 0.0, probe.full_value)]
        for probe in result.probes
    ]

"""Baselines and checks from code: the same engine, ledger and limits as the command line."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from probe.clock import Clock
from probe.database import open_store, storage_errors, storage_url
from probe.drift_setup import watch_settings, watch_task
from probe.engine.drift_run import BaselineRunner, Checked, CheckRunner, Made
from probe.engine.events import Listener, silent
from probe.engine.session import run_sync
from probe.setup import Project

OnRunner = Callable[[BaselineRunner | CheckRunner], None]


async def amake_baseline(
    name: str,
    config: str | Path = "probe.yaml",
    *,
    replacing: bool = False,
    budget: str | None = None,
    rate: str | None = None,
    max_time: str | None = None,
    storage: str | None = None,
    environment: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    on_event: Listener = silent,
    on_runner: OnRunner | None = None,
) -> Made:
    """Make the baseline ``name`` of ``config``, or go on making it.

    Args:
        replacing: whether it may take the place of one that is there.
        budget, rate, max_time, storage, on_event, on_runner: as for :func:`probe.arun`.

    Raises:
        ConfigError: config, inputs or options are wrong, or there is a baseline already.
        StorageError: the database failed; what was answered before is kept.
    """
    project = Project.load(Path(config), environment=os.environ if environment is None else environment, rate=rate)
    task = watch_task(project, name)
    settings = watch_settings(project, "", budget=budget, max_time=max_time)
    url = storage_url(storage, base=Path()) if storage is not None else project.storage_url
    with storage_errors(), open_store(url) as store:
        runner = BaselineRunner(
            task, store, settings=settings, open_transport=project.open_transport, clock=clock, emit=on_event
        )
        if on_runner is not None:
            on_runner(runner)
        return await runner.run(replacing=replacing)


async def acheck(
    name: str,
    config: str | Path = "probe.yaml",
    *,
    budget: str | None = None,
    rate: str | None = None,
    max_time: str | None = None,
    storage: str | None = None,
    environment: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    on_event: Listener = silent,
    on_runner: OnRunner | None = None,
) -> Checked:
    """Check whether the endpoint of the baseline ``name`` has changed since.

    Raises:
        ConfigError: config, inputs or options are wrong, or there is no such baseline, or it is of no use any more.
        StorageError: the database failed; what was answered before is kept.
    """
    project = Project.load(Path(config), environment=os.environ if environment is None else environment, rate=rate)
    task = watch_task(project, name)
    settings = watch_settings(project, name, budget=budget, max_time=max_time)
    url = storage_url(storage, base=Path()) if storage is not None else project.storage_url
    with storage_errors(), open_store(url) as store:
        runner = CheckRunner(
            task, store, settings=settings, open_transport=project.open_transport, clock=clock, emit=on_event
        )
        if on_runner is not None:
            on_runner(runner)
        return await runner.run()


def check(name: str, config: str | Path = "probe.yaml", *, storage: str | None = None) -> Checked:
    """:func:`acheck`, from ordinary code or a notebook. ``exit_code`` of the result is 0, 1 (alarm) or 3 (inconclusive)."""
    return run_sync(acheck(name, config, storage=storage))


def make_baseline(
    name: str, config: str | Path = "probe.yaml", *, replacing: bool = False, storage: str | None = None
) -> Made:
    """:func:`amake_baseline`, from ordinary code or a notebook."""
    return run_sync(amake_baseline(name, config, replacing=replacing, storage=storage))

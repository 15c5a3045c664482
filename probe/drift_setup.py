"""From the ``baselines`` of a config to what makes and checks them. Reads inputs; sends nothing."""

from __future__ import annotations

from dataclasses import replace

from probe.drift.build import BuildSettings
from probe.engine.budget import Budget
from probe.engine.drift_task import WatchTask
from probe.engine.run import RunSettings
from probe.errors import ConfigError
from probe.inputs import load_items
from probe.maskers.naming import nearest
from probe.setup import Project


def watch_task(project: Project, name: str) -> WatchTask:
    """The baseline ``name`` of a config.

    Raises:
        ConfigError: there is none, or anything is wrong with its inputs or endpoint.
    """
    known = project.config.baselines
    if not known:
        raise ConfigError(f"{project.path}: it has no baselines; write some under baselines:")
    if name not in known:
        raise ConfigError(
            f"{project.path}: there is no baseline {name!r}{nearest(name, known)}; it has {', '.join(known)}"
        )
    spec = known[name]
    where = f"{project.path}: baselines.{name}"
    items = load_items(spec.inputs, kind=spec.kind, base=project.base, where=f"{where}.inputs")
    distinct = {item.id: item for item in items}
    if len(distinct) < 2:
        raise ConfigError(f"{where}.inputs: one input is too few; a change shows between inputs")
    return WatchTask(
        name=name,
        kind=spec.kind,
        items=tuple(distinct.values()),
        remote=project.remote(spec.endpoint),
        answers=spec.answers,
        build=BuildSettings(doubles=spec.doubles, pairs=spec.pairs, repeats=spec.repeats),
        alpha=spec.alpha,
        per_point=spec.band,
        followup=spec.followup,
        together=spec.together,
    )


def watch_settings(project: Project, name: str, *, budget: str | None, max_time: str | None) -> RunSettings:
    """What shapes a check of the baseline ``name``, or with ``name`` empty the making of one: its budget is not a check's."""
    settings = project.settings(budget=budget, max_time=max_time)
    own = project.config.baselines[name].budget if name else None
    return settings if budget or not own else replace(settings, budget=Budget.parse(own))

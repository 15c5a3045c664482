"""What people ask of the stored results, answered from indexes: never from the evaluations themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from storage.columns import feature_key
from storage.schema import attribution, endpoint, feature, instance, probe, run
from storage.store import Store


@dataclass(frozen=True, slots=True)
class Filter:
    """Which attributions are meant; ``None``: whichever. A ``*`` in a text stands for anything."""

    run: str | None = None  #: id
    probe: str | None = None
    endpoint: str | None = None  #: its name in the config
    provider: str | None = None
    model: str | None = None
    instance: str | None = None  #: name, or id
    feature: str | None = None  #: a word, a column, a region
    label: str | None = None  #: the target
    method: str | None = None
    since: datetime | None = None  #: when the probe finished
    until: datetime | None = None  #: before this


@dataclass(frozen=True, slots=True)
class Share:
    """One attribution and where it is from."""

    run: str
    finished: datetime
    probe: str
    instance: str
    endpoint: str
    provider: str
    model: str
    method: str
    target: str
    feature: str
    position: int
    value: float | None
    std_error: float | None
    exact: bool
    trust: Mapping[str, Any]


_FROM = {
    "run": probe.c.run_id,
    "finished": probe.c.finished,
    "probe": probe.c.name,
    "instance": instance.c.name,
    "endpoint": endpoint.c.name,
    "provider": endpoint.c.provider,
    "model": endpoint.c.model,
    "method": probe.c.method,
    "target": probe.c.target,
    "feature": feature.c.key,
    "position": attribution.c.position,
    "value": attribution.c.value,
    "std_error": attribution.c.std_error,
    "exact": probe.c.exact,
    "trust": probe.c.trust,
}


def shares(store: Store, wanted: Filter, *, limit: int = 1000, newest: bool = True) -> list[Share]:
    """The attributions that ``wanted`` describes; of more than ``limit`` the newest (or the oldest) probes' come first."""
    order = (probe.c.finished.desc(), probe.c.number.desc()) if newest else (probe.c.finished, probe.c.number)
    question = (
        sa.select(*(_FROM[each.name] for each in fields(Share)))
        .select_from(attribution.join(probe).join(feature).join(endpoint).join(instance))
        .where(*_conditions(wanted))
        .order_by(*order, attribution.c.position)
        .limit(limit)
    )
    with store.database.reading() as connection:
        return [Share(*row) for row in connection.execute(question)]


def _conditions(wanted: Filter) -> list[sa.ColumnElement[bool]]:
    texts = {
        probe.c.run_id: wanted.run,
        probe.c.name: wanted.probe,
        endpoint.c.name: wanted.endpoint,
        endpoint.c.provider: wanted.provider,
        endpoint.c.model: wanted.model,
        feature.c.key: None if wanted.feature is None else feature_key(wanted.feature),
        probe.c.target: wanted.label,
        probe.c.method: wanted.method,
    }
    found = [_is(column, text) for column, text in texts.items() if text is not None]
    if wanted.instance is not None:
        found.append(_is(instance.c.name, wanted.instance) | (instance.c.id == wanted.instance))
    if wanted.since is not None:
        found.append(probe.c.finished >= wanted.since)
    if wanted.until is not None:
        found.append(probe.c.finished < wanted.until)
    return found


def _is(column: sa.ColumnElement[str], text: str) -> sa.ColumnElement[bool]:
    if "*" not in text:
        return column == text
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("*", "%")
    return column.like(escaped, escape="\\")


@dataclass(frozen=True, slots=True)
class TopChange:
    """A probe of two runs whose strongest feature is not the same."""

    probe: str
    instance: str
    endpoint: str
    method: str
    target: str
    before: str | None
    after: str | None


def top_changes(store: Store, first: str, second: str) -> list[TopChange]:
    """Where the strongest features of two runs (whole ids) differ, by the second run's order."""
    before, after = probe.alias("before"), probe.alias("after")
    same = sa.and_(*(before.c[name] == after.c[name] for name in ("name", "instance_id", "endpoint_id", "method")))
    question = (
        sa.select(
            after.c.name,
            instance.c.name,
            endpoint.c.name,
            after.c.method,
            after.c.target,
            before.c.top_feature,
            after.c.top_feature,
        )
        .select_from(
            after.join(before, same & (before.c.run_id == first))
            .join(instance, instance.c.id == after.c.instance_id)
            .join(endpoint, endpoint.c.id == after.c.endpoint_id)
        )
        .where((after.c.run_id == second) & before.c.top_feature.is_distinct_from(after.c.top_feature))
        .order_by(after.c.number)
    )
    with store.database.reading() as connection:
        return [TopChange(*row) for row in connection.execute(question)]


def latest_run(store: Store, *, before: datetime, since: datetime | None = None, name: str | None = None) -> str | None:
    """The id of the newest run that started before ``before`` (and not before ``since``)."""
    question = sa.select(run.c.id).where(run.c.started < before)
    if since is not None:
        question = question.where(run.c.started >= since)
    if name is not None:
        question = question.where(run.c.name == name)
    with store.database.reading() as connection:
        found: str | None = connection.scalar(question.order_by(run.c.started.desc(), run.c.id.desc()).limit(1))
    return found


def runs_with(store: Store, endpoints: Sequence[str], *, limit: int = 1) -> list[str]:
    """The ids of the newest runs that have probes of every one of ``endpoints`` (names)."""
    named = sa.select(sa.func.count(sa.distinct(endpoint.c.name))).select_from(probe.join(endpoint))
    has = named.where((probe.c.run_id == run.c.id) & endpoint.c.name.in_(endpoints)).scalar_subquery()
    question = sa.select(run.c.id).where(has == len(set(endpoints))).order_by(run.c.started.desc()).limit(limit)
    with store.database.reading() as connection:
        return list(connection.scalars(question))

"""What pages show: runs by facet, the probes of a run a page at a time, one probe over time. Without the heavy columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from storage import rows
from storage.errors import NotFound
from storage.records import Probe
from storage.schema import attribution, endpoint, feature, instance, probe, run
from storage.store import Store

#: What runs can be told apart by, and where that is.
FACETS: Final = ("status", "config", "endpoint", "method", "kind")


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs are meant; ``None``: whichever. ``text``: somewhere in an id, config, probe, input or target."""

    text: str | None = None
    status: str | None = None
    config: str | None = None
    endpoint: str | None = None
    method: str | None = None
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run as a list shows it."""

    id: str
    config: str
    status: str
    seed: int
    started: datetime
    finished: datetime | None
    totals: Mapping[str, int]
    probes: int


@dataclass(frozen=True, slots=True)
class ProbeLine:
    """A probe as a list shows it. ``top``: its strongest features with value and standard error."""

    number: int
    id: str
    run: str
    probe: str
    instance: str
    instance_id: str
    kind: str
    endpoint: str
    endpoint_id: str
    method: str
    target: str
    status: str
    finished: datetime
    full_value: float | None
    base_value: float | None
    exact: bool
    evaluations: int
    from_ledger: int
    requests: int
    cost_micro: int
    findings: Sequence[Mapping[str, Any]]
    error: str | None
    top: tuple[tuple[str, float | None, float | None], ...] = ()


def run_lines(
    store: Store, wanted: RunFilter, *, limit: int = 50, before: tuple[datetime, str] | None = None
) -> list[RunLine]:
    """Runs that ``wanted`` describes, newest first; ``before``: start and id of the last one of the page before."""
    count = sa.select(sa.func.count()).where(probe.c.run_id == run.c.id).scalar_subquery()
    columns = (run.c.id, run.c.name, run.c.status, run.c.seed, run.c.started, run.c.finished, run.c.totals, count)
    question = sa.select(*columns).where(*_conditions(wanted))
    if before is not None:
        question = question.where((run.c.started < before[0]) | ((run.c.started == before[0]) & (run.c.id < before[1])))
    question = question.order_by(run.c.started.desc(), run.c.id.desc()).limit(limit)
    with store.database.reading() as connection:
        return [RunLine(*row) for row in connection.execute(question)]


def facets(store: Store, *, most: int = 20) -> dict[str, list[tuple[str, int]]]:
    """For each of :data:`FACETS` its values and the number of runs that have it, the most frequent first."""
    runs = sa.func.count(sa.distinct(probe.c.run_id))
    questions = {
        "status": sa.select(run.c.status, sa.func.count()).group_by(run.c.status),
        "config": sa.select(run.c.name, sa.func.count()).group_by(run.c.name),
        "endpoint": sa.select(endpoint.c.name, runs).select_from(probe.join(endpoint)).group_by(endpoint.c.name),
        "method": sa.select(probe.c.method, runs).group_by(probe.c.method),
        "kind": sa.select(instance.c.kind, runs).select_from(probe.join(instance)).group_by(instance.c.kind),
    }
    order: tuple[sa.ColumnElement[Any], ...] = (sa.desc(sa.literal_column("2")), sa.literal_column("1"))
    with store.database.reading() as connection:
        return {
            name: [(value, count) for value, count in connection.execute(question.order_by(*order).limit(most))]
            for name, question in questions.items()
        }


def _conditions(wanted: RunFilter) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = []
    if wanted.status is not None:
        found.append(run.c.status == wanted.status)
    if wanted.config is not None:
        found.append(run.c.name == wanted.config)
    of_run = probe.c.run_id == run.c.id
    if wanted.endpoint is not None:
        found.append(_exists(probe.join(endpoint), of_run & (endpoint.c.name == wanted.endpoint)))
    if wanted.method is not None:
        found.append(_exists(probe, of_run & (probe.c.method == wanted.method)))
    if wanted.kind is not None:
        found.append(_exists(probe.join(instance), of_run & (instance.c.kind == wanted.kind)))
    if wanted.text:
        like = f"%{_escaped(wanted.text)}%"
        within = [column.ilike(like, escape="\\") for column in (probe.c.name, probe.c.target, instance.c.name)]
        found.append(
            run.c.id.startswith(wanted.text, autoescape=True)
            | run.c.name.ilike(like, escape="\\")
            | _exists(probe.join(instance), of_run & sa.or_(*within))
        )
    return found


def _exists(source: sa.FromClause, condition: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    return sa.exists().select_from(source).where(condition).correlate(run)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


_LINE = {
    "number": probe.c.number,
    "id": probe.c.id,
    "run": probe.c.run_id,
    "probe": probe.c.name,
    "instance": instance.c.name,
    "instance_id": instance.c.id,
    "kind": instance.c.kind,
    "endpoint": endpoint.c.name,
    "endpoint_id": endpoint.c.id,
    "method": probe.c.method,
    "target": probe.c.target,
    "status": probe.c.status,
    "finished": probe.c.finished,
    "full_value": probe.c.full_value,
    "base_value": probe.c.base_value,
    "exact": probe.c.exact,
    "evaluations": probe.c.evaluations,
    "from_ledger": probe.c.from_ledger,
    "requests": probe.c.requests,
    "cost_micro": probe.c.cost_micro,
    "findings": probe.c.findings,
    "error": probe.c.error,
}


def probe_lines(store: Store, run_id: str, *, after: int = 0, limit: int = 100, top: int = 3) -> list[ProbeLine]:
    """The probes of a run (its whole id) whose numbers come after ``after``, in the order in which they were saved."""
    mine = (probe.c.run_id == run_id) & (probe.c.number > after)
    question = (
        sa.select(*_LINE.values())
        .select_from(probe.join(endpoint).join(instance))
        .where(mine)
        .order_by(probe.c.number)
        .limit(limit)
    )
    with store.database.reading() as connection:
        found = [dict(zip(_LINE, row, strict=True)) for row in connection.execute(question)]
        strongest = _strongest(connection, [row["number"] for row in found], top)
    return [ProbeLine(**row, top=strongest.get(row["number"], ())) for row in found]


def _strongest(
    connection: sa.Connection, numbers: Sequence[int], most: int
) -> dict[int, tuple[tuple[str, float | None, float | None], ...]]:
    """The features of the largest absolute values, by the probe's number."""
    place = sa.func.row_number().over(
        partition_by=attribution.c.probe_number, order_by=sa.func.abs(attribution.c.value).desc()
    )
    known = attribution.c.probe_number.in_(numbers) & attribution.c.value.is_not(None) & (attribution.c.value != 0)
    ranked = sa.select(attribution, place.label("place")).where(known).subquery()
    question = (
        sa.select(ranked.c.probe_number, feature.c.key, ranked.c.value, ranked.c.std_error)
        .join(feature, feature.c.id == ranked.c.feature_id)
        .where(ranked.c.place <= most)
        .order_by(ranked.c.probe_number, ranked.c.place)
    )
    found: dict[int, list[tuple[str, float | None, float | None]]] = {}
    for number, key, value, error in connection.execute(question) if numbers else ():
        found.setdefault(number, []).append((key, value, error))
    return {number: tuple(shares) for number, shares in found.items()}


def one_probe(store: Store, probe_id: str) -> Probe:
    """The probe of that id, with its attributions. Raises :class:`NotFound`."""
    with store.database.reading() as connection:
        row = connection.execute(sa.select(probe).where(probe.c.id == probe_id)).mappings().first()
        if row is None:
            raise NotFound(f"{store.url}: no probe {probe_id!r}")
        shares = connection.execute(
            sa.select(feature.c.key, attribution.c.value, attribution.c.std_error)
            .select_from(attribution.join(feature))
            .where(attribution.c.probe_number == row["number"])
            .order_by(attribution.c.position)
        )
        return rows.to_probe(row, [tuple(share) for share in shares])


@dataclass(frozen=True, slots=True)
class Point:
    """A probe at one time: what a history is made of. ``shares``: value and standard error by feature."""

    id: str
    run: str
    finished: datetime
    target: str
    status: str
    full_value: float | None
    exact: bool
    shares: Mapping[str, tuple[float | None, float | None]]


def history(
    store: Store, *, name: str, instance_id: str, endpoint_id: str, method: str, limit: int = 200
) -> list[Point]:
    """The newest probes of that name, input, endpoint and method, oldest first."""
    same = (
        (probe.c.instance_id == instance_id)
        & (probe.c.endpoint_id == endpoint_id)
        & (probe.c.method == method)
        & (probe.c.name == name)
    )
    names = ("id", "run_id", "finished", "target", "status", "full_value", "exact")
    columns = (probe.c[name] for name in ("number", *names))
    question = sa.select(*columns).where(same).order_by(probe.c.finished.desc()).limit(limit)
    with store.database.reading() as connection:
        found = connection.execute(question).all()
        shares = _shares(connection, [row.number for row in found])
    return [
        Point(
            id=row.id,
            run=row.run_id,
            finished=row.finished,
            target=row.target,
            status=row.status,
            full_value=row.full_value,
            exact=row.exact,
            shares=shares.get(row.number, {}),
        )
        for row in reversed(found)
    ]


def _shares(
    connection: sa.Connection, numbers: Iterable[int]
) -> dict[int, dict[str, tuple[float | None, float | None]]]:
    question = (
        sa.select(attribution.c.probe_number, feature.c.key, attribution.c.value, attribution.c.std_error)
        .select_from(attribution.join(feature))
        .where(attribution.c.probe_number.in_(list(numbers)))
        .order_by(attribution.c.probe_number, attribution.c.position)
    )
    found: dict[int, dict[str, tuple[float | None, float | None]]] = {}
    for number, key, value, error in connection.execute(question):
        found.setdefault(number, {})[key] = (value, error)
    return found

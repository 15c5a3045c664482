"""Two runs, two endpoints or two dates side by side: which probes correspond, and what moved between them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

import numpy as np

from probe.analysis.diff import Diff, paired, unpaired
from probe.engine.recorded import Recorded, is_survey, recorded, table_of, target_of
from probe.errors import ConfigError
from storage import NotFound, Store
from storage.questions import latest_run, runs_with
from storage.records import Probe

_FEWEST_SHARED = 0.5  #: of the coalitions, to be compared pair by pair


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that are compared: a run, or one endpoint of it."""

    run: str
    endpoint: str | None = None

    @property
    def words(self) -> str:
        """How it is shown."""
        return self.run if self.endpoint is None else f"{self.endpoint} ({self.run})"


@dataclass(frozen=True, slots=True)
class Compared:
    """One probe on both sides. ``reused``: the share of its evaluations that the second took from the first's answers."""

    probe: str
    instance: str
    endpoint: str
    method: str
    target: str
    features: tuple[str, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]
    top: tuple[str | None, str | None]
    diff: Diff
    reused: float = 0.0

    def moved(self, level: float) -> list[int]:
        """Which features moved, the largest change first."""
        found = np.flatnonzero(self.diff.moved(level)).tolist()
        return sorted(found, key=lambda place: -abs(self.diff.change[place]))


@dataclass(frozen=True, slots=True)
class Comparison:
    """All probes that both sides have; ``missing``: those that only one has, in words."""

    first: Side
    second: Side
    level: float
    probes: tuple[Compared, ...]
    missing: tuple[str, ...]

    @property
    def moved(self) -> bool:
        """Whether anything moved significantly."""
        return any(each.moved(self.level) for each in self.probes)


def sides(store: Store, first: str, second: str, *, run: str | None = None) -> tuple[Side, Side]:
    """What ``first`` and ``second`` mean: runs (by id or its beginning), dates (the newest run of that day, UTC), or two
    endpoints of one run (``run``, or the newest that has both).

    Raises:
        storage.NotFound: no run is meant by them.
        storage.Ambiguous: several are.
    """
    found = [_run(store, text) for text in (first, second)]
    if found[0] is not None and found[1] is not None and run is None:
        return Side(found[0]), Side(found[1])
    both = [store.run(run).id] if run is not None else runs_with(store, [first, second])
    if not both:
        unknown = next((text for text, side in zip((first, second), found, strict=True) if side is None), first)
        raise NotFound(
            f"{store.url}: {unknown!r} is neither a run, nor a day with one, nor are {first!r} and {second!r} endpoints of "
            "one run; `probe ls` shows the runs"
        )
    return Side(both[0], first), Side(both[0], second)


def _run(store: Store, text: str) -> str | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        pass
    else:
        begin = datetime.combine(day, time(), tzinfo=UTC)
        return latest_run(store, since=begin, before=begin + timedelta(days=1))
    try:
        return store.run(text).id
    except NotFound as error:
        if type(error) is NotFound:
            return None
        raise


def compare(
    store: Store,
    first: Side,
    second: Side,
    *,
    level: float = 0.05,
    labels: Mapping[str, str] | None = None,
    pairs: bool = True,
) -> Comparison:
    """What moved from ``first`` to ``second``. ``labels``: how the second calls the first's labels, where it differs.
    ``pairs``: read the evaluations, to compare answers to the same coalitions; else the attributions alone.

    Raises:
        ConfigError: they have no probe in common.
        storage.Damaged: stored answers cannot be read.
    """
    before, after = _by_question(store, first, second), _by_question(store, second, first)
    names = {each.instance_id: store.instance(each.instance_id).name for each in (*before.values(), *after.values())}
    shared = [question for question in before if question in after]
    missing = [
        f"{each.name} ({names[each.instance_id]}, {each.method}) only in {side.words}"
        for side, mine, other in ((first, before, after), (second, after, before))
        for question, each in mine.items()
        if question not in other
    ]
    if not shared:
        raise ConfigError(f"{first.words} and {second.words} have no probe of the same input and method in common")
    cache: dict[tuple[bytes, datetime], Recorded] = {}
    endpoints = {each.endpoint_id: store.endpoint(each.endpoint_id).name for each in after.values()}
    probes = []
    for question in shared:
        one, two = before[question], after[question]
        compared = _compare(store, one, two, cache if pairs else None, level=level, labels=labels or {})
        endpoint = endpoints[two.endpoint_id]
        probes.append(replace(compared, instance=names[two.instance_id], endpoint=endpoint))
    return Comparison(first, second, level, tuple(probes), tuple(missing))


def _by_question(store: Store, side: Side, other: Side) -> dict[tuple[str, ...], Probe]:
    """Probes with an explanation by what must be equal to be compared; the endpoint too, unless two are compared."""
    found: dict[tuple[str, ...], Probe] = {}
    for probe in store.probes(side.run):
        if not probe.attributions or is_survey(probe):
            continue
        endpoint = store.endpoint(probe.endpoint_id).name
        if side.endpoint is not None and endpoint != side.endpoint:
            continue
        own = endpoint if other.endpoint is None else ""
        found[probe.name, probe.instance_id, own, probe.method] = probe
    return found


def _compare(
    store: Store,
    one: Probe,
    two: Probe,
    cache: dict[tuple[bytes, datetime], Recorded] | None,
    *,
    level: float,
    labels: Mapping[str, str],
) -> Compared:
    names = tuple(share.feature for share in one.attributions)
    base = Compared(
        probe=two.name,
        instance=two.instance_id,
        endpoint=two.endpoint_id,
        method=two.method,
        target=two.target,
        features=names,
        before=tuple(share.value for share in one.attributions),
        after=tuple(share.value for share in two.attributions),
        top=(one.top_feature, two.top_feature),
        diff=_by_attribution(one, two, level),
    )
    if names != tuple(share.feature for share in two.attributions):
        by_name = {share.feature: share.value for share in two.attributions}
        return replace(base, after=tuple(by_name.get(name, math.nan) for name in names))
    if cache is None:
        return base
    first, second = (_read(store, each, cache) for each in (one, two))
    pairs = _matched(first, second)
    if len(pairs) < _FEWEST_SHARED * max(len(first.coalitions), len(second.coalitions)):
        return base
    # the same output on both sides, even if each run found its own top1
    asked = target_of(one)
    mine, theirs = _rows(first, [a for a, _ in pairs]), _rows(second, [b for _, b in pairs])
    values = table_of(one, mine, asked), table_of(two, theirs, target_of(one, renamed=labels))
    both = sorted(_index(values[0].coalitions).keys() & _index(values[1].coalitions).keys())
    at = [[_index(table.coalitions)[key] for key in both] for table in values]
    try:
        diff = paired(
            values[0].coalitions[at[0]],
            values[0].values[at[0]],
            values[1].values[at[1]],
            noise=values[0].noise[at[0]] + values[1].noise[at[1]],
            level=level,
        )
    except ValueError:
        return base
    return replace(base, target=asked.name, diff=diff, reused=_reused(mine, theirs))


def _read(store: Store, probe: Probe, cache: dict[tuple[bytes, datetime], Recorded]) -> Recorded:
    """What ``probe`` saw; the methods of one bill saw the same."""
    key = (probe.table, probe.finished)
    if key not in cache:
        cache[key] = recorded(store, probe)
    return cache[key]


def _by_attribution(one: Probe, two: Probe, level: float) -> Diff:
    shares = {share.feature: share for share in two.attributions}

    def errors(probe: Probe, error: float | None) -> float:
        return 0.0 if probe.exact else math.nan if error is None else error

    matched = [(share, shares.get(share.feature)) for share in one.attributions]
    free = [probe.trust["dof"] for probe in (one, two) if math.isfinite(probe.trust.get("dof", math.inf))]
    return unpaired(
        np.array([share.value for share, _ in matched]),
        np.array([math.nan if other is None else other.value for _, other in matched]),
        np.array([errors(one, share.std_error) for share, _ in matched]),
        np.array([math.nan if other is None else errors(two, other.std_error) for _, other in matched]),
        dof=min(free, default=None) if free else None,
        level=level,
        base=_minus(two.base_value, one.base_value),
        full=_minus(two.full_value, one.full_value),
    )


def _minus(one: float | None, other: float | None) -> float:
    return math.nan if one is None or other is None else one - other


def _index(coalitions: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> dict[bytes, int]:
    return {row.tobytes(): place for place, row in enumerate(coalitions)}


def _matched(first: Recorded, second: Recorded) -> list[tuple[int, int]]:
    """Rows of the same coalition."""
    if first.coalitions.shape[1:] != second.coalitions.shape[1:] or first.width != second.width:
        return []
    theirs = _index(second.coalitions)
    mine = _index(first.coalitions)
    return [(place, theirs[key]) for key, place in mine.items() if key in theirs]


def _rows(found: Recorded, rows: Sequence[int]) -> Recorded:
    return Recorded(
        found.coalitions[list(rows)], tuple(found.entries[row] for row in rows), tuple(found.keys[row] for row in rows)
    )


def _reused(first: Recorded, second: Recorded) -> float:
    """The share of evaluations that are one and the same answer on both sides."""
    pairs = [
        (a, b)
        for mine, theirs in zip(first.entries, second.entries, strict=True)
        for a, b in zip(mine, theirs, strict=True)
        if a is not None and b is not None
    ]
    same = sum((a.key, a.generation) == (b.key, b.generation) for a, b in pairs)
    return same / len(pairs) if pairs else 0.0

"""Endpoints that live in the test: a straight boundary, and what noise and days add to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from adapters import Instance
from probe.drift.answers import Seen
from probe.drift.build import Build, BuildSettings
from probe.drift.check import Check, Past, Verdict, learnt
from probe.drift.suite import Suite

Endpoint = Callable[[Instance], Seen | None]


def rows(count: int = 60, seed: int = 1) -> list[tuple[str, Instance]]:
    rng = np.random.default_rng(seed)
    return [(f"row {k}", {"a": float(a), "b": float(b)}) for k, (a, b) in enumerate(rng.normal(0, 2, (count, 2)))]


def straight(
    *, shift: float = 0.0, noise: float = 0.0, flips: float = 0.0, scores: bool = False, seed: int = 0
) -> Endpoint:
    """Yes where 1.3 a − 0.7 b + ``shift`` + noise is above 0."""
    rng = np.random.default_rng(seed)

    def answer(row: Instance) -> Seen:
        z = 1.3 * row["a"] - 0.7 * row["b"] + shift + rng.normal(0, noise)  # type: ignore[index, call-overload, operator]
        if rng.random() < flips:
            z = -z
        p = float(1 / (1 + np.exp(-z)))
        found = Seen.of({"yes": p, "no": 1 - p} if scores else {"yes" if p > 0.5 else "no": 1.0})
        assert found is not None
        return found

    return answer


def built(endpoint: Endpoint, inputs: Sequence[tuple[str, Instance]] | None = None, **settings: int) -> Suite:
    chosen = BuildSettings(**({"doubles": 100, "pairs": 10} | settings))
    build = Build(inputs or rows(), chosen, rng=np.random.default_rng(3))
    while wanted := build.ask():
        build.tell([endpoint(instance) for instance in wanted])
    assert build.suite is not None
    return build.suite


def checked(suite: Suite, endpoint: Endpoint, past: Past | None = None, **options: float) -> Verdict:
    check = Check(suite, past, **options)  # type: ignore[arg-type]
    while wanted := check.instances():
        check.tell([endpoint(instance) for instance in wanted])
    assert check.verdict is not None
    return check.verdict


def after(suite: Suite, past: Past, verdict: Verdict) -> tuple[Suite, Past]:
    """What a day without an alarm adds."""
    more = learnt(verdict)
    probes = [probe.grown(more.get(place, ())) for place, probe in enumerate(suite.probes)]
    bands = (verdict.band.figure,) if verdict.band is not None and verdict.band.points else ()
    suspect = verdict.band is not None and verdict.band.suspect
    grown = replace(past, bands=(*past.bands, *bands), band_suspect=suspect, guard=verdict.guard)
    return replace(suite, probes=tuple(probes)), grown

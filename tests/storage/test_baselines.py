"""Baselines and checks, kept alike in SQLite and Postgres."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from storage import Baseline, BaselineProbe, Baselines, CheckRecord, NotFound, Store
from storage.baselines import BaselineStatus
from tests.storage import builders


@pytest.fixture
def kept(store: Store) -> Baselines:
    return Baselines(store)


def baseline(id_: str = "b1", *, days: int = 0, status: BaselineStatus = "building") -> Baseline:
    run = builders.run()
    return Baseline(
        id=id_,
        name="reviews",
        endpoint_id=builders.ENDPOINT.id,
        run_id=run.id,
        status=status,
        started=run.started + timedelta(days=days),
        settings={"kind": "text", "pairs": 20},
    )


def probe(name: str = "a → b") -> BaselineProbe:
    answers = [{"label": "y\u00e9s", "raw": "00", "scores": {"y\u00e9s": 0.1 + 0.2}}]
    return BaselineProbe("boundary", name, builders.INSTANCE.id, 3, answers)


def test_a_baseline_is_read_as_it_was_stored(kept: Baselines) -> None:
    kept.put(baseline())
    with pytest.raises(NotFound, match="no baseline 'reviews'; `probe baseline create reviews` makes one"):
        kept.current("reviews")
    ready = replace(baseline(), status="ready", finished=baseline().started, noise={"pairs": 500, "unequal": 0})
    kept.finish(ready, [probe(), probe("b → c")], [builders.INSTANCE])
    assert kept.current("reviews") == ready
    assert kept.probes("b1") == [(probe(), builders.INSTANCE), (probe("b → c"), builders.INSTANCE)]


def test_a_new_one_takes_the_place_of_those_before_and_they_stay_to_be_read(kept: Baselines) -> None:
    for number in range(3):
        each = baseline(f"b{number}", days=number)
        kept.put(each)
        kept.finish(replace(each, status="ready"), [probe()], [])
    assert [(each.id, each.status) for each in kept.all("reviews")] == [
        ("b2", "ready"),
        ("b1", "replaced"),
        ("b0", "replaced"),
    ]
    assert kept.probes("b0") == [(probe(), builders.INSTANCE)]
    assert kept.all("other") == []


def test_an_acceptance_says_when_of_what_and_why(kept: Baselines) -> None:
    kept.put(baseline())
    kept.finish(replace(baseline(), status="ready"), [probe()], [])
    at = baseline().started + timedelta(days=3)
    kept.accept("b1", check_id="c9", at=at, note="announced")
    found = kept.current("reviews")
    assert (found.status, found.accepted_at, found.accepted_check, found.note) == ("accepted", at, "c9", "announced")


def test_checks_are_in_the_order_in_which_they_began_and_a_later_word_takes_the_place_of_the_first(
    kept: Baselines,
) -> None:
    kept.put(baseline())
    started = baseline().started
    checks = [CheckRecord(f"c{9 - k}", "b1", baseline().run_id, started + timedelta(days=k)) for k in range(3)]
    for each in checks:
        kept.put_check(each)
    over = replace(checks[1], finished=started, verdict="alarm", cost_micro=12, result={"why": "so", "flips": [1]})
    kept.put_check(over)
    assert kept.checks("b1") == [checks[0], over, checks[2]]
    assert kept.checks("b2") == []

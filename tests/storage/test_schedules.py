"""Fires and alerts that several schedulers want at once, on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from storage import NotFound, Schedule, Schedules, Store

NOW = datetime(2026, 5, 1, 7, 0, tzinfo=UTC)
NIGHTLY = Schedule("nightly", "0 7 * * *", "Europe/Berlin", ("check", "intents"), "/srv/probe.yaml", "once", NOW)


@pytest.fixture
def schedules(store: Store) -> Schedules:
    made = Schedules(store)
    made.add(NIGHTLY)
    return made


def test_a_schedule_is_kept_replaced_paused_and_forgotten(schedules: Schedules) -> None:
    other = replace(NIGHTLY, cron="5 7 * * *")
    assert schedules.add(other) is False
    assert schedules.all() == [NIGHTLY]
    assert schedules.add(other, replace=True) is True
    schedules.pause("nightly", True)
    assert schedules.all() == [replace(other, paused=True)]
    schedules.claim("nightly", NOW, owner="a", now=NOW)
    schedules.remove("nightly")
    assert schedules.all() == []
    assert schedules.fires() == []
    with pytest.raises(NotFound, match="there is no schedule 'nightly'"):
        schedules.remove("nightly")
    with pytest.raises(NotFound, match="there is no schedule 'nightly'"):
        schedules.pause("nightly", True)


def test_of_many_who_want_a_fire_one_gets_it(schedules: Schedules) -> None:
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda who: schedules.claim("nightly", NOW, owner=str(who), now=NOW), range(16)))
    assert won.count(True) == 1
    assert [each.owner for each in schedules.fires()] == [str(won.index(True))]
    assert schedules.claim("gone", NOW, owner="a", now=NOW) is False


def test_a_fire_is_taken_over_by_one_and_the_first_owner_can_say_nothing_more(schedules: Schedules) -> None:
    schedules.claim("nightly", NOW, owner="a", now=NOW)
    seen = schedules.fires()[0]
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda who: schedules.take_over(seen, owner=str(who), now=NOW), range(8)))
    assert won.count(True) == 1
    assert schedules.beat(seen, "a") is False
    assert schedules.end(seen, owner="a", state="done", exit_code=0, summary="", now=NOW) is False
    assert schedules.end(seen, owner=str(won.index(True)), state="done", exit_code=1, summary="x", now=NOW) is True
    ended = schedules.fires()[0]
    assert (ended.state, ended.attempt, ended.exit_code, ended.summary) == ("done", 2, 1, "x")


def test_who_beats_is_not_taken_over(schedules: Schedules) -> None:
    schedules.claim("nightly", NOW, owner="a", now=NOW)
    seen = schedules.fires()[0]
    assert schedules.beat(seen, "a") is True
    assert schedules.take_over(seen, owner="b", now=NOW) is False


def test_what_a_clock_ahead_of_time_put_down_as_missed_is_free_again(schedules: Schedules) -> None:
    ahead = NOW + timedelta(days=1)
    assert schedules.claim("nightly", NOW, owner="a", now=ahead, state="missed", summary="nobody was there") is True
    assert schedules.claim("nightly", NOW, owner="a", now=ahead) is False
    assert schedules.claim("nightly", NOW, owner="a", now=NOW) is True
    assert schedules.fires()[0].state == "running"
    assert schedules.last_due(NOW) == {"nightly": NOW}
    assert schedules.last_due(NOW - timedelta(hours=1)) == {}


def test_an_alert_is_raised_once_and_tried_by_one_at_a_time(schedules: Schedules) -> None:
    about = {"config": "/srv/probe.yaml", "payload": {"type": "probe.finding"}, "now": NOW}
    assert schedules.raise_alerts("evt_1", ["team", "pager"], **about) == 2  # type: ignore[arg-type]
    assert schedules.raise_alerts("evt_1", ["team"], **about) == 0  # type: ignore[arg-type]
    later = NOW + timedelta(minutes=1)
    with ThreadPoolExecutor(8) as pool:
        taken = [each for each in pool.map(lambda _: schedules.take_alert(NOW, until=later), range(8)) if each]
    assert sorted(each.target for each in taken) == ["pager", "team"]
    assert schedules.take_alert(NOW, until=later) is None
    assert schedules.next_alert() == later
    for each in taken:
        schedules.settle_alert(each.number, "delivered", next_try=later, error=None)
    assert schedules.next_alert() is None
    assert schedules.alerts(state="pending") == []
    assert [(each.target, each.attempts) for each in schedules.alerts()] == [("pager", 1), ("team", 1)]

"""Due times across changes of the clock, and what becomes of missed ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.errors import ConfigError
from probe.schedules.cron import Due, Times, due_now

MINUTE = timedelta(minutes=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_fixed_hour_in_a_zone_moves_with_its_clocks() -> None:
    times = Times("0 7 * * *", "Europe/Berlin")
    found = times.between(utc("2026-03-27 12:00"), utc("2026-03-30 12:00"))
    assert [f"{each:%d %H:%M}" for each in found] == ["28 06:00", "29 05:00", "30 05:00"]


def test_what_is_due_in_the_hour_that_does_not_exist_is_due_right_after_it() -> None:
    # on 2026-03-29 in Berlin, 02:00 is followed by 03:00 (01:00 UTC)
    assert Times("30 2 * * *", "Europe/Berlin").after(utc("2026-03-28 12:00")) == utc("2026-03-29 01:00")


def test_what_is_due_in_the_hour_that_comes_twice_is_due_once_but_intervals_go_on() -> None:
    # on 2026-10-25 in Berlin, 03:00 is followed by 02:00 again (01:00 UTC)
    window = utc("2026-10-24 23:30"), utc("2026-10-25 02:30")
    assert Times("30 2 * * *", "Europe/Berlin").between(*window) == [utc("2026-10-25 00:30")]
    assert len(Times("*/30 * * * *", "Europe/Berlin").between(*window)) == 6


@pytest.mark.parametrize(
    ("expression", "zone", "said"),
    [
        ("61 * * * *", "UTC", "bad minute"),
        ("* * *", "UTC", "wrong number of fields"),
        ("0 0 31 2 *", "UTC", "day-of-month"),
        ("0 7 * * *", "Mars/Olympus", "there is no time zone"),
        ("0 7 * * *", "../../etc/passwd", "there is no time zone"),
    ],
)
def test_what_is_no_schedule_is_said_in_one_line(expression: str, zone: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        Times(expression, zone)
    assert "\n" not in str(caught.value)


def hourly(handled: str, now: str, missed: str) -> Due:
    times = Times("0 * * * *", "UTC")
    return due_now(times, handled=utc(handled), now=utc(now), missed=missed, grace=MINUTE)  # type: ignore[arg-type]


def test_missed_times_are_left_out_made_up_for_once_or_all_made_up_for() -> None:
    late = "2026-05-01 00:30", "2026-05-01 03:30"
    three = tuple(utc(f"2026-05-01 0{hour}:00") for hour in (1, 2, 3))
    assert hourly(*late, "skip") == Due(missed=three)
    assert hourly(*late, "once") == Due(run=three[-1:], missed=three[:-1])
    assert hourly(*late, "all") == Due(run=three)


def test_what_is_due_now_is_run_under_every_policy() -> None:
    for missed in ("skip", "once", "all"):
        assert hourly("2026-05-01 00:30", "2026-05-01 01:00", missed) == Due(run=(utc("2026-05-01 01:00"),))
        assert hourly("2026-05-01 01:00", "2026-05-01 01:59", missed) == Due()


@given(st.lists(st.integers(-300, 300), min_size=1, max_size=40), st.sampled_from(["skip", "once", "all"]))
def test_a_clock_that_jumps_fires_nothing_twice_and_loses_nothing_without_saying_so(
    jumps: list[int], missed: str
) -> None:
    """Jumps in minutes; what is handled is what was run or put down, and only what is later than it can be due."""
    start = now = utc("2026-05-01 00:00")
    handled, seen = start, list[datetime]()
    for jump in jumps:
        now += timedelta(minutes=jump)
        due = due_now(Times("*/7 * * * *", "UTC"), handled=handled, now=now, missed=missed, grace=MINUTE)  # type: ignore[arg-type]
        seen += [*due.missed, *due.run]
        handled = max([handled, *due.missed, *due.run])
    assert len(set(seen)) == len(seen)
    latest = max([start, *seen])
    assert sorted(seen) == Times("*/7 * * * *", "UTC").between(start, latest)


def test_years_of_absence_are_not_counted_one_by_one() -> None:
    due = due_now(
        Times("* * * * *", "UTC"),
        handled=utc("2026-01-01 00:00"),
        now=utc("2026-03-01 00:00"),
        missed="all",
        grace=MINUTE,
    )
    assert len(due.run) == 10_000
    assert due.run[-1] == utc("2026-03-01 00:00")

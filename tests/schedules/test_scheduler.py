"""The scheduler with clocks held in the test's hands; the commands are stand-ins that end when they are told to."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ParamSpec

import pytest

from probe.clock import Clock
from probe.config_sections import AlertConfig
from probe.schedules.runner import Pace, Scheduler
from storage import Schedule, Schedules, Store

P = ParamSpec("P")
START = datetime(2026, 5, 1, 6, 59, 30, tzinfo=UTC)


def run_to_end(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """An asynchronous test as an ordinary one."""

    @functools.wraps(test)
    def ordinary(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return ordinary


class Hands:
    """A wall clock and a monotonic clock that move when someone sleeps, or when the test sets the first."""

    def __init__(self) -> None:
        self.wall, self.mono = START, 0.0

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0.002)  # lets threads and other schedulers move
        self.wall += timedelta(seconds=seconds)
        self.mono += seconds

    @property
    def clock(self) -> Clock:
        return Clock(now=lambda: self.wall, monotonic=lambda: self.mono, sleep=self.sleep)


class Command:
    """Ends with ``code`` at once, or when interrupted if ``code`` is ``None``."""

    def __init__(self, code: int | None) -> None:
        self.code, self.stopped = code, asyncio.Event()

    async def wait(self) -> tuple[int, str]:
        if self.code is None:
            await self.stopped.wait()
            return 130, "interrupted"
        return self.code, f"ended with {self.code}"

    def interrupt(self) -> None:
        self.stopped.set()


class Desk:
    """A database with one hourly schedule, and the schedulers that work on it."""

    def __init__(self, store: Store) -> None:
        self.schedules = Schedules(store)
        self.hands = Hands()
        self.launched: list[tuple[str, datetime]] = []
        self.lines: list[str] = []
        self.codes: Iterator[int | None] = iter(())
        self.targets: dict[str, AlertConfig] = {}

    def add(self, **changes: Any) -> None:
        plain = Schedule("hourly", "0 * * * *", "UTC", ("check", "x"), "/none.yaml", "once", START)
        self.schedules.add(replace(plain, **changes), replace=True)

    def scheduler(self, owner: str, hands: Hands | None = None) -> Scheduler:
        async def launch(schedule: Schedule) -> Command:
            self.launched.append((owner, (hands or self.hands).wall))
            return Command(next(self.codes, 0))

        return Scheduler(
            self.schedules,
            owner=owner,
            environment={},
            log=self.lines.append,
            launch=launch,
            targets=lambda _: self.targets,
            clock=(hands or self.hands).clock,
            pace=Pace(look=300, stall=1800),
        )

    async def work(self, *schedulers: Scheduler, until: Callable[[], bool]) -> None:
        """Let them work until the condition holds; then they are gone, as if killed."""
        tasks = [asyncio.create_task(each.run()) for each in schedulers]
        try:
            async with asyncio.timeout(30):
                while not until():
                    await asyncio.sleep(0.005)
                    for each in tasks:
                        if each.done():
                            each.result()
        finally:
            for each in tasks:
                each.cancel()
            for each in tasks:
                with suppress(asyncio.CancelledError):
                    await each


@pytest.fixture
def desk(storage_url: str) -> Iterator[Desk]:
    with Store.open(storage_url, timeout=5) as store:
        yield Desk(store)


def outcome(desk: Desk) -> list[tuple[int, str, int | None]]:
    """Hour, state and exit code of every fire, oldest first."""
    return [(each.due.hour, each.state, each.exit_code) for each in reversed(desk.schedules.fires())]


@run_to_end
async def test_it_fires_on_time_and_says_how_it_ended(desk: Desk) -> None:
    desk.add()
    desk.codes = iter([0, 1, 0])
    await desk.work(desk.scheduler("a"), until=lambda: len(desk.schedules.fires(state="done")) >= 3)
    assert outcome(desk)[:3] == [(7, "done", 0), (8, "done", 1), (9, "done", 0)]
    assert [when.minute for _, when in desk.launched[:3]] == [0, 0, 0]


@run_to_end
async def test_two_schedulers_fire_each_time_once(desk: Desk) -> None:
    desk.add()
    both = desk.scheduler("a"), desk.scheduler("b")
    await desk.work(*both, until=lambda: len(desk.schedules.fires(state="done")) >= 12)
    dues = [each.due for each in desk.schedules.fires()]
    assert len(set(dues)) == len(dues) == len(desk.launched)


@run_to_end
async def test_what_a_killed_scheduler_had_begun_is_gone_on_with_by_another(desk: Desk) -> None:
    desk.add()
    desk.codes = iter([None, 0])
    await desk.work(desk.scheduler("a"), until=lambda: len(desk.launched) == 1)
    before = desk.hands.mono
    await desk.work(desk.scheduler("b"), until=lambda: bool(desk.schedules.fires(state="done")))
    fire = desk.schedules.fires()[-1]
    assert (fire.owner, fire.attempt, fire.state) == ("b", 2, "done")
    assert 1800 <= desk.hands.mono - before < 3600


@run_to_end
async def test_a_scheduler_that_stops_in_good_order_hands_over_at_once(desk: Desk) -> None:
    desk.add()
    desk.codes = iter([None, 0])
    first = desk.scheduler("a")
    working = asyncio.create_task(first.run())
    while not desk.launched:  # noqa: ASYNC110 - a list has no event
        await asyncio.sleep(0.005)
    first.interrupt()
    assert await asyncio.wait_for(working, 20) == 0
    assert [each.owner for each in desk.schedules.fires(state="running")] == [""]
    before = desk.hands.mono
    await desk.work(desk.scheduler("b"), until=lambda: bool(desk.schedules.fires(state="done")))
    assert desk.hands.mono - before < 900


@run_to_end
async def test_a_clock_set_forward_makes_one_fire_of_many_missed_and_set_back_fires_nothing_twice(desk: Desk) -> None:
    desk.add()
    jumps = [timedelta(hours=4, minutes=30), timedelta(hours=-3)]  # 8 to 11 are past at once; 9 to 11 come again

    def after_the_jumps() -> bool:
        done = len(desk.schedules.fires(state="done"))
        if jumps and done == 3 - len(jumps):
            desk.hands.wall += jumps.pop(0)
        return done >= 4

    await desk.work(desk.scheduler("a"), until=after_the_jumps)
    fires = outcome(desk)
    assert fires[:1] == [(7, "done", 0)]
    assert (11, "done", 0) in fires  # the latest of those that were past at once
    assert len({hour for hour, _, _ in fires}) == len(fires)
    launched = [when for _, when in desk.launched]
    assert len(launched) == len(desk.schedules.fires(state="done"))


@run_to_end
async def test_a_fire_that_is_due_while_the_one_before_runs_is_put_down_as_missed(desk: Desk) -> None:
    desk.add()
    desk.codes = iter([None])
    await desk.work(desk.scheduler("a"), until=lambda: len(desk.schedules.fires(state="missed")) >= 2)
    assert len(desk.launched) == 1
    assert {each.summary for each in desk.schedules.fires(state="missed")} == {"the one before was still running"}


@run_to_end
async def test_once_does_what_is_due_and_ends_with_the_worst_exit_code(desk: Desk) -> None:
    desk.add()
    desk.add(name="other")
    desk.hands.wall += timedelta(minutes=1)
    desk.codes = iter([3, 1])
    assert await desk.scheduler("a").run(once=True) == 1
    assert await desk.scheduler("a").run(once=True) == 0  # nothing is due any more
    assert len(desk.launched) == 2


@run_to_end
async def test_paused_schedules_do_not_fire(desk: Desk) -> None:
    desk.add(paused=True)
    desk.hands.wall += timedelta(hours=5)
    assert await desk.scheduler("a").run(once=True) == 0
    assert desk.launched == []


@run_to_end
async def test_a_schedule_that_cannot_be_read_harms_no_other(desk: Desk) -> None:
    desk.add(name="broken", cron="nonsense")
    desk.add()
    desk.hands.wall += timedelta(minutes=1)
    assert await desk.scheduler("a").run(once=True) == 0
    assert len(desk.launched) == 1
    assert any("'nonsense' is not a cron expression" in line for line in desk.lines)


@run_to_end
async def test_events_go_to_those_who_want_them_and_a_recovery_is_told_once(desk: Desk, tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    command = ("sh", "-c", f"cat >> {heard}; echo >> {heard}")
    desk.targets = {"all": AlertConfig(command=command), "no": AlertConfig(command=("false",), on=("error",))}
    desk.add(config=str(tmp_path / "probe.yaml"))
    desk.codes = iter([0, 1, 0, 0])
    await desk.work(desk.scheduler("a"), until=lambda: len(desk.schedules.fires(state="done")) >= 5)
    lines = [line for line in heard.read_text().splitlines() if line]
    assert [line.partition('"type":"')[2].partition('"')[0] for line in lines] == ["probe.finding", "probe.recovered"]
    assert {each.state for each in desk.schedules.alerts()} == {"delivered"}


@run_to_end
async def test_an_alert_that_is_not_taken_is_tried_again_later_with_the_same_id(desk: Desk, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    flaky = ("sh", "-c", f"cat >> {marks}; echo >> {marks}; test $(wc -l < {marks}) -ge 3")
    desk.targets = {"flaky": AlertConfig(command=flaky)}
    desk.add(config=str(tmp_path / "probe.yaml"))
    desk.codes = iter([1])
    await desk.work(desk.scheduler("a"), until=lambda: bool(desk.schedules.alerts(state="delivered")))
    alerts = desk.schedules.alerts()
    assert [(each.state, each.attempts) for each in alerts] == [("delivered", 3)]
    assert len(set(marks.read_text().splitlines())) == 1


@run_to_end
async def test_a_target_that_is_gone_is_given_up_and_said(desk: Desk, tmp_path: Path) -> None:
    desk.add()
    desk.targets = {"team": AlertConfig(command=("false",))}
    desk.schedules.raise_alerts("evt_1", ["nobody"], config="/none.yaml", payload={"data": {}}, now=START)
    await desk.scheduler("a").run(once=True)
    assert [(each.state, each.error) for each in desk.schedules.alerts()] == [
        ("given up", "/none.yaml has no alerts.nobody any more")
    ]

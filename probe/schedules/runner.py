"""The scheduler: looks what is due, wins the fire or leaves it to another scheduler, starts the command, tells who wants to
know.

A fire is a process of its own, ``probe …`` with the schedule's arguments, so that its exit code and its journal are those of
the command typed by hand: killed with the scheduler, the same command goes on where it stopped and pays for nothing twice.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Protocol, TypeAlias, TypeVar

from probe.clock import Clock
from probe.errors import ConfigError
from probe.report.clean import safe_text
from probe.schedules.alerting import Deliverer, Targets, configured, wanted
from probe.schedules.cron import Times, due_now
from probe.schedules.events import event_id, kind_of, payload
from storage.schedules import Fire, FireState, Schedule, Schedules

T = TypeVar("T")

#: exit codes from best to worst, as ``probe schedule run --once`` reports them
_WORST: Final = (0, 3, 1, 4, 6, 2, 5)
_INTERRUPTED = 130
_MOST_ATTEMPTS = 5
_TAIL = 4096  # bytes of a command's output that are kept


@dataclass(frozen=True, slots=True)
class Pace:
    """How often the scheduler looks (``look``, seconds), and how long a fire's owner may be silent (``stall``, seconds) before
    another takes the fire over. ``grace``: a due time that is older has been missed."""

    look: float = 5.0
    stall: float = 30.0
    grace: timedelta = timedelta(minutes=1)


class Running(Protocol):
    """A command that was started."""

    async def wait(self) -> tuple[int, str]:
        """Its exit code and the last line it wrote, once it is over."""

    def interrupt(self) -> None:
        """Ask it to stop in good order."""


Launch: TypeAlias = Callable[[Schedule], Awaitable[Running]]


class Scheduler:
    """One scheduler. ``owner`` must differ between all that work on the same database; ``log`` gets one line per event."""

    def __init__(
        self,
        schedules: Schedules,
        *,
        owner: str,
        environment: Mapping[str, str],
        log: Callable[[str], None],
        launch: Launch | None = None,
        targets: Targets = configured,
        clock: Clock | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._schedules = schedules
        self._owner = owner
        self._log = log
        self._launch = launch or start_process
        self._targets = targets
        self._clock = clock or Clock()
        self._pace = pace or Pace()
        self._deliverer = Deliverer(schedules, environment=environment, targets=targets)
        self._scheduled: list[Schedule] = []  #: as of the last look
        self._tasks: dict[tuple[str, datetime], asyncio.Task[None]] = {}
        self._children: dict[tuple[str, datetime], Running] = {}
        self._silent: dict[tuple[str, datetime], tuple[str, int, float]] = {}
        self._suspects = 0  #: fires of others of which it is not known yet whether somebody works on them
        self._codes: list[int] = []
        self._draining = False
        self._failure: BaseException | None = None
        self._wake = asyncio.Event()

    def interrupt(self) -> None:
        """Start nothing more, ask what runs to stop, and end."""
        self._draining = True
        for child in self._children.values():
            child.interrupt()
        self._wake.set()

    async def run(self, *, once: bool = False) -> int:
        """Work until :meth:`interrupt`, or with ``once`` until what is due now has been done. Returns the worst exit code of
        the commands (with ``once``), else 0."""
        looked = False
        while not (self._draining and not self._tasks):
            if self._failure is not None:  # the database is gone: what runs goes on by itself, and another takes over
                raise self._failure
            if not self._draining:
                await self._look(fire=not (once and looked))
                looked = True
            await self._keep_alive()
            await self._deliver()
            if once and not self._tasks and not self._suspects:
                break
            await self._pause()
        await self._deliver()
        return max(self._codes, key=_badness, default=0) if once else 0

    async def _look(self, *, fire: bool) -> None:
        now = self._clock.now()
        self._scheduled = await self._stored(self._schedules.all)
        schedules = {each.name: each for each in self._scheduled}
        handled = await self._stored(partial(self._schedules.last_due, now))
        busy = await self._stored(partial(self._schedules.fires, most=1000, state="running"))
        await self._take_over(schedules, busy)
        running = {each.schedule for each in busy}
        for each in schedules.values():
            if fire and not each.paused:
                await self._fire_due(each, max(each.created, handled.get(each.name, each.created)), now, running)

    async def _fire_due(self, schedule: Schedule, handled: datetime, now: datetime, running: set[str]) -> None:
        try:
            times = Times(schedule.cron, schedule.zone)
        except ConfigError as error:
            self._log(f"schedule {schedule.name}: {error}")
            return
        due = due_now(times, handled=handled, now=now, missed=schedule.missed, grace=self._pace.grace)
        note = partial(self._claim, schedule, now=now, state="missed")
        for moment in due.missed:
            await note(moment, summary="nobody was there")
        for moment in due.run:
            if schedule.name in running:
                await note(moment, summary="the one before was still running")
            elif await self._claim(schedule, moment, now=now):
                running.add(schedule.name)
                self._begin(schedule, Fire(schedule.name, moment, "running", self._owner, 1, 0, now))

    async def _claim(
        self, schedule: Schedule, due: datetime, *, now: datetime, state: FireState = "running", summary: str = ""
    ) -> bool:
        mine = await self._stored(
            partial(self._schedules.claim, schedule.name, due, owner=self._owner, now=now, state=state, summary=summary)
        )
        if mine and state == "missed":
            self._log(f"{schedule.name}, due {due:%Y-%m-%d %H:%M} UTC: missed, {summary}")
        return mine

    async def _take_over(self, schedules: Mapping[str, Schedule], running: list[Fire]) -> None:
        """Go on with fires whose owner let go of them, or has not moved for ``stall`` seconds on our own clock."""
        seen, now = self._silent, self._clock.monotonic()
        self._silent, self._suspects = {}, 0
        for each in running:
            key = (each.schedule, each.due)
            if key in self._tasks or each.schedule not in schedules:
                continue
            owner, beat, since = seen.get(key, (each.owner, each.beat, now))
            if (owner, beat) != (each.owner, each.beat):
                since = now
            self._silent[key] = (each.owner, each.beat, since)
            if each.owner and now - since < self._pace.stall:
                self._suspects += key not in seen or since == seen[key][2]  # not seen to move yet
                continue
            if await self._stored(partial(self._schedules.take_over, each, owner=self._owner, now=self._clock.now())):
                mine = replace(each, owner=self._owner, attempt=each.attempt + 1, began=self._clock.now())
                if mine.attempt > _MOST_ATTEMPTS:
                    await self._over(schedules[each.schedule], mine, None, f"lost {_MOST_ATTEMPTS} times over", "lost")
                else:
                    self._begin(schedules[each.schedule], mine)

    def _begin(self, schedule: Schedule, fire: Fire) -> None:
        again = f", attempt {fire.attempt}" if fire.attempt > 1 else ""
        self._log(f"{schedule.name}, due {fire.due:%Y-%m-%d %H:%M} UTC: probe {' '.join(schedule.command)}{again}")
        key = (fire.schedule, fire.due)
        self._tasks[key] = asyncio.create_task(self._carry_out(schedule, fire))
        self._tasks[key].add_done_callback(partial(self._ended, key))

    def _ended(self, key: tuple[str, datetime], task: asyncio.Task[None]) -> None:
        del self._tasks[key]
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = error

    async def _carry_out(self, schedule: Schedule, fire: Fire) -> None:
        key = (fire.schedule, fire.due)
        try:
            child = await self._launch(schedule)
        except OSError as error:
            await self._over(schedule, fire, 2, f"could not be started: {error.strerror or error}")
            return
        self._children[key] = child
        if self._draining:
            child.interrupt()
        code, said = await child.wait()
        del self._children[key]
        if self._draining and (code < 0 or code == _INTERRUPTED):
            await self._stored(partial(self._schedules.release, fire, owner=self._owner))
            self._log(
                f"{schedule.name}, due {fire.due:%Y-%m-%d %H:%M} UTC: stopped; the next scheduler goes on with it"
            )
            return
        await self._over(schedule, fire, code, said)

    async def _over(
        self, schedule: Schedule, fire: Fire, code: int | None, said: str, state: FireState = "done"
    ) -> None:
        now = self._clock.now()
        ended = await self._stored(
            partial(self._schedules.end, fire, owner=self._owner, state=state, exit_code=code, summary=said, now=now)
        )
        if not ended:  # it was taken over while we could not be heard; whoever has it tells
            self._log(f"{schedule.name}, due {fire.due:%Y-%m-%d %H:%M} UTC: taken over by another scheduler meanwhile")
            return
        self._codes.append(4 if code is None else code)
        self._log(f"{schedule.name}, due {fire.due:%Y-%m-%d %H:%M} UTC: exit {code}" + (f", {said}" if said else ""))
        await self._tell(schedule, replace(fire, state=state, exit_code=code, summary=said, ended=now), now)

    async def _tell(self, schedule: Schedule, fire: Fire, now: datetime) -> None:
        earlier = await self._stored(partial(self._schedules.fires, schedule.name, most=20, state="done"))
        before = next((each.exit_code for each in earlier if each.due < fire.due), None)
        kind = kind_of(fire.exit_code, before)
        if kind is None:
            return
        try:
            names = wanted(await asyncio.to_thread(self._targets, schedule.config), kind)
        except ConfigError as error:
            self._log(f"{schedule.name}: nobody can be told of {kind}: {error}")
            return
        event = event_id(kind, fire)
        await self._stored(
            partial(
                self._schedules.raise_alerts,
                event,
                names,
                config=schedule.config,
                payload=payload(kind, schedule, fire, at=now),
                now=now,
            )
        )

    async def _keep_alive(self) -> None:
        for name, due in list(self._tasks):
            await self._stored(partial(self._schedules.beat, _named(name, due), self._owner))

    async def _deliver(self) -> None:
        while (line := await self._deliverer.deliver_one(self._clock.now)) is not None:
            self._log(line)

    async def _pause(self) -> None:
        """Until the next due time, but not longer than ``look`` seconds, and not when something ends."""
        self._wake.clear()
        if self._draining and not self._tasks:
            return
        waiting = [asyncio.ensure_future(self._wake.wait()), asyncio.ensure_future(self._clock.sleep(self._wait()))]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    def _wait(self) -> float:
        """Seconds to the next look."""
        now = self._clock.now()
        due = []
        for each in self._scheduled:
            try:
                due.append((Times(each.cron, each.zone).after(now) - now).total_seconds())
            except ConfigError:
                continue
        return max(0.0, min([self._pace.look, *due]))

    async def _stored(self, work: Callable[[], T]) -> T:
        return await asyncio.to_thread(work)


def _named(name: str, due: datetime) -> Fire:
    return Fire(name, due, "running", "", 0, 0, due)


def _badness(code: int) -> int:
    return _WORST.index(code) if code in _WORST else len(_WORST)


@dataclass(slots=True)
class _Process:
    process: asyncio.subprocess.Process

    async def wait(self) -> tuple[int, str]:
        out, err = await asyncio.gather(_tail(self.process.stdout), _tail(self.process.stderr))
        code = await self.process.wait()
        told = [line for line in err.splitlines() if line.startswith("probe: ")] or out.splitlines()[-1:]
        return code, safe_text(told[-1].removeprefix("probe: ") if told else "", one_line=True, limit=500)

    def interrupt(self) -> None:
        try:
            self.process.send_signal(signal.SIGTERM)
        except ProcessLookupError:
            return


async def _tail(stream: asyncio.StreamReader | None) -> str:
    """The end of what is written to ``stream``."""
    kept = b""
    while stream is not None and (piece := await stream.read(_TAIL)):
        kept = (kept + piece)[-_TAIL:]
    return kept.decode("utf-8", "replace")


async def start_process(schedule: Schedule) -> Running:
    """``probe`` with the schedule's arguments, in the folder of its config."""
    return _Process(
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "probe.schedules.child",
            str(os.getpid()),
            *schedule.command,
            "--config",
            schedule.config,
            cwd=os.path.dirname(schedule.config) or ".",  # noqa: PTH120 - a stored text
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches the scheduler alone, which then asks for an orderly stop
        )
    )

"""Runs carried out by the service itself: a queue in the database, a thread for each run that works.

A run has a loop of its own in a thread of its own, so that pages go on being answered. Two runs that ask the same endpoint
wait for each other: each would keep the endpoint's limits by itself, and both together would not. What this process leaves
undone, because it is told to stop or is killed, waits again; nothing is paid for twice (see the ledger).
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any, Final, TypeAlias

from adapters import Secrets
from probe.api import arun
from probe.clock import Clock
from probe.engine.run import Runner
from probe.engine.survey_run import SurveyRunner
from probe.errors import ConfigError, ProbeError
from probe.results import Results
from probe.setup import Project
from probe.survey_api import arun_surveys
from probe.web.live import Live
from probe.web.logs import EventLog
from storage import StorageError, Store
from storage import jobs as queue
from storage.jobs import Job

_log = logging.getLogger("probe.web")

_TICK: Final = 1.0  #: seconds between looks at the queue
_SILENT: Final = timedelta(seconds=10)  #: after which a process that said nothing is taken for dead
_ENDED: Final = 50  #: runs that are over and whose last words are kept

#: what a job may say: ``arun``'s arguments, and ``surveys`` for those of the config instead of its probes
OPTIONS: Final = ("only", "budget", "rate", "max_time", "seed", "surveys")

AnyRunner: TypeAlias = Runner | SurveyRunner


@dataclasses.dataclass(slots=True)
class _Working:
    """A job in its thread."""

    job: Job
    endpoints: frozenset[str]
    live: Live
    task: asyncio.Task[None] | None = None
    runner: AnyRunner | None = None
    loop: asyncio.AbstractEventLoop | None = None
    cancelled: bool = False


class Jobs:
    """The queue and those who work on it. ``folder``: where configs are; ``url``: the database's, with its password."""

    def __init__(
        self,
        store: Store,
        *,
        url: str,
        folder: Path,
        environment: Mapping[str, str],
        secrets: Secrets,
        clock: Clock,
        most: int = 4,
    ) -> None:
        self.folder = folder
        self.draining = False
        self._closed = False
        self._store = store
        self._url = url
        self._environment = environment
        self._secrets = secrets
        self._clock = clock
        self._most = most
        self._owner = f"{os.getpid()}-{token_hex(4)}"
        self._working: dict[str, _Working] = {}
        self._ended: dict[str, Live] = {}
        self._wake = asyncio.Event()
        self._service_loop: asyncio.AbstractEventLoop | None = None

    # -- asked by pages, in any thread -----------------------------------------------------------------------------------

    def configs(self) -> list[str]:
        """The configs in the folder, by their paths in it."""
        found = (*self.folder.glob("*.yaml"), *self.folder.glob("*.yml"), *self.folder.glob("*/*.yaml"))
        return sorted(
            str(path.relative_to(self.folder))
            for path in found
            if path.is_file() and not any(part.startswith(".") for part in path.relative_to(self.folder).parts)
        )

    def submit(self, config: str, options: Mapping[str, Any], *, by: str) -> Job:
        """Put a run into the queue. Raises :class:`ConfigError`: there is no such config, or it is wrong."""
        if self.draining:
            raise ConfigError("the service is stopping; submit again when it is back")
        given = {
            name: value for name, value in options.items() if name in OPTIONS and value not in (None, "", False, [])
        }
        self._endpoints(config, given)  # whatever is wrong is said now
        job = Job(token_hex(6), config, given, by, self._clock.now())
        queue.submit(self._store, job)
        self._nudge()
        return job

    def cancel(self, job_id: str) -> Job:
        """Take a job out of the queue, or let the run end: what is in flight is answered and kept. Raises ``NotFound``."""
        queue.get(self._store, job_id)
        if not queue.cancel(self._store, job_id, now=self._clock.now()):
            working = self._working.get(job_id)
            if working is not None:
                working.cancelled = True
                _interrupt(working)
        return queue.get(self._store, job_id)

    def live(self, job_id: str) -> Live | None:
        """How a job goes, if it is one of ours."""
        working = self._working.get(job_id)
        return working.live if working is not None else self._ended.get(job_id)

    def live_of_run(self, run_id: str) -> Live | None:
        """The same for a run."""
        return next((each for each in self.working() if each.run_id == run_id), None)

    def working(self) -> list[Live]:
        """The runs that work here."""
        return [each.live for each in list(self._working.values())]

    # -- the service's loop ------------------------------------------------------------------------------------------------

    async def work(self) -> None:
        """Take jobs from the queue until :meth:`drain` is done."""
        self._service_loop = asyncio.get_running_loop()
        while not self._closed:
            self._wake.clear()
            try:
                await asyncio.to_thread(self._keep_house)
                if not self.draining:
                    await self._start_some()
            except StorageError as error:
                _log.error("queue", extra={"error": str(error)})
            with suppress(TimeoutError):
                async with asyncio.timeout(_TICK):
                    await self._wake.wait()

    async def drain(self) -> None:
        """Start nothing more, let what is in flight be answered and recorded, and give back what is not done."""
        self.stop()
        tasks = [each.task for each in self._working.values() if each.task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)
        self._closed = True
        self._wake.set()

    def stop(self) -> None:
        """As :meth:`drain`, without waiting; may be called from a signal handler."""
        self.draining = True
        for working in list(self._working.values()):
            _interrupt(working)

    def _nudge(self) -> None:
        if self._service_loop is not None:
            self._service_loop.call_soon_threadsafe(self._wake.set)

    def _keep_house(self) -> None:
        now = self._clock.now()
        if self._working:
            queue.beat(self._store, self._owner, now)
        queue.put_back(self._store, silent_since=now - _SILENT)

    async def _start_some(self) -> None:
        for job in await asyncio.to_thread(queue.listed, self._store, status="queued", newest=False):
            if len(self._working) >= self._most:
                return
            try:
                endpoints = await asyncio.to_thread(self._endpoints, job.config, job.options)
            except ProbeError as error:
                await asyncio.to_thread(self._refuse, job, str(error))
                continue
            if any(endpoints & each.endpoints for each in self._working.values()):
                continue
            if await asyncio.to_thread(queue.take, self._store, job.id, owner=self._owner, now=self._clock.now()):
                working = _Working(job, endpoints, Live(monotonic=self._clock.monotonic))
                self._working[job.id] = working
                working.task = asyncio.create_task(self._carry_out(working))

    async def _carry_out(self, working: _Working) -> None:
        try:
            await asyncio.to_thread(self._run, working)
        finally:
            working.live.end()
            self._ended[working.job.id] = working.live
            for old in list(self._ended)[:-_ENDED]:
                del self._ended[old]
            del self._working[working.job.id]
            self._wake.set()

    # -- the job's thread --------------------------------------------------------------------------------------------------

    def _run(self, working: _Working) -> None:
        job = working.job
        told = EventLog(job.id)

        def hear(event: Any) -> None:
            working.live.hear(event)
            told.hear(event)
            if type(event).__name__ == "RunStarted":
                queue.change(self._store, job.id, owner=self._owner, run_id=event.run_id)

        def begun(runner: AnyRunner) -> None:
            working.runner, working.loop = runner, asyncio.get_running_loop()
            if self.draining or working.cancelled:
                runner.interrupt()

        path = self.folder / job.config
        if path.is_relative_to(Path.cwd()):  # a run is called what it would be called on the command line
            path = path.relative_to(Path.cwd())
        options = {name: value for name, value in job.options.items() if name != "surveys"}
        carry_out: Any = arun_surveys if job.options.get("surveys") else arun
        try:
            results: Results = asyncio.run(
                carry_out(
                    path, **options, storage=self._url, environment=self._environment, on_event=hear, on_runner=begun
                )
            )
        except (ProbeError, StorageError) as error:
            self._end(working, "failed", getattr(error, "exit_code", 5), str(error))
        except Exception as error:
            _log.exception("job", extra={"job": job.id, "run": working.live.run_id})
            if working.live.run_id is not None:  # what is answered is kept; the same work goes on from there
                self._store.finish_run(working.live.run_id, "interrupted", self._clock.now(), {})
            self._end(working, "failed", None, f"{type(error).__name__}: {error}")
            raise
        else:
            left = results.exit_code == 130
            if left and not working.cancelled:
                queue.give_back(self._store, job.id, owner=self._owner)
            else:
                why = "; ".join(results.reasons[:3]) or None
                self._end(working, "cancelled" if working.cancelled and left else "finished", results.exit_code, why)

    def _end(self, working: _Working, status: str, exit_code: int | None, error: str | None) -> None:
        queue.change(
            self._store,
            working.job.id,
            owner=self._owner,
            status=status,
            exit_code=exit_code,
            error=None if error is None else self._secrets.redact(error),
            finished=self._clock.now(),
        )

    def _refuse(self, job: Job, error: str) -> None:
        now = self._clock.now()
        if queue.take(self._store, job.id, owner=self._owner, now=now):
            queue.change(
                self._store, job.id, owner=self._owner, status="failed", exit_code=2, error=error, finished=now
            )

    def _endpoints(self, config: str, options: Mapping[str, Any]) -> frozenset[str]:
        """The endpoints that a job asks. Raises :class:`ConfigError`."""
        if config not in self.configs():
            raise ConfigError(
                f"there is no config {config!r} in {self.folder}; there are {', '.join(self.configs()) or 'none'}"
            )
        project = Project.load(self.folder / config, environment=self._environment, rate=options.get("rate"))
        surveys = bool(options.get("surveys"))
        entries: Mapping[str, Any] = project.config.surveys if surveys else project.config.probes
        if not entries:
            raise ConfigError(f"{config}: it has no {'surveys' if surveys else 'probes'}")
        only = options.get("only") or list(entries)
        unknown = [name for name in only if name not in entries]
        if unknown:
            raise ConfigError(f"{config}: it has no {unknown[0]!r}; it has {', '.join(entries)}")
        project.settings(budget=options.get("budget"), max_time=options.get("max_time"), seed=options.get("seed"))
        names = dict.fromkeys(name for entry in only for name in entries[entry].endpoints)
        return frozenset(project.remote(name).record.id for name in names)


def _interrupt(working: _Working) -> None:
    if working.runner is not None and working.loop is not None and not working.loop.is_closed():
        working.loop.call_soon_threadsafe(working.runner.interrupt)

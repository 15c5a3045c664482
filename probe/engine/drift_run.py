"""Making baselines and carrying out checks, through the dispatcher, the limits, the budget and the ledger.

Nothing is kept of where one of them stands: killed at any point, the same command asks the same questions in the same order,
and the ledger answers those that were answered.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from probe.clock import Clock
from probe.drift.build import Build
from probe.drift.check import Check, Verdict, learnt, summary
from probe.drift.effect import Effect, effect
from probe.drift.noise import NoRepeats
from probe.drift.suite import Suite
from probe.engine.dispatch import Dispatcher
from probe.engine.drift_ask import Questions, Way, questions
from probe.engine.drift_stored import digest, grown, past, probe_rows, read_suite
from probe.engine.drift_task import WatchTask
from probe.engine.events import Listener, RunFinished, RunStarted, silent
from probe.engine.outcome import Stop
from probe.engine.run import OpenTransport, RunSettings
from probe.engine.stats import summed
from probe.errors import ConfigError
from storage import Baseline, Baselines, CheckRecord, NotFound, Store, records

_TAKEN_UP = timedelta(
    hours=6
)  #: a check that was killed is taken up for so long; its first answers are of the same day


@dataclass(frozen=True, slots=True)
class Made:
    """How making a baseline went. ``suite`` is ``None``, and ``stop`` says why, if it is not finished."""

    baseline: Baseline
    run: records.Run
    suite: Suite | None
    stop: Stop | None

    @property
    def exit_code(self) -> int:
        """As the command line reports it."""
        return 0 if self.suite is not None else exit_code_of(self.stop)


@dataclass(frozen=True, slots=True)
class Checked:
    """How a check went. ``verdict`` is ``None`` if it was interrupted and can be taken up."""

    baseline: Baseline
    record: CheckRecord
    run: records.Run
    suite: Suite
    verdict: Verdict | None
    effect: Effect | None
    stop: Stop | None

    @property
    def exit_code(self) -> int:
        """0: no change found, 1: alarm, 3: inconclusive, 130: interrupted."""
        if self.verdict is None:
            return exit_code_of(self.stop)
        return {"no change found": 0, "alarm": 1, "inconclusive": 3}[self.verdict.kind]


def exit_code_of(stop: Stop | None) -> int:
    """What an endpoint that was stopped comes to."""
    kind = "" if stop is None else stop.kind
    return {"interrupted": 130, "auth": 4, "broken": 4, "down": 4, "usage": 2}.get(kind, 3)


class _Runner:
    """What making a baseline and checking have in common. Use once."""

    def __init__(
        self,
        task: WatchTask,
        store: Store,
        *,
        settings: RunSettings,
        open_transport: OpenTransport,
        clock: Clock | None = None,
        emit: Listener = silent,
        new_id: Callable[[], str] = lambda: secrets.token_hex(4),
    ) -> None:
        self._task = task
        self._store = store
        self._kept = Baselines(store)
        self._clock = clock or Clock()
        self._way = Way(store, settings, open_transport, self._clock, emit)
        self._new_id = new_id
        self._dispatcher: Dispatcher | None = None
        self._interrupted = False

    def interrupt(self) -> None:
        """Send nothing more and wait for what is in flight. The same command goes on later."""
        self._interrupted = True
        if self._dispatcher is not None:
            self._dispatcher.stop("interrupted", "interrupted; run the same command to go on")

    def _hold(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        if self._interrupted:
            self.interrupt()

    def _begin(self, run_id: str | None, what: str, expected: int) -> records.Run:
        """The run of ``run_id``, or a new one, which is stored."""
        settings, task = self._way.settings, self._task
        settings.budget.check({task.remote.adapter.name: task.remote.adapter.price})
        if run_id is not None:
            run = self._store.run(run_id)
        else:
            run = records.Run(
                id=self._new_id(),
                name=f"{settings.name} ({what} {task.name})",
                config_sha=digest([what, task.name, self._new_id()]),
                config=settings.config,
                code_version=settings.code_version,
                seed=settings.seed,
                started=self._clock.now(),
            )
            self._store.put_endpoint(task.remote.record)
            self._store.start_run(run)
        self._way.emit(RunStarted(run.id, run.seed, run_id is not None, 1, expected, 0, 0))
        return run

    async def _end(self, run: records.Run, asked: Questions, status: records.RunStatus) -> records.Run:
        totals = {"from_ledger": asked.from_ledger}
        if self._dispatcher is not None:
            totals |= summed([self._dispatcher.stats])
        finished = self._clock.now()
        await asyncio.to_thread(self._store.finish_run, run.id, status, finished, totals)
        self._way.emit(RunFinished(run.id, status, totals))
        return replace(run, status=status, finished=finished, totals=totals)


class BaselineRunner(_Runner):
    """Makes a baseline: ``made = await BaselineRunner(...).run()``."""

    async def run(self, *, replacing: bool = False) -> Made:
        """Returns when the baseline is ready, or it is known why not; then the same command goes on.

        Raises:
            ConfigError: there is one already and not ``replacing``, or nothing can be made of the inputs.
            storage.StorageError: the database failed; what was answered before is kept.
        """
        task = self._task
        baseline = await asyncio.to_thread(self._place, replacing)
        build = Build(
            [(item.name, item.instance) for item in task.items],
            task.build,
            rng=np.random.default_rng([self._way.settings.seed, len(task.items)]),
            kind=task.answers,
        )
        resumed = baseline.run_id or None
        run = await asyncio.to_thread(self._begin, resumed, "baseline", len(build.ask()))
        baseline = replace(baseline, run_id=run.id)
        await asyncio.to_thread(self._kept.put, baseline)
        way, occasion = self._way, f"baseline {baseline.id}"
        async with questions(
            task.remote, way, run_id=run.id, occasion=occasion, what=task.name, hold=self._hold
        ) as asked:
            while (wanted := build.ask()) and asked.stopped is None:
                answers = await asked.ask(wanted)
                if asked.stopped is None:
                    build.tell(answers)
        if build.suite is None:
            status: records.RunStatus = "interrupted" if self._interrupted else "partial"
            return Made(baseline, await self._end(run, asked, status), None, asked.stopped)
        suite = build.suite
        try:
            Check(suite, alpha=task.alpha)
        except NoRepeats as error:
            await self._end(run, asked, "failed")
            raise ConfigError(
                f"baseline {task.name!r}: {error}; ask more inputs, more often (doubles, repeats)"
            ) from error
        ready = replace(baseline, status="ready", finished=self._clock.now(), noise=suite.noise.as_json())
        rows, instances = probe_rows(suite, task.kind)
        await asyncio.to_thread(self._kept.finish, ready, rows, instances)
        return Made(ready, await self._end(run, asked, "finished"), suite, None)

    def _place(self, replacing: bool) -> Baseline:
        """The unfinished one of the same settings, or a new one without a run."""
        task = self._task
        seed = self._way.settings.seed
        inputs = digest([item.id for item in task.items]).hex()
        settings = {**task.settings(), "inputs": inputs, "seed": seed, "alpha": task.alpha}
        found = self._kept.all(task.name)
        for each in found:
            same = (each.endpoint_id, dict(each.settings)) == (task.remote.record.id, settings)
            if each.status == "building" and same:
                return each
        ready = next((each for each in found if each.status == "ready"), None)
        if ready is not None and not replacing:
            raise ConfigError(
                f"there is a baseline {task.name!r} of {ready.started:%Y-%m-%d}; `probe check {task.name}` compares with it, "
                "--replace makes a new one"
            )
        return Baseline(
            id=self._new_id(),
            name=task.name,
            endpoint_id=task.remote.record.id,
            run_id="",
            status="building",
            started=self._clock.now(),
            settings=settings,
        )


class CheckRunner(_Runner):
    """Carries out one check: ``checked = await CheckRunner(...).run()``."""

    async def run(self) -> Checked:
        """Returns with a verdict, or without one if it was interrupted.

        Raises:
            ConfigError: there is no such baseline, it is of another endpoint, its change was accepted, or nothing can be told
                with it.
            storage.StorageError: the database failed; what was answered before is kept.
        """
        task = self._task
        try:
            baseline = await asyncio.to_thread(self._kept.current, task.name)
        except NotFound as error:
            raise ConfigError(str(error)) from error
        self._refuse(baseline)
        suite, checks = await asyncio.to_thread(loaded, self._kept, baseline)
        record = await asyncio.to_thread(self._taken_up, checks)
        began = record.started if record is not None else self._clock.now()
        earlier = [each for each in checks if record is None or each.id != record.id]
        check = checking(suite, task, earlier, now=began)
        known = None if record is None else record.run_id
        run = await asyncio.to_thread(self._begin, known, "check", len(check.canary))
        record = record or CheckRecord(self._new_id(), baseline.id, run.id, run.started)
        await asyncio.to_thread(self._kept.put_check, record)
        way, occasion = self._way, f"check {record.id}"
        found: Effect | None = None
        async with questions(
            task.remote, way, run_id=run.id, occasion=occasion, what=task.name, hold=self._hold
        ) as asked:
            while wanted := check.instances():
                check.tell(await asked.ask(wanted))
                if asked.stopped is not None and asked.stopped.kind == "interrupted":
                    break
            verdict = check.verdict
            if verdict is not None and verdict.kind == "alarm":
                found = await self._followed_up(asked, suite)
        stop = asked.stopped
        if verdict is None or (stop is not None and stop.kind == "interrupted"):
            return Checked(baseline, record, await self._end(run, asked, "interrupted"), suite, None, None, stop)
        if stop is not None and verdict.kind == "no change found":
            why = f"it did not come to its end: {stop.reason}"
            verdict = replace(verdict, kind="inconclusive", why=why)
        record = await self._saved(record, verdict, found)
        run = await self._end(run, asked, "finished" if stop is None else "partial")
        return Checked(baseline, record, run, suite, verdict, found, stop)

    async def _followed_up(self, asked: Questions, suite: Suite) -> Effect | None:
        """How much has changed on the natural inputs: bought only after an alarm."""
        natural = suite.of("natural")[: self._task.followup]
        answers = await asked.ask([probe.instance for probe in natural]) if natural else []
        if not any(answer is not None for answer in answers):
            return None
        references = [probe.reference for probe in natural]
        return effect(references, answers, noise=suite.noise.rate, kind=suite.kind)

    async def _saved(self, record: CheckRecord, verdict: Verdict, found: Effect | None) -> CheckRecord:
        _, cost = await asyncio.to_thread(self._store.spent, record.run_id)
        result = {
            **summary(verdict),
            "effect": None if found is None else found.as_json(),
            "learnt": {
                str(place): [answer.as_json() for answer in answers] for place, answers in learnt(verdict).items()
            },
        }
        over = replace(record, finished=self._clock.now(), verdict=verdict.kind, cost_micro=cost, result=result)
        await asyncio.to_thread(self._kept.put_check, over)
        return over

    def _refuse(self, baseline: Baseline) -> None:
        task = self._task
        if baseline.status == "accepted":
            raise ConfigError(
                f"baseline {task.name!r}: its endpoint's change was accepted on {baseline.accepted_at:%Y-%m-%d}; "
                f"`probe baseline create {task.name}` makes a new one to compare with"
            )
        if baseline.endpoint_id != task.remote.record.id:
            raise ConfigError(
                f"baseline {task.name!r}: it was made of another endpoint than {task.remote.adapter.name!r} is now (its url, "
                f"model or request differ); `probe baseline create {task.name} --replace` makes a new one"
            )

    def _taken_up(self, checks: list[CheckRecord]) -> CheckRecord | None:
        """The check that was killed, if that was not long ago; an older one is closed without a verdict on the endpoint."""
        last = checks[-1] if checks else None
        if last is None or last.verdict is not None:
            return None
        now = self._clock.now()
        if now - last.started <= _TAKEN_UP:
            return last
        self._kept.put_check(
            replace(last, finished=now, verdict="inconclusive", result={"why": "it never came to its end"})
        )
        return None


def loaded(kept: Baselines, baseline: Baseline) -> tuple[Suite, list[CheckRecord]]:
    """The probes of ``baseline`` with what unchanged checks added, and all checks, oldest first."""
    checks = kept.checks(baseline.id)
    suite = read_suite(kept.probes(baseline.id), baseline.noise, baseline.settings["answers"])
    return grown(suite, checks), checks


def checking(suite: Suite, task: WatchTask, earlier: list[CheckRecord], *, now: datetime) -> Check:
    """The check that would be carried out now. Raises :class:`ConfigError` if nothing can be told with ``suite``."""
    try:
        return Check(
            suite,
            past(earlier, now=now),
            alpha=task.alpha,
            per_point=task.per_point,
            together=task.together,
        )
    except NoRepeats as error:
        raise ConfigError(f"baseline {task.name!r}: {error}; make a new one with more doubles or repeats") from error

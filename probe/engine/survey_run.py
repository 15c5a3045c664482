"""A survey from beginning to end: the sets as they are, the altered rows, the explanations of single inputs, the readings.

As in ``run.py``, the only state that matters is in the database: killed at any point, the same command goes on.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

import numpy as np
from asyncio_throttle.throttler import Throttler

from adapters import Adapter
from probe.clock import Clock
from probe.engine.concurrency import all_of, batches
from probe.engine.dispatch import Dispatcher
from probe.engine.events import EvaluationDone, Event, Listener, ProbeFinished, RunFinished, RunStarted, silent
from probe.engine.explained import finished_event
from probe.engine.journal import AsyncJournal
from probe.engine.outcome import Stop
from probe.engine.purse import shared_budget
from probe.engine.run import OpenTransport, Runner, RunResult, RunSettings
from probe.engine.shared import shared_throttler
from probe.engine.shipment import Answer
from probe.engine.stats import summed
from probe.engine.stored import read_predictions
from probe.engine.survey_record import parts_of, survey_record
from probe.engine.survey_tasks import Need, SurveyState, SurveyTask, collect
from probe.engine.tasks import ProbeTask, Remote, check_readings
from probe.engine.throttle import PacedThrottler
from probe.surveys import Reading
from probe.surveys.beeswarm import Beeswarm, gather
from probe.targets import TargetSpec
from storage import Journal, Store, records

_OF_THE_RUN = (RunStarted, ProbeFinished, RunFinished)


def survey_digest(tasks: Sequence[SurveyTask]) -> bytes:
    """What makes two surveys the same work."""
    parts = [
        [task.probe, task.inputs.id, task.remote.record.id, task.method.name, task.params_hash().hex()]
        for task in tasks
    ]
    return hashlib.sha256(json.dumps(["survey", parts]).encode()).digest()


class SurveyRunner:
    """Carries out one run of surveys. Use once: ``result = await SurveyRunner(...).run()``."""

    def __init__(
        self,
        tasks: Sequence[SurveyTask],
        store: Store,
        *,
        settings: RunSettings,
        open_transport: OpenTransport,
        clock: Clock | None = None,
        emit: Listener = silent,
        new_id: Callable[[], str] = lambda: secrets.token_hex(4),
    ) -> None:
        self._tasks = tasks
        self._store = store
        self._settings = settings
        self._open_transport = open_transport
        self._clock = clock or Clock()
        self._emit = emit
        self._new_id = new_id
        self._states: list[SurveyState] = []
        self._dispatchers: dict[str, Dispatcher] = {}
        self._throttlers: dict[str, Throttler] = {}
        self._inner: Runner | None = None
        self._interrupted = False
        self._unsure = 0
        self._probes: list[records.Probe] = []
        self._locals: list[RunResult] = []

    def interrupt(self) -> None:
        """Send nothing more, wait for what is in flight, store everything. The same command goes on later."""
        self._interrupted = True
        for dispatcher in self._dispatchers.values():
            dispatcher.stop("interrupted", "interrupted; run the same command to go on")
        if self._inner is not None:
            self._inner.interrupt()

    async def run(self) -> RunResult:
        """Returns when every method is read, or it is known why not.

        Raises:
            ConfigError: a set does not allow its method, a secret is not set, …; nothing was sent.
            storage.StorageError: the database failed; what was answered before is kept.
        """
        remotes = self._remotes()
        self._states = await asyncio.to_thread(lambda: [SurveyState.of(task) for task in self._tasks])
        self._started = self._clock.now()
        digest = survey_digest(self._tasks)
        earlier = await asyncio.to_thread(self._store.resumable_run, digest, self._settings.seed)
        run_id = None if earlier is None else earlier.id
        needs = await asyncio.to_thread(
            collect, self._states, lookup=self._store.lookup, now=self._started, run_id=run_id
        )
        self._run = earlier or self._new_run(digest)
        async with AsyncExitStack() as stack:
            transports = {id_: self._open_transport(remote.adapter) for id_, remote in remotes.items()}
            for transport in transports.values():
                stack.push_async_callback(transport.aclose)
            await asyncio.to_thread(self._store_subjects, new=earlier is None)
            self._budget = await shared_budget(self._settings.budget, self._store, self._run.id, stack)
            journal = Journal(self._store)
            stack.push_async_callback(asyncio.to_thread, journal.close)
            for endpoint_id, remote in remotes.items():
                self._dispatchers[endpoint_id] = Dispatcher(
                    remote.adapter,
                    transports[endpoint_id],
                    endpoint_id=endpoint_id,
                    run_id=self._run.id,
                    journal=AsyncJournal(journal),
                    budget=self._budget,
                    throttler=self._throttler(remote.adapter, stack),
                    policy=self._settings.policy,
                    clock=self._clock,
                    rng=np.random.default_rng([self._settings.seed, len(self._dispatchers)]),
                    emit=self._emit,
                )
            if self._interrupted:
                self.interrupt()
            self._announce(needs, resumed=earlier is not None)
            if self._settings.max_time is not None:
                seconds = self._settings.max_time.total_seconds()
                stack.callback(asyncio.get_running_loop().call_later(seconds, self._time_is_up, seconds).cancel)
            await self._stage(needs, of_set=True)
            for state in self._states:
                state.settle()
            await self._stage(needs, of_set=False)
            for state in self._states:
                await self._save(state, await self._reading(state))
        return await self._finish()

    def _time_is_up(self, seconds: float) -> None:
        for dispatcher in self._dispatchers.values():
            dispatcher.stop("time", f"the {seconds:g} s that it may take are over; run the same command to go on")
        if self._inner is not None:
            self._inner.time_is_up(seconds)

    # -- setting out ----------------------------------------------------------------------------------------------------

    def _remotes(self) -> dict[str, Remote]:
        """The endpoints by record id. Raises :class:`ConfigError`."""
        check_readings(self._tasks)
        remotes = {task.remote.record.id: task.remote for task in self._tasks}
        self._settings.budget.check({each.adapter.name: each.adapter.price for each in remotes.values()})
        return remotes

    def _new_run(self, digest: bytes) -> records.Run:
        settings = self._settings
        return records.Run(
            id=self._new_id(),
            name=settings.name,
            config_sha=digest,
            config=settings.config,
            code_version=settings.code_version,
            seed=settings.seed,
            started=self._started,
        )

    def _store_subjects(self, *, new: bool) -> None:
        if new:
            self._store.start_run(self._run)
        for record in {task.remote.record.id: task.remote.record for task in self._tasks}.values():
            self._store.put_endpoint(record)
        for inputs in {task.inputs.id: task.inputs for task in self._tasks}.values():
            self._store.put_instance(records.Instance(inputs.id, inputs.kind, inputs.name, inputs.content()))

    def _throttler(self, adapter: Adapter, stack: AsyncExitStack) -> Throttler | None:
        """One for the set's rows and the explanations of single inputs after them: the limit does not begin anew."""
        limits = adapter.limits
        throttler = self._settings.throttlers.get(adapter.name)
        if throttler is None:
            throttler = shared_throttler(adapter, self._store, clock=self._clock)
            if throttler is not None:
                stack.push_async_callback(throttler.aclose)
        if throttler is None and limits.rate is not None:
            throttler = PacedThrottler(limits.rate, limits.period, more=limits.more, clock=self._clock)
        if throttler is not None:
            self._throttlers[adapter.name] = throttler
        return throttler

    def _announce(self, rounds: Mapping[str, Mapping[bytes, Need]], *, resumed: bool) -> None:
        needs = [need for each in rounds.values() for need in each.values()]
        known = sum(need.known for need in needs)
        self._unsure = sum(need.unsure for need in needs)
        missing = len(needs) - known
        run = self._run
        self._emit(RunStarted(run.id, run.seed, resumed, len(self._tasks), missing, known, self._unsure))

    # -- asking ---------------------------------------------------------------------------------------------------------

    async def _stage(self, rounds: Mapping[str, Mapping[bytes, Need]], *, of_set: bool) -> None:
        await all_of(self._ask(endpoint_id, needs, of_set=of_set) for endpoint_id, needs in rounds.items())

    async def _ask(self, endpoint_id: str, needs: Mapping[bytes, Need], *, of_set: bool) -> None:
        states = [state for state in self._states if state.task.remote.record.id == endpoint_id]
        wanted = [need for need in needs.values() if need.of_set == of_set]
        if not of_set:  # nobody needs more of a set that has no target
            open_ = frozenset().union(*(state.distinct for state in states if state.target is not None))
            wanted = [need for need in wanted if need.key in open_]
        dispatcher = self._dispatchers[endpoint_id]
        for part in batches([need for need in wanted if need.known], 256):
            entries = [(need.entry, dispatcher.adapter) for need in part if need.entry is not None]
            predictions = await asyncio.to_thread(read_predictions, self._store, entries)
            for need, (entry, _), prediction in zip(part, entries, predictions, strict=True):
                for state in states:
                    if need.key in state.distinct:
                        state.put(need.key, entry, prediction)
                        state.from_ledger += 1

        def on_answer(answer: Answer) -> None:
            entry = answer.entry
            waiting = [state for state in states if entry.key in state.distinct]
            waiting[0].cost_micro += entry.cost_micro
            waiting[0].request_shares += entry.attempts / max(entry.items, 1)
            for state in waiting:
                state.put(entry.key, entry, answer.prediction)
            self._emit(EvaluationDone(dispatcher.adapter.name, needs[entry.key].probes, entry.state, entry.elapsed))

        await dispatcher.run((need.job() for need in wanted if not need.known), on_answer)

    # -- reading and ending ---------------------------------------------------------------------------------------------

    async def _reading(self, state: SurveyState) -> Reading | None:
        if not isinstance(state.task.method, Beeswarm):
            return await asyncio.to_thread(state.read)
        state.read()  # which says why there is no target, if there is none
        target = state.target
        if target is None or state.failure is not None:
            return None
        if self._dispatchers[state.task.remote.record.id].stopped is not None:
            state.failure = "stopped before the single inputs were explained; run the same command to go on"
            return None
        asked = TargetSpec(target.name, target.labels)
        result = await self._explained([replace(task, target=asked) for task in state.task.locals_])
        for probe in result.probes:
            state.cost_micro += probe.cost_micro
            state.request_shares += probe.requests
            state.explaining += probe.evaluations
        instances = {item.id: item for item in state.task.inputs.items}
        taken = [
            (instances[probe.instance_id].name, parts)
            for probe in result.probes
            if probe.attributions and (parts := parts_of(probe, instances[probe.instance_id].instance)) is not None
        ]
        try:
            reading = gather(taken, state.task.method, state.task.seed)
        except ValueError as error:
            state.failure = next((probe.error for probe in result.probes if probe.error), str(error))
            return None
        return replace(reading, details={**reading.details, "run": result.run.id})

    async def _explained(self, tasks: Sequence[ProbeTask]) -> RunResult:
        """The explanations of single inputs, as a run of their own under the same budget and limits."""
        name = f"{self._settings.name} (single inputs)"
        settings = replace(
            self._settings, name=name, throttlers=self._throttlers, budget=self._budget, max_time=None
        )  # whose time is ours
        self._inner = Runner(
            tasks,
            self._store,
            settings=settings,
            open_transport=self._open_transport,
            clock=self._clock,
            emit=self._hear,
        )
        if self._interrupted:
            self._inner.interrupt()
        result = await self._inner.run()
        self._locals.append(result)
        return result

    def _hear(self, event: Event) -> None:
        if not isinstance(event, _OF_THE_RUN):
            self._emit(event)

    async def _save(self, state: SurveyState, reading: Reading | None) -> None:
        task = state.task
        parts = [self._run.id, task.probe, task.inputs.id, task.remote.record.id, task.method.name]
        id_ = hashlib.sha256("\n".join([*parts, task.params_hash().hex()]).encode()).hexdigest()[:12]
        probe = survey_record(state, reading, id_=id_, run=self._run, started=self._started, finished=self._clock.now())
        await asyncio.to_thread(self._store.save_probe, probe)
        self._probes.append(probe)
        self._emit(finished_event(probe, instance=task.inputs.name, endpoint=task.remote.adapter.name))

    async def _finish(self) -> RunResult:
        stops: dict[str, Stop] = {}
        for result in self._locals:
            stops |= result.stops
        stops |= {each.adapter.name: each.stopped for each in self._dispatchers.values() if each.stopped is not None}
        usage_errors = tuple(state.failure for state in self._states if state.failure_is_usage and state.failure)
        whole = not stops and all(probe.status == "finished" for probe in self._probes)
        status: records.RunStatus = "finished" if whole else "interrupted" if self._interrupted else "partial"
        totals = self._totals()
        finished = self._clock.now()
        await asyncio.to_thread(self._store.finish_run, self._run.id, status, finished, totals)
        self._emit(RunFinished(self._run.id, status, totals))
        ended = replace(self._run, status=status, finished=finished, totals=totals)
        return RunResult(ended, tuple(self._probes), stops, usage_errors)

    def _totals(self) -> dict[str, int]:
        """Those of the explanations of single inputs included."""
        own = {
            "evaluations": len({(s.task.remote.record.id, key) for s in self._states for key in s.answers}),
            "from_ledger": sum(state.from_ledger for state in self._states),
            "unsure": self._unsure,
            **summed(dispatcher.stats for dispatcher in self._dispatchers.values()),
        }
        return {name: own[name] + sum(result.run.totals.get(name, 0) for result in self._locals) for name in own}

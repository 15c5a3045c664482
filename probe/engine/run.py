"""A run from beginning to end: ask, send what the ledger lacks, explain, store.

The only state that matters is in the database. Killed at any point, the same command goes on where it stopped: answers are
found in the ledger, and only what was in flight is asked again (and reported as *unsure*).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np
from asyncio_throttle.throttler import Throttler

from adapters import Adapter, Prediction, Transport
from probe.clock import Clock
from probe.engine.answers import Answers, Unexplained
from probe.engine.bills import bills
from probe.engine.budget import Budget
from probe.engine.concurrency import all_of, batches, drained
from probe.engine.dispatch import Dispatcher, summed
from probe.engine.events import EvaluationDone, Listener, RunFinished, RunStarted, silent
from probe.engine.explained import finished_event, probe_record
from probe.engine.journal import AsyncJournal
from probe.engine.known import Earlier
from probe.engine.offline import Missing
from probe.engine.outcome import Stop
from probe.engine.purse import shared_budget
from probe.engine.retry import RetryPolicy
from probe.engine.schedule import Need, Round, collect
from probe.engine.shared import shared_throttler
from probe.engine.shipment import Answer
from probe.engine.stored import read_predictions
from probe.engine.tasks import ProbeTask, Remote, check_readings
from probe.methods.base import Explanation
from storage import Journal, Store, records

_BEAT = 1.0  #: seconds between two words on how it goes

OpenTransport = Callable[[Adapter], Transport]


@dataclass(frozen=True, slots=True)
class RunSettings:
    """What shapes a run besides its tasks."""

    name: str  #: the config's path as given
    config: str  #: its text, as it is stored
    seed: int
    code_version: str
    budget: Budget = field(default_factory=Budget)
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    max_time: timedelta | None = None  #: after which nothing more is sent
    throttlers: Mapping[str, Throttler] = field(default_factory=dict)  #: by endpoint name, instead of our own
    offline: bool = False  #: the ledger answers, however old its answers are, and nobody else


@dataclass(frozen=True, slots=True)
class RunResult:
    """How it went. ``stops``: why endpoints got no more requests, by endpoint name."""

    run: records.Run
    probes: tuple[records.Probe, ...]
    stops: Mapping[str, Stop]
    usage_errors: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """As the command line reports it; see ARCHITECTURE.md."""
        kinds = {stop.kind for stop in self.stops.values()}
        if "interrupted" in kinds:
            return 130
        if kinds & {"auth", "broken", "down"}:
            return 4
        if self.usage_errors or "usage" in kinds:
            return 2
        return 0 if self.run.status == "finished" else 3


def run_digest(tasks: Sequence[ProbeTask]) -> bytes:
    """What makes two runs the same work: the tasks, not the config's spelling."""
    parts = [
        [task.probe, task.item.id, task.remote.record.id, task.method.name, task.params_hash().hex()] for task in tasks
    ]
    return hashlib.sha256(json.dumps(parts).encode()).digest()


class Runner:
    """Carries out one run. Use once: ``result = await Runner(...).run()``."""

    def __init__(
        self,
        tasks: Sequence[ProbeTask],
        store: Store,
        *,
        settings: RunSettings,
        open_transport: OpenTransport,
        clock: Clock | None = None,
        emit: Listener = silent,
        new_id: Callable[[], str] = lambda: secrets.token_hex(4),
    ) -> None:
        # offline, any answer will do
        self._tasks = [replace(task, fresh=timedelta.max) for task in tasks] if settings.offline else tasks
        self._store = store
        self._settings = settings
        self._open_transport = open_transport
        self._clock = clock or Clock()
        self._emit = emit
        self._new_id = new_id
        self._states = [Answers(bill) for bill in bills(self._tasks)]
        self._dispatchers: dict[str, Dispatcher] = {}
        self._interrupted = False
        self._unsure = 0
        self._left: dict[str, int] = {}  # evaluations without an answer, by endpoint
        self._probes: dict[str, records.Probe] = {}
        self._missing: dict[str, Missing] = {}  # offline, by endpoint name

    def interrupt(self) -> None:
        """Send nothing more, wait for what is in flight, store everything. The same command goes on later."""
        self._interrupted = True
        for dispatcher in self._dispatchers.values():
            dispatcher.stop("interrupted", "interrupted; run the same command to go on")

    async def run(self) -> RunResult:
        """Returns when every probe is explained, or it is known why not.

        Raises:
            ConfigError: a budget is too small for its method, a secret is not set, …; nothing was sent.
            storage.StorageError: the database failed; what was answered before is kept.
        """
        remotes = self._remotes()
        digest = run_digest(self._tasks)
        self._started = self._clock.now()
        earlier = await asyncio.to_thread(self._store.resumable_run, digest, self._settings.seed)
        round_ = await asyncio.to_thread(self._first, earlier)
        self._run = run = earlier or self._new_run(digest)
        async with AsyncExitStack() as stack:
            transports = {id_: self._open_transport(remote.adapter) for id_, remote in remotes.items()}
            for transport in transports.values():
                stack.push_async_callback(transport.aclose)
            await asyncio.to_thread(self._store_subjects, new=earlier is None)
            self._budget = await shared_budget(self._settings.budget, self._store, self._run.id, stack)
            journal = Journal(self._store)
            stack.push_async_callback(asyncio.to_thread, journal.close)
            self._open(remotes, transports, AsyncJournal(journal), stack)
            self._announce(run, round_, resumed=earlier is not None)
            if self._settings.max_time is not None:
                seconds = self._settings.max_time.total_seconds()
                stack.callback(asyncio.get_running_loop().call_later(seconds, self.time_is_up, seconds).cancel)
            beat = asyncio.create_task(self._beat())
            stack.callback(beat.cancel)
            await self._rounds(round_)
            for state in self._states:
                await self._explain(state)
        return await self._finish(run)

    async def _rounds(self, round_: Round) -> None:
        while round_.needs:
            await self._carry_out(round_)
            round_ = await asyncio.to_thread(self._collect, self._run.id)
            for state in self._states:
                if state.ended:
                    await self._explain(state)

    # -- setting out ----------------------------------------------------------------------------------------------------

    def _first(self, resumed: records.Run | None) -> Round:
        before = resumed.started if resumed is not None else self._started
        all_bills = [state.bill for state in self._states]
        self._earlier = Earlier(self._store, all_bills, before=before, code_version=self._settings.code_version)
        return self._collect(resumed.id if resumed is not None else None)

    def _collect(self, run_id: str | None) -> Round:
        return collect(
            self._states,
            start=self._earlier.start,
            lookup=self._store.lookup,
            now=self._started,
            run_id=run_id,
            closed={id_ for id_, dispatcher in self._dispatchers.items() if dispatcher.stopped},
        )

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

    def _remotes(self) -> dict[str, Remote]:
        """The endpoints by record id. Raises :class:`ConfigError`."""
        check_readings(self._tasks)
        remotes: dict[str, Remote] = {}
        for task in self._tasks:
            remotes.setdefault(task.remote.record.id, task.remote)
        self._settings.budget.check({each.adapter.name: each.adapter.price for each in remotes.values()})
        return remotes

    def _store_subjects(self, *, new: bool) -> None:
        if new:
            self._store.start_run(self._run)
        for record in {task.remote.record.id: task.remote.record for task in self._tasks}.values():
            self._store.put_endpoint(record)
        for item in {task.item.id: task.item for task in self._tasks}.values():
            self._store.put_instance(records.Instance(item.id, item.kind, item.name, item.content()))

    def _throttler(self, adapter: Adapter, stack: AsyncExitStack) -> Throttler | None:
        """What the settings or a limit shared through the database ask for; ``None``: the dispatcher makes its own."""
        chosen = self._settings.throttlers.get(adapter.name)
        if chosen is not None:
            return chosen
        throttler = shared_throttler(adapter, self._store, clock=self._clock)
        if throttler is not None:
            stack.push_async_callback(throttler.aclose)
        return throttler

    def _open(
        self,
        remotes: Mapping[str, Remote],
        transports: Mapping[str, Transport],
        journal: AsyncJournal,
        stack: AsyncExitStack,
    ) -> None:
        seeds = np.random.SeedSequence(self._settings.seed).spawn(len(remotes))
        for (endpoint_id, remote), seed in zip(remotes.items(), seeds, strict=True):
            self._dispatchers[endpoint_id] = Dispatcher(
                remote.adapter,
                transports[endpoint_id],
                endpoint_id=endpoint_id,
                run_id=self._run.id,
                journal=journal,
                budget=self._budget,
                throttler=self._throttler(remote.adapter, stack),
                policy=self._settings.policy,
                clock=self._clock,
                rng=np.random.default_rng(seed),
                emit=self._emit,
            )
        if self._interrupted:
            self.interrupt()

    def _announce(self, run: records.Run, round_: Round, *, resumed: bool) -> None:
        self._unsure = sum(need.unsure for needs in round_.needs.values() for need in needs)
        known = sum(1 for _ in round_.known())
        missing = sum(map(len, round_.needs.values())) - known
        self._emit(RunStarted(run.id, run.seed, resumed, len(self._tasks), missing, known, self._unsure))

    def time_is_up(self, seconds: float) -> None:
        """Send nothing more: the ``seconds`` that the run may take are over."""
        for dispatcher in self._dispatchers.values():
            dispatcher.stop("time", f"the {seconds:g} s that it may take are over; run the same command to go on")

    async def _beat(self) -> None:
        """Say how it goes, also while nothing happens. In real time: whoever listens is a person."""
        while True:
            await asyncio.sleep(_BEAT)
            for endpoint_id, dispatcher in self._dispatchers.items():
                if (left := self._left.get(endpoint_id, 0)) and dispatcher.stopped is None:
                    self._emit(dispatcher.standing(left))

    # -- one round ------------------------------------------------------------------------------------------------------

    async def _carry_out(self, round_: Round) -> None:
        for id_, needs in round_.needs.items():
            self._left[id_] = sum(not need.known for need in needs)
        known = list(round_.known())
        await self._use_known([need for need in known if need.of_whole])
        await self._send(round_, whole=True)
        for state in self._states:
            state.settle()
        await self._use_known([need for need in known if not need.of_whole])
        await self._send(round_, whole=False)

    async def _send(self, round_: Round, *, whole: bool) -> None:
        async def one(endpoint_id: str) -> None:
            needs = round_.needs[endpoint_id]
            wanted = [key for key in needs.missing(whole=whole) if whole or _wanted(needs.need(key))]
            dispatcher = self._dispatchers[endpoint_id]
            if self._settings.offline:
                missing = self._missing.setdefault(dispatcher.adapter.name, Missing())
                for key in wanted:
                    missing.add(needs.need(key))
                return

            def on_answer(answer: Answer) -> None:
                need = needs.forget(answer.entry.key)
                self._left[endpoint_id] -= 1
                self._deliver(need, answer.entry, answer.prediction)
                probes = tuple(dict.fromkeys(place.state.task.probe for place in need.places))
                name = dispatcher.adapter.name
                self._emit(EvaluationDone(name, probes, answer.entry.state, answer.entry.elapsed))

            await dispatcher.run((needs.need(key).job() for key in drained(wanted)), on_answer)

        await all_of(one(endpoint_id) for endpoint_id in round_.needs)

    async def _use_known(self, needs: Sequence[Need]) -> None:
        pairs = [(need, need.entry) for need in needs if need.entry is not None]
        for part in batches(pairs, 256):
            stored = [(entry, need.state.task.remote.adapter) for need, entry in part]
            predictions = await asyncio.to_thread(read_predictions, self._store, stored)
            for (need, entry), prediction in zip(part, predictions, strict=True):
                self._deliver(need, entry, prediction)

    def _deliver(self, need: Need, entry: records.Entry, prediction: Prediction | None) -> None:
        for index, place in enumerate(need.places):
            state = place.state
            state.from_ledger += need.known
            if not need.known and index == 0:
                state.cost_micro += entry.cost_micro
                state.request_shares += entry.attempts / max(entry.items, 1)
            if prediction is None:
                reasons = state.rejected if entry.state == "rejected" else state.failed
                reasons.append(entry.error or "the stored answer cannot be read")
                continue
            state.put(place.row, place.column, prediction)

    # -- explaining and ending ------------------------------------------------------------------------------------------

    async def _explain(self, state: Answers) -> None:
        for task in state.bill.tasks:
            if (probe_id := self._probe_id(task, state)) not in self._probes:
                self._probes[probe_id] = await self._explain_task(task, state, probe_id)

    async def _explain_task(self, task: ProbeTask, state: Answers, probe_id: str) -> records.Probe:
        explanation: Explanation | Unexplained
        try:
            explanation = await asyncio.to_thread(state.explain, task)
        except Unexplained as reason:
            explanation = reason
        probe, segments = probe_record(
            task,
            state,
            explanation,
            id_=probe_id,
            run=self._run,
            started=self._started,
            finished=self._clock.now(),
        )
        if segments is not None:
            await asyncio.to_thread(self._store.put_body, segments)
        await asyncio.to_thread(self._store.save_probe, probe)
        self._emit(finished_event(probe, instance=task.item.name, endpoint=task.remote.adapter.name))
        return probe

    def _probe_id(self, task: ProbeTask, state: Answers) -> str:
        parts = [
            self._run.id,
            task.probe,
            task.item.id,
            task.remote.record.id,
            task.method.name,
            state.bill.params_hash(task).hex(),
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]

    async def _finish(self, run: records.Run) -> RunResult:
        stops = {
            dispatcher.adapter.name: dispatcher.stopped
            for dispatcher in self._dispatchers.values()
            if dispatcher.stopped is not None
        }
        stops |= {name: Stop("offline", missing.words) for name, missing in self._missing.items() if missing.count}
        usage_errors = tuple(state.failure for state in self._states if state.failure_is_usage and state.failure)
        state_of = {id(task): state for state in self._states for task in state.bill.tasks}
        ids = dict.fromkeys(self._probe_id(task, state_of[id(task)]) for task in self._tasks)
        probes = tuple(self._probes[id_] for id_ in ids)
        whole = not stops and all(probe.status == "finished" for probe in probes)
        status: records.RunStatus = "finished" if whole else "interrupted" if self._interrupted else "partial"
        totals = self._totals()
        finished = self._clock.now()
        await asyncio.to_thread(self._store.finish_run, run.id, status, finished, totals)
        self._emit(RunFinished(run.id, status, totals))
        ended = replace(run, status=status, finished=finished, totals=totals)
        return RunResult(ended, probes, stops, usage_errors)

    def _totals(self) -> dict[str, int]:
        return {
            "evaluations": sum(state.answered for state in self._states),
            "from_ledger": sum(state.from_ledger for state in self._states),
            "unsure": self._unsure,
            **summed(dispatcher.stats for dispatcher in self._dispatchers.values()),
        }


def _wanted(need: Need) -> bool:
    """A probe whose target turned out not to exist, or whose unaltered instance has no answer, needs no more of them."""
    return any(place.state.target is not None for place in need.places)

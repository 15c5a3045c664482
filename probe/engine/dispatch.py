"""One dispatcher per endpoint: takes evaluations in order, packs them, sends each once under the limits, journals all of it.

Around every attempt: book it in the budget, write the intent, wait for the limiter (one at a time), send, ask the adapter
what the outcome means, write the answer, and only then hand it on.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

import numpy as np
from asyncio_throttle.throttler import Throttler

from adapters import (
    Adapter,
    AdapterError,
    HttpResponse,
    Instance,
    ItemError,
    NotSent,
    Prediction,
    Request,
    ResponseError,
    Transport,
    TransportError,
    Verdict,
)
from probe.clock import Clock
from probe.engine.budget import Budget
from probe.engine.events import EndpointStopped, Listener, Retried, Throttled, silent
from probe.engine.retry import RetryPolicy, TryAgain, retrying
from probe.engine.throttle import PacedThrottler, Unlimited
from probe.errors import BudgetReached
from storage.records import Entry

T = TypeVar("T")

_MOST_LABELS_STORED = 32  #: wider answers are read again from the stored body instead of being kept twice
_DOWN_AFTER = 5  #: requests in a row that failed for good: the endpoint is given up
_UNKNOWN_RATE_IN_FLIGHT = 16


class Recorder(Protocol):
    """The journal as the dispatcher needs it; each call returns once the rows are durable."""

    async def intend(self, entries: Sequence[Entry]) -> None:
        """Write what is about to be sent."""

    async def record(self, entries: Sequence[Entry], bodies: Sequence[bytes] = ()) -> None:
        """Write what came back."""


@dataclass(frozen=True, slots=True)
class Job:
    """One evaluation to be sent. Its input is rendered late, so that waiting costs no memory."""

    key: bytes
    render: Callable[[], Instance]
    generation: int = 0
    attempts: int = 0  #: requests that carried it before (an earlier process crashed)


@dataclass(frozen=True, slots=True)
class Answer:
    """An evaluation as it is now in the ledger, with the scores if there are any."""

    entry: Entry
    prediction: Prediction | None


@dataclass(slots=True)
class Stats:
    """What one dispatcher did, for the summary."""

    sent: int = 0  #: requests of which something left this machine
    retried: int = 0
    throttled: int = 0
    maybe_billed: int = 0  #: requests whose answer was lost or useless although the provider may have counted them
    cost_micro: int = 0


@dataclass(frozen=True, slots=True)
class Stop:
    """Why an endpoint gets no more requests."""

    kind: str  #: auth, quota, broken, down, budget, interrupted
    reason: str


class _Halted(Exception):
    """This request will not be sent (again): its endpoint was stopped."""


class _Final(Exception):
    """No further attempt: ``rejected`` (the input is refused) or ``failed``."""

    def __init__(self, state: Literal["rejected", "failed"], reason: str, response: HttpResponse | None) -> None:
        super().__init__(reason)
        self.state: Literal["rejected", "failed"] = state
        self.response = response


@dataclass(slots=True)
class _Shipment:
    """A batch on its way."""

    jobs: tuple[Job, ...]
    request: Request
    price: int
    entries: list[Entry] = field(default_factory=list)
    journalled: bool = False
    malformed: int = 0


class Dispatcher:
    """Drives one endpoint. Create one per endpoint and run; :meth:`run` may be called for each round.

    ``throttler`` may be any asyncio-throttle ``Throttler``; by default one is made from the adapter's limits.
    """

    def __init__(
        self,
        adapter: Adapter,
        transport: Transport,
        *,
        endpoint_id: str,
        run_id: str,
        journal: Recorder,
        budget: Budget | None = None,
        throttler: Throttler | None = None,
        policy: RetryPolicy | None = None,
        clock: Clock | None = None,
        rng: np.random.Generator | None = None,
        emit: Listener = silent,
    ) -> None:
        self.adapter = adapter
        self.stats = Stats()
        self.stopped: Stop | None = None
        self._transport = transport
        self._endpoint_id = endpoint_id
        self._run_id = run_id
        self._journal = journal
        self._budget = budget or Budget()
        self._policy = policy or RetryPolicy()
        self._clock = clock or Clock()
        self._rng = rng or np.random.default_rng(0)
        self._emit = emit
        self._stop_event = asyncio.Event()
        self._succeeded = False
        self._failures_in_a_row = 0
        self._error: BaseException | None = None
        limits = adapter.limits
        if throttler is not None:
            self._throttler = throttler
        elif limits.rate is not None:
            self._throttler = PacedThrottler(limits.rate, limits.period, clock=self._clock)
        else:
            self._throttler = Unlimited(clock=self._clock)
        self._in_flight = asyncio.Semaphore(in_flight(limits.rate, limits.period, limits.concurrency))
        # Between intent and sending there is one request at the limiter and, at high rates, a few more being journalled.
        self._gate = asyncio.Semaphore(2 + math.ceil((limits.rate or 1000.0) / limits.period * 0.02))

    async def run(self, jobs: Iterable[Job], on_answer: Callable[[Answer], None]) -> None:
        """Send ``jobs`` in order, packed up to the adapter's ``max_batch``; returns when all have an answer or the endpoint
        is stopped (see ``stopped``). ``on_answer`` gets every evaluation that was completed, after it was journalled.

        Raises:
            Whatever the journal raises: nothing is sent that cannot be recorded.
        """
        tasks: set[asyncio.Task[None]] = set()
        for batch in batches(jobs, self.adapter.max_batch):
            await self._in_flight.acquire()
            if self.stopped is not None:
                self._in_flight.release()
                break
            task = asyncio.create_task(self._carry(batch, on_answer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        while tasks:
            await asyncio.wait(set(tasks))
        if self._error is not None:
            raise self._error

    def stop(self, kind: str, reason: str) -> None:
        """Send nothing more; requests that are under way are waited for, and so are those that the budget still covers. The
        first reason stands."""
        if kind != "budget":
            self._stop_event.set()
        if self.stopped is None:
            self.stopped = Stop(kind, reason)
            self._emit(EndpointStopped(self.adapter.name, kind, reason))

    # -- one batch ------------------------------------------------------------------------------------------------------

    async def _carry(self, batch: tuple[Job, ...], on_answer: Callable[[Answer], None]) -> None:
        try:
            await self._deliver(batch, on_answer)
        except BaseException as error:  # noqa: BLE001 - kept and raised by run(), once the others have landed
            self._error = self._error or error
            self.stop("broken", str(error))
        finally:
            self._in_flight.release()

    async def _deliver(self, batch: tuple[Job, ...], on_answer: Callable[[Answer], None]) -> None:
        request = await asyncio.to_thread(self._render, batch)
        shipment = _Shipment(batch, request, self.adapter.price.of(len(batch)))
        shipment.entries = [self._entry(job, index, len(batch)) for index, job in enumerate(batch)]
        try:
            response, results = await self._attempts(shipment)
        except _Halted:
            if shipment.journalled:
                await self._close(shipment, "failed", "no answer before the run was stopped", None, on_answer)
            return
        except (_Final, TryAgain) as failure:
            await self._give_up(shipment, failure, on_answer)
            return
        self._succeeded, self._failures_in_a_row = True, 0
        answers = [
            self._completed(entry, result, response) for entry, result in zip(shipment.entries, results, strict=True)
        ]
        await self._journal.record([answer.entry for answer in answers], _bodies(response))
        for answer in answers:
            on_answer(answer)

    def _render(self, batch: Sequence[Job]) -> Request:
        return self.adapter.request([job.render() for job in batch])

    async def _attempts(self, shipment: _Shipment) -> tuple[HttpResponse, list[Prediction | ItemError]]:
        async def before_wait(number: int, failure: TryAgain, wait: float) -> None:
            self.stats.retried += 1
            verdict = failure.verdict
            if verdict.throttled:
                self._hold(wait, verdict.reason)
            self._emit(Retried(self.adapter.name, number, verdict.reason, wait, verdict.maybe_billed))

        clock = Clock(self._clock.now, self._clock.monotonic, self._pause)
        async for attempt in retrying(self._policy, rng=self._rng, clock=clock, before_wait=before_wait):
            with attempt:
                return await self._attempt(shipment)
        raise AssertionError("tenacity ends by returning or raising")

    async def _attempt(self, shipment: _Shipment) -> tuple[HttpResponse, list[Prediction | ItemError]]:
        await self._admit(shipment)
        outcome: HttpResponse | AdapterError
        try:
            outcome = await self._transport.send(shipment.request)
        except TransportError as error:
            outcome = error
        if isinstance(outcome, NotSent):
            self._budget.give_back(shipment.price)
            shipment.entries = [entry.but(attempts=entry.attempts - 1) for entry in shipment.entries]
        else:
            self.stats.sent += 1
        verdict = self.adapter.classify(outcome)
        response = outcome if isinstance(outcome, HttpResponse) else None
        self._account(shipment, verdict, sent=not isinstance(outcome, NotSent))
        if verdict.kind == "ok" and response is not None:
            return response, await self._parse(shipment, response)
        if verdict.kind == "retry":
            self._check_patience(verdict, response)
            cause = outcome if isinstance(outcome, AdapterError) else None
            raise TryAgain(verdict, response, cause)
        if verdict.kind == "reject":
            raise _Final("rejected", verdict.reason, response)
        self.stop(verdict.kind, verdict.reason)
        raise _Final("failed", verdict.reason, response)

    async def _admit(self, shipment: _Shipment) -> None:
        """Book, journal, and wait for the limiter. Raises :class:`_Halted` with everything undone if the endpoint stops."""
        if self.stopped is not None:
            raise _Halted
        try:
            self._budget.take(shipment.price)
        except BudgetReached as reached:
            self.stop("budget", str(reached))
            raise _Halted from reached
        await self._gate.acquire()
        try:
            sent_at = self._clock.now()
            shipment.entries = [
                entry.but(state="intended", sent_at=sent_at, attempts=entry.attempts + 1) for entry in shipment.entries
            ]
            await self._journal.intend(shipment.entries)
            shipment.journalled = True
            if not await self._unless_stopped(self._turn()):
                self._budget.give_back(shipment.price)
                shipment.entries = [entry.but(attempts=entry.attempts - 1) for entry in shipment.entries]
                raise _Halted
        finally:
            self._gate.release()

    async def _parse(self, shipment: _Shipment, response: HttpResponse) -> list[Prediction | ItemError]:
        """The results, or one more try (then the end) if the answer is not what the endpoint's description promises."""
        count = len(shipment.jobs)
        try:
            if len(response.body) > 1 << 16:
                return await asyncio.to_thread(self.adapter.predictions, response, count)
            return self.adapter.predictions(response, count)
        except ResponseError as error:
            shipment.malformed += 1
            self.stats.maybe_billed += 1
            shipment.entries = [entry.but(maybe_billed=entry.maybe_billed + 1) for entry in shipment.entries]
            if not self._succeeded:  # never seen a good answer: this is not the API that was described
                self.stop("broken", str(error))
            if self.stopped is not None or shipment.malformed > 1:
                raise _Final("failed", str(error), response) from error
            raise TryAgain(Verdict("retry", str(error), maybe_billed=True), response, error) from error

    def _account(self, shipment: _Shipment, verdict: Verdict, *, sent: bool) -> None:
        """Money is spent when an answer came or may have been counted; a refusal gives the reservation back."""
        if verdict.kind == "ok" or (sent and verdict.maybe_billed):
            self.stats.cost_micro += shipment.price
            share, rest = divmod(shipment.price, len(shipment.entries))
            shipment.entries = [
                entry.but(cost_micro=entry.cost_micro + share + (index < rest))
                for index, entry in enumerate(shipment.entries)
            ]
        elif sent:
            self._budget.refund(shipment.price)
        if verdict.maybe_billed and sent:
            self.stats.maybe_billed += 1
            shipment.entries = [entry.but(maybe_billed=entry.maybe_billed + 1) for entry in shipment.entries]

    def _check_patience(self, verdict: Verdict, response: HttpResponse | None) -> None:
        if verdict.after is not None and verdict.after > self._policy.longest_retry_after:
            reason = f"{verdict.reason}; it asks to wait {verdict.after:.0f} s: run the same command after that"
            self.stop("quota", reason)
            raise _Final("failed", reason, response)

    def _hold(self, wait: float, reason: str) -> None:
        self.stats.throttled += 1
        hold = getattr(self._throttler, "hold", None)  # a plain asyncio-throttle Throttler has none
        if hold is not None:
            hold(wait)
        self._emit(Throttled(self.adapter.name, wait, reason))

    # -- endings --------------------------------------------------------------------------------------------------------

    async def _give_up(
        self, shipment: _Shipment, failure: _Final | TryAgain, on_answer: Callable[[Answer], None]
    ) -> None:
        rejected = isinstance(failure, _Final) and failure.state == "rejected"
        poisoned = isinstance(failure, TryAgain) and failure.fingerprint() is not None
        if len(shipment.jobs) > 1 and (rejected or poisoned) and self.stopped is None:
            # One bad input must not take its neighbours down: find it by asking one by one.
            for job, entry in zip(shipment.jobs, shipment.entries, strict=True):
                await self._deliver((Job(job.key, job.render, job.generation, entry.attempts),), on_answer)
            return
        if not rejected:
            self._failures_in_a_row += 1
            if not self._succeeded or self._failures_in_a_row >= _DOWN_AFTER:
                self.stop("down", str(failure))
        await self._close(shipment, "rejected" if rejected else "failed", str(failure), failure.response, on_answer)

    async def _close(
        self,
        shipment: _Shipment,
        state: Literal["rejected", "failed"],
        reason: str,
        response: HttpResponse | None,
        on_answer: Callable[[Answer], None],
    ) -> None:
        now = self._clock.now()
        entries = [
            self._with_response(entry, response).but(state=state, answered_at=now, error=reason)
            for entry in shipment.entries
        ]
        await self._journal.record(entries, _bodies(response))
        for entry in entries:
            on_answer(Answer(entry, None))

    def _completed(self, entry: Entry, result: Prediction | ItemError, response: HttpResponse) -> Answer:
        entry = self._with_response(entry, response).but(answered_at=self._clock.now(), parser=self.adapter.parser)
        if isinstance(result, ItemError):
            return Answer(entry.but(state="rejected", error=result.message), None)
        keep = dict(result.scores) if len(result.scores) <= _MOST_LABELS_STORED else None
        answered = entry.but(state="answered", scores=keep, floor=result.floor, censored=result.censored, error=None)
        return Answer(answered, result)

    def _with_response(self, entry: Entry, response: HttpResponse | None) -> Entry:
        if response is None:
            return entry
        return entry.but(
            http_status=response.status,
            content_type=response.header("content-type"),
            elapsed=response.elapsed,
            body_sha=hashlib.sha256(response.body).digest(),
        )

    def _entry(self, job: Job, index: int, count: int) -> Entry:
        return Entry(
            key=job.key,
            generation=job.generation,
            state="intended",
            endpoint_id=self._endpoint_id,
            run_id=self._run_id,
            sent_at=self._clock.now(),
            attempts=job.attempts,
            item=index,
            items=count,
        )

    # -- waiting --------------------------------------------------------------------------------------------------------

    async def _turn(self) -> None:
        async with self._throttler:
            pass  # the slot is taken on entering; leaving does nothing

    async def _pause(self, seconds: float) -> None:
        """Sleep, but not past a stop."""
        await self._unless_stopped(self._clock.sleep(seconds))

    async def _unless_stopped(self, waiting: Awaitable[None]) -> bool:
        """Await ``waiting``; ``False`` as soon as the endpoint is stopped before it is done."""
        wait = asyncio.ensure_future(waiting)
        stop = asyncio.ensure_future(self._stop_event.wait())
        try:
            await asyncio.wait({wait, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not self._stop_event.is_set():
                await wait
            return not self._stop_event.is_set()
        finally:
            for task in (wait, stop):
                if not task.done():
                    task.cancel()
            await asyncio.gather(wait, stop, return_exceptions=True)


def in_flight(rate: float | None, period: float, concurrency: int | None) -> int:
    """Requests under way at once: what the config says, else twice what the rate brings per second (8 … 256)."""
    if concurrency is not None:
        return concurrency
    if rate is None:
        return _UNKNOWN_RATE_IN_FLIGHT
    return min(max(8, math.ceil(2 * rate / period)), 256)


def batches(jobs: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """``jobs`` in order, in tuples of ``size``; the last may be shorter."""
    iterator = iter(jobs)
    while batch := tuple(itertools.islice(iterator, size)):
        yield batch


def _bodies(response: HttpResponse | None) -> tuple[bytes, ...]:
    return () if response is None else (response.body,)

"""One dispatcher per endpoint: takes evaluations in order, packs them, sends each once under the limits, journals all of it.

Around every attempt: book it in the budget, write the intent, wait for the limiter (one at a time), send, ask the adapter
what the outcome means, write the answer, and only then hand it on. Until the endpoint has answered for the first time, one
request goes alone: it warms the connection up, and an endpoint that is down or not what it was described as costs no more.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np
from asyncio_throttle.throttler import Throttler

from adapters import (
    Adapter,
    AdapterError,
    HttpResponse,
    InputTooLarge,
    ItemError,
    NotSent,
    Prediction,
    Request,
    RequestTooLarge,
    ResponseError,
    Starting,
    Transport,
    TransportError,
)
from probe.clock import Clock
from probe.engine.budget import Budget
from probe.engine.concurrency import Flag, batches, off_loop
from probe.engine.events import EndpointStopped, Listener, Retried, Standing, Throttled, silent
from probe.engine.flow import Flow
from probe.engine.outcome import Final, Halted, Stop, failure, is_useless
from probe.engine.packing import Packing
from probe.engine.polling import Looks, result_of
from probe.engine.retry import RetryPolicy, TryAgain, retrying
from probe.engine.shipment import Answer, Job, Reply, Shipment
from probe.engine.stats import Recorder, Stats
from probe.engine.throttle import LimitFar
from probe.errors import BudgetReached

Results = list[Prediction | ItemError]
OnAnswer = Callable[[Answer], None]

_DOWN_AFTER = 5  #: requests in a row that failed for good: the endpoint is given up


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
        self._stopping = Flag()  # nothing more is booked
        self._dropping = Flag()  # what is booked is not sent either
        self._answered = False  # by anything that speaks the described API, a refused input included
        self._succeeded = False
        self._failures_in_a_row = 0
        self._last_failure = ""
        self._error: Exception | None = None
        self._flow = Flow(adapter, throttler=throttler, patience=self._policy.patience, clock=self._clock, emit=emit)
        self._packing = Packing(adapter.max_batch)
        self._line = asyncio.Lock()  # whoever came first is the first at the gate, however long rendering takes

    async def run(self, jobs: Iterable[Job], on_answer: OnAnswer) -> None:
        """Send ``jobs`` in order, packed up to the adapter's ``max_batch``; returns when all have an answer or the endpoint
        is stopped (see ``stopped``). ``on_answer`` gets every evaluation that was completed, after it was journalled.

        Cancelled, it drops what is in flight, which the ledger then shows as intended.

        Raises:
            Whatever the journal raises: nothing is sent that cannot be recorded.
        """
        tasks: set[asyncio.Task[None]] = set()
        try:
            for batch in batches(jobs, lambda: self._packing.size):
                await self._flow.in_flight.acquire()
                if self.stopped is not None:
                    self._flow.in_flight.release()
                    break
                task = asyncio.create_task(self._carry(batch, on_answer))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            while tasks:
                await asyncio.wait(set(tasks))
        finally:
            left = list(tasks)
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
        if self._error is not None:
            raise self._error
        if self._failures_in_a_row and not self._answered:
            self.stop("down", f"it never answered: {self._last_failure}")

    def stop(self, kind: str, reason: str) -> None:
        """Send nothing more; requests that are under way are waited for, and so are those that the budget still covers. The
        first reason stands."""
        if kind != "budget":
            self._dropping.set()
        if self.stopped is None:
            self.stopped = Stop(kind, reason)
            self._stopping.set()
            self._emit(EndpointStopped(self.adapter.name, kind, reason))

    def reopen(self) -> None:
        """Forget why the endpoint was stopped, and begin with a single request again."""
        self.stopped = self._error = None
        self._stopping.clear()
        self._dropping.clear()
        self._answered = self._succeeded = False
        self._failures_in_a_row = 0
        self._flow.breaker.succeeded()

    def standing(self, left: int) -> Standing:
        """How it goes, with ``left`` evaluations to come."""
        return self._flow.standing(left, sent=self.stats.sent, cost_micro=self.stats.cost_micro)

    # -- one batch ------------------------------------------------------------------------------------------------------

    async def _carry(self, batch: tuple[Job, ...], on_answer: OnAnswer) -> None:
        early = self._early(batch)
        shipment = Shipment.pack(
            batch, adapter=self.adapter, endpoint_id=self._endpoint_id, run_id=self._run_id, now=self._clock.now()
        )
        try:
            async with self._line:
                if early is not None:
                    await asyncio.wait({early})
                    if early.exception() is None:
                        shipment.weigh(early.result(), self.adapter)
                if not self._answered:
                    await self._deliver(shipment, early, on_answer)
                    return
                with contextlib.suppress(Halted):  # the same will be found out, and dealt with, below
                    await self._reserve(shipment)
            await self._deliver(shipment, early, on_answer)
        except Exception as error:  # noqa: BLE001 - kept and raised by run(), once the others have landed
            self._error = self._error or error
            self.stop("broken", str(error))
        finally:
            if early is not None:
                early.cancel()
            self._let_go(shipment)
            self._flow.in_flight.release()

    async def _deliver(self, shipment: Shipment, early: Awaitable[Request] | None, on_answer: OnAnswer) -> None:
        try:
            request = self._render(shipment.jobs) if early is None else await early
        except AdapterError as error:
            await self._give_up(shipment, error, on_answer)
            return
        shipment.weigh(request, self.adapter)
        try:
            response, results = await self._attempts(shipment, request)
        except Halted:
            if shipment.journalled:
                await self._close(shipment, "failed", "no answer before the run was stopped", None, on_answer)
            return
        except (Final, TryAgain) as end:
            await self._give_up(shipment, end, on_answer)
            return
        self._answered = self._succeeded = True
        self._failures_in_a_row = 0
        reply = await off_loop(Reply.of, response, size=len(response.body))
        answers = shipment.answers(results, reply, parser=self.adapter.parser, now=self._clock.now())
        await self._journal.record([answer.entry for answer in answers], (response.body,))
        for answer in answers:
            on_answer(answer)

    def _early(self, batch: Sequence[Job]) -> asyncio.Task[Request] | None:
        """A picture is rendered in a thread, ahead of its turn; a text or a row faster than a thread is asked to."""
        if any(job.heavy for job in batch):
            return asyncio.create_task(asyncio.to_thread(self._render, batch))
        # A price by the token or character is known, and booked, when the request is.
        return asyncio.create_task(self._render_soon(batch)) if self.adapter.price.counts_length else None

    async def _render_soon(self, batch: Sequence[Job]) -> Request:
        return self._render(batch)

    def _render(self, batch: Sequence[Job]) -> Request:
        request = self.adapter.request([job.render() for job in batch])
        self._packing.heed(request)
        # The ledger keys hold endpoint, inputs and repeat index: the same request again has the same idempotency key.
        return request.keyed("".join(f"{job.key.hex()}:{job.generation};" for job in batch))

    async def _attempts(self, shipment: Shipment, request: Request) -> tuple[HttpResponse, Results]:
        async def before_wait(number: int, again: TryAgain, wait: float) -> None:
            self.stats.retried += 1
            verdict = again.verdict
            if verdict.throttled:
                self.stats.throttled += 1
                self._flow.hold(wait)
                self._emit(Throttled(self.adapter.name, wait, verdict.reason))
            self._emit(Retried(self.adapter.name, number, verdict.reason, wait, verdict.maybe_billed))

        began = self._clock.monotonic()
        try:
            return await self._attempt(shipment, request)
        except TryAgain as again:
            first: TryAgain | None = again  # most requests need no second attempt, and no machinery for one
        clock = Clock(self._clock.now, self._clock.monotonic, self._pause)
        attempts = retrying(self._policy, rng=self._rng, clock=clock, began=began, before_wait=before_wait)
        async for attempt in attempts:
            with attempt:
                if first is not None:
                    failed, first = first, None
                    raise failed
                return await self._attempt(shipment, request)
        raise AssertionError("tenacity ends by returning or raising")

    async def _attempt(self, shipment: Shipment, request: Request) -> tuple[HttpResponse, Results]:
        await self._admit(shipment)
        try:
            return await self._exchange(shipment, request)
        finally:
            self._flow.places.release()

    async def _exchange(self, shipment: Shipment, request: Request) -> tuple[HttpResponse, Results]:
        """Send, and find out what the outcome means. Raises :class:`TryAgain` or :class:`Final`."""
        send = self._flow.last_send
        outcome: HttpResponse | AdapterError
        began, started = self._clock.monotonic(), False
        try:
            self._flow.under_way += 1
            outcome = await self._transport.send(request)
        except TransportError as error:
            outcome = error
        finally:
            self._flow.under_way -= 1
        if isinstance(outcome, HttpResponse):
            self._flow.heed(shipment, outcome, send, first=not self._answered)
            start, outcome = outcome, await self._result(outcome)
            started = outcome is not start
        response = outcome if isinstance(outcome, HttpResponse) else None
        size = len(response.body) if response is not None else 0
        verdict = await off_loop(self.adapter.classify, outcome, size=size)
        if started and verdict.kind != "ok":
            verdict = replace(verdict, maybe_billed=True)
        reported = self.adapter.usage(response) if response is not None and verdict.kind == "ok" else None
        sent = not isinstance(outcome, NotSent)
        self._flow.settle(shipment, verdict, reported, sent=sent)
        self._flow.adapt(verdict, outcome, began)
        if self._flow.watch(verdict, outcome, answers=self._succeeded):
            self.stop("down", f"{verdict.reason}; and so for {self._policy.patience:.0f} s")
        self.stats.account(shipment, verdict, reported, sent=sent, price=self.adapter.price, budget=self._budget)
        if verdict.kind == "ok" and response is not None:
            try:
                results = await off_loop(self.adapter.predictions, response, len(shipment.jobs), size=size)
            except ResponseError as error:
                outcome, verdict = error, self.adapter.classify(error)
                self.stats.doubt(shipment)
            else:
                return response, results
        cause = outcome if isinstance(outcome, AdapterError) else None
        shipment.useless += is_useless(verdict, cause)
        end = failure(
            verdict, response, cause, policy=self._policy, useless=shipment.useless, succeeded=self._succeeded
        )
        if isinstance(end, Final) and end.stop is not None:
            self.stop(end.stop.kind, end.stop.reason)
        raise end

    async def _result(self, start: HttpResponse) -> HttpResponse | AdapterError:
        """What ``start`` leads to: mostly itself."""
        if (
            not isinstance(self.adapter, Starting)
            or self.adapter.result_timeout is None
            or not 200 <= start.status < 300
        ):
            return start
        try:
            return await result_of(self.adapter, start, Looks(self._transport.send, self._flow.look, self._clock))
        except (TransportError, ResponseError) as error:
            return error

    # -- one attempt ----------------------------------------------------------------------------------------------------

    async def _reserve(self, shipment: Shipment) -> None:
        """Book the attempt and go through the gate. Raises :class:`Halted` with everything undone if the endpoint stops."""
        await self._flow.places.acquire()
        try:
            await self._flow.gate.acquire()
        except BaseException:
            self._flow.places.release()
            raise
        try:
            await self._budget.secure(shipment.price)
            self._book(shipment)
        except BaseException:
            self._flow.gate.release()
            self._flow.places.release()
            raise
        shipment.reserved = True

    def _book(self, shipment: Shipment) -> None:
        if self.stopped is not None:
            raise Halted
        try:
            self._budget.take(shipment.price)
        except BudgetReached as reached:
            self.stop("budget", str(reached))
            raise Halted from reached

    def _let_go(self, shipment: Shipment) -> None:
        """Undo :meth:`_reserve` for an attempt that was not made."""
        if shipment.reserved:
            shipment.reserved = False
            self._budget.give_back(shipment.price)
            self._flow.gate.release()
            self._flow.places.release()

    async def _admit(self, shipment: Shipment) -> None:
        """Reserve, journal, and wait for the limiter. Raises :class:`Halted` with everything undone if the endpoint stops."""
        if not shipment.reserved:
            await self._reserve(shipment)
        try:
            went = await self._take_turn(shipment)
        except BaseException:
            self._let_go(shipment)
            raise
        if not went:
            self._let_go(shipment)
            raise Halted
        shipment.reserved = False
        self._flow.gate.release()

    async def _take_turn(self, shipment: Shipment) -> bool:
        while not self._dropping.is_set() and (wait := self._flow.breaker.wait()) > 0:
            await self._dropping.unless(partial(self._clock.sleep, wait))
        if self._dropping.is_set():
            return False
        await self._journal.intend(shipment.intend(self._clock.now()))
        shipment.journalled = True
        try:
            if await self._dropping.unless(lambda: self._flow.turn(shipment)):
                return True
        except LimitFar as far:
            self.stop("quota", f"its limit is used up for {far.seconds:.0f} s; run the same command after that")
        shipment.not_sent()
        return False

    # -- endings --------------------------------------------------------------------------------------------------------

    async def _give_up(self, shipment: Shipment, end: Final | TryAgain | AdapterError, on_answer: OnAnswer) -> None:
        self._let_go(shipment)  # or its parts would wait for its place
        unwritable = isinstance(end, AdapterError)  # it cannot be rendered: nothing was sent
        rejected = isinstance(end, Final) and end.state == "rejected"
        poisoned = isinstance(end, TryAgain) and end.fingerprint() is not None
        if isinstance(end, RequestTooLarge):
            self._packing.heed(end)
            for part in shipment.split(self.adapter, end.fits):
                await self._deliver(part, self._early(part.jobs), on_answer)
            return
        if len(shipment.jobs) > 1 and (rejected or poisoned or unwritable) and self.stopped is None:
            # One bad input must not take its neighbours down: find it by asking one by one.
            for single in shipment.split(self.adapter):
                await self._deliver(single, self._early(single.jobs), on_answer)
            return
        response = None if isinstance(end, AdapterError) else end.response
        if rejected:
            self._answered, self._failures_in_a_row = True, 0
        elif isinstance(end, InputTooLarge):
            rejected = True  # by the endpoint's description, so that it need not be asked
        elif unwritable:
            if not self._answered:
                self.stop("usage", str(end))
        else:
            self._failures_in_a_row += 1
            self._last_failure = str(end)
            silent_from_the_start = not self._answered and response is None
            if silent_from_the_start or self._failures_in_a_row >= _DOWN_AFTER:
                self.stop("down", str(end))
        await self._close(shipment, "rejected" if rejected else "failed", str(end), response, on_answer)

    async def _close(
        self,
        shipment: Shipment,
        state: Literal["rejected", "failed"],
        reason: str,
        response: HttpResponse | None,
        on_answer: OnAnswer,
    ) -> None:
        reply = await off_loop(Reply.of, response, size=len(response.body)) if response is not None else None
        entries = shipment.closed(state, reason, reply, now=self._clock.now())
        await self._journal.record(entries, () if response is None else (response.body,))
        for entry in entries:
            on_answer(Answer(entry, None))

    # -- waiting --------------------------------------------------------------------------------------------------------

    async def _pause(self, seconds: float) -> None:
        """Sleep, but not past a stop."""
        await self._stopping.unless(partial(self._clock.sleep, seconds))

"""A few real requests to one endpoint, through ledger, budget and limits as any others, and everything that was said."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final, Literal

from adapters import (
    Adapter,
    AdapterError,
    HttpRequest,
    HttpResponse,
    HttpTransport,
    Instance,
    Prediction,
    Request,
    RequestTooLarge,
    Transport,
)
from probe.clock import Clock
from probe.engine.budget import Budget
from probe.engine.dispatch import Dispatcher
from probe.engine.journal import AsyncJournal
from probe.engine.keys import evaluation_key
from probe.engine.outcome import Stop
from probe.engine.retry import RetryPolicy
from probe.engine.shared import shared_throttler
from probe.engine.shipment import Answer, Job
from probe.engine.stats import Stats, summed
from probe.engine.tasks import Remote
from storage import Journal, Store, records

What = Literal["one input", "the same input again", "a batch", "another input"]

#: what fails is to be shown, not to be tried again
_ONCE: Final = RetryPolicy(attempts=1, throttled_attempts=1)


@dataclass(frozen=True, slots=True)
class Step:
    """One request of the check-up. ``repeats``: by which each of its ``instances`` is told apart in the ledger."""

    what: What
    instances: tuple[Instance, ...]
    repeats: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Hop:
    """One request and what came back. ``request``: as it went out, secrets redacted; ``None`` for a function in this process.
    ``failure``: why there is no response."""

    request: HttpRequest | None
    response: HttpResponse | None
    failure: str = ""


@dataclass(slots=True)
class Exchange:
    """What one step sent and what came back. ``hops``: one, or a start and the looks for its result. ``predictions`` and
    ``errors``: one for each input, one of the two ``None``."""

    step: Step
    hops: list[Hop] = field(default_factory=list)
    predictions: list[Prediction | None] = field(default_factory=list)
    errors: list[str | None] = field(default_factory=list)

    @property
    def response(self) -> HttpResponse | None:
        """The last answer."""
        return self.hops[-1].response if self.hops else None

    @property
    def elapsed(self) -> float:
        """Seconds that answers were waited for."""
        return sum(hop.response.elapsed for hop in self.hops if hop.response is not None)

    @property
    def answered(self) -> bool:
        """Whether every input has scores."""
        return bool(self.predictions) and all(each is not None for each in self.predictions)


@dataclass(frozen=True, slots=True)
class CheckUp:
    """All exchanges, the last one without an answer if ``stop`` says why."""

    exchanges: tuple[Exchange, ...]
    stop: Stop | None
    cost_micro: int


def steps_of(adapter: Adapter, first: Instance, other: Instance | None) -> list[Step]:
    """One input, the same again, and ``other`` (``None``: there is no different one), together with the first if the
    endpoint takes batches. The first comes last in the batch, so that an answer in another order shows.

    Raises :class:`AdapterError` if an input does not fit.
    """
    steps = [Step("one input", (first,), (0,)), Step("the same input again", (first,), (1,))]
    both = (first, first) if other is None else (other, first)
    if adapter.max_batch > 1 and _fit_together(adapter, both):
        steps.append(Step("a batch", both, (3 if other is None else 0, 2)))
    elif other is not None:
        steps.append(Step("another input", (other,), (0,)))
    return steps


def _fit_together(adapter: Adapter, batch: Sequence[Instance]) -> bool:
    try:
        adapter.request(batch)
    except RequestTooLarge:  # pictures, where a request may have so many bytes
        return False
    return True


def price_of(adapter: Adapter, steps: Sequence[Step]) -> int:
    """What ``steps`` cost if none is refused, in micro-units. Raises :class:`AdapterError` if an input does not fit."""
    requests = [(len(step.instances), adapter.request(step.instances)) for step in steps]
    return sum(adapter.price.of(items, adapter.estimate(request)) for items, request in requests)


async def check_up(
    remote: Remote,
    store: Store,
    steps: Sequence[Step],
    *,
    open_transport: Callable[[Adapter], Transport],
    budget: Budget,
    code_version: str,
    clock: Clock | None = None,
) -> CheckUp:
    """Carry out ``steps`` in turn, each with one request and no second try; the first that fails is the last.

    Raises:
        storage.StorageError: the database failed.
    """
    clock = clock or Clock()
    run = _run(remote, code_version, clock)
    store.put_endpoint(remote.record)
    store.start_run(run)
    exchanges: list[Exchange] = []
    stop: Stop | None = None
    stats = Stats()
    async with AsyncExitStack() as stack:
        stack.callback(lambda: store.finish_run(run.id, _status(stop, exchanges, steps), clock.now(), summed([stats])))
        listening = _Listening(open_transport(remote.adapter))
        stack.push_async_callback(listening.aclose)
        journal = Journal(store)
        stack.push_async_callback(asyncio.to_thread, journal.close)
        throttler = shared_throttler(remote.adapter, store, clock=clock)
        if throttler is not None:
            stack.push_async_callback(throttler.aclose)
        dispatcher = Dispatcher(
            remote.adapter,
            listening,
            endpoint_id=remote.record.id,
            run_id=run.id,
            journal=AsyncJournal(journal),
            budget=budget,
            throttler=throttler,
            policy=_ONCE,
            clock=clock,
        )
        stats = dispatcher.stats
        most = budget.requests
        for step in steps:
            one_more = budget.spent_requests + 1  # an input that is refused is not looked for in its batch
            budget.requests = one_more if most is None else min(most, one_more)
            exchange = await _carry_out(step, remote, store, dispatcher, listening)
            if exchange.hops:
                exchanges.append(exchange)
            if not exchange.answered:
                stop = _why(exchange, dispatcher)
                break
    return CheckUp(tuple(exchanges), stop, stats.cost_micro)


def _status(stop: Stop | None, exchanges: Sequence[Exchange], steps: Sequence[Step]) -> Literal["finished", "partial"]:
    return "finished" if stop is None and len(exchanges) == len(steps) else "partial"


async def _carry_out(
    step: Step, remote: Remote, store: Store, dispatcher: Dispatcher, listening: _Listening
) -> Exchange:
    identity = remote.adapter.identity
    pairs = zip(step.instances, step.repeats, strict=True)
    keys = [evaluation_key(identity, instance, repeat) for instance, repeat in pairs]
    known = await asyncio.to_thread(store.lookup, keys)
    answers: dict[bytes, Answer] = {}
    exchange = listening.exchange = Exchange(step)

    def on_answer(answer: Answer) -> None:
        answers[answer.entry.key] = answer

    jobs = [
        Job.of(key, lambda instance=instance: instance, known.get(key), heavy=False)  # type: ignore[misc]
        for key, instance in zip(keys, step.instances, strict=True)
    ]
    await dispatcher.run(jobs, on_answer)
    for key in keys:
        answer = answers.get(key)
        exchange.predictions.append(None if answer is None else answer.prediction)
        exchange.errors.append(None if answer is None or answer.prediction is not None else answer.entry.error)
    return exchange


def _why(exchange: Exchange, dispatcher: Dispatcher) -> Stop:
    """Why a step brought no scores, or not for every input."""
    stopped = dispatcher.stopped
    if stopped is not None and (stopped.kind != "budget" or not exchange.hops):
        return stopped
    reason = next((error for error in exchange.errors if error), None)
    outcome = exchange.response
    if outcome is not None:
        verdict = dispatcher.adapter.classify(outcome)
        if verdict.kind != "ok":
            return Stop(verdict.kind, verdict.reason)
    failure = exchange.hops[-1].failure if exchange.hops else ""
    return Stop("rejected", reason or failure or "no answer")


def _run(remote: Remote, code_version: str, clock: Clock) -> records.Run:
    name = f"check-endpoint:{remote.adapter.name}"
    return records.Run(
        id=secrets.token_hex(4),
        name=name,
        config_sha=hashlib.sha256(name.encode()).digest(),
        config="",
        code_version=code_version,
        seed=0,
        started=clock.now(),
    )


class _Listening:
    """A transport that keeps what goes over it, in the exchange of the step that is under way."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.exchange: Exchange | None = None

    async def send(self, request: Request) -> HttpResponse:
        shown = None
        if isinstance(request, HttpRequest) and isinstance(self._transport, HttpTransport):
            shown = self._transport.as_sent(request)
        try:
            response = await self._transport.send(request)
        except AdapterError as error:
            self._keep(Hop(shown, None, str(error)))
            raise
        self._keep(Hop(shown, response))
        return response

    def _keep(self, hop: Hop) -> None:
        if self.exchange is not None:
            self.exchange.hops.append(hop)

    async def aclose(self) -> None:
        await self._transport.aclose()

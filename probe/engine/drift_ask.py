"""Asking one endpoint again: every question of a baseline or a check is a request of its own, whatever the ledger has."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import numpy as np

from adapters import Adapter, Instance, Prediction
from probe.clock import Clock
from probe.drift.answers import Seen
from probe.engine.dispatch import Dispatcher
from probe.engine.events import EvaluationDone, Listener
from probe.engine.journal import AsyncJournal
from probe.engine.keys import canonical, evaluation_key
from probe.engine.outcome import Stop
from probe.engine.purse import shared_budget
from probe.engine.run import OpenTransport, RunSettings
from probe.engine.shared import shared_throttler
from probe.engine.shipment import Answer, Job
from probe.engine.stored import read_predictions
from probe.engine.tasks import Remote
from storage import Journal, Store
from storage.records import Entry

_MOST_REPEATS = 1 << 20  #: of one input on one occasion


@dataclass(frozen=True, slots=True)
class Way:
    """How an endpoint is reached."""

    store: Store
    settings: RunSettings
    open_transport: OpenTransport
    clock: Clock
    emit: Listener


class Questions:
    """Asks ``remote`` on one ``occasion``: a baseline's making, or a check.

    The n-th time that an input is asked on an occasion has a request index of its own, which no other occasion uses. So
    nothing is answered from the ledger but what the same occasion asked before it was killed, and that is not paid again.
    """

    def __init__(self, remote: Remote, dispatcher: Dispatcher, way: Way, *, occasion: str, what: str) -> None:
        self.from_ledger = 0
        self._remote = remote
        self._dispatcher = dispatcher
        self._way = way
        self._what = what
        self._base = int.from_bytes(hashlib.sha256(occasion.encode()).digest()[:5]) * _MOST_REPEATS
        self._times: Counter[bytes] = Counter()

    @property
    def stopped(self) -> Stop | None:
        """Why nothing more can be asked."""
        return self._dispatcher.stopped

    async def ask(self, instances: Sequence[Instance]) -> list[Seen | None]:
        """One answer for each of ``instances``, in order; ``None`` where there was none, or an empty one."""
        keys = [self._key(instance) for instance in instances]
        by_key = dict(zip(keys, instances, strict=True))
        entries = await asyncio.to_thread(self._way.store.lookup, keys)
        found = await self._known(entries)
        self.from_ledger += len(found)
        adapter = self._remote.adapter

        def on_answer(answer: Answer) -> None:
            found[answer.entry.key] = _seen(answer.prediction)
            self._way.emit(EvaluationDone(adapter.name, (self._what,), answer.entry.state, answer.entry.elapsed))

        missing = [key for key in keys if key not in found]
        await self._dispatcher.run((_job(key, by_key[key], entries.get(key)) for key in missing), on_answer)
        return [found.get(key) for key in keys]

    def _key(self, instance: Instance) -> bytes:
        told = hashlib.sha256(canonical(instance)).digest()
        index = self._times[told]
        self._times[told] += 1
        return evaluation_key(self._remote.adapter.identity, instance, self._base + index)

    async def _known(self, entries: dict[bytes, Entry]) -> dict[bytes, Seen | None]:
        over = {key: entry for key, entry in entries.items() if entry.state in ("answered", "rejected")}
        pairs = [(entry, self._remote.adapter) for entry in over.values()]
        predictions = await asyncio.to_thread(read_predictions, self._way.store, pairs)
        return {key: _seen(each) for key, each in zip(over, predictions, strict=True)}


def _seen(prediction: Prediction | None) -> Seen | None:
    return None if prediction is None else Seen.of(prediction.scores)


@asynccontextmanager
async def questions(
    remote: Remote,
    way: Way,
    *,
    run_id: str,
    occasion: str,
    what: str,
    hold: Callable[[Dispatcher], None],
) -> AsyncIterator[Questions]:
    """Connections, limits and the run's budget around :class:`Questions`. ``hold`` is given the dispatcher, to stop it."""
    settings, adapter = way.settings, remote.adapter
    async with AsyncExitStack() as stack:
        transport = way.open_transport(adapter)
        stack.push_async_callback(transport.aclose)
        budget = await shared_budget(settings.budget, way.store, run_id, stack)
        journal = Journal(way.store)
        stack.push_async_callback(asyncio.to_thread, journal.close)
        throttler = settings.throttlers.get(adapter.name) or shared_throttler(adapter, way.store, clock=way.clock)
        dispatcher = Dispatcher(
            adapter,
            transport,
            endpoint_id=remote.record.id,
            run_id=run_id,
            journal=AsyncJournal(journal),
            budget=budget,
            throttler=throttler,
            policy=settings.policy,
            clock=way.clock,
            rng=np.random.default_rng(settings.seed),
            emit=way.emit,
        )
        hold(dispatcher)
        if settings.max_time is not None:
            seconds = settings.max_time.total_seconds()
            reason = f"the {seconds:g} s that it may take are over; run the same command to go on"
            stack.callback(asyncio.get_running_loop().call_later(seconds, dispatcher.stop, "time", reason).cancel)
        yield Questions(remote, dispatcher, way, occasion=occasion, what=what)


def price(adapter: Adapter, evaluations: int, sample: Sequence[Instance], *, batch: int) -> int:
    """What ``evaluations`` in requests of ``batch`` cost in micro-units; tokens are estimated from ``sample``."""
    if not evaluations:
        return 0
    each = adapter.price
    requests = -(-evaluations // batch)
    fixed = each.request_micro * requests + each.item_micro * evaluations
    if not (each.counts_tokens and sample):
        return fixed
    some = [adapter.estimate(adapter.request([instance])) for instance in sample[:20]]
    tokens = sum(each.of(0, usage) - each.request_micro for usage in some) / len(some)
    return fixed + round(tokens * evaluations)


def _job(key: bytes, instance: Instance, entry: Entry | None) -> Job:
    return Job.of(key, lambda: instance, entry, heavy=isinstance(instance, np.ndarray))

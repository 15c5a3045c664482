"""An endpoint as a plain function, for other people's tools: ledgered, limited, never paying twice.

The event loop lives in a thread of its own, so that the function can be called from ordinary code, from notebooks (whose
own loop is running) and from several threads.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
from adapters import Instance, Prediction, Transport
from numpy.typing import NDArray
from storage import Journal, Store, records

from probe.clock import Clock
from probe.engine.budget import Budget
from probe.engine.dispatch import Answer, Dispatcher, Job
from probe.engine.events import Listener, silent
from probe.engine.journal import AsyncJournal
from probe.engine.keys import evaluation_key
from probe.engine.stored import read_predictions
from probe.engine.tasks import Remote
from probe.errors import BudgetReached, EndpointDown

T = TypeVar("T")


class LoopThread:
    """An event loop in a daemon thread; :meth:`call` runs a coroutine there and waits for it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="probe-loop", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """The coroutine's result, or its exception."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """Stop the loop and wait for the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


def run_sync(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` to its end from ordinary code, also where an event loop is running already (notebooks)."""
    if not _loop_is_running():
        return asyncio.run(work)
    loop = LoopThread()
    try:
        return loop.call(work)
    finally:
        loop.close()


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class Predictor:
    """``predict(inputs) -> (m, outputs) float array``, as shap, lime and scikit-learn expect a model to be.

    Inputs: a list of texts, an (m, n) array or list of rows, an (m, H, W, 3) uint8 array. ``outputs`` names the columns of
    the result; by default the endpoint's label list, else the labels of its first answer in that answer's order. A label
    missing from an open label space's answer counts with its upper bound.

    Raises, when called:
        EndpointDown: no usable answer; what was answered before is in the ledger.
        BudgetReached: the budget is used up.
    """

    def __init__(
        self,
        remote: Remote,
        store: Store,
        *,
        open_transport: Callable[[], Transport],
        outputs: Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
        budget: Budget | None = None,
        fresh: timedelta = timedelta(hours=24),
        code_version: str = "",
        clock: Clock | None = None,
        emit: Listener = silent,
    ) -> None:
        self.outputs: tuple[str, ...] | None = tuple(outputs) if outputs else remote.adapter.labels
        self.from_ledger = 0  #: evaluations that cost nothing
        self._remote = remote
        self._store = store
        self._columns = tuple(columns) if columns else None
        self._fresh = fresh
        self._clock = clock or Clock()
        self._lock = threading.Lock()
        self._loop = LoopThread()
        self._journal = Journal(store)
        self._run = self._start_run(code_version)
        self._dispatcher, self._transport = self._loop.call(self._open(open_transport, budget, emit))
        self._finalizer = weakref.finalize(self, _shut, self._loop, self._transport, self._journal)

    @property
    def sent(self) -> int:
        """Requests sent so far."""
        return self._dispatcher.stats.sent

    def __call__(self, inputs: Any) -> NDArray[np.float64]:
        """Scores of every input, shape (m, len(outputs))."""
        instances = self._instances(inputs)
        with self._lock:
            predictions = self._loop.call(self._answers(instances))
        if self.outputs is None:
            self.outputs = tuple(predictions[0].scores) if predictions else ()
        rows = [[each.scores.get(label, each.floor or 0.0) for label in self.outputs] for each in predictions]
        return np.asarray(rows, dtype=np.float64).reshape(len(predictions), len(self.outputs))

    def close(self) -> None:
        """Finish the run that this predictor's evaluations belong to."""
        if self._finalizer.detach() is None:
            return
        stats = self._dispatcher.stats
        totals = {
            "sent": stats.sent,
            "from_ledger": self.from_ledger,
            "retried": stats.retried,
            "maybe_billed": stats.maybe_billed,
            "cost_micro": stats.cost_micro,
        }
        _shut(self._loop, self._transport, self._journal)
        self._store.finish_run(self._run.id, "finished", self._clock.now(), totals)
        self._store.close()

    def __enter__(self) -> Predictor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- inside ---------------------------------------------------------------------------------------------------------

    def _start_run(self, code_version: str) -> records.Run:
        name = f"predict_fn:{self._remote.adapter.name}"
        run = records.Run(
            id=secrets.token_hex(4),
            name=name,
            config_sha=hashlib.sha256(name.encode()).digest(),
            config="",
            code_version=code_version,
            seed=0,
            started=self._clock.now(),
        )
        self._store.put_endpoint(self._remote.record)
        self._store.start_run(run)
        return run

    async def _open(
        self, open_transport: Callable[[], Transport], budget: Budget | None, emit: Listener
    ) -> tuple[Dispatcher, Transport]:
        transport = open_transport()
        dispatcher = Dispatcher(
            self._remote.adapter,
            transport,
            endpoint_id=self._remote.record.id,
            run_id=self._run.id,
            journal=AsyncJournal(self._journal),
            budget=budget,
            clock=self._clock,
            emit=emit,
        )
        return dispatcher, transport

    def _instances(self, inputs: Any) -> list[Instance]:
        if isinstance(inputs, str):
            return [inputs]
        if hasattr(inputs, "to_dict") and hasattr(inputs, "columns"):  # a DataFrame brings its column names
            return list(inputs.to_dict(orient="records"))
        array = inputs if isinstance(inputs, np.ndarray) else None
        if array is not None and array.ndim == 4:
            return [np.clip(np.rint(image), 0, 255).astype(np.uint8) for image in array]
        instances: list[Instance] = []
        for row in inputs:
            if isinstance(row, (str, dict)) or (isinstance(row, np.ndarray) and row.ndim > 1):
                instances.append(row)
            else:
                cells = [cell.item() if isinstance(cell, np.generic) else cell for cell in row]
                instances.append(dict(zip(self._columns, cells, strict=True)) if self._columns else cells)
        return instances

    async def _answers(self, instances: Sequence[Instance]) -> list[Prediction]:
        identity = self._remote.adapter.identity
        keys = [evaluation_key(identity, instance) for instance in instances]
        by_key = dict(zip(keys, instances, strict=True))
        entries = await asyncio.to_thread(self._store.lookup, list(by_key))
        now = self._clock.now()
        usable = {
            key: entry
            for key, entry in entries.items()
            if entry.state == "answered" and entry.answered_at is not None and now - entry.answered_at <= self._fresh
        }
        stored = await asyncio.to_thread(
            read_predictions, self._store, [(entry, self._remote.adapter) for entry in usable.values()]
        )
        found = {key: prediction for key, prediction in zip(usable, stored, strict=True) if prediction is not None}
        self.from_ledger += sum(key in found for key in keys)
        reasons: list[str] = []

        def on_answer(answer: Answer) -> None:
            if answer.prediction is not None:
                found[answer.entry.key] = answer.prediction
            else:
                reasons.append(answer.entry.error or "no answer")

        missing = [key for key in by_key if key not in found]
        await self._dispatcher.run((_job(key, by_key[key], entries.get(key)) for key in missing), on_answer)
        stop = self._dispatcher.stopped
        if any(key not in found for key in keys):
            if stop is not None and stop.kind == "budget":
                raise BudgetReached(stop.reason)
            raise EndpointDown(stop.reason if stop is not None else reasons[0])
        return [found[key] for key in keys]


def _job(key: bytes, instance: Instance, entry: records.Entry | None) -> Job:
    stale = entry is not None and entry.state in {"answered", "rejected"}
    generation = 0 if entry is None else entry.generation + stale
    return Job(key, lambda: instance, generation, 0 if entry is None or stale else entry.attempts)


def _shut(loop: LoopThread, transport: Transport, journal: Journal) -> None:
    close: Awaitable[None] = transport.aclose()
    loop.call(_await(close))
    loop.close()
    journal.close()


async def _await(work: Awaitable[None]) -> None:
    await work

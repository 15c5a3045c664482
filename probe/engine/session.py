"""An endpoint as a plain function, for other people's tools: ledgered, limited, never paying twice.

The event loop lives in a thread of its own, so that the function can be called from ordinary code, from notebooks (whose
own loop is running) and from several threads.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import shutil
import threading
import weakref
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from adapters import Instance, Prediction, Transport
from probe.clock import Clock
from probe.engine.arrays import as_instances
from probe.engine.budget import Budget
from probe.engine.concurrency import batches
from probe.engine.dispatch import Dispatcher
from probe.engine.events import Listener, silent
from probe.engine.journal import AsyncJournal
from probe.engine.keys import evaluation_key
from probe.engine.loops import LoopThread, run_sync
from probe.engine.shared import shared_throttler
from probe.engine.shipment import Answer, Job
from probe.engine.stats import summed
from probe.engine.stored import read_predictions
from probe.engine.tasks import Remote
from probe.errors import BudgetReached, ConfigError, EndpointDown
from probe.targets import TargetSpec, score_of
from storage import Journal, Store, records

__all__ = ["Predictor", "run_sync"]

_TOGETHER = 10_000  #: inputs looked up and sent at a time


class Predictor:
    """``predict(inputs) -> (m, outputs) float array``, as shap, lime and scikit-learn expect a model to be.

    Inputs: a list of texts, a DataFrame, an (m, n) array or list of rows, an (m, H, W, 3) uint8 array. ``outputs`` names the
    columns of the result; by default the endpoint's label list, else the labels of its first answer in that answer's order.
    A label missing from an open label space's answer counts with its upper bound.

    Takes over ``store`` and closes it, and removes the folder ``scratch`` if there is one. Dropped without :meth:`close`, it
    closes itself.

    Raises, when called:
        ConfigError: the inputs are none of these, or the endpoint has no such output.
        EndpointDown: no usable answer; what was answered before is in the ledger. The next call tries again.
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
        scratch: Path | None = None,
        clock: Clock | None = None,
        emit: Listener = silent,
    ) -> None:
        adapter = remote.adapter
        self.outputs: tuple[str, ...] | None = tuple(outputs) if outputs else adapter.labels
        self._columns = tuple(columns) if columns else None
        self._lock = threading.Lock()
        try:
            TargetSpec("outputs", self.outputs or ()).check(adapter.labels, where=f"endpoint {adapter.name!r}")
            (budget or Budget()).check({adapter.name: adapter.price})
            self._session = _Session(
                remote,
                store,
                budget=budget,
                fresh=fresh,
                clock=clock or Clock(),
                emit=emit,
                code_version=code_version,
                scratch=scratch,
            )
        except BaseException:
            store.close()
            raise
        self._finalizer = weakref.finalize(self, self._session.close)
        try:
            self._session.open(open_transport)
        except BaseException:
            self.close()
            raise

    @property
    def sent(self) -> int:
        """Requests sent so far."""
        return self._session.sent

    @property
    def from_ledger(self) -> int:
        """Evaluations that cost nothing, so far."""
        return self._session.from_ledger

    def __call__(self, inputs: Any) -> NDArray[np.float64]:
        """Scores of every input, shape (m, len(outputs))."""
        if not self._finalizer.alive:
            raise ConfigError("this predictor was closed; make a new one with predict_fn()")
        instances = as_instances(inputs, columns=self._columns)
        with self._lock:
            predictions = [
                prediction
                for some in batches(instances, _TOGETHER)
                for prediction in self._session.loop.call(self._session.answers(some))
            ]
            if self.outputs is None and predictions:
                self.outputs = tuple(predictions[0].scores)
        outputs = self.outputs or ()
        try:
            rows = [[score_of(label, each) for label in outputs] for each in predictions]
        except LookupError as error:
            raise ConfigError(f"endpoint {self._session.name!r}: {error.args[0]}") from error
        return np.asarray(rows, dtype=np.float64).reshape(len(predictions), len(outputs))

    def close(self) -> None:
        """Finish the run that this predictor's evaluations belong to, and close the database."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Session:
    """What a predictor holds open; knows nothing of the predictor, so that it can be closed when that is gone."""

    def __init__(
        self,
        remote: Remote,
        store: Store,
        *,
        budget: Budget | None,
        fresh: timedelta,
        clock: Clock,
        emit: Listener,
        code_version: str,
        scratch: Path | None,
    ) -> None:
        self.name = remote.adapter.name
        self.from_ledger = 0
        self._remote = remote
        self._store = store
        self._budget = budget
        self._fresh = fresh
        self._clock = clock
        self._emit = emit
        self._scratch = scratch
        self._dispatcher: Dispatcher | None = None
        self._transport: Transport | None = None
        self._run = self._start_run(code_version)
        self._journal = Journal(store)
        self.loop = LoopThread()

    @property
    def sent(self) -> int:
        return 0 if self._dispatcher is None else self._dispatcher.stats.sent

    def open(self, open_transport: Callable[[], Transport]) -> None:
        """Connections belong to the loop, so they are made there."""

        async def work() -> None:
            self._transport = open_transport()
            self._dispatcher = Dispatcher(
                self._remote.adapter,
                self._transport,
                endpoint_id=self._remote.record.id,
                run_id=self._run.id,
                journal=AsyncJournal(self._journal),
                budget=self._budget,
                throttler=shared_throttler(self._remote.adapter, self._store, clock=self._clock),
                clock=self._clock,
                emit=self._emit,
            )

        self.loop.call(work())

    def close(self) -> None:
        try:
            self.loop.close(*() if self._transport is None else (self._transport.aclose,))
            self._journal.close()
            self._store.finish_run(self._run.id, "finished", self._clock.now(), self._totals())
        finally:
            self._store.close()
            if self._scratch is not None:
                shutil.rmtree(self._scratch, ignore_errors=True)

    def _totals(self) -> dict[str, int]:
        totals = {"from_ledger": self.from_ledger}
        if self._dispatcher is not None:
            totals |= summed([self._dispatcher.stats])
        return totals

    def _start_run(self, code_version: str) -> records.Run:
        name = f"predict_fn:{self.name}"
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

    async def answers(self, instances: Sequence[Instance]) -> list[Prediction]:
        """One prediction an instance, from the ledger where it has one. Raises as the predictor does."""
        dispatcher = self._dispatcher
        if dispatcher is None:
            raise RuntimeError("open() comes first")
        identity = self._remote.adapter.identity
        keys = [evaluation_key(identity, instance) for instance in instances]
        by_key = dict(zip(keys, instances, strict=True))
        entries = await asyncio.to_thread(self._store.lookup, list(by_key))
        found, refused = await self._known(entries)
        self.from_ledger += sum(key in found for key in keys)
        reasons = list(refused.values())

        def on_answer(answer: Answer) -> None:
            if answer.prediction is not None:
                found[answer.entry.key] = answer.prediction
            else:
                reasons.append(answer.entry.error or "no answer")

        missing = [key for key in by_key if key not in found and key not in refused]
        if missing and dispatcher.stopped is not None and dispatcher.stopped.kind != "budget":
            dispatcher.reopen()  # whoever calls again may have put right what was wrong
        await dispatcher.run((_job(key, by_key[key], entries.get(key)) for key in missing), on_answer)
        if len(found) < len(by_key):
            stop = dispatcher.stopped
            if stop is None:
                raise EndpointDown(reasons[0])
            raise _ERRORS.get(stop.kind, EndpointDown)(stop.reason)
        return [found[key] for key in keys]

    async def _known(self, entries: dict[bytes, records.Entry]) -> tuple[dict[bytes, Prediction], dict[bytes, str]]:
        """What the ledger answers, and what it says was refused."""
        now = self._clock.now()
        counting = {
            key: entry
            for key, entry in entries.items()
            if entry.answered_at is not None
            and (entry.run_id == self._run.id or now - entry.answered_at <= self._fresh)
        }
        usable = {key: entry for key, entry in counting.items() if entry.state == "answered"}
        pairs = [(entry, self._remote.adapter) for entry in usable.values()]
        stored = await asyncio.to_thread(read_predictions, self._store, pairs)
        found = {key: prediction for key, prediction in zip(usable, stored, strict=True) if prediction is not None}
        refused = {key: entry.error or "refused" for key, entry in counting.items() if entry.state == "rejected"}
        return found, refused


_ERRORS: dict[str, type[ConfigError | BudgetReached | EndpointDown]] = {
    "budget": BudgetReached,
    "quota": BudgetReached,
    "usage": ConfigError,
}


def _job(key: bytes, instance: Instance, entry: records.Entry | None) -> Job:
    return Job.of(key, lambda: instance, entry, heavy=isinstance(instance, np.ndarray))

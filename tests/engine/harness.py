"""Endpoints of the demo server, and a dispatcher with a real journal and real HTTP around them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapters import Adapter, Transport, endpoint_from_config, open_transport
from probe.engine.dispatch import Dispatcher
from probe.engine.events import Event
from probe.engine.journal import AsyncJournal
from probe.engine.keys import evaluation_key
from probe.engine.retry import RetryPolicy
from probe.engine.shipment import Answer, Job
from probe.engine.tasks import Remote
from probe.setup import remote_of
from storage import Journal, Store, records

#: patient enough for what the server does on purpose, and quick
QUICK = RetryPolicy(first_wait=0.02, most_wait=0.05)


def text_adapter(
    url: str, *, name: str = "echo", environment: Mapping[str, str] | None = None, **options: Any
) -> Adapter:
    """``echo-length`` at a demo server."""
    config = {
        "url": f"{url}/v1/echo-length/predict",
        "json": {"inputs": [{"$each": "{{ x }}"}]},
        "items": "predictions",
        "scores": {"map": "scores"},
    }
    return endpoint_from_config(name, config | options, environment=environment or {}, base=Path())


def row_adapter(url: str, *, name: str = "sum", **options: Any) -> Adapter:
    """``sum`` at a demo server."""
    config = {
        "url": f"{url}/v1/sum/predict",
        "json": {"inputs": [{"$each": "{{ x }}"}]},
        "items": "predictions",
        "scores": {"map": "scores"},
    }
    return endpoint_from_config(name, config | options, environment={}, base=Path())


def remote(adapter: Adapter) -> Remote:
    return remote_of(adapter, provider="http", url="", model="")


def text(number: int) -> str:
    """A text of its own for every number, all of the same length."""
    return f"input {number:04d}"


async def until(condition: Callable[[], Any]) -> None:
    """Wait for what another process, or the code under test, brings about."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - nobody there who could set an event
            await asyncio.sleep(0.005)


class Sending:
    """One dispatcher's work: what it answered, told and stored."""

    def __init__(self, adapter: Adapter, store: Store, *, environment: Mapping[str, str] | None = None) -> None:
        self.adapter = adapter
        self.store = store
        self.endpoint = remote(adapter).record
        self.answers: list[Answer] = []
        self.events: list[Event] = []
        self.environment = environment or {}
        self.dispatcher: Dispatcher | None = None
        self.run_id = secrets.token_hex(4)
        store.put_endpoint(self.endpoint)
        store.start_run(records.Run(self.run_id, "probe.yaml", b"", "", "", 1, datetime.now(UTC)))

    def jobs(self, texts: Sequence[str]) -> list[Job]:
        return [self.job(each) for each in texts]

    def job(self, each: str) -> Job:
        return Job(evaluation_key(self.adapter.identity, each), lambda: each)

    async def send(
        self,
        jobs: Sequence[Job],
        *,
        meanwhile: Callable[[Dispatcher], Any] | None = None,
        journal: Any = None,
        transport: Transport | None = None,
        **options: Any,
    ) -> Dispatcher:
        """Send ``jobs``; ``meanwhile`` is a coroutine function that runs beside it."""
        with Journal(self.store) as real:
            transport = transport or open_transport(self.adapter, environment=self.environment)
            settings = {"policy": QUICK} | options
            self.dispatcher = Dispatcher(
                self.adapter,
                transport,
                endpoint_id=self.endpoint.id,
                run_id=self.run_id,
                journal=journal or AsyncJournal(real),
                emit=self.events.append,
                **settings,
            )
            try:
                beside = asyncio.ensure_future(meanwhile(self.dispatcher)) if meanwhile else None
                await self.dispatcher.run(jobs, self.answers.append)
                if beside is not None:
                    await beside
            finally:
                await transport.aclose()
        return self.dispatcher

    def run(self, texts: Sequence[str], **options: Any) -> Dispatcher:
        """:meth:`send`, from beginning to end, and nothing is left running."""

        async def work() -> Dispatcher:
            dispatcher = await self.send(self.jobs(texts), **options)
            assert asyncio.all_tasks() == {asyncio.current_task()}
            return dispatcher

        return asyncio.run(work())

    def stored(self, texts: Sequence[str]) -> list[records.Entry | None]:
        found = self.store.lookup([job.key for job in self.jobs(texts)])
        return [found.get(job.key) for job in self.jobs(texts)]

    def states(self, texts: Sequence[str]) -> list[str]:
        return ["nothing" if entry is None else entry.state for entry in self.stored(texts)]

    def by_state(self) -> dict[str, int]:
        counted: dict[str, int] = {}
        for answer in self.answers:
            counted[answer.entry.state] = counted.get(answer.entry.state, 0) + 1
        return counted

"""The storage journal, awaited."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import Future

from storage import Journal
from storage.records import Entry


class AsyncJournal:
    """Each call returns when its rows are durable; everything queued meanwhile shares one commit.

    Belongs to the event loop it is first called in. The loop is woken once for all that became durable together: waking it
    costs more than anything else here.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._gate = threading.Lock()
        self._landed: list[tuple[Future[None], asyncio.Future[None]]] = []

    async def intend(self, entries: Sequence[Entry]) -> None:
        """Write what is about to be sent."""
        await self._landing(self._journal.intend(entries))

    async def record(self, entries: Sequence[Entry], bodies: Sequence[bytes] = ()) -> None:
        """Write what came back."""
        await self._landing(self._journal.record(entries, bodies))

    def _landing(self, written: Future[None]) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        waiting = loop.create_future()

        def landed(written: Future[None]) -> None:  # in the journal's thread
            with self._gate:
                self._landed.append((written, waiting))
                first = len(self._landed) == 1
            if first and not loop.is_closed():
                loop.call_soon_threadsafe(self._tell)

        written.add_done_callback(landed)
        return waiting

    def _tell(self) -> None:
        with self._gate:
            landed, self._landed = self._landed, []
        for written, waiting in landed:
            if waiting.done():  # whoever waited was cancelled
                continue
            if (error := written.exception()) is not None:
                waiting.set_exception(error)
            else:
                waiting.set_result(None)

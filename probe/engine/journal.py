"""The storage journal, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from storage import Journal
from storage.records import Entry


class AsyncJournal:
    """Each call returns when its rows are durable; everything queued meanwhile shares one commit."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def intend(self, entries: Sequence[Entry]) -> None:
        """Write what is about to be sent."""
        await asyncio.wrap_future(self._journal.intend(entries))

    async def record(self, entries: Sequence[Entry], bodies: Sequence[bytes] = ()) -> None:
        """Write what came back."""
        await asyncio.wrap_future(self._journal.record(entries, bodies))

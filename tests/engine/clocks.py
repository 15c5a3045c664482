"""A clock that tests hold in their hands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from probe.clock import Clock

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class HandClock:
    """Time passes only in ``sleep``, by what was asked for plus ``oversleep(seconds)``."""

    def __init__(self, oversleep: Callable[[float], float] | None = None) -> None:
        self.time = 1000.0
        self.slept: list[float] = []
        self._oversleep = oversleep or (lambda _seconds: 0.0)

    @property
    def clock(self) -> Clock:
        return Clock(self.now, lambda: self.time, self.sleep)

    def now(self) -> datetime:
        return START + timedelta(seconds=self.time - 1000.0)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds + self._oversleep(seconds)
        await asyncio.sleep(0)

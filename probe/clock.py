"""Time as the engine sees it: passed in, so that tests hold it in their hands."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Clock:
    """A wall clock for the record, a monotonic clock for pacing, and a way to wait."""

    now: Callable[[], datetime] = _utc_now  #: aware UTC
    monotonic: Callable[[], float] = time.monotonic  #: seconds, never set back
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

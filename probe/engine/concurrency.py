"""How many at once, how many together, and waiting for one thing but not past another."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

_UNKNOWN_RATE_IN_FLIGHT = 16
_LARGE = 1 << 16  #: bytes


def in_flight(rate: float | None, period: float, concurrency: int | None) -> int:
    """Requests under way at once: what the config says, else twice what the rate brings per second (8 … 256)."""
    if concurrency is not None:
        return concurrency
    if rate is None:
        return _UNKNOWN_RATE_IN_FLIGHT
    return min(max(8, math.ceil(2 * rate / period)), 256)


def batches(jobs: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """``jobs`` in order, in tuples of ``size``; the last may be shorter."""
    iterator = iter(jobs)
    while batch := tuple(itertools.islice(iterator, size)):
        yield batch


def drained(items: list[T]) -> Iterator[T]:
    """``items`` in order; each is forgotten once it is handed out."""
    items.reverse()
    while items:
        yield items.pop()


async def off_loop(function: Callable[..., T], *args: Any, size: int) -> T:
    """``function(*args)``; in a worker thread if the answer it is about has many bytes, so that pacing goes on meanwhile."""
    return await asyncio.to_thread(function, *args) if size > _LARGE else function(*args)


async def unless(event: asyncio.Event, waiting: Awaitable[None]) -> bool:
    """Await ``waiting``; ``False`` as soon as ``event`` is set before it is done."""
    wait = asyncio.ensure_future(waiting)
    stop = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({wait, stop}, return_when=asyncio.FIRST_COMPLETED)
        if not event.is_set():
            await wait
        return not event.is_set()
    finally:
        for task in (wait, stop):
            if not task.done():
                task.cancel()
        await asyncio.gather(wait, stop, return_exceptions=True)

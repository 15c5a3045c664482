"""How many together, and waiting for one thing but not past another."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

_LARGE = 1 << 16  #: bytes


def batches(jobs: Iterable[T], size: int | Callable[[], int]) -> Iterator[tuple[T, ...]]:
    """``jobs`` in order, in tuples of ``size``, or of what it says when one is begun; the last may be shorter."""
    iterator = iter(jobs)
    while batch := tuple(itertools.islice(iterator, size if isinstance(size, int) else size())):
        yield batch


def drained(items: list[T]) -> Iterator[T]:
    """``items`` in order; each is forgotten once it is handed out."""
    items.reverse()
    while items:
        yield items.pop()


async def off_loop(function: Callable[..., T], *args: Any, size: int) -> T:
    """``function(*args)``; in a worker thread if the answer it is about has many bytes, so that pacing goes on meanwhile."""
    return await asyncio.to_thread(function, *args) if size > _LARGE else function(*args)


async def all_of(work: Iterable[Coroutine[None, None, None]]) -> None:
    """Run everything to its end, then raise the first error."""
    for outcome in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


class Flag:
    """Set once, it ends every wait that does not want to go on past it. Like an event, without two tasks a wait."""

    def __init__(self) -> None:
        self._set = False
        self._waiting: set[asyncio.Task[Any]] = set()

    def is_set(self) -> bool:
        """Whether it is."""
        return self._set

    def set(self) -> None:
        """End all waits, and those that would begin."""
        self._set = True
        for task in self._waiting:
            task.cancel()
        self._waiting.clear()

    def clear(self) -> None:
        """Waits may begin again."""
        self._set = False

    async def unless(self, wait: Callable[[], Awaitable[None]]) -> bool:
        """Await ``wait()``; ``False``, and it is cancelled, as soon as the flag is set before it is done."""
        task = asyncio.current_task()
        if self._set or task is None:
            return False
        cancelled_before = task.cancelling()
        self._waiting.add(task)
        try:
            await wait()
        except asyncio.CancelledError:
            # ours, unless somebody else cancels the task as well: as asyncio.timeout tells its own apart
            if task in self._waiting or task.uncancel() > cancelled_before:
                raise
            return False
        finally:
            self._waiting.discard(task)
        return True

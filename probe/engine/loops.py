"""Event loops for ordinary code: one in a thread of its own, where another loop may be running already (notebooks)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """An event loop in a daemon thread; :meth:`call` runs a coroutine there and waits for it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._gate = threading.Lock()
        self._closed = False
        self._last: tuple[Callable[[], Coroutine[Any, Any, None]], ...] = ()
        self._thread = threading.Thread(target=self._work, name="probe-loop", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """The coroutine's result, or its exception. Interrupted while waiting (Ctrl-C), it cancels the coroutine.

        Raises ``RuntimeError`` after :meth:`close`, or when called from the thread itself.
        """
        if self._closed or threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("the event loop is closed, or waits for itself")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self, *last: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Cancel what is left, run ``last`` (closing what belongs to the loop), stop, and wait for the thread.

        May be called again, and from any thread.
        """
        with self._gate:
            if not self._closed:
                self._closed = True
                self._last = last
                self._loop.call_soon_threadsafe(self._loop.stop)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _work(self) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            loop.run_until_complete(_gather(left))
            loop.run_until_complete(_gather(each() for each in self._last))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            asyncio.set_event_loop(None)
            loop.close()


async def _gather(work: Iterable[Awaitable[Any]]) -> None:
    await asyncio.gather(*work, return_exceptions=True)


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

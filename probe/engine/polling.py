"""Results that are fetched after a start: what was started is paid, so everything is done to get its result.

Each look waits for the limits like any request. Looking is free, so a look that fails is repeated as long as there is time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from adapters import Adapter, HttpRequest, HttpResponse, MaybeBilled, Starting, Step, TransportError
from probe.clock import Clock
from probe.engine.throttle import LimitFar

_AGAIN: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_LONGEST_WAIT = 60.0  #: seconds between looks that fail


@dataclass(frozen=True, slots=True)
class Looks:
    """How to look for a result: ``turn`` waits for the limits, ``send`` sends."""

    send: Callable[[HttpRequest], Awaitable[HttpResponse]]
    turn: Callable[[], Awaitable[None]]
    clock: Clock


async def result_of(adapter: Adapter, start: HttpResponse, looks: Looks) -> HttpResponse:
    """The answer that ``start`` leads to, ``elapsed`` counted from the start; ``start`` itself if it is one.

    Raises:
        ResponseError: an answer is not as described, or names a URL that must not be asked.
        MaybeBilled: there is no result within the time for it.
    """
    if not isinstance(adapter, Starting) or adapter.result_timeout is None:
        return start
    step = adapter.follow(start, None)
    if step is None:
        return start
    seconds, began = adapter.result_timeout, looks.clock.monotonic()
    search = _Search(adapter, looks, began + seconds)
    try:
        response = await search.run(adapter, step)
    except (_OutOfTime, LimitFar) as end:
        reason = f"; {search.seen}" if search.seen else ""
        why = f"no result within {seconds:g} s" if isinstance(end, _OutOfTime) else "its limit is used up for long"
        raise MaybeBilled(
            f"endpoint {adapter.name!r}: the work was started, but {why}{reason}; it may have been counted"
        ) from None
    return replace(response, elapsed=start.elapsed + looks.clock.monotonic() - began)


class _OutOfTime(Exception):
    pass


class _Search:
    """The looks for one result."""

    def __init__(self, adapter: Adapter, looks: Looks, ends: float) -> None:
        self._adapter = adapter
        self._looks = looks
        self._ends = ends
        self.seen = ""  #: what the last look that failed was told

    async def run(self, starting: Starting, step: Step) -> HttpResponse:
        while True:
            await self._pause(step.wait)
            response = await self._look(step.request)
            if not 200 <= response.status < 300:
                return response
            following = starting.follow(response, step)
            if following is None:
                return response
            step = following

    async def _look(self, request: HttpRequest) -> HttpResponse:
        """The first answer that is not "later". Raises :class:`_OutOfTime`."""
        wait = 1.0
        while True:
            response = await self._once(request)
            if response is not None:
                if response.status not in _AGAIN:
                    return response
                verdict = self._adapter.classify(response)
                if verdict.kind != "retry":
                    return response
                self.seen = verdict.reason
                wait = max(wait, verdict.after or 0.0)
            await self._pause(wait)
            wait = min(_LONGEST_WAIT, wait * 2)

    async def _once(self, request: HttpRequest) -> HttpResponse | None:
        left = self._ends - self._looks.clock.monotonic()
        if left <= 0:
            raise _OutOfTime
        try:
            async with asyncio.timeout(left):
                await self._looks.turn()
                return await self._looks.send(request)
        except TimeoutError:
            raise _OutOfTime from None
        except TransportError as error:
            self.seen = str(error)
            return None

    async def _pause(self, seconds: float) -> None:
        if self._looks.clock.monotonic() + seconds >= self._ends:
            raise _OutOfTime
        await self._looks.clock.sleep(seconds)

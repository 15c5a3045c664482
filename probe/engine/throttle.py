"""Pacing under a strict limit, on asyncio-throttle's interface.

``asyncio_throttle.Throttler`` is the contract (``async with throttler:``); any of its kind can be plugged into the engine.
Ours keeps its log of send times and its parameters, and changes how a slot is found: first come first served, one sleeper,
paced instead of bursting. A burst limiter that lets ``limit`` requests through at once breaks a server's sliding window as
soon as one of them arrives late; pacing with a small guard does not.
"""

from __future__ import annotations

import asyncio
from collections import deque

from asyncio_throttle.throttler import Throttler

from probe.clock import Clock

_GUARD = 0.02  #: share of the window kept free against jitter between our clock and the server's
_GUARD_MOST = 0.25


class PacedThrottler(Throttler):
    """At most ``rate_limit`` sends in any ``period`` seconds, evenly spaced, in order of asking.

    A send's slot is the latest of: now, one gap after the previous slot, ``period`` (plus guard) after the send
    ``rate_limit`` places before, and the end of a hold. Sends are logged when they happen, not when they were planned.
    """

    def __init__(
        self, rate_limit: float, period: float = 1.0, *, clock: Clock | None = None, guard: float = _GUARD
    ) -> None:
        if not rate_limit > 0 or not period > 0:
            raise ValueError(f"a rate needs to be positive, not {rate_limit} per {period} s")
        if rate_limit < 1:  # 0.5 per second is one per two seconds
            rate_limit, period = 1.0, period / rate_limit
        elif rate_limit != int(rate_limit):  # 2.5 per second is five per two seconds, or near enough below
            rate_limit, period = int(rate_limit * 10), period * 10
        super().__init__(int(rate_limit), period)
        self.guard = guard
        self._clock = clock or Clock()
        self._turn = asyncio.Lock()  # its waiters are served in order
        self._next_slot = float("-inf")
        self._held_until = float("-inf")
        self._task_logs: deque[float] = deque(maxlen=self.rate_limit)

    async def acquire(self) -> None:
        """Wait for the next slot and take it."""
        async with self._turn:
            while True:
                now = self._clock.monotonic()
                slot = max(self._next_slot, self._held_until, self._window_opens())
                if slot <= now:
                    break
                await self._clock.sleep(slot - now)
            gap = self.period * (1 + self.guard) / self.rate_limit
            # Lateness of one sleep is made up by the next slot, but never more than one gap of it.
            self._next_slot = max(slot, now - gap) + gap
            self._task_logs.append(now)

    def hold(self, seconds: float) -> None:
        """Send nothing for ``seconds``, and pace more carefully from then on: the server found us too fast."""
        self._held_until = max(self._held_until, self._clock.monotonic() + seconds)
        self.guard = min(max(self.guard, 0.01) * 1.5, _GUARD_MOST)

    def _window_opens(self) -> float:
        if len(self._task_logs) < self.rate_limit:
            return float("-inf")
        return float(self._task_logs[0] + self.period * (1 + self.guard))


class Unlimited(Throttler):
    """For an endpoint without a known limit: lets everything through, but honours a hold."""

    def __init__(self, *, clock: Clock | None = None) -> None:
        super().__init__(1)
        self._clock = clock or Clock()
        self._held_until = float("-inf")

    async def acquire(self) -> None:
        """Wait while the server asked us to."""
        while (wait := self._held_until - self._clock.monotonic()) > 0:
            await self._clock.sleep(wait)

    def hold(self, seconds: float) -> None:
        """Send nothing for ``seconds``."""
        self._held_until = max(self._held_until, self._clock.monotonic() + seconds)

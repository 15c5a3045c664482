"""Pacing under a strict limit, on asyncio-throttle's interface.

``asyncio_throttle.Throttler`` is the contract (``async with throttler:``); any of its kind can be plugged into the engine.
Ours keeps its log of send times and its parameters, and changes how a slot is found: first come first served, one sleeper,
paced instead of bursting. A burst limiter that lets ``limit`` requests through at once breaks a server's sliding window as
soon as one of them arrives late; pacing with a small guard does not.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from fractions import Fraction

from asyncio_throttle.throttler import Throttler

from probe.clock import Clock

_GUARD = 0.01  #: share of the window kept free against jitter between our clock and the server's
_GUARD_MOST = 4.0  #: a fifth of the rate we were told
_GUARD_BUSY = 0.045  #: most that our own lateness adds up to
_CALM = 4  #: windows without a hold after which about two thirds of an extra guard are gone


class PacedThrottler(Throttler):
    """At most ``rate_limit`` sends in any ``period`` seconds, evenly spaced, in order of asking.

    A send's slot is the latest of: now, one gap after the previous slot, ``period`` (plus guard) after the send
    ``rate_limit`` places before, and the end of a hold. Sends are logged when they happen, not when they were planned.

    A rate that is not a whole number is kept as one over a longer period: 2.5 per second as 5 per 2 seconds.
    Raises ``ValueError`` unless rate and period are positive and finite.
    """

    def __init__(
        self, rate_limit: float, period: float = 1.0, *, clock: Clock | None = None, guard: float = _GUARD
    ) -> None:
        if not (0 < rate_limit < math.inf and 0 < period < math.inf):
            raise ValueError(f"a rate needs to be positive, not {rate_limit} per {period} s")
        count, seconds = _whole(rate_limit, period)
        super().__init__(count, seconds)
        self.guard = guard
        self._least_guard = guard
        self._clock = clock or Clock()
        self._turn = asyncio.Lock()  # its waiters are served in order
        self._next_slot = float("-inf")
        self._held_until = float("-inf")
        self._task_logs: deque[float] = deque(maxlen=count)

    async def acquire(self) -> None:
        """Wait for the next slot and take it."""
        async with self._turn:
            waited = False
            while True:
                now = self._clock.monotonic()
                slot = max(self._next_slot, self._held_until, self._window_opens())
                if slot <= now:
                    break
                waited = True
                await self._clock.sleep(slot - now)
            gap = self.period * (1 + self.guard) / self.rate_limit
            # The lateness of one sleep is made up by the next slot, at most one gap of it; idle time is not.
            late = now - slot
            start = now - min(late, gap) if waited else slot if late <= gap else now
            self._next_slot = start + gap
            self._task_logs.append(now)
            self.guard -= (self.guard - self._least_guard) / (_CALM * self.rate_limit)
            if waited:  # a machine that wakes us late delivers late as well, and the next request perhaps in time
                self.guard = max(self.guard, min(self._least_guard + 2 * late / self.period, _GUARD_BUSY))

    def hold(self, seconds: float) -> None:
        """Send nothing for ``seconds``, and go slower from then on: the server found us too fast, whatever we were told.

        The extra guard doubles with every hold (once, if several requests report the same one) and melts away in calm.
        """
        now = self._clock.monotonic()
        if now >= self._held_until:
            self.guard = min(max(self.guard, _GUARD) * 2, _GUARD_MOST)
        self._held_until = max(self._held_until, now + seconds)

    def landed(self) -> None:
        """The last send has its answer, so it arrived by now: count it from now on.

        For a first request, which may have spent longer on connecting than the guard allows for.
        """
        if self._task_logs:
            self._task_logs[-1] = self._clock.monotonic()

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


def _whole(rate: float, period: float) -> tuple[int, float]:
    """The same rate with a whole count: (count, seconds)."""
    count = Fraction(rate).limit_denominator(100).numerator
    if count == rate:
        return count, period
    count = max(1, count)
    return count, period * (count / rate)

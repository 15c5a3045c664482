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
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from asyncio_throttle.throttler import Throttler

from adapters import Announcement
from probe.clock import Clock
from probe.engine.binding import Binding, per

_GUARD = 0.01  #: share of the window kept free against jitter between our clock and the server's
_GUARD_MOST = 4.0  #: a fifth of the rate we were told
_BUSY = 0.02  #: windows of our own lateness that are only that: what a busy event loop has
_BUSY_MOST = 0.035  #: most that lateness beyond them adds to the guard
PACED = 60.0  #: seconds; limits per hour or day are not spread over it
_SAME_WINDOW = 1.5  #: seconds by which two announced ends of one window may differ: many servers give whole seconds
FAR = 600.0  #: seconds
_FORGET = 0.001  #: how much of a difference from the quickest answer each slower one takes back
_CALM = 4  #: windows without a hold after which about two thirds of an extra guard are gone


class PacedThrottler(Throttler):
    """At most ``rate_limit`` sends in any ``period`` seconds, evenly spaced, in order of asking.

    A send's slot is the latest of: now, one gap after the previous slot, ``period`` (plus guard) after the send
    ``rate_limit`` places before, and the end of a hold. Sends are logged when they happen, not when they were planned.

    A rate that is not a whole number is kept as one over a longer period: 2.5 per second as 5 per 2 seconds.
    ``more``: further limits, (requests, seconds), that must admit a send as well; those of up to a minute are paced too,
    longer ones are used up as fast as the others allow. What the server announces (:meth:`announce`) only ever slows down.
    Raises ``ValueError`` unless rates and periods are positive and finite.
    """

    def __init__(
        self,
        rate_limit: float,
        period: float = 1.0,
        *,
        more: Sequence[tuple[float, float]] = (),
        clock: Clock | None = None,
        guard: float = _GUARD,
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
        self._behind = 0.0  # seconds that may be made up
        self._lateness = 0.0  # seconds; the longest of late, slowly forgotten
        self._quickest = math.inf  # seconds from sending to the answer, slowly forgotten
        self._held_until = float("-inf")
        self._sends: deque[Send] = deque(maxlen=count)
        self._windows = [_Window.of(*limit) for limit in more]
        self._allowance = Allowance()

    @property
    def margin(self) -> float:
        """Share of the window kept free now: the guard, and more if we were woken up very late within about a window."""
        return self.guard + min(max(0.0, self._lateness / float(self.period) - _BUSY), _BUSY_MOST)

    @property
    def last(self) -> Send | None:
        """The send that was let through last; who asks right after :meth:`acquire` gets its own."""
        return self._sends[-1] if self._sends else None

    async def acquire(self) -> None:
        """Wait for the next slot and take it. Raises :class:`LimitFar`."""
        asked = self._clock.monotonic()
        async with self._turn:
            waited = False
            gap = max([self.period / self.rate_limit, *(window.gap for window in self._windows)]) * (1 + self.margin)
            while True:
                now = self._clock.monotonic()
                slot = max(self._next_slot, self._held_until, self._window_opens(), self._allowance.opens(now))
                if slot <= now:
                    break
                if slot - now > max(FAR, 2 * gap):
                    raise LimitFar(slot - now)
                waited = True
                await self._clock.sleep(slot - now)
            # A gap in the window's pattern comes round again with every window: what it holds up is made up after it.
            held_up = self._window_opens() - self._next_slot
            if waited and 0 < held_up < self.period:
                self._behind = min(self._behind + held_up, self.period / 2)
            # So is the lateness of whoever was here in time: one gap of it by the next slot. Idle time is not.
            late = now - slot
            start = slot if late <= gap else now - gap if asked <= slot else now
            if asked <= slot and late > gap:
                self._behind = min(self._behind + late - gap, self.period / 2)
            step = gap if self._behind <= 0 else gap / 2
            self._behind -= gap - step
            self._next_slot = start + step
            send = Send(now)
            self._sends.append(send)
            self._allowance.take(now)
            for window in self._windows:
                window.sent.append(send)
            self.guard -= (self.guard - self._least_guard) / (_CALM * self.rate_limit)
            # A machine that wakes us late delivers late as well, and the next request perhaps in time.
            self._lateness = max(self._lateness * (1 - 1 / self.rate_limit), late if asked <= slot else 0.0)

    def hold(self, seconds: float) -> None:
        """Send nothing for ``seconds``, and go slower from then on: the server found us too fast, whatever we were told.

        The extra guard doubles with every hold (once, if several requests report the same one) and melts away in calm.
        """
        now = self._clock.monotonic()
        if now >= self._held_until:
            self.guard = min(max(self.guard, _GUARD) * 2, _GUARD_MOST)
        self._held_until = max(self._held_until, now + seconds)

    def landed(self, ago: float = 0.0) -> None:
        """The last send left ``ago`` seconds before now, when its answer is here: count it from then on.

        For a first request, which may have spent longer on connecting than the guard allows for, and which goes alone. The
        time for which the others waited is made up at twice the pace, within the limits.
        """
        if (send := self.last) is not None:
            self.left(send, ago)
            self._behind = min(self._clock.monotonic() - send.at, self.period / 2)

    def left(self, send: Send, ago: float) -> None:
        """``send`` left ``ago`` seconds before now, when its answer is here: its window begins then, or later.

        It may have been as late in arriving as it was answered later than others. What of that goes beyond half the guard is
        reckoned with, but no more than the guard is long: most of it may be the server's own time.
        """
        slower = ago - self._quickest
        self._quickest = ago if slower < 0 else self._quickest + _FORGET * slower
        guard = self.guard * self.period
        late = min(max(slower - guard / 2, 0.0), guard)
        send.at = max(send.at, self._clock.monotonic() - ago + late)

    def announce(self, said: Sequence[Announcement], *, in_flight: int) -> None:
        """What an answer's headers say of the limits on requests: a lower limit holds at once, and so does the number of
        requests left until the next window begins, less the ``in_flight`` ones that the server may not have counted yet."""
        now = self._clock.monotonic()
        for each in said:
            if each.kind not in {"requests", "unknown"}:
                continue
            if each.limit and each.window:
                self._add_limit(each.limit, each.window)
            if each.remaining is not None and each.reset_after:
                self._allowance.restrict(each.remaining - in_flight, now + each.reset_after)

    def binding(self) -> Binding | None:
        """What holds the next send back now; ``None`` if nobody waits."""
        now = self._clock.monotonic()
        if self._held_until > now:
            return Binding("held", "", self._held_until - now)
        if not self._turn.locked():
            return None
        if (ends := self._allowance.opens(now)) > now:
            return Binding("used up", "what the server allows", ends - now)
        limits = [(self._own_window_opens(), self.rate_limit, self.period)]
        limits += [(window.opens(self.margin), window.limit, window.period) for window in self._windows]
        opens, limit, period = max(limits)
        paced = [each[1:] for each in limits if each[2] <= PACED] or [limits[0][1:]]
        slowest, its_period = min(paced, key=lambda each: each[0] / each[1])
        if opens - now > 2 * its_period / slowest:
            return Binding("used up", per(limit, period), opens - now)
        return Binding("rate", per(slowest, its_period))

    def least_seconds(self, requests: int) -> float:
        """How long it takes at least until so many more are let through."""
        now = self._clock.monotonic()
        logs = [(self._sends, self.rate_limit, self.period, self.period / self.rate_limit)]
        logs += [(each.sent, each.limit, each.period, each.gap) for each in self._windows]
        seconds = 0.0
        for sent, limit, period, gap in logs:
            length = period * (1 + self.margin)
            free = limit - sum(send.at + length > now for send in sent)
            windows = max(0, math.ceil((requests - free) / limit))  # that have to end first
            first = sent[0].at + length - now if sent else length
            seconds = max(seconds, requests * gap * (1 + self.margin), windows and first + (windows - 1) * length)
        return max(0.0, self._held_until - now) + seconds

    def _add_limit(self, limit: float, window: float) -> None:
        known = [(self.rate_limit, self.period), *((each.limit, each.period) for each in self._windows)]
        if all(rate > limit * (1 + 1e-9) for rate, period in known if period == window) and limit / window < min(
            rate / period for rate, period in known
        ):
            self._windows.append(_Window.of(limit, window))

    def _window_opens(self) -> float:
        opens = max((window.opens(self.margin) for window in self._windows), default=float("-inf"))
        return max(opens, self._own_window_opens())

    def _own_window_opens(self) -> float:
        if len(self._sends) < self.rate_limit:
            return float("-inf")
        return float(self._sends[0].at + self.period * (1 + self.margin))


class LimitFar(Exception):
    """The next send is so far away that it is no pause but a used-up quota; ``seconds`` from now."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


@dataclass(slots=True)
class Send:
    """A request that was let through: when it left, as far as is known."""

    at: float  #: seconds, monotonic


@dataclass(slots=True)
class _Window:
    """At most ``limit`` sends in any ``period`` seconds."""

    limit: int
    period: float
    sent: deque[Send]

    @classmethod
    def of(cls, rate: float, period: float) -> _Window:
        if not (0 < rate < math.inf and 0 < period < math.inf):
            raise ValueError(f"a rate needs to be positive, not {rate} per {period} s")
        count, seconds = _whole(rate, period)
        return cls(count, seconds, deque(maxlen=count))

    @property
    def gap(self) -> float:
        return self.period / self.limit if self.period <= PACED else 0.0

    def opens(self, guard: float) -> float:
        return self.sent[0].at + self.period * (1 + guard) if len(self.sent) == self.limit else float("-inf")


@dataclass(slots=True)
class Allowance:
    """So many requests or tokens until the server's window ends; without a word from the server, as many as one likes."""

    left: float = math.inf
    ends: float = float("-inf")
    whole: float = math.inf  #: what a new window has

    def restrict(self, left: float, ends: float, *, whole: float | None = None) -> None:
        """Of several words about one window the strictest counts; answers may overtake each other."""
        same = abs(ends - self.ends) < _SAME_WINDOW
        self.left = min(self.left, left) if same else left
        self.ends = max(self.ends, ends) if same else ends
        self.whole = whole or math.inf

    def opens(self, now: float, units: float = 1) -> float:
        """When there are ``units`` left; one who needs more than a whole window has waits for that."""
        return self.ends if self.left < min(units, self.whole) and now < self.ends else float("-inf")

    def take(self, now: float, units: float = 1) -> None:
        """Count what is sent ``now``."""
        self.left = self.left - units if now < self.ends else math.inf


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

    def binding(self) -> Binding | None:
        """The hold, while there is one."""
        wait = self._held_until - self._clock.monotonic()
        return Binding("held", "", wait) if wait > 0 else None


def _whole(rate: float, period: float) -> tuple[int, float]:
    """The same rate with a whole count: (count, seconds)."""
    count = Fraction(rate).limit_denominator(100).numerator
    if count == rate:
        return count, period
    count = max(1, count)
    return count, period * (count / rate)

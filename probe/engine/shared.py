"""One limit for several processes or machines: slots come from a row in the shared database, a few at a time.

Every process paces its own sends at the slots it leased, so that together they are as evenly spaced as one process would
be. A slot that could not be used in time is thrown away: a request sent late would come on top of somebody else's.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from asyncio_throttle.throttler import Throttler

from adapters import Adapter
from probe.clock import Clock
from probe.engine.binding import Binding, per
from storage import Lease, Reservations, Store

T = TypeVar("T")

_GUARD = 0.03  #: share of the window kept free: half for sending late, half for the way to the server
_GUARD_MOST = 4.0  #: a fifth of the rate we were told
_CALM = 4  #: windows' worth of sends after which about two thirds of an extra guard are gone
_JITTER_MOST = 0.1  #: windows; later than that is no jitter, and its slots are thrown away
_LEAST_SLACK = 0.01  #: seconds; a window of a tenth of a second does not make event loops more punctual
_SPAN = 0.05  #: seconds' worth of slots in one lease
_LEAD = 0.03  #: seconds before the last slot at which the next ones are asked for
_FRESH = 0.5  #: seconds after which it is looked up whether another process was told to wait
_DRIFT = 5e-4  #: how much faster than ours the database's clock may run while its time is being corrected


class SharedThrottler(Throttler):
    """At most ``rate_limit`` sends in any ``period`` seconds by all who use the limit ``name`` of ``reservations``.

    First come, first served within a process; between processes, lot by lot. While nobody waits, nothing is leased.
    ``guard``: share of the window kept free, half of it for sending late. More is kept free, by all, if one of them is told
    to hold, wakes up late, or is so far from the database that it knows its clock less exactly. :meth:`acquire` raises the
    database's :class:`storage.StorageError`: without it nobody sends.
    """

    def __init__(
        self,
        reservations: Reservations,
        name: str,
        rate_limit: float,
        period: float = 1.0,
        *,
        clock: Clock | None = None,
        guard: float = _GUARD,
    ) -> None:
        if not (0 < rate_limit < math.inf and 0 < period < math.inf):
            raise ValueError(f"a rate needs to be positive, not {rate_limit} per {period} s")
        if rate_limit < 1:  # 0.5 per second is one per two seconds
            rate_limit, period = 1.0, period / rate_limit
        super().__init__(int(rate_limit), period)
        self.guard = guard
        self.missed = 0  #: slots that were leased and not used
        self._least_guard = guard
        self._rate = rate_limit
        self._window = period
        self._reservations = reservations
        self._name = name
        self._clock = clock or Clock()
        self._offset = _Offset()
        self._jitter = _Jitter(period)
        # a thread of our own: the event loop's others may be busy rendering
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="limiter")
        self._turn = asyncio.Lock()  # its waiters are served in order
        self._waiting = 0
        self._slots: deque[float] = deque()  # ahead of us, on our clock
        self._last_slot = float("-inf")  # that was used
        self._held_until = float("-inf")
        self._informed = float("-inf")  # when the database was last asked
        self._latency = 0.0  # of the slowest lease, slowly forgotten
        self._lease: Lease | None = None  # the last one
        self._fetching: asyncio.Task[None] | None = None
        self._pushing: Future[None] | None = None
        self._came = 0  # since the last lease was asked for
        self._queued = 0  # of those served since then, the ones that left somebody waiting behind them

    async def acquire(self) -> None:
        """Wait for the next slot and take it. Raises :class:`storage.StorageError`."""
        self._waiting += 1
        self._came += 1
        try:
            async with self._turn:
                while not await self._taken():
                    pass
        finally:
            self._waiting -= 1

    def hold(self, seconds: float) -> None:
        """Let nobody send for ``seconds``, in any process, and go slower from then on: the server found us too fast.

        The extra guard doubles with every hold (once, if several requests report the same one) and melts away in calm.
        """
        now = self._clock.monotonic()
        if now >= self._held_until:
            self.guard = min(max(self.guard, _GUARD) * 2, _GUARD_MOST)
        self._held_until = max(self._held_until, now + seconds)
        self._pushing = self._worker.submit(self._reservations.hold, self._name, seconds)

    def landed(self, ago: float = 0.0) -> None:
        """The last send left ``ago`` seconds before now, when its answer is here. Where a window has no slots to spare, those
        that follow keep their distance: a first request may have spent longer on connecting than the guard allows for.
        """
        now = self._clock.monotonic()
        late = now - ago - self._last_slot
        if 0 < late < self._window and self._slack * self._rate < 2 * self._window:
            self._jitter.learn(late, now=now, most=0.5)

    def binding(self) -> Binding | None:
        """What holds the next send back now; ``None`` if nobody waits."""
        wait = self._held_until - self._clock.monotonic()
        if wait > 0:
            return Binding("held", "", wait)
        return Binding("rate", f"{per(self._rate, self._window)}, shared") if self._waiting else None

    def least_seconds(self, requests: int) -> float:
        """How long it takes at least until so many more are let through, if nobody else sends."""
        return max(0.0, self._held_until - self._clock.monotonic()) + requests * self._gap

    async def aclose(self) -> None:
        """Give slots back that nobody will use, if nobody has leased since."""
        if self._fetching is not None:
            await asyncio.wait([self._fetching])
        now = self._clock.monotonic()
        ahead = sum(slot > now for slot in self._slots)
        self._slots.clear()
        if self._lease is not None and ahead:
            await self._in_thread(self._reservations.return_unused, self._lease, min(ahead, self._lease.count))
        self._worker.shutdown(wait=False)

    # -- one slot -------------------------------------------------------------------------------------------------------

    async def _taken(self) -> bool:
        """Take the next slot if it is due; else do what comes first on the way there."""
        self._raise_failed_hold()
        now = self._clock.monotonic()
        self._drop_missed(now)
        if not self._slots:
            await self._fetched()
            return False
        if self._slots[-1] - now <= self._lead and (more := self._wanted()) > 0:
            self._fetch_soon(more)
        slot = self._slots[0]
        if slot > now:
            await self._approach(slot, now)
            return False
        self._last_slot = self._slots.popleft()
        self._queued += self._waiting > 1
        self.guard -= (self.guard - self._least_guard) / (_CALM * self._rate)
        return True

    async def _approach(self, slot: float, now: float) -> None:
        """Sleep until ``slot``, but see shortly before whether a hold came in between, if we could not know."""
        if slot - self._informed <= _FRESH:
            await self._clock.sleep(slot - now)
            self._jitter.learn(self._clock.monotonic() - slot, now=slot)
        elif now < slot - self._lead:
            await self._clock.sleep(slot - self._lead - now)
        else:
            held_for = await self._in_thread(self._reservations.held_for, self._name)
            self._informed = now
            if held_for > 0:
                self._held_until = max(self._held_until, self._clock.monotonic() + held_for)

    def _drop_missed(self, now: float) -> None:
        first = max(now - self._tolerance, self._held_until)
        while self._slots and self._slots[0] < first:
            self._slots.popleft()
            self.missed += 1

    def _raise_failed_hold(self) -> None:
        if self._pushing is not None and self._pushing.done():
            done, self._pushing = self._pushing, None
            done.result()

    # -- leasing --------------------------------------------------------------------------------------------------------

    def _wanted(self) -> int:
        """How many more slots there is use for now, at most a lot.

        One for everyone who waits; and if there was a queue all the time, for as many as joined it since the last lease
        (what feeds us may let only a few wait at a time).
        """
        span = min(max(_SPAN, 2 * self._latency), 20 * _SPAN)
        lot = max(1, int(span / self._gap))
        return min(lot, self._waiting - len(self._slots) + min(self._came, self._queued))

    async def _fetched(self) -> None:
        """Wait for the lease that is under way, or for a new one. Raises :class:`storage.StorageError`."""
        self._fetch_soon(max(1, self._wanted()))
        task = self._fetching
        if task is not None:
            try:
                await asyncio.shield(task)  # a waiter that is cancelled leaves its slots to the next
            finally:
                if task.done():
                    self._fetching = None

    def _fetch_soon(self, count: int) -> None:
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch(count))
            self._fetching.add_done_callback(self._fetch_ended)

    def _fetch_ended(self, task: asyncio.Task[None]) -> None:
        # one that failed stays, for the next who needs slots to hear of it
        if not task.cancelled() and task.exception() is None and self._fetching is task:
            self._fetching = None

    async def _fetch(self, count: int) -> None:
        self._came = self._queued = 0
        began = self._clock.monotonic()
        lease, sent, received = await self._in_thread(self._take, count, self._gap)
        self._latency = max(self._clock.monotonic() - began, 0.9 * self._latency)
        self._informed = sent
        self._lease = lease
        self._offset.learn(sent, received, lease.now)
        if lease.held_for:
            self._held_until = max(self._held_until, self._offset.local(lease.now + lease.held_for))
        start = self._offset.local(lease.now + lease.starts_in)
        self._slots.extend(start + number * lease.gap for number in range(count))

    def _take(self, count: int, gap: float) -> tuple[Lease, float, float]:
        sent = self._clock.monotonic()
        lease = self._reservations.lease(self._name, count=count, gap=gap)
        return lease, sent, self._clock.monotonic()

    async def _in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, function, *arguments)

    # -- figures --------------------------------------------------------------------------------------------------------

    @property
    def _slack(self) -> float:
        """Seconds of the window that are to be kept free.

        Twice what we were late lately: a server on the same machine is as late, and nobody measures it.
        """
        late = self._jitter.recent(self._clock.monotonic())
        needed = (self.guard * self._window, _LEAST_SLACK, 2 * late, 4 * self._offset.uncertainty)
        return min(max(needed), _GUARD_MOST * self._window)

    @property
    def _gap(self) -> float:
        return (self._window + self._slack) / self._rate

    @property
    def _tolerance(self) -> float:
        """Seconds after its time for which a slot may still be used: by what everybody keeps free, not only we."""
        kept = self._slack if self._lease is None else self._lease.gap * self._rate - self._window
        return max(0.0, kept / 2 - self._offset.uncertainty)

    @property
    def _lead(self) -> float:
        return max(_LEAD, 2 * self._latency)


@dataclass(slots=True)
class _Jitter:
    """How late we were lately: the worst. Lateness does harm up to one window later, which leaves time to go slower; so it
    counts whole for a little more than a window, and fades then."""

    window: float  #: seconds
    worst: float = 0.0  #: seconds
    at: float = 0.0

    def learn(self, late: float, *, now: float, most: float = _JITTER_MOST) -> None:
        """We were ``late`` seconds too late with what was due at about ``now``. ``most``: windows that count."""
        late = min(late, most * self.window)
        if late >= self.recent(now):
            self.worst, self.at = late, now

    def recent(self, now: float) -> float:
        """Seconds to reckon with."""
        since = (now - self.at) / self.window - 1.25
        return self.worst * math.exp(-2 * max(0.0, since))


def shared_throttler(adapter: Adapter, store: Store, *, clock: Clock | None = None) -> SharedThrottler | None:
    """The throttler of an endpoint whose limit has a name under which others share it; ``None`` if it has none."""
    limits = adapter.limits
    if limits.shared is None or limits.rate is None:
        return None
    return SharedThrottler(Reservations(store), limits.shared, limits.rate, limits.period, clock=clock)


@dataclass(slots=True)
class _Offset:
    """How far the database's clock is ahead of ours: between ``low`` and ``high``, by everything seen so far."""

    low: float = float("-inf")
    high: float = float("inf")
    at: float = 0.0  #: on our clock, when that was so

    @property
    def uncertainty(self) -> float:
        """Seconds by which a time may be wrong after :meth:`local`; 0 while nothing is known."""
        return (self.high - self.low) / 2 if math.isfinite(self.low) else 0.0

    def local(self, there: float) -> float:
        """The database's time ``there`` on our clock."""
        return there - (self.low + self.high) / 2

    def learn(self, sent: float, received: float, there: float) -> None:
        """It was ``there`` at some moment between ``sent`` and ``received``: each round trip narrows the bounds."""
        low, high = there - received, there - sent
        drift = _DRIFT * abs(received - self.at)
        if self.low - drift <= high and low <= self.high + drift:  # else one of the clocks was set: begin anew
            low, high = max(low, self.low - drift), min(high, self.high + drift)
        self.low, self.high, self.at = low, high, received

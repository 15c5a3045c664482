"""How many requests are under way at once: as configured, as a known rate needs, or as many as the server bears.

A cap is pure: it hears of answers and refusals, and says what the limit is now. :class:`Places` makes coroutines keep it.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from typing import Protocol

from adapters import HttpResponse, Limits, TransportError, Verdict

START = 16
MOST = 256
_LEAST_RATED = 8
_RECENT = 128  #: answers from which the 95th percentile of the latency is taken
_EVERY = 16  #: answers after which it is taken again
_SLOWER = 3.0  #: times the best latency, plus …
_SLACK = 0.05  #: seconds: a server that is slower than that only queues
_PROBE = 1.0  #: seconds between two steps beyond what was found to be too much
_PROBE_MOST = 60.0
_OVERLOADED = frozenset({503, 529})


class Cap(Protocol):
    """A limit on requests in flight that may move."""

    @property
    def limit(self) -> int:
        """Requests that may be under way now, at least 1."""

    def answered(self, elapsed: float, *, full: bool) -> None:
        """An answer came after ``elapsed`` seconds; ``full``: all places were taken."""

    def refused(self, sent_at: float) -> None:
        """A request sent at ``sent_at`` (the clock's seconds) was too much: a 429, a 503, no answer in time."""


class FixedCap:
    """So many, whatever happens."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def answered(self, elapsed: float, *, full: bool) -> None:
        """Nothing changes."""

    def refused(self, sent_at: float) -> None:
        """Nothing changes."""


class RatedCap:
    """Twice what a known rate brings within the 95th percentile of the measured latency (8 … 256), and ``spare`` more for
    those that wait for their slot. It is the rate that limits; this keeps a server that got slow from being piled up on."""

    def __init__(self, rate: float, *, spare: int = 0) -> None:
        self._rate = rate  # per second
        self._spare = spare
        self._latencies: deque[float] = deque(maxlen=_RECENT)
        self._heard = 0
        self.limit = _LEAST_RATED + spare

    def answered(self, elapsed: float, *, full: bool) -> None:  # noqa: ARG002 - as the others
        """Follow the latency."""
        self._latencies.append(elapsed)
        self._heard += 1
        if self._heard % _EVERY == 0 or (self._heard < _EVERY and self._heard & (self._heard - 1) == 0):
            in_order = sorted(self._latencies)
            latency = in_order[min(len(in_order) - 1, int(0.95 * len(in_order)))]
            self.limit = min(max(_LEAST_RATED, math.ceil(2 * self._rate * latency)), MOST) + self._spare

    def refused(self, sent_at: float) -> None:
        """The limiter's affair."""


class AdaptiveCap:
    """Additive increase, multiplicative decrease, for a server of which no limit is known.

    It starts with ``start`` and grows by one with every answer while all places are taken (slow start), until the server
    refuses or answers three times as slowly as at its best. A refusal halves it, once for all requests that were under way
    then. Afterwards it grows back to just below what was too much by one a round, and beyond that by one a second; that
    second doubles with every further refusal, up to a minute, and is halved again by every step that was borne.
    """

    def __init__(self, *, monotonic: Callable[[], float], start: int = START, most: int = MOST) -> None:
        self._monotonic = monotonic
        self._size = start
        self._heard = 0  # answers since the last step
        self._most = most
        self._borne: int | None = None  # just below what was too much; ``None``: not known yet
        self._cut_at = float("-inf")
        self._stepped_at = float("-inf")
        self._probe = _PROBE / 2
        self._best = math.inf
        self._latency = 0.0  # of the last answers

    @property
    def limit(self) -> int:
        """Requests that may be under way now."""
        return self._size

    def answered(self, elapsed: float, *, full: bool) -> None:
        """Grow, if all places are in use and the server does not merely queue."""
        self._best = min(self._best, elapsed)
        self._latency += (elapsed - self._latency) / 8 if self._latency else elapsed
        if not full or self._size >= self._most:
            return
        if self._latency > _SLOWER * self._best + _SLACK:
            if self._borne is None:
                self._borne = self._size
        elif self._borne is None:
            self._size += 1
        elif self._size < self._borne:
            self._heard += 1
            if self._heard >= self._size:
                self._size, self._heard = self._size + 1, 0
        else:
            self._step()

    def refused(self, sent_at: float) -> None:
        """Halve, unless the request left before the last cut and says nothing new."""
        if sent_at < self._cut_at:
            return
        self._cut_at = self._stepped_at = self._monotonic()
        self._borne = max(1, min(int(0.9 * self._size), self._size - 1))
        self._size, self._heard = max(1, self._size // 2), 0
        self._probe = min(2 * self._probe, _PROBE_MOST)

    def _step(self) -> None:
        now = self._monotonic()
        if now - self._stepped_at < self._probe:
            return
        if self._borne is not None and self._size > self._borne:  # the last step beyond it was borne
            self._borne = self._size
            self._probe = max(self._probe / 2, _PROBE)
        self._stepped_at = now
        self._size += 1


def cap_of(limits: Limits, *, monotonic: Callable[[], float], spare: int) -> Cap:
    """The cap for an endpoint's limits. ``spare``: requests that may wait for their slot."""
    if limits.concurrency is not None:
        return FixedCap(limits.concurrency)
    if limits.rate is not None:
        return RatedCap(limits.rate / limits.period, spare=spare)
    return AdaptiveCap(monotonic=monotonic)


def is_too_much(verdict: Verdict, outcome: HttpResponse | Exception) -> bool:
    """Whether an outcome says that the server has more than it can do: too fast, overloaded, or no answer in time."""
    if isinstance(outcome, HttpResponse):
        return verdict.throttled or outcome.status in _OVERLOADED
    return isinstance(outcome, TransportError)


class Places:
    """As many places as ``cap`` says, given out in order of asking. A cap that shrinks takes nobody's place away."""

    def __init__(self, cap: Cap) -> None:
        self.cap = cap
        self.taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def full(self) -> bool:
        """Whether somebody has to wait, or the next one would."""
        return self.taken >= self.cap.limit

    async def acquire(self) -> None:
        """Wait for a place and take it."""
        if not self.full and not self._waiting:
            self.taken += 1
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place  # whoever grants it counts it
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.release()
            raise

    def release(self) -> None:
        """Give a place back."""
        self.taken -= 1
        self.admit()

    def admit(self) -> None:
        """Let those in for whom there is room by now."""
        while self._waiting and (self._waiting[0].done() or not self.full):
            place = self._waiting.popleft()
            if not place.done():
                self.taken += 1
                place.set_result(None)

"""Limits on tokens: reserved with the request's slot, settled when its answer says how many there were.

Before it is sent, a request takes its estimate from every limit, all at once and together with its slot; the answer's
report replaces the estimate, and a request that was refused or never left gives it back. Like requests, tokens are paced
over a window instead of being used up at its beginning.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from asyncio_throttle.throttler import Throttler

from adapters import Announcement, Usage
from probe.clock import Clock
from probe.engine.binding import Binding, per
from probe.engine.concurrency import Flag
from probe.engine.throttle import FAR, PACED, Allowance, LimitFar

_GUARD = 0.01  #: share of the window kept free against jitter between our clock and the server's
_GUARD_MOST = 1.0
_CALM = 4  #: windows' worth of tokens after which about two thirds of an extra guard are gone
_LATE_MOST = 0.03  #: share of the window that our own lateness adds to it
_MADE_UP = 0.05  #: of a window, and at most so many seconds: more lateness than that is not made up
_MADE_UP_SECONDS = 0.25
_LONG = 5.0  #: seconds; who waits longer for tokens waits for a window to end
_RECENT = 64  #: answers whose usage corrects the next estimates
_CORRECTION = (1 / 64, 16.0)  #: what a report can make of an estimate


@dataclass(slots=True, eq=False)
class Grant:
    """The tokens of one request, as far as they are known."""

    estimate: Usage  #: as the adapter made it
    tokens: float  #: what counts against the limits now
    at: float  #: when they were taken
    pending: Mapping[str, float]  #: by kind, while the server may not have counted them yet


class TokenLimiter:
    """At most so many tokens in any window, for each of ``limits`` (tokens, seconds); and what the server announces.

    Estimates are corrected by what recent answers reported: by the largest ratio among them, because a limit that is
    overrun costs more than one that is not quite used. One request that is larger than a limit waits for the whole of it.
    Raises ``ValueError`` unless limits and periods are positive and finite.
    """

    def __init__(self, limits: Sequence[tuple[float, float]] = (), *, clock: Clock | None = None) -> None:
        self._clock = clock or Clock()
        self._windows = [_TokenWindow.of(*limit) for limit in limits]
        self._allowances: dict[str, Allowance] = {}
        self._ratios: deque[float] = deque(maxlen=_RECENT)
        self._turn = asyncio.Lock()  # its waiters are served in order
        self._pending = dict.fromkeys(_parts(Usage(), 1.0), 0.0)
        self._changed = Flag()
        self._due = -math.inf  # when whoever waits for tokens will get them
        self._late = 0.0  # seconds; the longest of late, slowly forgotten
        self.guard = _GUARD

    async def acquire(self, estimate: Usage, slot: Throttler) -> Grant:
        """Wait until every limit has room for what is estimated and ``slot`` lets a request through, and take both.

        Raises:
            LimitFar: a limit is used up for so long that waiting makes no sense.
        """
        if not (self._windows or self._allowances):
            async with slot:
                return self._take(estimate)
        async with self._turn:
            due = math.inf
            while True:
                self._changed.clear()
                now = self._clock.monotonic()
                self._late = max(self._late, now - due)
                opens = self._opens(_parts(estimate, self._correction), now)
                if opens <= now:
                    break
                if opens - now > FAR:
                    raise LimitFar(opens - now)
                self._due = due = opens
                try:
                    await self._changed.unless(partial(self._clock.sleep, opens - now))
                finally:
                    self._due = -math.inf
            async with slot:  # nobody else takes tokens meanwhile
                return self._take(estimate)

    def binding(self) -> Binding | None:
        """The limit that is waited for; ``None`` if it is none of these."""
        wait = self._due - self._clock.monotonic()
        if not math.isfinite(wait) or wait <= 0:
            return None
        window = max(self._windows, key=lambda each: each.next, default=None)
        if window is None:
            return Binding("used up", "tokens that the server allows", wait)
        limit = per(window.limit, window.period, "tokens")
        return Binding("used up", limit, wait) if wait > _LONG else Binding("rate", limit)

    def landed(self, grant: Grant, ago: float) -> None:
        """The request left ``ago`` seconds before now, a little after it was let through: it counts from then on."""
        grant.at = max(grant.at, self._clock.monotonic() - ago)

    def settle(self, grant: Grant, reported: Usage | None) -> None:
        """The answer is here; ``reported`` ``None``: it does not say, and the estimate stays."""
        if reported is not None and grant.estimate.total > 0:
            ratio = reported.total / grant.estimate.total
            self._ratios.append(min(max(ratio, _CORRECTION[0]), _CORRECTION[1]))
        self._change(grant, grant.tokens if reported is None else float(reported.total))

    def refund(self, grant: Grant) -> None:
        """The request was refused or never left: nothing was used."""
        self._change(grant, 0.0)

    def hold(self) -> None:
        """The server found us too fast: keep more of the windows free for a while."""
        self.guard = min(self.guard * 2, _GUARD_MOST)

    def announce(self, said: Sequence[Announcement]) -> None:
        """What an answer's headers say of the limits on tokens; requests that the server may not have counted yet are taken
        off what it says is left."""
        now = self._clock.monotonic()
        for each in said:
            if each.kind not in self._pending:
                continue
            if each.limit and each.window and each.kind == "tokens":
                self._add_limit(each.limit, each.window)
            if each.remaining is not None and each.reset_after:
                allowance = self._allowances.setdefault(each.kind, Allowance())
                allowance.restrict(each.remaining - self._pending[each.kind], now + each.reset_after, whole=each.limit)

    @property
    def _correction(self) -> float:
        return max(self._ratios, default=1.0)

    def _opens(self, parts: Mapping[str, float], now: float) -> float:
        """When every limit has room for so many."""
        windows = (window.opens(parts["tokens"], now, self.guard, self._late) for window in self._windows)
        allowances = (each.opens(now, parts[kind]) for kind, each in self._allowances.items())
        return max([now, *windows, *allowances])

    def _take(self, estimate: Usage) -> Grant:
        parts = _parts(estimate, self._correction)
        grant = Grant(estimate, parts["tokens"], self._clock.monotonic(), parts)
        for kind, tokens in parts.items():
            self._pending[kind] += tokens
        for window in self._windows:
            window.take(grant, self.guard)
            used = min(1.0, grant.tokens / window.limit)
            self.guard -= (self.guard - _GUARD) * used / _CALM
            self._late *= 1 - used
        for kind, allowance in self._allowances.items():
            allowance.take(grant.at, parts[kind])
        return grant

    def _change(self, grant: Grant, tokens: float) -> None:
        for kind, pending in grant.pending.items():
            self._pending[kind] = max(0.0, self._pending[kind] - pending)
        for window in self._windows:
            window.change(grant, tokens - grant.tokens, self.guard)
        grant.tokens, grant.pending = tokens, {}
        self._changed.set()

    def _add_limit(self, limit: float, period: float) -> None:
        if all(each.period != period or each.limit > limit for each in self._windows):
            self._windows.append(_TokenWindow.of(limit, period))


def _parts(usage: Usage, correction: float) -> dict[str, float]:
    """By the kinds that servers announce."""
    return {
        "tokens": usage.total * correction,
        "input-tokens": usage.input * correction,
        "output-tokens": usage.output * correction,
    }


@dataclass(slots=True)
class _TokenWindow:
    """At most ``limit`` tokens in any ``period`` seconds; evenly spread where the period is at most a minute."""

    limit: float
    period: float
    taken: deque[Grant] = field(default_factory=deque)
    total: float = 0.0
    next: float = float("-inf")  #: when pacing lets the next one through

    @classmethod
    def of(cls, limit: float, period: float) -> _TokenWindow:
        if not (0 < limit < math.inf and 0 < period < math.inf):
            raise ValueError(f"a limit on tokens needs to be positive, not {limit} per {period} s")
        return cls(limit, period)

    def opens(self, tokens: float, now: float, guard: float, late: float) -> float:
        length = self.period * (1 + guard) + min(late, _LATE_MOST * self.period)
        while self.taken and self.taken[0].at + length <= now:
            self.total -= self.taken.popleft().tokens
        over = self.total + min(tokens, self.limit) - self.limit
        opens = self.next
        for grant in self.taken:
            if over <= 1e-6:
                break
            over -= grant.tokens
            opens = max(opens, grant.at + length)
        return opens

    def take(self, grant: Grant, guard: float) -> None:
        self.taken.append(grant)
        self.total += grant.tokens
        if self.period <= PACED:
            start = max(self.next, grant.at - min(_MADE_UP * self.period, _MADE_UP_SECONDS))
            self.next = start + grant.tokens * self._pace * (1 + guard)

    def change(self, grant: Grant, more: float, guard: float) -> None:
        if self.taken and grant.at >= self.taken[0].at:
            self.total += more
        if self.period <= PACED:
            self.next += more * self._pace * (1 + guard)

    @property
    def _pace(self) -> float:
        return self.period / self.limit

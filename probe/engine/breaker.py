"""A circuit breaker for one endpoint. Pure: the clock is passed in.

Several failures in a row, of any requests, mean that it is the endpoint and not the inputs. Nothing more is sent then for a
pause, except one trial request at its end; a trial that fails makes the pause longer, one that succeeds ends it all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from adapters import HttpResponse, TransportError, Verdict

_GATEWAY = frozenset({502, 503, 504, 529})
_OPENS_AFTER = 8  #: failures in a row
_FIRST_PAUSE = 1.0  #: seconds, doubling
_MOST_PAUSE = 30.0
_LOOK = 0.05  #: seconds between two looks at how a trial went


@dataclass(slots=True)
class Breaker:
    """Closed until ``opens_after`` attempts in a row have failed; given up after ``patience`` seconds without a success."""

    monotonic: Callable[[], float]
    patience: float
    opens_after: int = _OPENS_AFTER
    _failures: int = field(default=0, init=False)
    _opened_at: float | None = field(default=None, init=False)
    _until: float = field(default=float("-inf"), init=False)
    _pause: float = field(default=_FIRST_PAUSE, init=False)
    _trying: bool = field(default=False, init=False)

    @property
    def is_open(self) -> bool:
        """Whether requests have to wait for a trial."""
        return self._opened_at is not None

    @property
    def next_trial(self) -> float:
        """Seconds until the next trial; 0 if one is under way, or none is needed."""
        return max(0.0, self._until - self.monotonic())

    def wait(self) -> float:
        """Seconds after which to ask again; 0: send now. Of those that ask while it is open, one may try at a time."""
        if self._opened_at is None:
            return 0.0
        left = self._until - self.monotonic()
        if left > 0 or self._trying:
            return max(left, _LOOK)
        self._trying = True
        return 0.0

    def failed(self) -> float | None:
        """An attempt brought nothing from the server. Returns the pause, in seconds, if one begins with it."""
        self._failures += 1
        if self._opened_at is None:
            if self._failures < self.opens_after:
                return None
            self._opened_at = self.monotonic()
        elif not self._trying:
            return None  # it was under way when it opened
        else:
            self._pause = min(2 * self._pause, _MOST_PAUSE)
        self._trying = False
        self._until = self.monotonic() + self._pause
        return self._pause

    def succeeded(self) -> bool:
        """The server answered. ``True`` if that ends a pause."""
        was_open = self.is_open
        self._failures, self._opened_at, self._pause, self._trying = 0, None, _FIRST_PAUSE, False
        self._until = float("-inf")
        return was_open

    @property
    def is_hopeless(self) -> bool:
        """Whether it has been open for longer than is worth waiting."""
        return self._opened_at is not None and self.monotonic() - self._opened_at >= self.patience


def is_outage(outcome: HttpResponse | Exception, verdict: Verdict) -> bool:
    """Whether an outcome says that nobody is there to ask: no answer, or a gateway that has lost its server. A plain 500 may
    be about the input, and "too fast" is no outage."""
    if isinstance(outcome, HttpResponse):
        return outcome.status in _GATEWAY and not verdict.throttled
    return isinstance(outcome, TransportError)

"""What the progress line says about speed, waiting and the time left. Pure: the clock is passed in."""

from __future__ import annotations

import math
import re
from collections import Counter, deque
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from probe.engine.budget import money
from probe.engine.events import Retried, Standing

_SECONDS = 10.0  #: over which the current rate is taken
_QUIET = 5.0  #: seconds without an answer that are worth a word
_STATUS = re.compile(r"HTTP (\d{3})")
_TOO_FAST = frozenset({"429", "503", "529"})


class Pace:
    """Counts answers and retries, and words them together with how the endpoints stand."""

    def __init__(self, *, monotonic: Callable[[], float], now: Callable[[], datetime]) -> None:
        self._monotonic = monotonic
        self._now = now
        self._began = self._last = monotonic()
        self._answers: deque[float] = deque()
        self._retried: Counter[str] = Counter()
        self.done = 0

    def answered(self) -> None:
        """One evaluation more has its answer."""
        self._last = self._monotonic()
        self._answers.append(self._last)
        self.done += 1

    def retried(self, event: Retried) -> None:
        """One attempt brought none."""
        found = _STATUS.search(event.reason)
        self._retried[found[1] if found else "no answer"] += 1

    @property
    def rate(self) -> float:
        """Answers per second, over the last ten."""
        now = self._monotonic()
        while self._answers and self._answers[0] <= now - _SECONDS:
            self._answers.popleft()
        return len(self._answers) / max(1.0, min(_SECONDS, now - self._began))

    def words(self, standings: Mapping[str, Standing], *, from_ledger: int = 0) -> str:
        """All of it in one line, what matters most first."""
        parts = [f"{self.rate:.1f}/s", *self._waiting(standings), *self._time_left(standings)]
        if from_ledger:
            parts.append(f"{from_ledger} from ledger")
        if self._retried:
            why = ", ".join(f"{count} × {reason}" for reason, count in self._retried.most_common(3))
            parts.append(f"{self._retried.total()} retried ({why})")
        cost: Counter[str] = Counter()
        for each in standings.values():
            cost[each.currency] += each.cost_micro
        parts += [f"{money(amount)} {currency}" for currency, amount in cost.items() if amount]
        return " · ".join(parts)

    def _waiting(self, standings: Mapping[str, Standing]) -> list[str]:
        """What binds, with the endpoint's name where there are several."""
        bound = [each for each in standings.values() if each.left and each.binding]
        several = len(standings) > 1
        words = [f"{each.endpoint}: {self._bound(each)}" if several else self._bound(each) for each in bound]
        quiet = self._monotonic() - self._last
        if quiet >= _QUIET and not any(each.binding in {"held", "used up", "out"} for each in bound):
            words.append(f"no answer for {duration(quiet)}")
        return words

    def _bound(self, standing: Standing) -> str:
        match standing.binding:
            case "held":
                return f"held by the server: {duration(standing.wait or 0.0)}"
            case "out":
                return f"no answer from the endpoint, next try in {duration(standing.wait or 0.0)}"
            case "used up":
                until = (self._now() + timedelta(seconds=standing.wait or 0.0)).strftime("%H:%M:%S")
                return f"{standing.limit} used up until {until}"
            case "in flight":
                return f"in flight {standing.limit}"
            case _:
                return f"limit {standing.limit}"

    def _time_left(self, standings: Mapping[str, Standing]) -> list[str]:
        """The longest of the endpoints: what the limits take at least, and where it is not they that bind, the current
        rate."""
        left = sum(each.left for each in standings.values())
        seconds = [each.least_seconds or 0.0 for each in standings.values() if each.left]
        bound_by_limits = [each.binding in {"rate", "used up", "held"} for each in standings.values() if each.left]
        if not all(bound_by_limits) or not any(seconds):
            seconds.append(left / self.rate if self.rate else math.inf)
        longest = max(seconds, default=math.inf)
        waits = max((each.wait or 0.0 for each in standings.values() if each.left), default=0.0)
        longest = max(longest, waits)
        if any(each.binding == "out" for each in standings.values()):
            return []
        return [f"{duration(longest)} left"] if left and math.isfinite(longest) else []


def duration(seconds: float) -> str:
    """``8 s``, ``2 min 05 s``, ``3 h 20 min``."""
    whole = math.ceil(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"

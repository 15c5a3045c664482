"""A run as it goes: what its events come to, for whoever looks."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from probe.engine.events import (
    CircuitClosed,
    CircuitOpened,
    EndpointStopped,
    EvaluationDone,
    Event,
    ProbeFinished,
    Retried,
    RunFinished,
    RunStarted,
    Standing,
    Throttled,
)
from probe.report.figures import count, duration, money

_KEPT: Final = 500  #: events for those who come late
_NOTES: Final = 8


@dataclass(frozen=True, slots=True)
class Told:
    """An event and its place in the order of all events of its run."""

    seq: int
    event: Event


class Live:
    """Hears the events of one run, in whatever thread it is, and tells how it stands.

    Single evaluations are counted and not kept: there may be thousands a second, and nobody reads them one by one.
    """

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._events: deque[Told] = deque(maxlen=_KEPT)
        self._standings: dict[str, Standing] = {}
        self._notes: deque[str] = deque(maxlen=_NOTES)
        self._started: RunStarted | None = None
        self._began = monotonic()
        self._seq = self._done = self._retried = self._probes = 0
        self._ended: float | None = None

    def hear(self, event: Event) -> None:
        """Take one event in."""
        with self._lock:
            self._seq += 1
            if not isinstance(event, EvaluationDone):
                self._events.append(Told(self._seq, event))
            match event:
                case EvaluationDone():
                    self._done += 1
                case RunStarted():
                    self._started, self._began = event, self._monotonic()
                case Standing():
                    self._standings[event.endpoint] = event
                case Retried():
                    self._retried += 1
                case ProbeFinished():
                    self._probes += 1
                case RunFinished():
                    self._ended = self._monotonic()
                case _:
                    self._note(event)

    def end(self) -> None:
        """Nothing more will come, whether or not the run got to its end."""
        with self._lock:
            self._ended = self._ended or self._monotonic()
            self._seq += 1

    @property
    def run_id(self) -> str | None:
        """Known once the run has started."""
        return None if self._started is None else self._started.run_id

    def since(self, seq: int) -> list[Told]:
        """The kept events after ``seq``."""
        with self._lock:
            return [told for told in self._events if told.seq > seq]

    def state(self) -> State:
        """How it stands now."""
        with self._lock:
            started, standings = self._started, list(self._standings.values())
            left = sum(each.left for each in standings)
            total = max(0 if started is None else started.evaluations, self._done + left)
            seconds = max((self._ended or self._monotonic()) - self._began, 1e-9)
            slowest = [each.least_seconds for each in standings if each.least_seconds is not None]
            return State(
                seq=self._seq,
                run=None if started is None else started.run_id,
                over=self._ended is not None,
                probes=0 if started is None else started.probes,
                explained=self._probes,
                total=total,
                done=self._done,
                from_ledger=0 if started is None else started.from_ledger,
                retried=self._retried,
                in_flight=sum(each.in_flight for each in standings),
                cost=", ".join(
                    sorted({money(each.cost_micro, each.currency) for each in standings if each.cost_micro})
                ),
                rate=self._done / seconds,
                seconds_left=max(slowest, default=None) if left else None,
                holding=tuple(f"{each.endpoint}: {each.limit}" for each in standings if each.binding and each.left),
                notes=tuple(self._notes),
            )

    def _note(self, event: Event) -> None:
        match event:
            case Throttled():
                self._notes.append(f"{event.endpoint}: told to slow down, holding {event.wait:.1f} s")
            case CircuitOpened():
                self._notes.append(f"{event.endpoint}: does not answer, trying again in {event.pause:.0f} s")
            case CircuitClosed():
                self._notes.append(f"{event.endpoint}: answers again")
            case EndpointStopped():
                self._notes.append(f"{event.endpoint}: stopped ({event.kind}): {event.reason}")
            case _:
                pass


@dataclass(frozen=True, slots=True)
class State:
    """How a run stands. ``seq`` grows with everything that happens; ``total`` may still grow."""

    seq: int
    run: str | None
    over: bool
    probes: int
    explained: int
    total: int
    done: int
    from_ledger: int
    retried: int
    in_flight: int
    cost: str
    rate: float  #: answers per second so far
    seconds_left: float | None  #: by the limits
    holding: tuple[str, ...]  #: what holds requests back
    notes: tuple[str, ...]

    @property
    def words(self) -> str:
        """One line, as on the terminal."""
        parts = [f"{count(self.from_ledger)} from ledger"]
        if self.retried:
            parts.append(f"{count(self.retried)} retried")
        if self.cost:
            parts.append(self.cost)
        if self.done and not self.over:
            parts.append(f"{self.rate:.1f}/s")
        if self.seconds_left is not None and not self.over:
            parts.append(f"{duration(timedelta(seconds=self.seconds_left))} left")
        return " · ".join(parts)

    def as_json(self) -> dict[str, Any]:
        """As the API tells it."""
        names = ("run", "over", "probes", "explained", "total", "done", "from_ledger", "retried", "in_flight", "rate")
        return {name: getattr(self, name) for name in names} | {
            "seconds_left": self.seconds_left,
            "holding": list(self.holding),
            "notes": list(self.notes),
        }

"""What the demo server saw and what it would put on the bill. Times are monotonic seconds, passed in."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from probe.demo.strict import FaultKind

_KEPT_ARRIVALS = 1_000_000  # the list is for looking at a run; counts go on beyond it


@dataclass(slots=True)
class Visit:
    """One request. ``status`` is ``None`` while it is in flight and when it got no answer."""

    at: float  #: arrival
    model: str = ""
    items: int = 0
    tokens: int = 0  #: counted against limits on tokens; 0 where there are none
    digest: bytes = b""  #: of the request's items (``routes.request_digest``), empty if they could not be read
    status: int | None = None
    fault: FaultKind | None = None
    left: float | None = None  #: when it was over; ``None`` while it is in flight
    announced: dict[str, str] = field(default_factory=dict)  #: headers about the limits, as they stood at arrival

    def as_json(self) -> dict[str, Any]:
        return {
            "at": self.at,
            "model": self.model,
            "items": self.items,
            "tokens": self.tokens,
            "digest": self.digest.hex(),
            "status": self.status,
            "fault": self.fault,
            "left": self.left,
        }


class Billing:
    """The account of one client since the last reset.

    An item is billed when it was processed, also when its answer was then lost. It is known by the digest of its decoded
    content, the model and, where one score is asked, the label: the same picture as PNG or JPEG bytes of equal pixels, the
    same row as a list or an object, is the same item.
    """

    def __init__(self) -> None:
        self._visits: deque[Visit] = deque(maxlen=_KEPT_ARRIVALS)
        self._items: Counter[bytes] = Counter()
        self._faults: Counter[FaultKind] = Counter()
        self._statuses: Counter[int] = Counter()
        self._requests = self._answered = self._abandoned = self._billed_requests = 0
        self._in_flight = self._in_flight_max = 0
        self._first: float | None = None
        self._last: float | None = None

    @property
    def in_flight(self) -> int:
        """Requests that are not over."""
        return self._in_flight

    def arrive(self, now: float) -> Visit:
        """A request arrived."""
        visit = Visit(now)
        self._visits.append(visit)
        self._requests += 1
        self._in_flight += 1
        self._in_flight_max = max(self._in_flight_max, self._in_flight)
        if self._first is None:
            self._first = now
        return visit

    def fault(self, visit: Visit, kind: FaultKind) -> None:
        """``kind`` was done to the request on purpose."""
        visit.fault = kind
        self._faults[kind] += 1

    def bill(self, items: Sequence[bytes]) -> None:
        """One request's items were processed."""
        self._billed_requests += 1
        self._items.update(items)

    def leave(self, visit: Visit, now: float, *, status: int | None, whole: bool) -> None:
        """The request is over. ``status``: what was answered, ``None`` if the connection was reset. ``whole``: the answer
        was handed to a connection that was still open."""
        self._in_flight -= 1
        visit.status = status
        visit.left = now
        if status is None:
            return
        self._last = now
        self._statuses[status] += 1
        if not whole:
            self._abandoned += 1
        elif status == 200 and visit.fault not in {"truncate", "cut", "html"}:
            self._answered += 1

    def arrivals(self) -> list[dict[str, Any]]:
        """Every request in order of arrival."""
        return [visit.as_json() for visit in self._visits]

    def counts(self) -> dict[str, Any]:
        """The account as JSON.

        ``requests`` that arrived, ``answered`` with a whole model answer, ``abandoned`` by the client before the answer,
        ``billed_requests``, ``billed_items``, ``distinct_items`` billed, ``billed_twice`` (items billed more than once),
        ``billed_by_item_max``, ``refused_429``, ``statuses``, ``faults`` by kind, ``first_arrival``, ``last_answer`` and
        their ``span`` in seconds (``None`` before there is any), ``in_flight``, ``in_flight_max``.
        """
        complete = self._first is not None and self._last is not None
        return {
            "requests": self._requests,
            "answered": self._answered,
            "abandoned": self._abandoned,
            "billed_requests": self._billed_requests,
            "billed_items": self._items.total(),
            "distinct_items": len(self._items),
            "billed_twice": sum(count > 1 for count in self._items.values()),
            "billed_by_item_max": max(self._items.values(), default=0),
            "refused_429": self._statuses[429],
            "statuses": {str(status): count for status, count in sorted(self._statuses.items())},
            "faults": dict(sorted(self._faults.items())),
            "first_arrival": self._first,
            "last_answer": self._last,
            "span": (self._last or 0.0) - (self._first or 0.0) if complete else None,
            "in_flight": self._in_flight,
            "in_flight_max": self._in_flight_max,
        }

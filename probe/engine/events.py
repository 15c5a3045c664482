"""What happens during a run, as one stream of small values.

The terminal's progress, JSON lines, pages and tests are all consumers of this stream; nothing else leaves the engine while
it works.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events."""

    def as_json(self) -> dict[str, Any]:
        """JSON-ready, with the event's name."""
        return {"event": type(self).__name__, **asdict(self)}


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """A run begins, or is taken up again where an earlier process left it."""

    run_id: str
    seed: int
    resumed: bool
    probes: int
    evaluations: int  #: to be sent
    from_ledger: int
    unsure: int  #: asked before a crash, answer unknown; they are asked once more


@dataclass(frozen=True, slots=True)
class EvaluationDone(Event):
    """One evaluation has its answer, in the ledger."""

    endpoint: str
    probes: tuple[str, ...]  #: the probes waiting for it
    state: str  #: answered, rejected or failed
    elapsed: float


@dataclass(frozen=True, slots=True)
class Retried(Event):
    """An attempt did not bring an answer; another follows after ``wait`` seconds."""

    endpoint: str
    attempt: int
    reason: str
    wait: float
    maybe_billed: bool


@dataclass(frozen=True, slots=True)
class Throttled(Event):
    """The server said "too fast": the whole endpoint is held for ``wait`` seconds."""

    endpoint: str
    wait: float
    reason: str


@dataclass(frozen=True, slots=True)
class EndpointStopped(Event):
    """No more requests go to this endpoint in this run."""

    endpoint: str
    kind: str  #: auth, quota, broken, down, budget, interrupted
    reason: str


@dataclass(frozen=True, slots=True)
class ProbeFinished(Event):
    """A probe is explained, or it is known why not."""

    probe_id: str
    probe: str
    instance: str
    endpoint: str
    method: str
    status: str
    target: str
    top: tuple[tuple[str, float, float | None], ...]  #: strongest features: name, value, standard error
    error: str | None


@dataclass(frozen=True, slots=True)
class RunFinished(Event):
    """The run is over; ``totals`` are what the summary shows."""

    run_id: str
    status: str
    totals: Mapping[str, int]


Listener: TypeAlias = Callable[[Event], None]


def silent(_event: Event) -> None:
    """A listener that listens to nothing."""

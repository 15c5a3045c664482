"""What the dispatcher carries: evaluations to be sent, the batch they travel in, and what became of them in the ledger."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from adapters import Adapter, HttpResponse, Instance, ItemError, Prediction, Request, Usage
from probe.engine.tokens import Grant
from storage.records import Entry

_NOTHING = Usage()
_MOST_LABELS_STORED = 32  #: wider answers are read again from the stored body instead of being kept twice


@dataclass(frozen=True, slots=True)
class Job:
    """One evaluation to be sent. Its input is rendered late, so that waiting costs no memory.

    ``attempts``, ``maybe_billed``, ``cost_micro``: what earlier requests came to that carried it in vain (another process
    crashed, or gave up).
    """

    key: bytes
    render: Callable[[], Instance]
    generation: int = 0
    attempts: int = 0
    maybe_billed: int = 0
    cost_micro: int = 0
    heavy: bool = False  #: rendering takes milliseconds (a picture), in which sending must go on

    @classmethod
    def of(cls, key: bytes, render: Callable[[], Instance], entry: Entry | None, *, heavy: bool) -> Job:
        """The evaluation, given what the ledger has of it: a generation up if that is an answer too old to count."""
        if entry is None:
            return cls(key, render, heavy=heavy)
        if entry.state in {"answered", "rejected"}:
            return cls(key, render, entry.generation + 1, heavy=heavy)
        return cls(key, render, entry.generation, entry.attempts, entry.maybe_billed, entry.cost_micro, heavy)


@dataclass(frozen=True, slots=True)
class Answer:
    """An evaluation as it is now in the ledger, with the scores if there are any."""

    entry: Entry
    prediction: Prediction | None


@dataclass(frozen=True, slots=True)
class Reply:
    """A response and the digest under which its body is stored."""

    response: HttpResponse
    sha: bytes

    @classmethod
    def of(cls, response: HttpResponse) -> Reply:
        return cls(response, hashlib.sha256(response.body).digest())


@dataclass(slots=True)
class Shipment:
    """A batch on its way, and the ledger entries of its jobs as they stand."""

    jobs: tuple[Job, ...]
    entries: list[Entry]
    price: int  #: of one request with these jobs, in micro-units; an estimate where it depends on tokens
    reserved: bool = False  #: booked in the budget and let through the gate, not yet sent
    journalled: bool = False  #: the ledger says that it was about to be sent
    useless: int = 0  #: answers that were not what the endpoint's description promises
    estimate: Usage = _NOTHING  #: tokens of one request with these jobs, before it is sent
    grant: Grant | None = None  #: what the attempt under way took from the limits on tokens

    @classmethod
    def pack(cls, jobs: tuple[Job, ...], *, adapter: Adapter, endpoint_id: str, run_id: str, now: datetime) -> Shipment:
        """``jobs`` as one request."""
        entries = [
            Entry(
                key=job.key,
                generation=job.generation,
                state="intended",
                endpoint_id=endpoint_id,
                run_id=run_id,
                sent_at=now,
                attempts=job.attempts,
                maybe_billed=job.maybe_billed,
                cost_micro=job.cost_micro,
                item=index,
                items=len(jobs),
            )
            for index, job in enumerate(jobs)
        ]
        return cls(jobs, entries, adapter.price.of(len(jobs)))

    def split(self, adapter: Adapter) -> list[Shipment]:
        """Every job alone, with what this shipment cost it so far."""
        price = adapter.price.of(1)
        return [
            Shipment((job,), [entry.but(item=0, items=1)], price, journalled=self.journalled)
            for job, entry in zip(self.jobs, self.entries, strict=True)
        ]

    def intend(self, now: datetime) -> list[Entry]:
        """The entries as they are written before sending."""
        self.entries = [entry.but(state="intended", sent_at=now, attempts=entry.attempts + 1) for entry in self.entries]
        return self.entries

    def not_sent(self) -> None:
        """Nothing left this machine: the attempt does not count."""
        self.entries = [entry.but(attempts=entry.attempts - 1) for entry in self.entries]

    def weigh(self, request: Request, adapter: Adapter) -> None:
        """Estimate tokens and price of the rendered request; a price that is booked already stays."""
        self.estimate = adapter.estimate(request)
        if not self.reserved:
            self.price = adapter.price.of(len(self.jobs), self.estimate)

    def charge(self, paid: int) -> None:
        """The request cost ``paid``: every entry gets its share, and the shares add up."""
        share, rest = divmod(paid, len(self.entries))
        self.entries = [
            entry.but(cost_micro=entry.cost_micro + share + (index < rest)) for index, entry in enumerate(self.entries)
        ]

    def doubt(self) -> None:
        """The provider may have counted a request that brought nothing usable."""
        self.entries = [entry.but(maybe_billed=entry.maybe_billed + 1) for entry in self.entries]

    def answers(
        self, results: Sequence[Prediction | ItemError], reply: Reply, *, parser: str, now: datetime
    ) -> list[Answer]:
        """The entries with their results."""
        seen = {"answered_at": now, "parser": parser, **_seen(reply)}
        return [_answer(entry, result, seen) for entry, result in zip(self.entries, results, strict=True)]

    def closed(
        self, state: Literal["rejected", "failed"], reason: str, reply: Reply | None, *, now: datetime
    ) -> list[Entry]:
        """The entries as ones that get no answer."""
        seen = {"state": state, "answered_at": now, "error": reason[:2000]} | ({} if reply is None else _seen(reply))
        return [entry.but(**seen) for entry in self.entries]


def _answer(entry: Entry, result: Prediction | ItemError, seen: Mapping[str, Any]) -> Answer:
    if isinstance(result, ItemError):
        return Answer(entry.but(state="rejected", error=result.message, **seen), None)
    keep = dict(result.scores) if len(result.scores) <= _MOST_LABELS_STORED else None
    answered = entry.but(state="answered", scores=keep, floor=result.floor, censored=result.censored, **seen)
    return Answer(answered, result)


def _seen(reply: Reply) -> dict[str, Any]:
    """What the ledger keeps of a response besides the scores."""
    response = reply.response
    return {
        "http_status": response.status,
        "content_type": response.header("content-type"),
        "elapsed": round(response.elapsed, 6),  # which takes half the space of a float
        "body_sha": reply.sha,
    }

"""What one dispatcher did and spent, and the journal as it needs it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Protocol

from adapters import Price, Usage, Verdict
from probe.engine.budget import Budget
from probe.engine.shipment import Shipment
from storage.records import Entry


class Recorder(Protocol):
    """The journal as the dispatcher needs it; each call returns once the rows are durable."""

    async def intend(self, entries: Sequence[Entry]) -> None:
        """Write what is about to be sent."""

    async def record(self, entries: Sequence[Entry], bodies: Sequence[bytes] = ()) -> None:
        """Write what came back."""


@dataclass(slots=True)
class Stats:
    """What one dispatcher did, for the summary."""

    sent: int = 0  #: requests of which something left this machine
    retried: int = 0
    throttled: int = 0
    maybe_billed: int = 0  #: requests whose answer was lost or useless although the provider may have counted them
    cost_micro: int = 0

    def account(
        self, shipment: Shipment, verdict: Verdict, reported: Usage | None, *, sent: bool, price: Price, budget: Budget
    ) -> None:
        """Money is spent when an answer came or may have been counted; a refusal gives the reservation back. What the answer
        reports replaces the estimate."""
        if not sent:
            budget.give_back(shipment.price)
            shipment.not_sent()
            return
        self.sent += 1
        if verdict.kind == "ok" or verdict.maybe_billed:
            paid = shipment.price
            if reported is not None:
                told = replace(reported, units=shipment.estimate.units)  # of which no answer says how many they were
                paid = price.of(len(shipment.jobs), told)
            budget.refund(shipment.price - paid)
            self.cost_micro += paid
            shipment.charge(paid)
        else:
            budget.refund(shipment.price)
        if verdict.maybe_billed:
            self.doubt(shipment)

    def doubt(self, shipment: Shipment) -> None:
        """The provider may have counted a request that brought nothing usable."""
        self.maybe_billed += 1
        shipment.doubt()


def summed(stats: Iterable[Stats]) -> dict[str, int]:
    """The counts of several dispatchers, by name."""
    all_ = list(stats)
    return {field.name: sum(getattr(each, field.name) for each in all_) for field in fields(Stats)}

"""Working from the ledger alone: what of the answers is not there."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from adapters import Adapter, HttpResponse, NotSent, Request, Transport
from probe.engine.schedule import Need

_NAMED = 3
_FEATURES = 4


@dataclass(slots=True)
class Missing:
    """Evaluations of one endpoint that the ledger does not have; the first few by name."""

    count: int = 0
    named: list[str] = field(default_factory=list)

    def add(self, need: Need) -> None:
        """One more."""
        self.count += 1
        if len(self.named) < _NAMED:
            self.named.append(_words(need))

    @property
    def words(self) -> str:
        """How many, which, and what to do."""
        more = f" and {self.count - len(self.named)} more" if self.count > len(self.named) else ""
        what = "evaluation is" if self.count == 1 else "evaluations are"
        return (
            f"{self.count} {what} not in the ledger: {'; '.join(self.named)}{more}; "
            "run the same command without --offline to ask for them, or with a smaller budget"
        )


def _words(need: Need) -> str:
    task = need.state.task
    off = np.flatnonzero(~need.state.coalitions[need.row])
    names = [task.masker.features[place].name for place in off[:_FEATURES]]
    without = ", ".join(map(repr, names)) + (f" and {len(off) - len(names)} more" if len(off) > len(names) else "")
    repeat = f", repeat {need.column % task.repeats + 1}" if task.repeats > 1 else ""
    return f"{need.state.bill.where} {'as it is' if not len(off) else f'without {without}'}{repeat}"


class NoTransport:
    """A transport to nowhere: no secret is looked up and no connection opened."""

    async def send(self, request: Request) -> HttpResponse:  # noqa: ARG002 - a transport's signature
        """Raises :class:`NotSent`."""
        raise NotSent("offline: nothing is sent")

    async def aclose(self) -> None:
        """Nothing to close."""


def nowhere(adapter: Adapter) -> Transport:  # noqa: ARG001 - as every way to open a transport
    """A way to reach no endpoint."""
    return NoTransport()

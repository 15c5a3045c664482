"""From coalitions to what has to be sent: look everything up in the ledger, drop what is known, send the rest once.

The same function serves ``plan`` (which stops here) and ``run`` (which sends the result), so their numbers are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from probe.engine.answers import Answers
from probe.engine.bills import Bill
from probe.engine.known import Start
from probe.engine.shipment import Job
from storage.records import Entry

Lookup = Callable[[Sequence[bytes]], Mapping[bytes, Entry]]


class Place(NamedTuple):
    """Where an answer goes: a row and a column of one bill's values."""

    state: Answers
    row: int
    column: int


@dataclass(slots=True)
class Need:
    """One evaluation that somebody asked for. There may be very many, so it is small: what can be looked up is."""

    key: bytes
    state: Answers  #: who asked first, and where in its values the answer goes
    row: int
    column: int
    others: tuple[Place, ...] = ()
    entry: Entry | None = None  #: what the ledger has, usable or not
    known: bool = False  #: the ledger's entry counts
    of_whole: bool = False  #: this is the instance as it is

    @property
    def places(self) -> tuple[Place, ...]:
        """Everybody who waits for it."""
        return (Place(self.state, self.row, self.column), *self.others)

    @property
    def unsure(self) -> bool:
        """Sent before a crash; nobody knows whether it was answered."""
        return not self.known and self.entry is not None and self.entry.state == "intended"

    def job(self) -> Job:
        """The evaluation, ready to be sent. Its generation is one up if an answered one is too old to count."""
        task, coalition = self.state.task, self.state.coalitions[self.row]
        return Job.of(
            self.key,
            lambda: task.masker.render(coalition, self.column // task.repeats),
            self.entry,
            heavy=task.masker.kind == "image",
        )


@dataclass(slots=True)
class Round:
    """One round of asking, per endpoint (by record id), in order."""

    needs: dict[str, dict[bytes, Need]] = field(default_factory=dict)

    def missing(self, endpoint_id: str, *, whole: bool) -> list[Need]:
        """What has to be sent: first (``whole``) the unaltered instances, whose answers settle targets and show whether the
        endpoint is what it claims before money is spent on it; then the rest."""
        return [need for need in self.needs[endpoint_id].values() if not need.known and need.of_whole == whole]

    def known(self) -> Iterable[Need]:
        """What the ledger answers."""
        return (need for needs in self.needs.values() for need in needs.values() if need.known)


def collect(
    states: Sequence[Answers],
    *,
    start: Callable[[Bill], Start],
    lookup: Lookup,
    now: datetime,
    run_id: str | None,
    closed: Collection[str] = (),
) -> Round:
    """Ask every bill what it wants next and find out what of it is missing.

    ``run_id``: answers of this run count however old they are (a run that is taken up again). Bills that want nothing more
    add nothing, nor do those of ``closed`` endpoints (record ids), to which nothing can be sent any more.

    Raises:
        ConfigError: a budget is too small.
    """
    round_ = Round()
    for state in states:
        if not state.ready:
            continue
        coalitions = state.ask(start)
        state.cut_off = state.task.remote.record.id in closed
        if not len(coalitions) or state.cut_off:
            continue
        keys = [state.task.keys(coalition) for coalition in coalitions]
        first = state.extend(coalitions, keys)
        needs = round_.needs.setdefault(state.task.remote.record.id, {})
        for offset, (coalition, row_keys) in enumerate(zip(coalitions, keys, strict=True)):
            for column, key in enumerate(row_keys):
                need = needs.get(key)
                if need is None:
                    need = needs[key] = Need(key, state, first + offset, column)
                else:
                    need.others = (*need.others, Place(state, first + offset, column))
                need.of_whole |= bool(coalition.all())
    for needs in round_.needs.values():
        entries = lookup(list(needs))
        for key, need in needs.items():
            need.entry = entries.get(key)
            need.known = need.entry is not None and _counts(need.entry, need.places, now=now, run_id=run_id)
    return round_


def _counts(entry: Entry, places: Sequence[Place], *, now: datetime, run_id: str | None) -> bool:
    if entry.state not in {"answered", "rejected"} or entry.answered_at is None:
        return False
    if run_id is not None and entry.run_id == run_id:
        return True
    return all(now - entry.answered_at <= place.state.task.fresh for place in places)

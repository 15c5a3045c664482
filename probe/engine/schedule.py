"""From coalitions to what has to be sent: look everything up in the ledger, drop what is known, send the rest once.

The same function serves ``plan`` (which stops here) and ``run`` (which sends the result), so their numbers are equal.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from probe.engine.answers import Answers
from probe.engine.bills import Bill
from probe.engine.known import Start
from probe.engine.shipment import Job
from probe.methods.base import Bools
from storage.records import Entry

Lookup = Callable[[Sequence[bytes]], Mapping[bytes, Entry]]


class Place(NamedTuple):
    """Where an answer goes: a row and a column of one bill's values."""

    state: Answers
    row: int
    column: int


@dataclass(frozen=True, slots=True)
class Need:
    """One evaluation that somebody asked for. Made when it is looked at: :class:`Needs` keeps very many in little space."""

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


class Needs:
    """What one endpoint is asked, by ledger key, in order. An evaluation takes its key and one number; only what is unusual
    about it (asked twice, in the ledger, the whole instance) takes more."""

    def __init__(self) -> None:
        self._states: list[Answers] = []
        self._first: dict[bytes, int] = {}  # who asked first, and where in its values: see _WIDEST
        self._others: dict[bytes, tuple[Place, ...]] = {}
        self._entries: dict[bytes, Entry] = {}
        self._known: set[bytes] = set()
        self._whole: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._first)

    def __iter__(self) -> Iterator[Need]:
        return map(self.need, self._first)

    def add(self, state: Answers, first: int, coalitions: Bools, keys: Sequence[tuple[bytes, ...]]) -> None:
        """The rows of one ask of ``state``, whose values they are from row ``first`` on."""
        number = len(self._states)
        self._states.append(state)
        for offset, (coalition, row_keys) in enumerate(zip(coalitions, keys, strict=True)):
            whole = bool(coalition.all())
            for column, key in enumerate(row_keys):
                if key in self._first:
                    self._others[key] = (*self._others.get(key, ()), Place(state, first + offset, column))
                else:
                    self._first[key] = (number * _WIDEST + first + offset) * _WIDEST + column
                if whole:
                    self._whole.add(key)

    def look_up(self, lookup: Lookup, *, now: datetime, run_id: str | None) -> None:
        """See what the ledger has."""
        self._entries.update(lookup(list(self._first)))
        for key, entry in self._entries.items():
            if _counts(entry, self.need(key).places, now=now, run_id=run_id):
                self._known.add(key)

    def need(self, key: bytes) -> Need:
        """The evaluation ``key``. Raises ``KeyError``."""
        rest, column = divmod(self._first[key], _WIDEST)
        number, row = divmod(rest, _WIDEST)
        return Need(
            key,
            self._states[number],
            row,
            column,
            self._others.get(key, ()),
            self._entries.get(key),
            key in self._known,
            key in self._whole,
        )

    def missing(self, *, whole: bool) -> list[bytes]:
        """What has to be sent: first (``whole``) the unaltered instances, whose answers settle targets and show whether the
        endpoint is what it claims before money is spent on it; then the rest."""
        return [key for key in self._first if key not in self._known and (key in self._whole) == whole]

    def known(self) -> Iterator[Need]:
        """What the ledger answers."""
        return map(self.need, (key for key in self._first if key in self._known))

    def forget(self, key: bytes) -> Need:
        """The evaluation ``key``, which has been answered and is not kept any longer."""
        need = self.need(key)
        del self._first[key]
        self._others.pop(key, None)
        self._entries.pop(key, None)
        return need


#: rows of one bill, and evaluations of one row: more than there will ever be
_WIDEST = 1 << 32


@dataclass(slots=True)
class Round:
    """One round of asking, per endpoint (by record id), in order."""

    needs: dict[str, Needs] = field(default_factory=dict)

    def known(self) -> Iterable[Need]:
        """What the ledger answers."""
        return (need for needs in self.needs.values() for need in needs.known())


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
        round_.needs.setdefault(state.task.remote.record.id, Needs()).add(state, first, coalitions, keys)
    for needs in round_.needs.values():
        needs.look_up(lookup, now=now, run_id=run_id)
    return round_


def _counts(entry: Entry, places: Sequence[Place], *, now: datetime, run_id: str | None) -> bool:
    if entry.state not in {"answered", "rejected"} or entry.answered_at is None:
        return False
    if run_id is not None and entry.run_id == run_id:
        return True
    return all(now - entry.answered_at <= place.state.task.fresh for place in places)

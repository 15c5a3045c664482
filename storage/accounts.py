"""What an entry changes: the row it leaves behind and the usage it adds. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, ClassVar

from storage.records import Entry, EntryState


@dataclass(frozen=True, slots=True)
class Standing:
    """What of a stored entry decides how a further one at the same place is taken."""

    COLUMNS: ClassVar = (
        *("key", "generation", "state", "run_id", "sent_at"),
        *("attempts", "maybe_billed", "cost_micro", "item"),
    )

    key: bytes
    generation: int
    state: EntryState
    run_id: str
    sent_at: datetime
    attempts: int
    maybe_billed: int
    cost_micro: int
    item: int

    @classmethod
    def of(cls, entry: Entry) -> Standing:
        """How ``entry`` stands once it is stored."""
        return cls(*(getattr(entry, name) for name in cls.COLUMNS))


@dataclass(frozen=True, slots=True)
class Used:
    """Requests sent, requests without a usable answer, and micro-units spent, on one day (UTC)."""

    day: date
    requests: int
    errors: int
    cost_micro: int

    def __bool__(self) -> bool:
        return bool(self.requests or self.errors or self.cost_micro)


@dataclass(frozen=True, slots=True)
class Outcome:
    """``row``: what to write at that place, if anything; ``late``: what to add to the counts of the row there instead."""

    usage: Used
    row: Entry | None = None
    late: dict[str, int] | None = None


def merge(before: Standing | None, entry: Entry) -> Outcome:
    """What ``entry`` changes where ``before`` stands.

    Counts are totals, so writing the same entry twice adds nothing, and they fall only where an intent is closed as never
    sent. A request is counted at its first
    input (``item == 0``), so a batch counts once. An answer stays; one more from a request that nobody knew of (another
    process asked at the same time) was paid for too and is added to the counts.
    """
    if before is not None and before.state == "answered":
        return _after_the_answer(before, entry)
    if before is None:
        row = entry
        requests, errors, cost = row.attempts, _errors(row.state, row.attempts), row.cost_micro
        first = entry.item
    else:
        same = (before.run_id, before.sent_at) == (entry.run_id, entry.sent_at)
        closes = same and before.state == "intended" and entry.state != "intended"
        row = entry.but(
            attempts=entry.attempts if closes else max(before.attempts, entry.attempts),
            maybe_billed=max(before.maybe_billed, entry.maybe_billed),
            cost_micro=max(before.cost_micro, entry.cost_micro),
        )
        requests = row.attempts - before.attempts
        errors = max(0, _errors(row.state, row.attempts) - _errors(before.state, before.attempts))
        cost = row.cost_micro - before.cost_micro
        first = before.item  # the request that failed is the one before, perhaps of another batch
    return Outcome(Used(_day(entry), requests if entry.item == 0 else 0, errors if first == 0 else 0, cost), row)


def _after_the_answer(before: Standing, entry: Entry) -> Outcome:
    same = (before.run_id, before.sent_at) == (entry.run_id, entry.sent_at)
    if same or entry.state == "intended":
        return Outcome(Used(_day(entry), 0, 0, 0))
    late = {name: getattr(entry, name) for name in ("attempts", "maybe_billed", "cost_micro")}
    counted = entry.item == 0
    used = Used(
        _day(entry),
        entry.attempts if counted else 0,
        _errors(entry.state, entry.attempts) if counted else 0,
        entry.cost_micro,
    )
    return Outcome(used, late={f"more_{name}": count for name, count in late.items()})


def both(first: Entry, second: Entry) -> Entry:
    """Two records of one evaluation and generation as one: an answer stays, the earlier one if there are two; counts add up.

    They come about where two processes ask the same at the same time and the one puts its answer away before the other's.
    """
    over = [each for each in (first, second) if each.state in ("answered", "rejected")]
    kept = min(over, key=lambda each: (each.state != "answered", each.answered_at or each.sent_at)) if over else second
    return kept.but(
        attempts=first.attempts + second.attempts,
        maybe_billed=first.maybe_billed + second.maybe_billed,
        cost_micro=first.cost_micro + second.cost_micro,
    )


def _errors(state: EntryState, attempts: int) -> int:
    """Attempts that brought no usable answer; the last one of an intended entry is still in flight."""
    return max(0, attempts - 1) if state in ("answered", "intended") else attempts


def _day(entry: Entry) -> date:
    return entry.sent_at.astimezone(UTC).date()


class UsageTally:
    """Usage of one transaction, by day and model."""

    def __init__(self) -> None:
        self._sums: dict[tuple[date, str, str], list[int]] = {}

    def add(self, model: tuple[str, str], used: Used) -> None:
        """Add what a (provider, model) was used."""
        sums = self._sums.setdefault((used.day, *model), [0, 0, 0])
        for place, count in enumerate((used.requests, used.errors, used.cost_micro)):
            sums[place] += count

    def rows(self) -> list[dict[str, Any]]:
        """Rows of ``usage_day`` to add, in the order of its key."""
        names = ("day", "provider", "model", "requests", "errors", "cost_micro")
        return [dict(zip(names, (*place, *sums), strict=True)) for place, sums in sorted(self._sums.items())]

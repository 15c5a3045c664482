"""What a run sent and cost, in the words of the summary."""

from __future__ import annotations

from probe.report.figures import count, finite, money
from storage.records import Run

#: the names a total may be stored under, and its words
_TOTALS = (
    (("sent", "requests", "requests_sent"), "sent"),
    (("from_ledger",), "from ledger"),
    (("retried", "retries"), "retried"),
    (("maybe_billed", "billed_twice"), "maybe billed"),
    (("unsure",), "unsure"),
    (("cost_micro", "cost"), "cost"),
)


def run_totals(run: Run, *, currency: str) -> list[tuple[str, str]]:
    """(words, figure) of every total of ``run``, the usual ones first and always there."""
    left = dict(run.totals)
    lines = []
    for names, words in _TOTALS:
        amount = next((left.pop(name) for name in names if name in left), 0)
        lines.append((words, money(amount, currency) if words == "cost" else count(amount)))
    others = sorted((name, amount) for name, amount in left.items() if finite(amount) is not None)
    lines += [(name.replace("_", " "), count(int(amount))) for name, amount in others]
    return lines

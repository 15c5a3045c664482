"""Pair interactions as they are shown: what two features do together beyond what each does alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from probe.report.charts import BarTable, bar_table
from probe.report.clean import safe_text
from probe.report.figures import finite
from probe.report.palette import shade_name
from probe.report.shares import Share, interval_factor, largest, ranked
from storage.records import Probe

#: pairs listed at most; the stored explanation has all of them
MOST_PAIRS = 30


@dataclass(frozen=True, slots=True)
class Listing:
    """A table of bars beside that of the features, with the words that go with it."""

    table: BarTable
    left_out: int
    caption: str = "What pairs add beyond their parts, strongest first"
    table_head: str = "Pair"
    note_head: str = ""
    value_head: str = "Interaction"


def pair_shares(probe: Probe) -> list[Share]:
    """The pairs in ``details["pairs"]``, named after their features; empty for methods that know of none."""
    stored: Any = probe.details.get("pairs")
    if not isinstance(stored, Sequence) or isinstance(stored, str):
        return []
    names = [attribution.feature for attribution in probe.attributions]
    factor = interval_factor(probe)
    return [share for entry in stored if (share := _share(entry, names, factor)) is not None]


def _share(entry: Any, names: Sequence[str], factor: float) -> Share | None:
    if not isinstance(entry, Sequence) or len(entry) != 4:
        return None
    first, second, value, error = entry
    if not all(type(index) is int and 0 <= index < len(names) for index in (first, second)):
        return None
    half = finite(error)
    pair = " × ".join(safe_text(names[index], one_line=True, limit=40) for index in (first, second))
    return Share(pair, finite(value), None if half is None else factor * half)


def pair_listing(probe: Probe) -> Listing | None:
    """The table of the strongest pairs; ``None`` if there is none."""
    found = pair_shares(probe)
    if not found:
        return None
    kept = [found[i] for i in ranked(found)[:MOST_PAIRS]]
    limit = largest(found)
    table = bar_table(kept, [""] * len(kept), [shade_name(share.value, limit) for share in kept])
    return Listing(table, len(found) - len(kept))

"""What a stored probe was explained from: its coalitions and the answers that it saw, read back from the ledger."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from adapters import Prediction
from probe.engine.answers import averaged
from probe.engine.known import read_table
from probe.methods.base import Bools, CoalitionTable, Floats
from probe.targets import Target
from storage import Damaged, Store
from storage.records import Entry, Probe


@dataclass(frozen=True, slots=True)
class Recorded:
    """``coalitions`` (m, n); ``entries``: m × width, copies first, ``None`` where there was no answer."""

    coalitions: Bools
    entries: tuple[tuple[Entry | None, ...], ...]
    keys: tuple[tuple[bytes, ...], ...]

    @property
    def width(self) -> int:
        """Evaluations per coalition."""
        return len(self.keys[0]) if self.keys else 1

    def values(self, target: Target) -> Floats:
        """(m, width) scores; NaN where there is no answer, or none that was kept."""
        found = np.full((len(self.entries), self.width), np.nan)
        for row, entries in enumerate(self.entries):
            for column, entry in enumerate(entries):
                if entry is not None and entry.state == "answered" and entry.scores is not None:
                    prediction = Prediction(entry.scores, entry.floor, entry.censored)
                    try:
                        found[row, column] = target.value(prediction)
                    except LookupError:
                        continue
        return found


def is_survey(probe: Probe) -> bool:
    """Whether the probe is a reading of a set: it has queries and no coalitions."""
    return "survey" in probe.details


def recorded(store: Store, probe: Probe) -> Recorded:
    """What ``probe`` saw: of several generations of an evaluation the newest that was there when it finished.

    Raises:
        storage.Damaged: the answers cannot be read.
    """
    coalitions, keys = coalitions_of(store, probe)
    by_key = seen(store.evaluations(probe), probe)
    return Recorded(coalitions, tuple(tuple(by_key.get(key) for key in row) for row in keys), keys)


def coalitions_of(store: Store, probe: Probe) -> tuple[Bools, tuple[tuple[bytes, ...], ...]]:
    """The coalitions (m, n) of ``probe`` and, for each, the ledger keys of its evaluations. Raises ``storage.Damaged``."""
    try:
        coalitions, keys = read_table(store.table(probe))
    except (ValueError, OSError, LookupError, zipfile.BadZipFile) as error:
        raise Damaged(f"{store.url}: the coalitions of probe {probe.id} cannot be read ({error})") from error
    return coalitions, tuple(tuple(key.tobytes() for key in row) for row in keys)


def seen(entries: Iterable[Entry], probe: Probe) -> dict[bytes, Entry]:
    """Of ``entries`` those that ``probe`` saw, by key: the newest generation that was there when it finished."""
    return {
        entry.key: entry
        for entry in sorted(entries, key=lambda entry: entry.generation)
        if entry.state in {"answered", "rejected"} and (entry.answered_at or entry.sent_at) <= probe.finished
    }


def target_of(probe: Probe, *, renamed: Mapping[str, str] | None = None) -> Target:
    """The target that ``probe`` was explained for; ``renamed``: labels that this endpoint calls something else."""
    asked = probe.params.get("target") or {}
    labels: Sequence[str] = asked.get("labels") or (probe.target,)
    return Target(probe.target, tuple((renamed or {}).get(label, label) for label in labels))


def table_of(probe: Probe, found: Recorded, target: Target) -> CoalitionTable:
    """The coalitions all of whose evaluations are answered."""
    repeats = int(probe.params.get("repeats", 1))
    return averaged(found.coalitions, found.values(target), copies=max(1, found.width // repeats), repeats=repeats)

"""What a baseline is made of, and what a check of it needs to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from probe.drift.build import BuildSettings
from probe.drift.suite import Kind
from probe.engine.tasks import Remote
from probe.inputs import Item
from probe.maskers.base import Kind as InputKind


@dataclass(frozen=True, slots=True)
class WatchTask:
    """One entry of ``baselines`` in a config.

    ``alpha``: false alarms that a check may raise, as a rate. ``per_point``: answers at each band point. ``followup``: most
    inputs asked after an alarm. ``together``: probes asked at a time.
    """

    name: str
    kind: InputKind
    items: tuple[Item, ...]
    remote: Remote
    answers: Kind
    build: BuildSettings
    alpha: float
    per_point: int
    followup: int
    together: int

    def settings(self) -> Mapping[str, Any]:
        """What shapes the baseline, JSON-ready."""
        return {"kind": self.kind, "answers": self.answers, "build": asdict(self.build)}

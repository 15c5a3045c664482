"""What a run is made of: one task per instance × endpoint × method."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Protocol

import numpy as np

from adapters import Adapter
from probe.engine.keys import evaluation_key
from probe.errors import ConfigError
from probe.inputs import Item
from probe.maskers.base import Masker
from probe.methods.base import Bools, Method
from probe.methods.stopping import StopRule
from probe.targets import TargetSpec
from storage import records


@dataclass(frozen=True, slots=True)
class Remote:
    """An endpoint that can be asked, and how it is recorded."""

    adapter: Adapter
    record: records.Endpoint


@dataclass(frozen=True, slots=True)
class ProbeTask:
    """One instance × one endpoint × one method."""

    probe: str  #: name in the config
    item: Item
    remote: Remote
    method: Method
    masker: Masker
    target: TargetSpec
    budget: int  #: most evaluations, copies and repeats included, of all tasks that share them
    repeats: int
    fresh: timedelta
    seed: int
    stop: StopRule | None = None  #: when fewer evaluations than the budget will do

    @property
    def width(self) -> int:
        """Evaluations per coalition: the masker's copies times the repeats."""
        return self.masker.copies * self.repeats

    @property
    def where(self) -> str:
        """How messages name this task."""
        return f"{self.probe} ({self.item.name}, {self.remote.adapter.name}, {self.method.name})"

    def params(self) -> Mapping[str, Any]:
        """Everything that shapes the explanation, JSON-ready, defaults included."""
        return {
            "method": dict(self.method.settings),
            "masker": dict(self.masker.settings),
            "target": {"name": self.target.name, "labels": list(self.target.labels)},
            "budget": self.budget,
            "repeats": self.repeats,
            "seed": self.seed,
            **({} if self.stop is None else {"stop": asdict(self.stop)}),
        }

    def params_hash(self) -> bytes:
        """SHA-256 of :meth:`params`."""
        return digest(self.params())

    def rng(self) -> np.random.Generator:
        """The same for every method and endpoint, so that they ask the same coalitions where their designs agree."""
        return np.random.default_rng(np.random.SeedSequence([self.seed, int(self.item.id[:16], 16)]))

    def keys(self, coalition: Bools) -> tuple[bytes, ...]:
        """The ledger keys of one coalition, copies first: (copy 0 repeat 0, copy 0 repeat 1, …)."""
        identity = self.remote.adapter.identity
        renderings = [self.masker.render(coalition, copy) for copy in range(self.masker.copies)]
        return tuple(
            evaluation_key(identity, instance, repeat) for instance in renderings for repeat in range(self.repeats)
        )


def digest(params: Mapping[str, Any]) -> bytes:
    """SHA-256 of JSON-ready ``params``."""
    return hashlib.sha256(json.dumps(params, sort_keys=True).encode()).digest()


class AsksRemote(Protocol):
    """Any task that asks one endpoint."""

    @property
    def remote(self) -> Remote: ...


def check_readings(tasks: Sequence[AsksRemote]) -> None:
    """Refuse two endpoints that send the same requests and read the answers differently: they share a ledger.

    Raises:
        ConfigError: naming both.
    """
    seen: dict[str, Adapter] = {}
    for task in tasks:
        adapter = task.remote.adapter
        first = seen.setdefault(task.remote.record.id, adapter)
        if first.parser != adapter.parser:
            raise ConfigError(
                f"endpoints {first.name!r} and {adapter.name!r} send the same requests but read the answers differently; "
                "use them in runs of their own (--only), where the ledger serves both"
            )

"""What keeps requests waiting, as a person wants to hear it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

_UNITS: Final = {1.0: "s", 60.0: "min", 3600.0: "h", 86400.0: "day"}


@dataclass(frozen=True, slots=True)
class Binding:
    """The limit that holds requests back now.

    ``rate``: one goes after the other. ``used up``: a window is full. ``held``: the server asked to wait. ``in flight``: as
    many are under way as may be. ``out``: the endpoint does not answer. ``wait``: seconds until it lets go, if known.
    """

    kind: Literal["rate", "used up", "held", "in flight", "out"]
    limit: str  #: ``5/s``, ``100000 tokens/min``, ``8 of 8``; empty for a hold
    wait: float | None = None


def per(limit: float, period: float, unit: str = "") -> str:
    """``5/s``, ``200/min``, ``1000 tokens/3 s``."""
    amount = f"{limit:g}" if limit < 1e6 else f"{limit:.0f}"
    return f"{amount}{' ' + unit if unit else ''}/{_UNITS.get(period) or f'{period:g} s'}"

"""A baseline's probes: what is asked again at every check, and what was answered before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from adapters import Instance
from probe.drift.answers import Reference, Seen
from probe.drift.noise import Noise

Role = Literal["boundary", "natural", "band"]
Kind = Literal["label", "text"]


@dataclass(frozen=True, slots=True)
class Probe:
    """One stored input.

    ``role``: boundary probes and natural inputs are the canary's, band probes vary of themselves. ``first``: the answers of
    the baseline, in order. ``tries``: points that were tried before this one was found steady. ``later``: what unchanged checks
    added since.
    """

    instance: Instance
    role: Role
    name: str
    first: tuple[Seen, ...] = field(repr=False)
    tries: int = 1
    later: tuple[Seen, ...] = field(default=(), repr=False)
    reference: Reference = field(init=False, repr=False, compare=False)  #: all that it was answered so far

    def __post_init__(self) -> None:
        object.__setattr__(self, "reference", Reference.of((*self.first, *self.later)))

    def grown(self, answers: Sequence[Seen]) -> Probe:
        """With further answers of an unchanged check."""
        return replace(self, later=(*self.later, *answers)) if answers else self


@dataclass(frozen=True, slots=True)
class Suite:
    """All probes of a baseline, and how much its endpoint's answers vary.

    ``kind``: whether answers are labels or free texts.
    """

    probes: tuple[Probe, ...]
    noise: Noise
    kind: Kind = "label"

    def of(self, *roles: Role) -> list[Probe]:
        """The probes of these ``roles``, in order."""
        return [probe for probe in self.probes if probe.role in roles]

    @property
    def canary(self) -> list[Probe]:
        """What the canary asks: the boundary's neighbours, or the natural inputs where no boundary was found."""
        return self.of("boundary") or self.of("natural")

"""Attributions as they are shown: finite numbers or nothing, with the half-width of their 95 % interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from probe.analysis.intervals import quantile
from probe.report.figures import finite
from storage.records import Probe


@dataclass(frozen=True, slots=True)
class Share:
    """One feature's share of the score. ``half`` is ``None`` where the method gives no standard error."""

    name: str
    value: float | None
    half: float | None

    @property
    def separable(self) -> bool | None:
        """Whether the interval leaves zero out; ``None`` without an interval."""
        return None if self.value is None or self.half is None else abs(self.value) > self.half


def shares(probe: Probe) -> list[Share]:
    """The attributions of ``probe`` in feature order; half-widths are standard errors times :func:`interval_factor`."""
    factor = interval_factor(probe)
    return [Share(a.feature, finite(a.value), _half(finite(a.std_error), factor)) for a in probe.attributions]


def interval_factor(probe: Probe) -> float:
    """Half-width of a 95 % interval in standard errors: the normal quantile, or Student's t where the method reports its
    degrees of freedom (``trust["dof"]``)."""
    freedom = finite(probe.trust.get("dof"))
    return quantile(freedom if freedom is not None and freedom > 0 else None)


def _half(error: float | None, factor: float) -> float | None:
    return None if error is None else factor * error


def ranked(found: Sequence[Share]) -> list[int]:
    """Indices of ``found``, largest absolute value first, those without a value last."""
    sizes = [-1.0 if share.value is None else abs(share.value) for share in found]
    return sorted(range(len(sizes)), key=lambda index: (-sizes[index], index))


def largest(found: Sequence[Share]) -> float:
    """The largest absolute value; 0 if there is none."""
    return max((abs(share.value) for share in found if share.value is not None), default=0.0)


def as_changes(found: Sequence[Share]) -> list[Share]:
    """As changes of the score: what the altered input scored less the input as it is."""
    return [Share(share.name, None if share.value is None else -share.value, share.half) for share in found]

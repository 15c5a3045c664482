"""Many explanations of single inputs as one: which features matter over a set, and how their values go with their shares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
import scipy.special

from adapters import Scalar
from probe.maskers.checks import whole
from probe.methods.base import Finding
from probe.surveys.base import Floats, Places, Reading, freedom, generator, jackknife, mean_known


@dataclass(frozen=True)
class Beeswarm:
    """Gathers one explanation of every input, by any method of single inputs.

    ``of``: that method. ``most``: features listed, the strongest first; ``points``: dots kept of each, drawn with the seed.
    """

    name: ClassVar[str] = "beeswarm"
    source: ClassVar[str] = "Lundberg et al., From Local Explanations to Global Understanding, Nature MI 2020"

    of: str = "shapley"
    most: int = 50
    points: int = 500

    def __post_init__(self) -> None:
        whole(self.most, "most", least=1)
        whole(self.points, "points", least=0)


@dataclass(frozen=True, slots=True)
class Part:
    """One feature of one explanation. ``std_error`` is NaN where the method gives none; ``value``: the feature's own value."""

    name: str
    phi: float
    std_error: float
    value: Scalar


#: one explanation: the input's name and its features
Explained: TypeAlias = tuple[str, Sequence[Part]]


def gather(explained: Sequence[Explained], settings: Beeswarm, seed: int) -> Reading:
    """Mean |φ| by feature over ``explained``, where an input without the feature counts as 0.

    An estimate φ̂ = φ + ε has E|φ̂| > |φ|, so noise alone makes a feature look important. Where standard errors s are known,
    the mean is therefore multiplied by E|N(μ, τ²)| / mean E|N(μ, τ² + s²)|: what the mean |φ| of shares with the observed
    mean μ and the observed variance less the noise, τ², is of what noise makes of it. It is 1 without noise and near 0 where
    noise explains everything; the plain mean is kept beside it. Standard errors are a jackknife over the inputs, this
    correction included.

    ``details["swarm"]``: by feature, strongest first, ``count`` (inputs that have it), ``mean`` (φ, signed), ``mean_abs`` (as
    it is), ``noise`` (mean standard error; null where not known) and ``points``: [φ, feature value, input's number].

    Raises ``ValueError`` for fewer than two explanations.
    """
    if len(explained) < 2:
        raise ValueError(f"a beeswarm needs the explanations of at least two inputs, not of {len(explained)}")
    names = list(dict.fromkeys(part.name for _, parts in explained for part in parts))
    column = {name: number for number, name in enumerate(names)}
    phi = np.zeros((len(explained), len(names)))
    noise = np.zeros_like(phi)
    there = np.zeros(phi.shape, dtype=bool)
    dots: list[list[tuple[float, Scalar, int]]] = [[] for _ in names]
    for row, (_, parts) in enumerate(explained):
        for part in parts:
            if math.isfinite(part.phi):
                k = column[part.name]
                phi[row, k] += part.phi  # a word that comes twice counts with both its shares
                noise[row, k] = math.hypot(noise[row, k], part.std_error)
                there[row, k] = True
                dots[k].append((part.phi, part.value, row))

    def statistic(chosen: Places) -> Floats:
        return _size(phi[chosen], noise[chosen])

    values = statistic(np.arange(len(explained)))
    errors = jackknife(statistic, len(explained), seed)
    order = sorted(np.flatnonzero(there.any(axis=0)).tolist(), key=lambda k: (-values[k], k))[: settings.most]
    unknown = bool(np.isnan(noise).any())
    plain = np.abs(phi).mean(axis=0)
    swarm: dict[str, Any] = {}
    for k in order:
        kept = np.sort(generator(seed, "dots", names[k]).permutation(len(dots[k]))[: settings.points])
        told = mean_known(noise[there[:, k], k])
        swarm[names[k]] = {
            "count": int(there[:, k].sum()),
            "mean": float(phi[:, k].mean()),
            "mean_abs": float(plain[k]),
            "noise": float(told) if math.isfinite(told) else None,
            "points": [list(dots[k][place]) for place in kept.tolist()],
        }
    return Reading(
        names=tuple(names[k] for k in order),
        values=values[order],
        std_errors=errors[order],
        trust=freedom(len(explained)) | _inflation(plain[order], values[order], unknown=unknown),
        findings=(_INFLATED,) if unknown else (),
        details={"swarm": swarm, "inputs": [name for name, _ in explained], "of": settings.of},
    )


_INFLATED = Finding(
    "P301",
    "some shares have no standard error, so their noise cannot be taken out of the mean |φ|: small ones are too large; "
    "ask with repeats, or use a method that gives standard errors",
)


def _inflation(plain: Floats, values: Floats, *, unknown: bool) -> dict[str, float]:
    """How much of the plain means noise made up, over all features."""
    return {} if unknown or not plain.sum() else {"inflation": float(1 - values.sum() / plain.sum())}


def _size(phi: Floats, noise: Floats) -> Floats:
    """Mean |φ| (features,) of shares (inputs, features) with these standard errors, noise taken out where it is known."""
    plain: Floats = np.abs(phi).mean(axis=0)
    centre = phi.mean(axis=0)
    known = ~np.isnan(noise).any(axis=0)
    variance = np.where(known, np.nan_to_num(noise) ** 2, 0.0)
    own = np.maximum(phi.var(axis=0) - variance.mean(axis=0), 0.0)
    clean = _folded(centre, own)
    blurred = _folded(centre, own + variance).mean(axis=0)
    factor = np.divide(clean, blurred, out=np.ones_like(clean), where=(blurred > 0) & variance.any(axis=0))
    result: Floats = plain * factor
    return result


def _folded(mean: Floats, variance: Floats) -> Floats:
    """E|N(mean, variance)| (Leone, Nelson & Nottingham, Technometrics 1961)."""
    spread = np.sqrt(variance)
    ratio = np.divide(mean, spread, out=np.full(np.broadcast(mean, spread).shape, np.inf), where=spread > 0)
    spread, mean = np.broadcast_arrays(spread, np.abs(mean))
    ratio = np.abs(ratio)
    with np.errstate(invalid="ignore"):
        inner = spread * math.sqrt(2 / math.pi) * np.exp(-(ratio**2) / 2) + mean * (1 - 2 * scipy.special.ndtr(-ratio))
    result: Floats = np.where(np.isinf(ratio), mean, inner)
    return result

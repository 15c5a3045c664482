"""What a check can see, and what it will ask, before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import scipy.special

from probe.drift.canary import Watch
from probe.drift.suite import Probe, Suite

POWER = 0.9  #: with which a change of the stated size would have been seen


@dataclass(frozen=True, slots=True)
class Sight:
    """What would have been seen with probability ``power``.

    ``flips``: the smallest share of the canary's probes whose answer would have had to change; ``None``: no share.
    ``score``: a change of every score by this much, on the logit scale; ``None`` where scores are not compared.
    """

    probes: int
    flips: float | None
    score: float | None
    power: float = POWER

    def as_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    def words(self) -> str:
        """As part of a sentence."""
        if self.flips is None:
            said = "no change of labels, however large, would have been certain to be seen"
        else:
            said = f"would have seen ≥ {math.ceil(1000 * self.flips) / 10:g} % of {self.probes} probes flip"
        if self.score is not None:
            said += f", or scores move by ≥ {self.score:.2g} (logit)"
        return f"{said}, with power {self.power:g}"


def seen(asked: Sequence[tuple[Watch, float]], *, score: float | None = None, power: float = POWER) -> Sight:
    """From the probes that were answered: how many answers in a row each needs, and how often it is off or back by itself.

    A change that flips a share f of them is missed if none of those it flips stays off: Π (1 − f (1−ε)ʳ).
    """
    holds = [(1 - noise) ** watch.label for watch, noise in asked if watch.label is not None]
    return Sight(len(holds), _smallest(holds, power), score, power)


def _smallest(holds: Sequence[float], power: float) -> float | None:
    def chance(share: float) -> float:
        return 1 - math.prod(1 - share * held for held in holds)

    if chance(1.0) < power:
        return None
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if chance(middle) >= power else (middle, high)
    return high


def score_seen(variance: float, freedom: int, counts: Sequence[int], *, level: float) -> float | None:
    """The change of every score by the same amount that the F test of ``shift`` finds with :data:`POWER` at ``level``.

    ``variance``: of one answer's score; ``counts``: stored answers of each probe. Of a non-central F the probability is
    found by bisection on the non-centrality.
    """
    if not counts or not variance > 0:
        return None
    points = len(counts)
    bound = float(scipy.special.fdtri(points, freedom, 1 - level))
    low, high = 0.0, 1.0
    while scipy.special.ncfdtr(points, freedom, high, bound) > 1 - POWER and high < 1e6:
        high *= 2
    for _ in range(40):
        middle = (low + high) / 2
        found = scipy.special.ncfdtr(points, freedom, middle, bound) <= 1 - POWER
        low, high = (low, middle) if found else (middle, high)
    return math.sqrt(high * variance / sum(1 / (1 + 1 / n) for n in counts))


@dataclass(frozen=True, slots=True)
class Cost:
    """Evaluations: ``expected`` if nothing has changed, ``most`` whatever happens."""

    expected: int
    most: int


def check_cost(suite: Suite, found: Sequence[Watch], *, per_point: int, followup: int) -> Cost:
    """What a check of ``suite`` asks. ``per_point``: answers at each band point; ``followup``: inputs after an alarm."""
    canary = suite.canary
    probes = [(probe, watch) for probe, watch in zip(canary, found, strict=True) if watch.is_of_use]
    again = sum(_again(probe, watch) for probe, watch in probes)
    band = per_point * len(suite.of("band"))
    worst = sum(max(watch.label or 0, watch.raw or 0) for _, watch in probes)
    return Cost(math.ceil(len(probes) + again + band), worst + band + followup)


def _again(probe: Probe, watch: Watch) -> float:
    """Further questions expected at one probe: the first answer is off by itself now and then."""
    reference = probe.reference
    rate = (reference.off + 0.5) / (reference.n + 1) if reference.off else 0.0
    return sum(rate**k for k in range(1, watch.label or 1))


def baseline_cost(*, doubles: int, pairs: int, repeats: int, noisy: bool) -> Cost:
    """What making a baseline asks: double calls, then for each pair twenty rounds of bisection and steady points on two sides.

    With a noisy endpoint the search goes back from the crossing, at most through all distances, a quarter of the repeats at
    each, and the crossing itself is asked as well.
    """
    quiet = 2 * doubles + pairs * (20 + 2 * repeats)
    back = pairs * (2 * 16 * max(1, repeats // 4) + max(20, repeats))
    return Cost(quiet + (back // 2 if noisy else 0), quiet + back)

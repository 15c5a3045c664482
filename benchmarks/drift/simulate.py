"""The pure core against models that change: very many checks, without sending anything."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.drift.models import CHANGES, Noise, Task
from probe.drift.answers import Seen
from probe.drift.build import Build, BuildSettings
from probe.drift.check import Check, Past, Verdict, learnt
from probe.drift.suite import Suite

_MOST_DAYS = 13  #: on which a change is looked for: about 1500 questions
_MOST_FISHER = 1500
Logits = NDArray[np.float64]


@dataclass(slots=True)
class Found:
    """``questions``: until the alarm, of every trial; infinite if there was none. ``null``: checks without a change."""

    questions: dict[str, list[float]] = field(default_factory=dict)
    null: int = 0
    false: Counter[str] = field(default_factory=Counter)
    built: list[int] = field(default_factory=list)
    sizes: dict[str, list[float]] = field(default_factory=dict)  #: margins moved by, over the noise of a margin

    def n90(self, change: str) -> float:
        """Questions within which nine of ten trials raise the alarm."""
        found = sorted(self.questions[change])
        return found[math.ceil(0.9 * len(found)) - 1]

    def size(self, change: str) -> float:
        """How far the change moves the margin between the two labels at the boundary, in standard deviations of noise."""
        return float(np.median(self.sizes[change])) if self.sizes.get(change) else math.inf


def build(task: Task, noise: Noise, *, repeats: int, rng: np.random.Generator) -> tuple[Suite, int]:
    """A baseline of the unchanged model, and how many questions it took."""
    made = Build(task.inputs, BuildSettings(repeats=repeats), rng=rng)
    asked = 0
    while wanted := made.ask():
        asked += len(wanted)
        made.tell(seen(noise.labels(task.models["same"](wanted), rng)))
    if made.suite is None:
        raise RuntimeError("a baseline ends with a suite")
    return made.suite, asked


def seen(labels: NDArray[np.intp]) -> list[Seen]:
    """Answers of an endpoint that returns labels only."""
    return [Seen(str(label), str(label)) for label in labels]


def check(suite: Suite, past: Past, logits: Logits, noise: Noise, rng: np.random.Generator) -> Verdict:
    """One check, with the model's ``logits`` at every probe of the suite."""
    going = Check(suite, past)
    while wanted := going.ask():
        going.tell(seen(noise.labels(logits[wanted], rng)))
    if going.verdict is None:
        raise RuntimeError("a check ends with a verdict")
    return going.verdict


def run(task: Task, noise: Noise, *, repeats: int, baselines: int, days: int, trials: int) -> Found:
    """``baselines`` baselines, each with ``days`` unchanged checks, and then ``trials`` of every change."""
    found = Found({change: [] for change in CHANGES})
    for number in range(baselines):
        rng = np.random.default_rng([number, repeats])
        suite, asked = build(task, noise, repeats=repeats, rng=rng)
        found.built.append(asked)
        logits = {name: model([probe.instance for probe in suite.probes]) for name, model in task.models.items()}
        _measure(found, suite, logits, noise)
        grown, past = _unchanged(suite, logits["same"], noise, rng, days, found)
        # the canary with its probes as they were made, so that repeats are as many as is said; the band is calibrated
        pairs = zip(suite.probes, grown.probes, strict=True)
        suite = replace(suite, probes=tuple(late if late.role == "band" else first for first, late in pairs))
        for change in CHANGES:
            found.questions[change] += [_until_alarm(suite, past, logits[change], noise, rng) for _ in range(trials)]
    return found


def _measure(found: Found, suite: Suite, logits: Mapping[str, Logits], noise: Noise) -> None:
    if not noise.logit:
        return
    places = [place for place, probe in enumerate(suite.probes) if probe.role != "natural"]
    best = np.argsort(logits["same"][places], axis=1)[:, -2:]
    margins = {
        name: np.take_along_axis(each[places], best, axis=1) @ np.array([-1.0, 1.0]) for name, each in logits.items()
    }
    for change in CHANGES:
        moved = np.abs(margins[change] - margins["same"]) / (noise.logit * math.sqrt(2))
        found.sizes.setdefault(change, []).extend(moved.tolist())


def _unchanged(
    suite: Suite, logits: Logits, noise: Noise, rng: np.random.Generator, days: int, found: Found
) -> tuple[Suite, Past]:
    """``days`` checks without a change: their alarms are false."""
    past = Past()
    for _ in range(days):
        verdict = check(suite, past, logits, noise, rng)
        found.null += 1
        if verdict.kind == "alarm":
            found.false[str(verdict.channel)] += 1
            past = replace(past, band_suspect=False)
            continue
        suite, past = joined(suite, past, verdict)
    return suite, replace(past, band_suspect=False)


def joined(suite: Suite, past: Past, verdict: Verdict) -> tuple[Suite, Past]:
    """What an unchanged check adds."""
    more = learnt(verdict)
    probes = tuple(probe.grown(more.get(place, ())) for place, probe in enumerate(suite.probes))
    band = verdict.band
    bands = (*past.bands, band.figure) if band is not None and band.points else past.bands
    suspect = band is not None and band.suspect
    return replace(suite, probes=probes), replace(past, bands=bands, band_suspect=suspect, guard=verdict.guard)


def _until_alarm(suite: Suite, past: Past, logits: Logits, noise: Noise, rng: np.random.Generator) -> float:
    asked = 0
    for _ in range(_MOST_DAYS):
        verdict = check(suite, past, logits, noise, rng)
        asked += verdict.asked
        if verdict.kind == "alarm":
            return asked
        suspect = verdict.band is not None and verdict.band.suspect
        past = replace(past, band_suspect=suspect, guard=verdict.guard)
    return math.inf


def fisher(task: Task, noise: Noise, *, alpha: float = 0.01, doubles: int = 500, trials: int = 200) -> dict[str, float]:
    """The usual check: natural inputs drawn at random, each asked once, and Fisher's exact test of how often answers differ
    from the stored ones against how often they did in double calls. The smallest number of questions with power 0.9."""
    rng = np.random.default_rng(11)
    instances = [instance for _, instance in task.inputs]
    logits = {name: model(instances) for name, model in task.models.items()}
    places = rng.integers(len(instances), size=(trials, doubles))
    known = np.array([_unequal(logits["same"][row], logits["same"][row], noise, rng).sum() for row in places])
    found = {}
    for change in CHANGES:
        rows = rng.integers(len(instances), size=(trials, _MOST_FISHER))
        off = np.array([_unequal(logits["same"][row], logits[change][row], noise, rng) for row in rows])
        found[change] = _smallest(off.cumsum(axis=1), known, doubles, alpha)
    return found


def _unequal(before: Logits, after: Logits, noise: Noise, rng: np.random.Generator) -> NDArray[np.bool_]:
    different: NDArray[np.bool_] = noise.labels(before, rng) != noise.labels(after, rng)
    return different


def _smallest(off: NDArray[np.int64], known: NDArray[np.int64], doubles: int, alpha: float) -> float:
    sizes = sorted({round(4 * 1.15**k) for k in range(60) if 4 * 1.15**k <= _MOST_FISHER})
    for size in sizes:
        k = off[:, size - 1]
        # one-sided: more differ than in double calls (hypergeometric tail)
        p = stats.hypergeom.sf(k - 1, doubles + size, k + known, size)
        if np.mean(p <= alpha) >= 0.9:
            return float(size)
    return math.inf


def shown(figure: float) -> str:
    """A number of questions, or ``never``."""
    return "never" if math.isinf(figure) else f"{figure:.0f}"


def bound(false: int, runs: int) -> float:
    """Clopper and Pearson's 95 % upper bound on a rate."""
    return float(stats.beta.ppf(0.95, false + 1, runs - false))

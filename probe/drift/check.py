"""One check from beginning to end, as questions and answers: the canary, the band, the scores, the guard, and a verdict."""

from __future__ import annotations

import math
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import scipy.special

from adapters import Instance
from probe.drift import band, shift
from probe.drift.answers import Seen, pooled
from probe.drift.band import Band
from probe.drift.canary import Canary, Flip, asking, is_off, watches
from probe.drift.exact import upper_bound
from probe.drift.guard import Guard
from probe.drift.noise import NoRepeats, spread
from probe.drift.power import Sight, score_seen, seen
from probe.drift.shift import Shift
from probe.drift.suite import Probe, Suite

Kind = Literal["alarm", "no change found", "inconclusive"]
Level = Literal["canonical", "raw", "score", "distribution"]
Channel = Literal["canary", "band", "scores", "guard"]

#: how the false-alarm rate of a check is split: labels and raw texts of the canary, scores, band, guard
SPLIT = {"canary": 0.5, "raw": 0.1, "scores": 0.05, "band": 0.25, "guard": 0.1}
_MOST_FAILED = 1 / 3  #: of what was asked; above that nothing is concluded


@dataclass(frozen=True, slots=True)
class Past:
    """What earlier checks since the baseline was made say, oldest first.

    ``bands``, ``shifts``: figures of those on which nothing changed. ``band_suspect``, ``score_suspect``: whether the last
    check on another day was suspect. ``guard``: after the last one.
    """

    bands: tuple[float, ...] = ()
    shifts: tuple[float, ...] = ()
    band_suspect: bool = False
    score_suspect: bool = False
    guard: Guard | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found.

    ``channel`` and ``level``: what raised an alarm and what it is that changed. ``why``: one line. ``sees``: what would have
    been seen, after an alarm by the whole check. ``asked``, ``failed``: evaluations, and those without an answer. ``flips``,
    ``firsts``: by place in the suite; ``today``: all answers at the band's points. ``off``: first answers that were not the
    usual ones; ``ordinary``: how many are in 99 of 100 checks, by the bound on noise.
    """

    kind: Kind
    why: str
    channel: Channel | None
    level: Level | None
    sees: Sight
    asked: int
    failed: int
    flips: tuple[Flip, ...] = field(repr=False, default=())
    band: Band | None = None
    shift: Shift | None = None
    guard: Guard | None = None
    firsts: dict[int, Seen] = field(default_factory=dict, repr=False)
    today: dict[int, tuple[Seen, ...]] = field(default_factory=dict, repr=False)
    off: int = 0
    ordinary: int = 0

    @property
    def suspect(self) -> bool:
        """Whether this day is out of the ordinary and waits for another one to confirm it."""
        return bool((self.band and self.band.suspect) or (self.shift and self.shift.suspect))


class Check:
    """Asks what one check has to ask: ``ask()`` → places of probes in the suite, ``tell(answers)``; then ``verdict``.

    Raises, when made:
        NoRepeats: nothing was ever asked twice, or no probe has enough answers.
    """

    def __init__(
        self,
        suite: Suite,
        past: Past | None = None,
        *,
        alpha: float = 0.01,
        per_point: int = 5,
        together: int = 1,
    ) -> None:
        suite.noise.most()  # refuses to judge without repeats
        self.suite = suite
        self._past = past or Past()
        self.canary = suite.canary
        self.watches = watches(
            self.canary, kind=suite.kind, label_level=alpha * SPLIT["canary"], raw_level=alpha * SPLIT["raw"]
        )
        if not any(watch.is_of_use for watch in self.watches):
            raise NoRepeats("no input has enough answers, or answers that agree enough, to tell a change from noise")
        self.verdict: Verdict | None = None
        self._alpha = alpha
        self._per_point = per_point
        self._places = {id(probe): place for place, probe in enumerate(suite.probes)}
        self._wanted: list[int] = []
        self._walk = self._all(together)
        self._wanted = next(self._walk)

    def ask(self) -> list[int]:
        """Places in ``suite.probes`` of what is to be asked now, one of them perhaps several times; nothing at the end."""
        return list(self._wanted)

    def instances(self) -> list[Instance]:
        """The inputs of :meth:`ask`."""
        return [self.suite.probes[place].instance for place in self._wanted]

    def tell(self, answers: Sequence[Seen | None]) -> None:
        """The answers to the last :meth:`ask`, in its order; ``None``: there was none."""
        try:
            self._wanted = self._walk.send(list(answers))
        except StopIteration as end:
            self._wanted, self.verdict = [], end.value

    def _place(self, probe: Probe) -> int:
        return self._places[id(probe)]

    def _all(self, together: int) -> Generator[list[int], list[Seen | None], Verdict]:
        walk = asking(self.canary, self.watches, kind=self.suite.kind, together=together)
        wanted = next(walk)
        while True:
            answers = yield [self._place(self.canary[place]) for place in wanted]
            try:
                wanted = walk.send(answers)
            except StopIteration as end:
                canary: Canary = end.value
                break
        points = self.suite.of("band")
        today: list[list[Seen]] = [[] for _ in points]
        asked = failed = 0
        if points and canary.alarm is None:
            wanted = [self._place(point) for point in points for _ in range(self._per_point)]
            answers = yield wanted
            for number, answer in enumerate(answers):
                if answer is not None:
                    today[number // self._per_point].append(answer)
            asked, failed = len(answers), sum(answer is None for answer in answers)
        return self._concluded(canary, points, today, asked=canary.asked + asked, failed=canary.failed + failed)

    def _concluded(
        self, canary: Canary, points: Sequence[Probe], today: Sequence[Sequence[Seen]], *, asked: int, failed: int
    ) -> Verdict:
        past, alpha = self._past, self._alpha
        value, number = band.figure([point.reference for point in points], today)
        found_band = band.judged(value, number, past.bands, level=alpha * SPLIT["band"]) if points else None
        found_shift = shift.judged(
            [probe.reference for probe in self.canary],
            [canary.firsts.get(place) for place in range(len(self.canary))],
            past.shifts,
            level=alpha * SPLIT["scores"],
        )
        guard = self._guarded(canary)
        channel, level, why = self._alarm(canary, found_band, found_shift, guard)
        kind: Kind = "no change found" if channel is None else "alarm"
        if failed > _MOST_FAILED * asked or not canary.firsts:
            kind, channel, level = "inconclusive", None, None
            why = f"{failed} of {asked} questions were not answered: that is no ground for a verdict"
        return Verdict(
            kind,
            why,
            channel,
            level,
            self.foresight() if kind == "alarm" else self._sight(canary.firsts),
            asked,
            failed,
            tuple(replace(flip, place=self._place(self.canary[flip.place])) for flip in canary.flips),
            found_band,
            found_shift,
            guard if kind != "inconclusive" else past.guard,
            {self._place(self.canary[place]): answer for place, answer in canary.firsts.items()},
            {self._place(point): tuple(answers) for point, answers in zip(points, today, strict=True)},
            self._off(canary),
            _most_of(len(canary.firsts), guard.most),
        )

    def _alarm(
        self, canary: Canary, found_band: Band | None, found_shift: Shift | None, guard: Guard
    ) -> tuple[Channel | None, Level | None, str]:
        past = self._past
        if (flip := canary.alarm) is not None:
            probe = self.canary[flip.place]
            times = len(flip.after)
            what = "another answer" if flip.level == "canonical" else "other scores"
            return "canary", flip.level, f"{probe.name}: {what} {times} times in a row, after {flip.before.n} as before"
        if found_shift is not None and found_shift.suspect and (found_shift.certain or past.score_suspect):
            return "scores", "score", f"scores moved by {found_shift.size:.3g} (logit), more than repeats differ"
        if found_band is not None and found_band.suspect and past.band_suspect:
            return "band", "distribution", "the shares of answers moved at inputs that vary, on two days in a row"
        if guard.value >= 1 / (self._alpha * SPLIT["guard"]):
            return "guard", "canonical", f"over {guard.checks} checks more answers were off than noise explains"
        return None, None, "no change found"

    def _guarded(self, canary: Canary) -> Guard:
        off, n = pooled(probe.reference for probe in self.canary)
        chosen = sum(probe.tries > 1 for probe in self.canary)  # whose answers agree because others' did not
        before = self._past.guard or Guard.new(upper_bound(off + chosen, n + chosen, 0.001))
        if self.suite.kind == "text":
            return before
        return before.after(self._off(canary), len(canary.firsts), dispersion=self._dispersion())

    def _off(self, canary: Canary) -> int:
        kind = self.suite.kind
        return sum(is_off(answer, self.canary[place].reference, kind) for place, answer in canary.firsts.items())

    def _dispersion(self) -> float:
        """How much more days differ than the answers of one day do; 1 before that is known."""
        shifts, bands = self._past.shifts, self._past.bands
        points = len(self.suite.of("band"))
        found = [sum(shifts) / len(shifts)] if shifts else []
        found += [sum(bands) / len(bands) / points] if bands and points else []
        return max([1.0, *found])

    def foresight(self) -> Sight:
        """What this check will have seen if every probe is answered."""
        return self._sight(range(len(self.canary)))

    def _sight(self, answered: Collection[int]) -> Sight:
        references = [probe.reference for probe in self.canary]
        asked = [
            (watch, (reference.off / reference.n) if reference.n else 0.0)
            for place, (watch, reference) in enumerate(zip(self.watches, references, strict=True))
            if place in answered
        ]
        variance, freedom = spread([reference.values for reference in references])
        counts = [len(references[place].values) for place in answered]
        known = math.isfinite(variance) and freedom > 0
        level = self._alpha * SPLIT["scores"]
        return seen(asked, score=score_seen(variance, freedom, counts, level=level) if known else None)


def learnt(verdict: Verdict) -> dict[int, tuple[Seen, ...]]:
    """What a check without a change adds to the baseline, by place in the suite.

    Of a canary's probe the first answer alone, as how often it is asked again depends on what it answers; of a band's point
    all of them.
    """
    return {**{place: (answer,) for place, answer in verdict.firsts.items()}, **verdict.today}


def _most_of(n: int, rate: float) -> int:
    """What a binomial number of ``n`` stays below or at in 99 of 100 cases."""
    return next((k for k in range(n) if scipy.special.bdtr(k, n, rate) >= 0.99), n)


def summary(verdict: Verdict) -> dict[str, Any]:
    """``verdict`` as it is stored, JSON-ready, without the answers of probes that are as before."""
    return {
        "why": verdict.why,
        "channel": verdict.channel,
        "level": verdict.level,
        "sees": verdict.sees.as_json(),
        "asked": verdict.asked,
        "failed": verdict.failed,
        "probes": len(verdict.firsts),
        "off": verdict.off,
        "ordinary": verdict.ordinary,
        "band": None if verdict.band is None else verdict.band.as_json(),
        "shift": None if verdict.shift is None else verdict.shift.as_json(),
        "guard": None if verdict.guard is None else {**verdict.guard.as_json(), "value": verdict.guard.value},
        "flips": [
            {
                "place": flip.place,
                "level": flip.level,
                "proven": flip.proven,
                "before": dict(flip.before.labels),
                "after": [answer.label for answer in flip.after],
            }
            for flip in verdict.flips
        ],
    }

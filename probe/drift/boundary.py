"""Inputs that stand where the answer changes: pairs of neighbours, as close to the crossing as the endpoint's noise allows.

Between two inputs with different labels a bisection finds where the label changes; from there it goes back on both sides to
the nearest point where several answers agree. Every pair is a generator that yields the points it wants answered and is sent
the answers; all pairs go on in step, so that one round is one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from adapters import Instance
from probe.drift.answers import Reference, Seen
from probe.drift.exact import tolerated
from probe.drift.paths import Path, same

T = TypeVar("T")
Answers: TypeAlias = "list[Seen | None]"
Walk: TypeAlias = "Generator[list[Instance], Answers, T]"

#: how far from the crossing a stable point is looked for, as shares of the path
DISTANCES = (0.0, *(2.0**-k for k in range(16, 1, -1)))
_RETRIES = 3  #: of a point that was not answered
_FURTHER = 2  #: places in DISTANCES from the nearest steady point to a far one: four times the distance
_FEWEST = 0.1  #: share of the rarer label at a point that is good for the band


@dataclass(frozen=True, slots=True)
class Point:
    """An input on a path and its answers. ``tries``: points that were tried for it, itself included."""

    t: float
    instance: Instance
    answers: tuple[Seen, ...]
    tries: int = 1


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What a pair came to: a stable point on each side, and the crossing itself where answers there vary."""

    lo: Point | None
    hi: Point | None
    crossing: Point | None = None


@dataclass(frozen=True, slots=True)
class Steady:
    """What makes a point steady: ``repeats`` answers, of which at most ``off`` are not the usual one."""

    repeats: int
    off: int = 0


class BoundarySearch:
    """Asks for all ``paths`` at once: ``ask()`` → inputs, ``tell(answers)``, until nothing more is asked.

    ``labels``: of each path, those at its two ends. ``repeats``: answers that have to agree at a steady point. ``rounds``: of
    the bisection. ``noise``: how often an answer is off by itself wherever it is asked.

    Where answers vary at the crossing, the points stand four times as far from it as the nearest steady ones: an endpoint
    whose answers vary from day to day as much as from call to call stays on its side there.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        labels: Sequence[tuple[str, str]],
        *,
        repeats: int,
        rounds: int = 20,
        noise: float = 0.0,
    ) -> None:
        steady = Steady(repeats, tolerated(repeats, noise))
        self._walk = together([_pair(path, ends, steady, rounds) for path, ends in zip(paths, labels, strict=True)])
        self._wanted: list[Instance] = []
        self.found: list[Neighbours | None] | None = None  #: of each path; ``None`` while it is looked for
        self._advance(lambda: next(self._walk))

    def ask(self) -> list[Instance]:
        """The inputs of this round; nothing when the search is over."""
        return list(self._wanted)

    def tell(self, answers: Sequence[Seen | None]) -> None:
        """The answers to the last :meth:`ask`, in its order; ``None``: there was none."""
        self._advance(lambda: self._walk.send(list(answers)))

    def _advance(self, step: Callable[[], list[Instance]]) -> None:
        try:
            self._wanted = step()
        except StopIteration as end:
            self._wanted, self.found = [], end.value


def together(walks: Sequence[Walk[T]]) -> Walk[list[T]]:
    """Several walks in step: what they want in one round is asked in one batch."""
    results: dict[int, T] = {}
    wanted: dict[int, list[Instance]] = {}

    def step(number: int, answers: Answers | None) -> None:
        walk = walks[number]
        try:
            wanted[number] = next(walk) if answers is None else walk.send(answers)
        except StopIteration as end:
            wanted.pop(number, None)
            results[number] = end.value

    for number in range(len(walks)):
        step(number, None)
    while wanted:
        answers = yield [instance for instances in wanted.values() for instance in instances]
        place = 0
        for number, instances in list(wanted.items()):
            step(number, answers[place : place + len(instances)])
            place += len(instances)
    return [results[number] for number in range(len(walks))]


def _pair(path: Path, labels: tuple[str, str], steady: Steady, rounds: int) -> Walk[Neighbours | None]:
    ends = yield from _bisect(path, labels[0], rounds)
    if ends is None:
        return None
    first = labels[0]
    lo, hi = yield from together(
        [
            _steady(path, ends[0], -1, lambda label: label == first, steady),
            _steady(path, ends[1], +1, lambda label: label != first, steady),
        ]
    )
    crossing = None
    if any(side is None or side.tries > 1 for side in (lo, hi)):
        middle = path.at((ends[0] + ends[1]) / 2)
        answers = yield [middle] * max(20, steady.repeats)
        given = tuple(answer for answer in answers if answer is not None)
        at_first = sum(answer.label == first for answer in given)
        if given and min(at_first, len(given) - at_first) >= _FEWEST * len(given):
            crossing = Point((ends[0] + ends[1]) / 2, middle, given)
    return Neighbours(lo, hi, crossing)


def _bisect(path: Path, first: str, rounds: int) -> Walk[tuple[float, float] | None]:
    """Two points of the path between which the label stops being ``first``; ``None`` if a point is never answered."""
    lo, hi = 0.0, 1.0
    for _ in range(rounds):
        middle = (lo + hi) / 2
        instance = path.at(middle)
        if same(instance, path.at(lo)):
            lo = middle
        elif same(instance, path.at(hi)):
            hi = middle
        else:
            answer = yield from _answered(instance)
            if answer is None:
                return None
            lo, hi = (middle, hi) if answer.label == first else (lo, middle)
    return lo, hi


def _answered(instance: Instance) -> Walk[Seen | None]:
    for _ in range(_RETRIES):
        [answer] = yield [instance]
        if answer is not None:
            return answer
    return None


def _steady(
    path: Path, start: float, direction: int, fits: Callable[[str], bool], steady: Steady
) -> Walk[Point | None]:
    """A point behind ``start`` whose answers are ``steady`` and the usual one of them ``fits``; ``None`` if there is none.

    At once, if that is so at ``start``. A point that is chosen because others were not steady may owe it to luck, or to the
    day: so the point that counts is one four times as far from the crossing, where as many answers have to agree again.
    """
    last, tries, place = None, 0, 0
    while place < len(DISTANCES):
        t = min(max(start + direction * DISTANCES[place], 0.0), 1.0)
        instance = path.at(t)
        place += 1
        if last is not None and same(instance, last):
            continue
        last, tries = instance, tries + 1
        answers = yield from _agreeing(instance, fits, steady)
        if answers is None:
            continue
        if tries == 1:
            return Point(t, instance, tuple(answers))
        place = min(place + _FURTHER, len(DISTANCES))
        t = min(max(start + direction * DISTANCES[place - 1], 0.0), 1.0)
        last = path.at(t)
        again = yield from _agreeing(last, fits, steady)
        if again is not None:
            return Point(t, last, tuple(again), tries)
    return None


def _agreeing(instance: Instance, fits: Callable[[str], bool], steady: Steady) -> Walk[list[Seen] | None]:
    """As many answers as ``steady`` asks for, if they are and ``fits`` holds for the usual one.

    A few answers first: where they differ, the others would tell nothing more.
    """
    answers: list[Seen] = []
    for wanted in (max(1, steady.repeats // 4), steady.repeats):
        more = yield [instance] * (wanted - len(answers))
        answers += [answer for answer in more if answer is not None]
        reference = Reference.of(answers)
        if len(answers) < wanted or not fits(reference.usual) or reference.off > steady.off:
            return None
    return answers

"""Making a baseline, as questions and answers: double calls, with the search for the boundary between their two halves."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np

from adapters import Instance
from probe.drift.answers import Reference, Seen, pooled
from probe.drift.boundary import BoundarySearch, Neighbours, Point
from probe.drift.noise import measured
from probe.drift.paths import path_between
from probe.drift.suite import Kind, Probe, Suite

_SEARCHES = 2  #: as long as pairs are missing
_DRAWS = 40  #: for every pair that is wanted


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """``doubles``: inputs asked twice. ``pairs``: of neighbours at the boundary. ``repeats``: answers at each of them."""

    doubles: int = 500
    pairs: int = 20
    repeats: int = 10
    rounds: int = 20


class Build:
    """``ask()`` → inputs, ``tell(answers)``, until nothing more is asked; then ``suite``.

    ``inputs``: name and instance of each natural input. The second half of the double calls comes last, so that the two
    calls of one input lie as far apart in time as the whole takes.
    """

    def __init__(
        self,
        inputs: Sequence[tuple[str, Instance]],
        settings: BuildSettings,
        *,
        rng: np.random.Generator,
        kind: Kind = "label",
    ) -> None:
        if not inputs:
            raise ValueError("there are no inputs")
        self.suite: Suite | None = None
        self._inputs = inputs
        self._settings = settings
        self._rng = rng
        self._kind: Kind = kind
        self._answers: list[list[Seen]] = [[] for _ in inputs]
        self._wanted: list[Instance] = []
        self._walk = self._all()
        self._advance(lambda: next(self._walk))

    def ask(self) -> list[Instance]:
        """The inputs of this round."""
        return list(self._wanted)

    def tell(self, answers: Sequence[Seen | None]) -> None:
        """The answers to the last :meth:`ask`, in its order; ``None``: there was none."""
        self._advance(lambda: self._walk.send(list(answers)))

    def _advance(self, step: Callable[[], list[Instance]]) -> None:
        try:
            self._wanted = step()
        except StopIteration as end:
            self._wanted, self.suite = [], end.value

    def _all(self) -> Generator[list[Instance], list[Seen | None], Suite]:
        drawn = self._drawn()
        once = yield from self._natural(drawn)
        found: list[tuple[str, Neighbours]] = []
        if self._kind == "label":
            for _ in range(_SEARCHES):
                if len(found) < self._settings.pairs:
                    found += yield from self._searched(self._settings.pairs - len(found))
        if not found:  # the natural inputs are all there is to watch
            missing = [self._settings.repeats - len(answers) for answers in self._answers]
            yield from self._natural([place for place, count in enumerate(missing) for _ in range(count)])
        twice = yield from self._natural(drawn)
        natural = [
            Probe(instance, "natural", name, tuple(answers))
            for (name, instance), answers in zip(self._inputs, self._answers, strict=True)
            if answers
        ]
        return Suite((*natural, *_probes(found)), measured(zip(once, twice, strict=True)), self._kind)

    def _drawn(self) -> list[int]:
        """Places of the inputs that are asked twice: in random order, all of them before one comes again."""
        count, number = self._settings.doubles, len(self._inputs)
        rounds = [self._rng.permutation(number) for _ in range(-(-count // number))]
        return [int(place) for place in np.concatenate(rounds)[:count]] if count else []

    def _natural(self, places: Sequence[int]) -> Generator[list[Instance], list[Seen | None], list[Seen | None]]:
        if not places:
            return []
        answers = yield [self._inputs[place][1] for place in places]
        for place, answer in zip(places, answers, strict=True):
            if answer is not None:
                self._answers[place].append(answer)
        return answers

    def _searched(self, count: int) -> Generator[list[Instance], list[Seen | None], list[tuple[str, Neighbours]]]:
        labels = [Reference.of(answers).usual for answers in self._answers]
        chosen = self._pairs(labels, count)
        if not chosen:
            return []
        search = BoundarySearch(
            [path_between(self._inputs[a][1], self._inputs[b][1]) for a, b in chosen],
            [(labels[a], labels[b]) for a, b in chosen],
            repeats=self._settings.repeats,
            rounds=self._settings.rounds,
            noise=self._noise(),
        )
        while wanted := search.ask():
            search.tell((yield wanted))
        names = [f"{self._inputs[a][0]} → {self._inputs[b][0]}" for a, b in chosen]
        pairs = zip(names, search.found or [], strict=True)
        return [(name, each) for name, each in pairs if each is not None and (each.lo or each.hi)]

    def _noise(self) -> float:
        """How often an answer is off the usual one of its input, from inputs that were asked several times so far."""
        off, n = pooled(Reference.of(answers) for answers in self._answers if len(answers) > 1)
        return off / n if n else 0.0

    def _pairs(self, labels: Sequence[str], count: int) -> list[tuple[int, int]]:
        """``count`` pairs of inputs with different labels, as many different labels among them as can be."""
        by_label: dict[str, list[int]] = {}
        for place, label in enumerate(labels):
            if label:
                by_label.setdefault(label, []).append(place)
        kinds = [(one, other) for one in by_label for other in by_label if one < other]
        if not kinds:
            return []
        order = [kinds[k] for k in self._rng.permutation(len(kinds))]
        found: dict[tuple[int, int], None] = {}
        for draw in range(count * _DRAWS):
            one, other = order[draw % len(order)]
            pair = (int(self._rng.choice(by_label[one])), int(self._rng.choice(by_label[other])))
            if _joined(self._inputs[pair[0]][1], self._inputs[pair[1]][1]):
                found.setdefault(pair)
            if len(found) == count:
                break
        return list(found)


def _joined(a: Instance, b: Instance) -> bool:
    try:
        path_between(a, b)
    except ValueError:
        return False
    return True


def _probes(found: Sequence[tuple[str, Neighbours]]) -> list[Probe]:
    """Boundary probes, the closest neighbours first, lo and hi of a pair one after the other; then the band's.

    Where most crossings vary, a point that was steady at once owes it to luck or to the day, and is left out.
    """
    ordered = sorted(found, key=lambda each: _gap(each[1]))
    points = [(name, point) for name, each in ordered for point in (each.lo, each.hi) if point is not None]
    noisy = 2 * sum(point.tries > 1 for _, point in points) > len(points)
    sides = [
        Probe(point.instance, "boundary", f"{name} at {point.t:.5f}", point.answers, point.tries)
        for name, point in points
        if point.tries > 1 or not noisy
    ]
    crossings: list[tuple[str, Point]] = [(name, each.crossing) for name, each in ordered if each.crossing]
    band = [Probe(point.instance, "band", f"{name} at {point.t:.5f}", point.answers) for name, point in crossings]
    return [*sides, *band]


def _gap(each: Neighbours) -> float:
    return each.hi.t - each.lo.t if each.lo is not None and each.hi is not None else 1.0

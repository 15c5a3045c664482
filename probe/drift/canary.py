"""Channel A: does an input that was always answered alike suddenly get another answer, again and again?

Valid by exchangeability alone (``exact.py``): no model of the noise, no assumption that it is the same for every input.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from probe.drift.answers import Reference, Seen
from probe.drift.exact import needed, needed_unseen, selected
from probe.drift.suite import Kind, Probe

Level = Literal["canonical", "raw"]
#: yields places of probes to ask, is sent their answers
Asking: TypeAlias = "Generator[list[int], list[Seen | None], Canary]"

RAW_PROBES = 8  #: a change of the raw text shows everywhere, so a few probes are watched for it
_MOST_OFF = 2  #: answers off at a point that was chosen for being steady, however many it has
_OFF_SHARE = 0.1  #: … at any other
_MOST_FAILURES = 2  #: of one probe; then the next
_MOST_REPEATS = 12  #: a probe that needs more further answers than this is not asked


@dataclass(frozen=True, slots=True)
class Watch:
    """How many answers in a row, none of them as before, are enough at one probe; ``None``: no number is."""

    label: int | None
    raw: int | None

    @property
    def is_of_use(self) -> bool:
        """Whether this probe can raise an alarm."""
        return self.label is not None or self.raw is not None


@dataclass(frozen=True, slots=True)
class Flip:
    """A probe whose answers are no longer what they were. ``place``: of the probe in the canary."""

    place: int
    level: Level
    before: Reference
    after: tuple[Seen, ...]
    proven: bool  #: as often in a row as the bound asks for


@dataclass(slots=True)
class Canary:
    """What one check's canary saw."""

    firsts: dict[int, Seen] = field(default_factory=dict)  #: the first answer of each probe
    flips: list[Flip] = field(default_factory=list)
    asked: int = 0
    failed: int = 0

    @property
    def alarm(self) -> Flip | None:
        """The flip that is proven: of the label if there is one."""
        proven = [flip for flip in self.flips if flip.proven]
        return min(proven, key=lambda flip: flip.level, default=None)


def watches(probes: Sequence[Probe], *, kind: Kind, label_level: float, raw_level: float) -> list[Watch]:
    """For each probe how often it has to be off, so that all together raise a false alarm with at most ``label_level`` +
    ``raw_level``.

    The raw text is watched at the first few probes whose raw text never varied.
    """
    references = [probe.reference for probe in probes]
    sure = [place for place, each in enumerate(references) if each.raw is not None and each.n > 1][:RAW_PROBES]
    found = []
    for place, (probe, reference) in enumerate(zip(probes, references, strict=True)):
        label = _needed(probe, reference, kind, label_level / len(probes))
        raw = needed(reference.n, 0, raw_level / len(sure)) if place in sure else None
        found.append(Watch(label, raw if raw is not None and raw <= _MOST_REPEATS else None))
    return found


def _needed(probe: Probe, reference: Reference, kind: Kind, level: float) -> int | None:
    if kind == "text":
        return needed_unseen(tuple(sorted(reference.labels.values())), level, _MOST_REPEATS)
    if _is_unsteady(probe, reference):
        return None
    r = needed(reference.n, reference.off, level)
    chosen = Reference.of(probe.first)
    while r is not None and probe.tries > 1 and selected(chosen.n, r, probe.tries, chosen.off) > level:
        r += 1
        if r > _MOST_REPEATS:
            return None
    return r if r is not None and r <= _MOST_REPEATS else None


def _is_unsteady(probe: Probe, reference: Reference) -> bool:
    """Whether a probe has been off so often since it was made that it varies with the day, and proves nothing."""
    varied = _MOST_OFF if probe.tries > 1 else 1
    return reference.off > max(varied, _OFF_SHARE * reference.n if probe.tries == 1 else 0)


def asking(probes: Sequence[Probe], found: Sequence[Watch], *, kind: Kind, together: int = 1) -> Asking:
    """Ask the ``probes`` in order, ``together`` of them at a time, each again while it is off; ends at the first alarm."""
    canary = Canary()
    places = [place for place, watch in enumerate(found) if watch.is_of_use]
    for start in range(0, len(places), together):
        some = places[start : start + together]
        answers = yield some
        canary.asked += len(some)
        for place, answer in zip(some, answers, strict=True):
            if answer is None:
                canary.failed += 1
                continue
            canary.firsts[place] = answer
            flips = yield from _confirmed(place, answer, probes[place].reference, found[place], kind, canary)
            canary.flips += flips
            if canary.alarm is not None:
                return canary
    return canary


def _confirmed(
    place: int, first: Seen, reference: Reference, watch: Watch, kind: Kind, canary: Canary
) -> Generator[list[int], list[Seen | None], list[Flip]]:
    answers, failures = [first], 0
    label_off = watch.label is not None and is_off(first, reference, kind)
    raw_off = watch.raw is not None and first.raw != reference.raw
    seen_off = label_off
    while True:
        count = len(answers)
        label_open = label_off and count < (watch.label or 0)
        raw_open = raw_off and count < (watch.raw or 0)
        if not label_open and (label_off or not raw_open):
            break
        [answer] = yield [place]
        canary.asked += 1
        if answer is None:
            canary.failed += 1
            failures += 1
            if failures > _MOST_FAILURES:
                label_off = raw_off = False
                break
            continue
        answers.append(answer)
        label_off = label_off and is_off(answer, reference, kind)
        raw_off = raw_off and answer.raw != reference.raw
    after = tuple(answers)
    flips = [Flip(place, "canonical", reference, after, label_off)] if seen_off else []
    return [*flips, Flip(place, "raw", reference, after, proven=True)] if raw_off and not label_off else flips


def is_off(answer: Seen, reference: Reference, kind: Kind) -> bool:
    """Whether ``answer`` is not the usual label, or of free texts: not one that was given before."""
    return answer.label not in reference.labels if kind == "text" else answer.label != reference.usual

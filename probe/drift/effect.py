"""After an alarm: how much has changed, on ordinary inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from probe.drift.answers import Reference, Seen
from probe.drift.canary import is_off
from probe.drift.exact import interval
from probe.drift.suite import Kind


@dataclass(frozen=True, slots=True)
class Share:
    """``changed`` of ``asked`` inputs got another label than before; ``low`` to ``high``: 95 % interval of the share."""

    name: str
    asked: int
    changed: int
    low: float
    high: float

    @classmethod
    def of(cls, name: str, changes: Sequence[bool]) -> Share:
        """From whether each input's label changed."""
        return cls(name, len(changes), sum(changes), *interval(sum(changes), len(changes)))


@dataclass(frozen=True, slots=True)
class Effect:
    """Over all natural inputs, and by the label they had. ``noise``: how often two calls disagree by themselves.

    ``moved``: mean absolute change of the usual label's score, on the logit scale; ``None`` without scores.
    """

    all: Share
    classes: tuple[Share, ...]
    noise: float
    moved: float | None

    def as_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "classes": [asdict(each) for each in self.classes]}


def effect(
    references: Sequence[Reference], answers: Sequence[Seen | None], *, noise: float, kind: Kind = "label"
) -> Effect:
    """What the ``answers`` to the natural inputs differ in from their ``references``; those without an answer do not count.

    A free text has changed if it was never given before; all of them are one class.
    """
    changes: dict[str, list[bool]] = {}
    moves = []
    for reference, answer in zip(references, answers, strict=True):
        if answer is None or not reference.n:
            continue
        name = "any text" if kind == "text" else reference.usual
        changes.setdefault(name, []).append(is_off(answer, reference, kind))
        known = [value for value in reference.values if value == value]
        moved = answer.value_of(reference.usual) - sum(known) / len(known) if known else float("nan")
        moves += [abs(moved)] if abs(moved) < float("inf") else []
    every = [changed for some in changes.values() for changed in some]
    return Effect(
        Share.of("all", every),
        tuple(Share.of(label, changes[label]) for label in sorted(changes, key=lambda name: -len(changes[name]))),
        noise,
        sum(moves) / len(moves) if moves else None,
    )

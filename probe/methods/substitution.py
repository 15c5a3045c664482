"""Word substitution: put another word in a word's place and see what the score does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from probe.maskers.base import Feature, Kind
from probe.methods.base import Bools, CoalitionTable, Explanation, View
from probe.methods.design import leave_one_out
from probe.methods.effects import SingleChanges, ask_single_changes, single_changes
from probe.methods.findings import failed_words

#: relations that take a word's meaning away: what the score loses is the word's attribution
REMOVING = frozenset({"deletion", "neutral"})
#: the behavioural tests, and the relation whose substitutes each is made of
TESTS: Mapping[str, str] = MappingProxyType({"invariance": "synonym", "direction": "antonym", "bias": "pair"})
#: failures listed with each test
_WORST = 5


@dataclass(frozen=True)
class Substitution:
    """One feature is one possible substitute; its value is the score of the text less the score with the substitute.

    ``details``: ``substitutions`` lists every one of them; ``words`` gives each word's attribution, the mean change under
    deletion and a neutral token, or under whatever substitutes it has (``basis`` says which); ``invariance`` the largest
    change under synonyms, which should be small; ``direction`` the change under antonyms, which should have the sign of
    the word's attribution; ``bias`` the change under the user's own pairs, which should be small; ``tests`` for each of
    the three how many substitutes were ``tested``, ``passed`` and ``failed``, and the ``worst`` failures.

    ``tolerance`` (score units, ≥ 0): a change of at most this much counts as none. A synonym or pair passes within it; an
    antonym passes if it moves the score by as much, in the direction that taking the word away does, and is tested only if
    that attribution is above the tolerance.
    """

    tolerance: float = 0.05

    name: ClassVar[str] = "substitution"
    view: ClassVar[View] = "substitutions"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"text"})
    source: ClassVar[str] = "Ribeiro et al., Beyond Accuracy: Behavioral Testing of NLP Models with CheckList, ACL 2020"

    def __post_init__(self) -> None:
        tolerance: Any = self.tolerance  # settings come from a config file
        if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 <= tolerance < math.inf:
            raise ValueError(f"substitution: tolerance must be a number of at least 0, not {self.tolerance!r}")

    @property
    def settings(self) -> Mapping[str, Any]:
        return asdict(self)

    def ask(self, features: tuple[Feature, ...], table: CoalitionTable, budget: int, rng: np.random.Generator) -> Bools:
        """The text as it is and every single substitution."""
        del rng  # nothing is drawn
        return ask_single_changes(self.name, features, table, budget)

    def essential(self, features: tuple[Feature, ...]) -> Bools:
        """All that it asks, and all that it reads of a larger table."""
        return leave_one_out(len(features))

    def explain(self, features: tuple[Feature, ...], table: CoalitionTable) -> Explanation:
        """A substitution without an answer has the value NaN and is left out of the details."""
        seen = single_changes(self.name, features, table)
        tested = _tested(features, seen)
        words = _words(tested)
        attribution = {word["word"]: word["attribution"] for word in words if set(word["basis"]) <= REMOVING}
        tests = {name: self._test(tested, relation, attribution) for name, relation in TESTS.items()}
        return Explanation(
            method=self.name,
            values=seen.changes,
            std_errors=seen.std_errors,
            base_value=seen.base,
            full_value=seen.full,
            evaluations=table.m,
            trust=seen.trust,
            findings=(*seen.findings, *failed_words(tests, self.tolerance)),
            details={
                "substitutions": tested,
                "words": words,
                "invariance": _largest(tested, "synonym"),
                "direction": _directions(tested, attribution),
                "bias": _largest(tested, "pair"),
                "tests": tests,
            },
        )

    def _test(self, tested: list[dict[str, Any]], relation: str, attribution: Mapping[str, float]) -> dict[str, Any]:
        """Counts of one behavioural test, and its failures: the largest misplaced change first."""
        judged = []
        for entry in tested:
            if entry["relation"] != relation:
                continue
            if relation == "antonym":
                expected = attribution.get(entry["word"], 0.0)
                if abs(expected) <= self.tolerance:
                    continue
                excess = self.tolerance - math.copysign(1.0, expected) * entry["change"]
            else:
                excess = abs(entry["change"]) - self.tolerance
            judged.append((excess, entry))
        failures = sorted((pair for pair in judged if pair[0] > 0), key=lambda pair: -pair[0])
        return {
            "tested": len(judged),
            "passed": len(judged) - len(failures),
            "failed": len(failures),
            "worst": [
                {"word": entry["word"], "substitute": entry["substitute"], "change": entry["change"]}
                for _, entry in failures[:_WORST]
            ],
        }


def _tested(features: tuple[Feature, ...], seen: SingleChanges) -> list[dict[str, Any]]:
    return [
        {
            "word": feature.group or feature.name,
            "place": dict(feature.place),
            "substitute": feature.change.get("substitute", ""),
            "relation": feature.change.get("relation", ""),
            "score": float(score),
            "change": float(change),
        }
        for feature, score, change in zip(features, seen.scores, seen.changes, strict=True)
        if not np.isnan(change)
    ]


def _by_word(tested: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for entry in tested:
        groups.setdefault(entry["word"], []).append(entry)
    return groups


def _words(tested: list[dict[str, Any]]) -> list[dict[str, Any]]:
    words = []
    for word, entries in _by_word(tested).items():
        used = [entry for entry in entries if entry["relation"] in REMOVING] or entries
        words.append(
            {
                "word": word,
                "place": entries[0]["place"],
                "attribution": sum(entry["change"] for entry in used) / len(used),
                "basis": sorted({entry["relation"] for entry in used}),
                "substitutes": len(entries),
            }
        )
    return words


def _largest(tested: list[dict[str, Any]], relation: str) -> list[dict[str, Any]]:
    found = []
    for word, entries in _by_word([entry for entry in tested if entry["relation"] == relation]).items():
        worst = max(entries, key=lambda entry: abs(entry["change"]))
        found.append(
            {"word": word, "substitute": worst["substitute"], "change": worst["change"], "tested": len(entries)}
        )
    return found


def _directions(tested: list[dict[str, Any]], attribution: Mapping[str, float]) -> list[dict[str, Any]]:
    found = []
    for entry in tested:
        if entry["relation"] != "antonym":
            continue
        expected = float(np.sign(attribution.get(entry["word"], 0.0)))
        found.append(
            {
                "word": entry["word"],
                "substitute": entry["substitute"],
                "change": entry["change"],
                # an antonym undoes what the word did; nothing is expected of a word without an attribution
                "as_expected": bool(np.sign(entry["change"]) == expected) if expected else None,
            }
        )
    return found

"""Language models as classifiers: labels read from the likeliest tokens, or from the text itself."""

from __future__ import annotations

import math
import re
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from adapters.base import Prediction
from adapters.read_json import Query
from adapters.read_labels import Misfit
from adapters.show import shown
from adapters.spec_scores import Logprobs, Text

_ROUNDING = 1e-3  #: by which probabilities may add up to more than 1
_LONGEST = 20_000  #: characters of a text that are looked at


class LogprobReader:
    """Labels from the ``k`` likeliest tokens of one place.

    p(label) is the sum of exp(logprob) over the returned tokens that mean it; ``mass`` is the sum over all labels, and the
    scores are p(label) / mass. A label of whose n tokens none was returned has p at most n · p_k, where p_k is that of the
    last one returned, so its score is at most n p_k / (mass + n p_k): it is left out and *censored* at that floor.
    """

    def __init__(self, rules: Logprobs) -> None:
        self._token = Query(rules.token)
        self._logprob = Query(rules.logprob)
        self._fold = rules.fold
        self._labels = tuple(rules.labels)
        self._owners = {self._key(token): label for label, tokens in rules.labels.items() for token in tokens}
        self._tokens = Counter(self._owners.values())

    def prediction(self, value: Any) -> Prediction:
        """Of what ``at`` found. Raises :class:`Misfit`."""
        probabilities: dict[str, float] = {}
        everything: list[float] = []
        for token, logprob in self._pairs(value):
            probability = _probability(logprob, token)
            everything.append(probability)
            label = self._owners.get(self._key(token))
            if label is not None:
                probabilities[label] = probabilities.get(label, 0.0) + probability
        if math.fsum(everything) > 1 + _ROUNDING:
            raise Misfit(f"the probabilities add up to {math.fsum(everything):.6g}, so these are not log-probabilities")
        mass = math.fsum(probabilities.values())
        if mass <= 0.0:
            seen = [token for token, _ in self._pairs(value)]
            raise Misfit(
                f"none of the tokens means a label: {shown(seen)}; ask for more of them (top_logprobs), or word the prompt so "
                "that the answer begins with one",
                lasting=False,
            )
        scores = {label: probabilities[label] / mass for label in self._labels if label in probabilities}
        if len(scores) == len(self._labels):
            return Prediction(scores, mass=min(mass, 1.0))
        bound = min(everything) * max(self._tokens[label] for label in self._labels if label not in scores)
        return Prediction(scores, floor=bound / (mass + bound), censored=True, mass=min(mass, 1.0))

    def _key(self, token: str) -> str:
        token = token.strip()
        return token.casefold() if self._fold else token

    def _pairs(self, value: Any) -> Iterable[tuple[str, Any]]:
        if isinstance(value, OrderedDict):
            raise Misfit(f"a token stands twice in {shown(dict(value))}", lasting=False)
        if isinstance(value, dict):
            return value.items()
        if not isinstance(value, list):
            raise Misfit(f"expected a list of tokens with log-probabilities, got {shown(value)}")
        return [(_token(self._token(each), self._token.path, each), self._logprob(each)) for each in value]


def _token(value: Any, path: str, each: Any) -> str:
    if not isinstance(value, str):
        raise Misfit(f"token {path!r} is {shown(value)}, not text, in {shown(each)}")
    return value


def _probability(value: Any, token: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Misfit(f"the log-probability of {shown(token)} is {shown(value)}, not a number")
    if not value <= _ROUNDING:
        raise Misfit(f"the log-probability of {shown(token)} is {shown(value)}, which is above 0")
    return math.exp(max(value, -10_000))


class TextReader:
    """The label that a text names, as scores 1 and 0.

    One text is one draw from the model's answers: asked again (``repeats``), the mean of the draws is the share of each
    label, and their spread is its sampling noise.
    """

    def __init__(self, rules: Text) -> None:
        self._labels = tuple(rules.labels)
        self._otherwise = rules.otherwise
        self._match = rules.match
        self._fold = rules.fold
        flags = re.IGNORECASE if rules.fold else 0
        self._owners = {self._key(word): label for label, words in rules.labels.items() for word in words}
        self._patterns: Mapping[str, list[re.Pattern[str]]] = {}
        if rules.match == "regex":
            self._patterns = {
                label: [re.compile(word, flags) for word in words] for label, words in rules.labels.items()
            }
        # the longest first, or "no refund" would be read as "refund"
        words = "|".join(re.escape(word) for word in sorted(self._owners, key=lambda word: (-len(word), word)))
        self._words = re.compile(rf"(?<!\w)(?:{words})(?!\w)")

    def prediction(self, value: Any) -> Prediction:
        """Of what ``at`` found. Raises :class:`Misfit`."""
        if not isinstance(value, str):
            raise Misfit(f"expected a text, got {shown(value)}")
        named = self._named(value[:_LONGEST])
        label = named[0] if len(named) == 1 else self._otherwise
        if label is None:
            seen = f"names {' and '.join(map(repr, named))}" if named else "names no label"
            raise Misfit(f"the text {seen}: {shown(value)}; write else: LABEL to count such texts", lasting=False)
        return Prediction({name: float(name == label) for name in self._labels})

    def _named(self, text: str) -> list[str]:
        """The labels that ``text`` names, in their order."""
        if self._match == "regex":
            return [label for label, patterns in self._patterns.items() if any(each.search(text) for each in patterns)]
        key = self._key(text)
        if self._match == "exact":
            found = {self._owners[key]} if key in self._owners else set()
        elif self._match == "prefix":
            beginnings = [word for word in self._owners if key.startswith(word)]
            found = {self._owners[max(beginnings, key=len)]} if beginnings else set()
        else:
            found = {self._owners[word] for word in self._words.findall(key)}
        return [label for label in self._labels if label in found]

    def _key(self, text: str) -> str:
        text = text.strip()
        return text.casefold() if self._fold else text

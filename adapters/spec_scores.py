"""How an answer is read: where the rows of a batch are, and where the scores of one input are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from adapters.checks import JmesPath, Label, Scale, fault, nearest
from adapters.spec_base import At, Strict, as_tuple, exactly_one

Finite = Annotated[float, Field(allow_inf_nan=False)]
Words = Annotated[tuple[Label, ...], BeforeValidator(as_tuple)]


class ScoreMap(At):
    """An object {label: score}, or, with ``score``, one whose values hold the score there."""

    score: JmesPath | None = None


class Value(At):
    """One number per input (a regression), under the name ``label``."""

    label: Label = "value"


class Pairs(Strict):
    """A list of objects, each with a label and a score, or an object with a list of labels and one of scores."""

    at: JmesPath
    label: JmesPath = "label"
    score: JmesPath = "score"
    scale: Scale = 1.0


class Tensor(Strict):
    """An output of the Open Inference Protocol (V2): ``data``, flat or nested, and ``shape``, whose first size is the batch."""

    output: str | None = None  #: its name; may be left out if the answer has just one
    scale: Scale = 1.0

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        return {"output": data} if isinstance(data, str) else data


def _labels_with_words(value: Any) -> Any:
    """``[positive, negative]`` is short for ``{positive: [positive], negative: [negative]}``."""
    return {label: (label,) for label in value} if isinstance(value, list | tuple) else value


#: label → the words that mean it
LabelWords: TypeAlias = Annotated[Mapping[Label, Words], BeforeValidator(_labels_with_words), Field(min_length=1)]


class Logprobs(Strict):
    """The likeliest tokens at one place of a language model's answer, each with its log-probability (natural logarithm).

    Tokens are compared without the spaces around them, since many begin with one. The probabilities of the tokens of one
    label are added, and the labels' scaled to 1.
    """

    at: JmesPath  #: a list of objects, or an object {token: logprob}
    token: JmesPath = "token"  # noqa: S105 - where one is, not a secret
    logprob: JmesPath = "logprob"
    labels: LabelWords
    fold: bool = False  #: compare without regard to upper and lower case

    @model_validator(mode="after")
    def _apart(self) -> Logprobs:
        for label, tokens in self.labels.items():
            if not all(token.strip() for token in tokens) or not tokens:
                raise fault(f"label {label!r} needs at least one token, and a token is more than spaces")
        check_apart(self.labels, fold=self.fold)
        return self


class Text(Strict):
    """A label named in a text, as chat models without log-probabilities answer: 1 for it and 0 for the others.

    ``match``: ``exact`` compares the whole text without the spaces around it, ``prefix`` its beginning; ``word`` looks for
    whole words anywhere, ``regex`` for a regular expression (Python's). Of words that overlap the longest counts.
    """

    at: JmesPath
    labels: LabelWords
    match: Literal["exact", "word", "prefix", "regex"] = "word"
    fold: bool = True  #: compare without regard to upper and lower case
    otherwise: Label | None = Field(default=None, alias="else")  #: the label of a text that names none, or several

    @model_validator(mode="after")
    def _readable(self) -> Text:
        if self.otherwise is not None and self.otherwise not in self.labels:
            raise fault(
                f"else: {self.otherwise!r} is not one of the labels{nearest(self.otherwise, list(self.labels))}"
            )
        for label, words in self.labels.items():
            if not words and label != self.otherwise:
                raise fault(f"label {label!r} has no words, so nothing could be read as it; write else: {label}")
            if not all(word.strip() for word in words):
                raise fault(f"label {label!r} has a word that is empty")
            for word in words if self.match == "regex" else ():
                try:
                    re.compile(word)
                except re.error as error:
                    raise fault(f"not a regular expression: {word!r} ({error})") from None
        check_apart(self.labels, fold=self.fold and self.match != "regex")
        return self


def _level_names(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {
        str(name) if isinstance(name, int) and not isinstance(name, bool) else name: at for name, at in value.items()
    }


class Ordinal(Strict):
    """Steps of a scale, as words or whole numbers, and the score that each stands for.

    ``at`` finds an object {label: level}, or, with ``label`` and ``score``, a list of objects that have both.
    """

    at: JmesPath = "@"
    label: JmesPath | None = None
    score: JmesPath | None = None
    levels: Annotated[Mapping[str, Finite], BeforeValidator(_level_names), Field(min_length=1)]

    @model_validator(mode="after")
    def _both(self) -> Ordinal:
        if (self.label is None) != (self.score is None):
            raise fault("label and score belong together: write both for a list of objects, neither for an object")
        return self


#: the kinds, in the order in which they are told
KINDS = ("map", "pairs", "vector", "value", "tensor", "logprobs", "text", "ordinal")


class Scores(Strict):
    """Where the scores of one input are: exactly one kind."""

    map: ScoreMap | None = None  #: an object {label: score}
    pairs: Pairs | None = None
    vector: At | None = None  #: a list of scores in the order of ``labels``
    value: Value | None = None
    tensor: Tensor | None = None
    logprobs: Logprobs | None = None
    text: Text | None = None
    ordinal: Ordinal | None = None

    @model_validator(mode="after")
    def _one(self) -> Scores:
        exactly_one(self, KINDS)
        return self

    @property
    def kind(self) -> str:
        """Which kind it is."""
        return next(name for name in KINDS if name in self.model_fields_set)

    @property
    def own_labels(self) -> tuple[str, ...] | None:
        """The labels, if the kind itself names them all."""
        if self.value is not None:
            return None
        words = self.logprobs or self.text
        return tuple(words.labels) if words is not None else None


class ItemErrors(Strict):
    """A list beside the items that holds the refused ones (``ErrorList`` of some batch APIs)."""

    at: JmesPath
    index: JmesPath | None = None  #: in a refusal: position of its input, from 0
    id: JmesPath | None = None  #: in a refusal: the text of ``{{ i }}`` that was sent as its id
    message: JmesPath = "@"

    @model_validator(mode="after")
    def _one(self) -> ItemErrors:
        exactly_one(self, ("index", "id"))
        return self


class Items(Strict):
    """Where the rows of a batch answer are, and how a row says which input it belongs to."""

    at: JmesPath = "@"
    index: JmesPath | None = None  #: in a row: position of its input, from 0
    id: JmesPath | None = None  #: in a row: the text of ``{{ i }}`` that was sent as its id
    error: JmesPath | None = None  #: in a row: truthy if this input was refused
    errors: ItemErrors | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        return {"at": data} if isinstance(data, str) else data

    @model_validator(mode="after")
    def _consistent(self) -> Items:
        if self.index is not None and self.id is not None:
            raise fault("index and id exclude each other")
        if self.errors is not None and self.index is None and self.id is None:
            raise fault("errors needs index or id, or the order of the rows would be a guess")
        return self


def check_apart(labels: Mapping[str, tuple[str, ...]], *, fold: bool) -> None:
    """A fault if two labels have a word in common."""
    owners: dict[str, str] = {}
    for label, words in labels.items():
        for word in words:
            key = word.strip().casefold() if fold else word.strip()
            if owners.setdefault(key, label) != label:
                raise fault(f"{word!r} stands for both {owners[key]!r} and {label!r}")


def check_aliases(aliases: Mapping[str, tuple[str, ...]], labels: tuple[str, ...] | None) -> None:
    """A fault if a label is given away twice, or both given away and kept."""
    owners: dict[str, str] = {}
    for name, others in aliases.items():
        for other in others:
            if other in aliases:
                raise fault(f"aliases: {other!r} is an alias of {name!r} and has aliases itself")
            if owners.setdefault(other, name) != name:
                raise fault(f"aliases: {other!r} stands for both {owners[other]!r} and {name!r}")
            if other in (labels or ()):
                raise fault(
                    f"aliases: {other!r} is read as {name!r}, so it cannot stand in labels: write {name!r} there"
                )

"""Scores of one row, by kind: an object, a list in the order of the labels, labels with scores, steps of a scale."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from adapters.read_json import Query
from adapters.read_labels import Misfit, label_of, number_of
from adapters.show import shown

_LABEL, _SCORE = Query("label"), Query("score")


def from_map(value: Any, scale: float, score: Query | None = None) -> dict[str, float]:
    """Of an object {label: score}, or {label: {…}} whose scores ``score`` finds. Raises :class:`Misfit`, like all of these."""
    if not isinstance(value, dict):
        raise Misfit(f"expected an object {{label: score}}, got {shown(value)}")
    if isinstance(value, OrderedDict):
        raise Misfit(f"a label stands twice in {shown(dict(value))}", lasting=False)
    found = value if score is None else {label: score(inner) for label, inner in value.items()}
    return {label_of(label): number_of(number, scale, label) for label, number in found.items()}


def from_vector(value: Any, scale: float, labels: tuple[str, ...] | None) -> dict[str, float]:
    """Of a list of scores, in the order of ``labels`` (default ``"0"``, ``"1"``, …)."""
    if not isinstance(value, list):
        raise Misfit(f"expected a list of scores, got {shown(value)}")
    if labels is not None and len(labels) != len(value):
        raise Misfit(f"{len(value)} scores for {len(labels)} labels: {shown(value)}")
    names = labels if labels is not None else tuple(map(str, range(len(value))))
    return {name: number_of(score, scale, name) for name, score in zip(names, value, strict=True)}


def from_pairs(value: Any, label: Query, score: Query, scale: float) -> dict[str, float]:
    """Of a list of objects with a label and a score each, or of an object with a list of labels and one of scores."""
    if isinstance(value, dict):
        names, scores = label(value), score(value)
        if isinstance(names, list) and isinstance(scores, list) and len(names) == len(scores):
            value = [{"label": name, "score": number} for name, number in zip(names, scores, strict=True)]
            label, score = _LABEL, _SCORE
    if not isinstance(value, list):
        raise Misfit(f"expected a list of labels with scores, got {shown(value)}")
    return {name: number_of(found, scale, name) for name, found in _paired(value, label, score).items()}


def from_levels(
    value: Any, levels: Mapping[str, float], label: Query | None = None, score: Query | None = None
) -> dict[str, float]:
    """Of an object {label: level}, or, with ``label`` and ``score``, a list of objects that have both.

    A level that is not in ``levels`` (``UNKNOWN``) is no score, so it is an error of that input.
    """
    if label is not None and score is not None:
        if not isinstance(value, list):
            raise Misfit(f"expected a list of labels with levels, got {shown(value)}")
        pairs = _paired(value, label, score)
    else:
        if not isinstance(value, dict):
            raise Misfit(f"expected an object {{label: level}}, got {shown(value)}")
        if isinstance(value, OrderedDict):
            raise Misfit(f"a label stands twice in {shown(dict(value))}", lasting=False)
        pairs = {label_of(name): level for name, level in value.items()}
    return {name: _level(level, levels, name) for name, level in pairs.items()}


def _paired(value: list[Any], label: Query, score: Query) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for pair in value:
        name = label_of(label(pair), label.path, pair)
        if name in out:
            raise Misfit(f"label {shown(name)} stands twice in {shown(value)}", lasting=False)
        found = score(pair)
        if found is None:
            raise Misfit(f"score {score.path!r} finds nothing in {shown(pair)}")
        out[name] = found
    return out


def _level(value: Any, levels: Mapping[str, float], label: str) -> float:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    name = str(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53 else value
    if not isinstance(name, str) or name not in levels:
        raise Misfit(f"the level of {shown(label)} is {shown(value)}, not one of {shown(list(levels))}", lasting=False)
    return levels[name]

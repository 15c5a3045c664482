"""Sixteen games of real models on real data whose Shapley values are known exactly, in two groups.

``tuning`` games may be looked at while settings are chosen; ``validation`` games are for measuring only. Every game has
several instances (inputs, or input and output); the error of a game is the median over them. Up to 16 features all 2ⁿ values
are computed once, then looked up; trees and kernel machines have up to 61 features and closed forms (``truth.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.accuracy.truth import Floats, Value, enumerate_values, looked_up, shapley_by_enumeration

Group = Literal["tuning", "validation"]


@dataclass(frozen=True, slots=True)
class Game:
    """One instance of a game: ``v`` maps coalitions (m, n) bool to values (m,) float, ``phi`` (n,) are its Shapley values."""

    name: str
    group: Group
    instance: int
    n: int
    v: Value
    phi: Floats


#: What a builder yields per instance: the number of features, the game, and φ where a closed form gives it.
Built = tuple[int, Value, Floats | None]


@dataclass(frozen=True, slots=True)
class Source:
    """A game that can be built: ``build(count)`` yields its first ``count`` instances."""

    name: str
    group: Group
    build: Callable[[int], Iterator[Built]]
    slow: bool = False  #: left out of quick runs


def sources() -> tuple[Source, ...]:
    """Every game, tuning ones first; nothing is trained before ``build`` is called."""
    from benchmarks.accuracy import pictures, tables, texts

    return (
        Source("diabetes, forest, 50 rows", "tuning", tables.diabetes_forest),
        Source("wine, MLP, 1 row", "tuning", tables.wine_mlp),
        Source("digits in 16 patches, MLP", "tuning", pictures.digits_mlp),
        Source("VADER, words", "tuning", texts.vader_words),
        Source("Lite0, 12 superpixels", "tuning", pictures.lite0_superpixels, slow=True),
        Source("cancer, forest, n = 30", "tuning", tables.cancer_forest),
        Source("digits, boosting, n = 61", "tuning", pictures.digits_boosting),
        Source("cancer, RBF SVM, n = 30", "tuning", tables.cancer_svm),
        Source("diabetes, boosting, 1 row", "validation", tables.diabetes_boosting),
        Source("wine, RBF SVM, 30 rows", "validation", tables.wine_svm),
        Source("cancer, logistic, n = 15", "validation", tables.cancer_logistic),
        Source("faces in 16 patches, SVM", "validation", pictures.faces_svm),
        Source("profanity, words", "validation", texts.profanity_words),
        Source("docstrings, tf-idf + MLP", "validation", texts.docstring_words),
        Source("cancer, boosting, 10 rows", "validation", tables.cancer_boosting),
        Source("digits, RBF ridge, n = 61", "validation", pictures.digits_ridge),
    )


def load_games(quick: bool = False, *, names: Sequence[str] = (), instances: int | None = None) -> list[Game]:
    """All instances of all games, or of those with one of ``names`` in their name; 5 instances each, 2 if ``quick``.

    Deterministic. A minute, and two more for the image network at the first time (its values are kept on disk); a few
    seconds if ``quick``, which leaves that one out unless it is named. Raises :class:`ValueError` for a name that no game has.
    """
    unknown = [name for name in names if not any(name in source.name for source in sources())]
    if unknown:
        raise ValueError(f"no game has {unknown[0]!r} in its name; there are {'; '.join(s.name for s in sources())}")
    count = instances or (2 if quick else 5)
    games = []
    for source in sources():
        wanted = any(name in source.name for name in names) if names else not (quick and source.slow)
        if wanted:
            for number, built in enumerate(source.build(count)):
                games.append(_finished(source, number, *built))
    return games


def _finished(source: Source, number: int, n: int, v: Value, phi: Floats | None) -> Game:
    if phi is not None:
        return Game(source.name, source.group, number, n, v, phi)
    values = enumerate_values(v, n)
    return Game(source.name, source.group, number, n, looked_up(values), shapley_by_enumeration(values))

"""Surveys: what a model does over a set of inputs. A new method is one file and one line in :data:`SURVEYS`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from probe.maskers.naming import one_of
from probe.surveys.ale import AccumulatedLocalEffects
from probe.surveys.base import Answers, Design, Query, Reading, RowSet, SurveyMethod
from probe.surveys.beeswarm import Beeswarm
from probe.surveys.pdp import PartialDependence
from probe.surveys.permutation import Permutation
from probe.surveys.surrogate import Surrogate

SURVEYS: Mapping[str, type[SurveyMethod]] = MappingProxyType(
    {method.name: method for method in (Permutation, PartialDependence, AccumulatedLocalEffects, Surrogate)}
)
#: gathers explanations of single inputs instead of altering the set itself
BEESWARM = Beeswarm.name

__all__ = [
    "BEESWARM",
    "SURVEYS",
    "Answers",
    "Beeswarm",
    "Design",
    "Query",
    "Reading",
    "RowSet",
    "SurveyMethod",
    "build_survey_method",
    "settings_of",
]


def build_survey_method(name: str, settings: Mapping[str, Any] | None = None) -> SurveyMethod:
    """The survey method ``name`` with ``settings``; lists become tuples.

    Raises ``ValueError`` naming the nearest known method or setting.
    """
    cls = SURVEYS[one_of(name, (*SURVEYS, BEESWARM), "survey method")]
    known = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for key in settings or {}:
        one_of(key, known, f"{name}: setting")
    return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in (settings or {}).items()})


def settings_of(method: SurveyMethod | Beeswarm) -> dict[str, Any]:
    """JSON-ready settings, defaults included."""
    found = dataclasses.asdict(method)  # type: ignore[arg-type]
    return {key: list(value) if isinstance(value, tuple) else value for key, value in found.items()}

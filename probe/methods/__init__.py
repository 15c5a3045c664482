"""Methods by name. A new one is one file and one line in :data:`METHODS`."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from probe.methods.alteration import Alteration
from probe.methods.banzhaf import Banzhaf
from probe.methods.base import BudgetTooSmall, CoalitionTable, Explanation, Finding, Method
from probe.methods.findings import FINDINGS
from probe.methods.gradient import Gradient
from probe.methods.interactions import Interactions
from probe.methods.kernelshap import KernelShap
from probe.methods.leverage import LeverageShap
from probe.methods.lime import Lime
from probe.methods.occlusion import Occlusion
from probe.methods.permutation import Permutation
from probe.methods.quadtree import Quadtree
from probe.methods.rise import Rise
from probe.methods.shapley import Shapley
from probe.methods.substitution import Substitution

METHODS: Mapping[str, type[Method]] = MappingProxyType(
    {
        method.name: method
        for method in (
            *(Occlusion, Quadtree, Rise, Substitution, Alteration, Gradient),
            *(Lime, KernelShap, Shapley, LeverageShap, Permutation, Banzhaf, Interactions),
        )
    }
)

__all__ = [
    "FINDINGS",
    "METHODS",
    "BudgetTooSmall",
    "CoalitionTable",
    "Explanation",
    "Finding",
    "Method",
    "build_method",
]


def build_method(name: str, settings: Mapping[str, Any] | None = None) -> Method:
    """The method ``name`` with ``settings``. Raises :class:`ValueError` naming the nearest known method or setting."""
    cls = METHODS.get(name)
    if cls is None:
        raise ValueError(f"unknown method {name!r}{_nearest(name, METHODS)}")
    known = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for key in settings or {}:
        if key not in known:
            raise ValueError(f"{name}: unknown setting {key!r}{_nearest(key, known)}")
    return cls(**(settings or {}))


def _nearest(word: str, known: Iterable[str]) -> str:
    known = sorted(known)
    if not known:
        return "; it has no settings"
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"

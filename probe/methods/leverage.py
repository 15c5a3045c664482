"""Leverage SHAP: weighted least squares on pairs of uniformly distributed sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from probe.methods.base import Bools
from probe.methods.design import leverage_masses, paired_design
from probe.methods.kernelshap import KernelShap


@dataclass(frozen=True)
class LeverageShap(KernelShap):
    """Shapley values by regression, rows drawn by leverage score (Musco & Witter, *Provably Accurate Shapley Value Estimation
    via Leverage Score Sampling*, ICLR 2025, algorithm 1).

    ``kernelshap`` with another choice of coalitions: ∅, full, then distinct pairs in which every size is equally frequent,
    small layers enumerated; weights are KernelSHAP's over the frequency of each size. From 2ⁿ evaluations: exact. Needs
    n + 2; below about 2 n + 2 the pairs do not determine every feature.
    """

    name: ClassVar[str] = "leverageshap"
    source: ClassVar[str] = (
        "Musco & Witter, Provably Accurate Shapley Value Estimation via Leverage Score Sampling, ICLR 2025"
    )

    def _design(self, n: int, budget: int, rng: np.random.Generator, known: Bools) -> Bools:
        return paired_design(n, budget, rng, masses=leverage_masses(n), known=known)

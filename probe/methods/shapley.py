"""The project's Shapley values: whichever estimator gives the most truth per evaluation."""

from __future__ import annotations

from typing import ClassVar

from probe.methods.kernelshap import KernelShap


class Shapley(KernelShap):
    """Exact from 2ⁿ evaluations, paired KernelSHAP below; ``kernelshap`` stays what it is when a better one comes."""

    name: ClassVar[str] = "shapley"

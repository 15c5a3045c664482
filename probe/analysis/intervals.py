"""Confidence intervals from standard errors."""

from __future__ import annotations

import math

import numpy as np
import scipy.special
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def quantile(dof: float | None = None, *, level: float = 0.95) -> float:
    """Two-sided quantile of Student's t with ``dof`` degrees of freedom (at least 1), normal if ``None`` or infinite.

    Raises :class:`ValueError` unless 0 < ``level`` < 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1, not {level!r}")
    p = (1 + level) / 2
    if dof is None or math.isinf(dof):
        return float(scipy.special.ndtri(p))
    return float(scipy.special.stdtrit(max(1.0, dof), p))


def half_widths(std_errors: Floats, *, dof: float | None = None, level: float = 0.95) -> Floats:
    """Half-widths (n,) of the intervals value ± half-width; NaN where the standard error is unknown, 0 where exact.

    ``dof`` is an explanation's ``trust.get("dof")``.
    """
    widths: Floats = quantile(dof, level=level) * np.asarray(std_errors, dtype=np.float64)
    return widths


def separable(
    values: Floats, std_errors: Floats, *, dof: float | None = None, level: float = 0.95
) -> NDArray[np.bool_]:
    """Which values (n,) have an interval without 0. Where the standard error is unknown: no."""
    apart: NDArray[np.bool_] = np.abs(values) > half_widths(std_errors, dof=dof, level=level)
    return apart


def p_values(values: Floats, std_errors: Floats, *, dof: float | None = None) -> Floats:
    """Two-sided p-values (n,) of "it is 0" by Student's t with ``dof`` degrees of freedom (normal if ``None``).

    NaN where value or standard error are unknown. Where the standard error is 0: 0, or 1 for a value of 0.
    """
    values, errors = np.asarray(values, dtype=np.float64), np.asarray(std_errors, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where((values == 0) & (errors == 0), 0.0, np.abs(values) / errors)
    free = np.inf if dof is None or math.isinf(dof) else max(1.0, dof)
    tails = scipy.special.ndtr(-ratio) if math.isinf(free) else scipy.special.stdtr(free, -ratio)
    found: Floats = 2 * np.asarray(tails)
    return found

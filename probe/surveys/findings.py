"""What surveys warn of. Each code is worded here once; ``probe explain P301`` prints it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from probe.methods.base import Finding
from probe.methods.findings import FindingText

FINDINGS: Mapping[str, FindingText] = MappingProxyType(
    {
        "P301": FindingText(
            "noise cannot be taken out of the mean shares",
            "The mean of |φ| counts noise as importance: a feature that does nothing gets the size of its error. Where every "
            "share has a standard error this is put right; here some have none. Ask with repeats, or gather a method that "
            "gives standard errors, before reading small means.",
        ),
        "P302": FindingText(
            "the surrogate does not say what the endpoint says",
            "On rows it was not fitted to, the surrogate explains less than half of what the endpoint's answers differ by (or, "
            "for labels, is hardly better than always guessing the most frequent one). Its rules are no description of the "
            "endpoint. Allow more depth, or look at the curves instead.",
        ),
    }
)


def unfaithful(fidelity: float, *, guess: float | None) -> tuple[Finding, ...]:
    """P302 for a fidelity below one half, or for labels less than half of the way from guessing to always right."""
    least = 0.5 if guess is None else (1 + guess) / 2
    if fidelity >= least or (guess is not None and guess == 1):
        return ()
    what = "R²" if guess is None else f"agreement (guessing: {guess:.2f})"
    return (Finding("P302", f"{what} on held-out rows is {_signed(fidelity)}: the rules do not describe the endpoint"),)


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")

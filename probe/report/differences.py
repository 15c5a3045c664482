"""A comparison in words, for the terminal, and as plain JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from probe.compared import Compared, Comparison
from probe.report.clean import safe_text
from probe.report.listing import plain


def as_text(comparison: Comparison) -> str:
    """What moved, what did not and what could not have been seen; a block for each probe."""
    return "\n".join(_lines(comparison)) + "\n"


def _lines(comparison: Comparison) -> Iterator[str]:
    yield f"{comparison.first.words} → {comparison.second.words}"
    for each in comparison.probes:
        yield ""
        yield safe_text(
            f"{each.probe} · {each.instance} · {each.endpoint} · {each.method} · {each.target}", one_line=True
        )
        yield from (f"  {line}" for line in _of_probe(each, comparison.level))
    for words in comparison.missing:
        yield safe_text(words, one_line=True)
    count = sum(len(each.moved(comparison.level)) for each in comparison.probes)
    features = sum(len(each.features) for each in comparison.probes)
    yield ""
    yield f"{count} of {features} features moved (false discovery rate {comparison.level:g})"


def _of_probe(each: Compared, level: float) -> Iterator[str]:
    diff = each.diff
    how = (
        f"{diff.rows} coalitions asked on both sides"
        if diff.paired
        else "not coalition by coalition: only the errors of the attributions tell"
    )
    if each.reused:
        how += f"; {each.reused:.0%} of the answers are the same ones, taken from the ledger"
    yield how
    if not diff.judged:
        yield "not judged: nothing tells noise from change here; ask with `repeats: 2` or more, or more coalitions"
    if np.isfinite(diff.full):
        yield f"score of the input {_signed(diff.full)}, of the background {_signed(diff.base)}"
    for place in each.moved(level):
        name = safe_text(each.features[place], one_line=True, limit=60)
        error = diff.std_errors[place]
        yield (
            f'moved: "{name}" {_signed(each.before[place])} → {_signed(each.after[place])}, '
            f"change {_signed(diff.change[place])} ± {1.96 * error:.2g}, q = {diff.q[place]:.2g}"
        )
    if diff.judged:
        rest = len(each.features) - len(each.moved(level))
        if rest:
            yield f"no change found in {rest} features; would have seen {_least(diff.least)} with a probability of 0.8"
    if each.top[0] != each.top[1]:
        tops = [safe_text(name or "none", one_line=True, limit=40) for name in each.top]
        yield f'strongest feature: "{tops[0]}" → "{tops[1]}"'


def _least(least: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> str:
    known = least[np.isfinite(least)]
    if not len(known):
        return "none"
    low, high = float(known.min()), float(known.max())
    if high < 1e-9:
        return "any"
    return f"{high:.2g}" if high <= 1.2 * low else f"{low:.2g} to {high:.2g}"


def _signed(value: float) -> str:
    return "?" if math.isnan(value) else f"{value:+.3g}".replace("-", "−")


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Everything; ``null`` stands for what is not known."""
    return {
        "first": {"run": comparison.first.run, "endpoint": comparison.first.endpoint},
        "second": {"run": comparison.second.run, "endpoint": comparison.second.endpoint},
        "level": comparison.level,
        "moved": comparison.moved,
        "missing": list(comparison.missing),
        "probes": [_probe_json(each, comparison.level) for each in comparison.probes],
    }


def _probe_json(each: Compared, level: float) -> dict[str, Any]:
    diff = each.diff
    moved = diff.moved(level)
    columns = {"before": each.before, "after": each.after, "change": diff.change.tolist()}
    columns |= {"std_error": diff.std_errors.tolist(), "p": diff.p.tolist(), "q": diff.q.tolist()}
    columns |= {"least": diff.least.tolist(), "moved": moved.tolist()}
    return {
        "probe": each.probe,
        "instance": each.instance,
        "endpoint": each.endpoint,
        "method": each.method,
        "target": each.target,
        "judged": diff.judged,
        "paired": diff.paired,
        "coalitions": diff.rows,
        "reused": each.reused,
        "full": plain(diff.full),
        "base": plain(diff.base),
        "top": list(each.top),
        "features": [
            {"feature": name} | {column: plain(values[place]) for column, values in columns.items()}
            for place, name in enumerate(each.features)
        ],
    }

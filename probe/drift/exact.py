"""Exact probabilities that need no model of the noise: only that old and new answers could have come in any order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache

import scipy.special

_MOST = 64  #: new answers in a row; a probe that needs more to be sure is of no use


def rejections(n: int, k: int, r: int) -> float:
    """How likely ``r`` further answers are all off the usual one, when ``k`` of the first ``n`` were.

    Of n + r exchangeable answers k + r are off, and every choice of r of them is equally likely to be the new ones:
    C(k+r, r) / C(n+r, r). 1 without stored answers.

    Raises:
        ValueError: unless 0 ≤ ``k`` ≤ ``n`` and ``r`` ≥ 0.
    """
    if not 0 <= k <= n or r < 0:
        raise ValueError(f"{k} of {n} answers cannot be off, or {r} further ones asked")
    return math.comb(k + r, r) / math.comb(n + r, r)


@cache
def needed(n: int, k: int, level: float) -> int | None:
    """The smallest r for which :func:`rejections` is at most ``level``; ``None`` if that takes more than 64."""
    return next((r for r in range(1, _MOST + 1) if rejections(n, k, r) <= level), None)


def unseen(old: Sequence[int], new: Sequence[int]) -> float:
    """How likely the new answers have nothing in common with the old ones, given how often each value is there in all.

    ``old``, ``new``: sizes of the classes of equal answers, among the old and among the new ones; no class is in both. Of all
    choices of r = Σ new out of Σ old + r answers, those that are made of whole classes count: as many as there are sets of
    classes of total size r (a subset sum, by dynamic programming).
    """
    r, n = sum(new), sum(old)
    ways = [1] + [0] * r
    for size in (*old, *new):
        for total in range(r, size - 1, -1):
            ways[total] += ways[total - size]
    return ways[r] / math.comb(n + r, r)


@cache
def needed_unseen(old: tuple[int, ...], level: float, most: int = 12) -> int | None:
    """The smallest r for which :func:`unseen` is at most ``level`` however r new values fall into classes; ``None`` if that
    takes more than ``most``: the answers vary so much that a new one is no surprise.

    ``old``: sizes of the classes of equal answers seen so far, in any order.
    """
    for r in range(1, most + 1):
        if max(unseen(old, parts) for parts in partitions(r)) <= level:
            return r
    return None


def partitions(total: int, largest: int | None = None) -> Iterator[tuple[int, ...]]:
    """The ways to write ``total`` as a sum of positive whole numbers, largest first."""
    if total == 0:
        yield ()
    for first in range(min(total, largest or total), 0, -1):
        for rest in partitions(total - first, first):
            yield (first, *rest)


def upper_bound(k: int, n: int, level: float) -> float:
    """Clopper and Pearson's upper bound on a rate of which ``k`` in ``n`` were seen: too low with probability ≤ ``level``."""
    return 1.0 if k >= n else float(scipy.special.betaincinv(k + 1, n - k, 1 - level))


def lower_bound(k: int, n: int, level: float) -> float:
    """Clopper and Pearson's lower bound on a rate: too high with probability ≤ ``level``."""
    return 0.0 if k <= 0 else float(scipy.special.betaincinv(k, n - k + 1, level))


def interval(k: int, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's two-sided interval of a rate; (0, 1) if ``n`` is 0."""
    if n == 0:
        return 0.0, 1.0
    half = (1 - level) / 2
    return lower_bound(k, n, half), upper_bound(k, n, half)


def selected(n: int, r: int, tries: int, k: int = 0) -> float:
    """A bound on being led astray by a point that was chosen because at most ``k`` of ``n`` answers were off there, the first
    such of ``tries`` points.

    Where one answer is off with any rate q, j of n are off and r further ones all are with C(n, j) qʲ⁺ʳ (1−q)ⁿ⁻ʲ, which is
    largest at q = (j+r)/(n+r). Each j up to k and each point that was tried adds as much at most.
    """
    return min(1.0, tries * sum(_largest(n, r, j) for j in range(min(k, n) + 1)))


def _largest(n: int, r: int, j: int) -> float:
    if n + r == 0:
        return 1.0
    q = (j + r) / (n + r)
    return float(math.comb(n, j) * q ** (j + r) * (1 - q) ** (n - j))


def tolerated(n: int, rate: float) -> int:
    """How many of ``n`` answers may be off at a steady point of an endpoint that is off by itself at ``rate``: what nine of ten
    such points stay within. None of fewer than 20, with which each costs too many further answers."""
    if n < 20 or rate <= 0:
        return 0
    return next(k for k in range(n + 1) if scipy.special.bdtr(k, n, rate) >= 0.9)

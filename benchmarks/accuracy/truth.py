"""Exact Shapley values: by enumeration, leaf by leaf for trees, and in closed form for sums of products.

A game is v: {0, 1}ⁿ → ℝ on coalitions z, ``True`` keeping the instance's feature and ``False`` putting the background's in
its place; p_s = 1 / (n·C(n − 1, s)) is the weight of a coalition of size s without the feature.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Value = Callable[[Bools], Floats]

#: coalitions given to a game at once when all of them are asked
_BLOCK = 8192


def all_coalitions(n: int) -> Bools:
    """(2ⁿ, n): row k holds the bits of k, the lowest first."""
    numbers = np.arange(2**n, dtype=np.int64)
    return (numbers[:, None] >> np.arange(n)) & 1 > 0


def enumerate_values(v: Value, n: int) -> Floats:
    """(2ⁿ,) values in the order of :func:`all_coalitions`."""
    rows = all_coalitions(n)
    return np.concatenate([v(rows[start : start + _BLOCK]) for start in range(0, len(rows), _BLOCK)])


def looked_up(values: Floats) -> Value:
    """The game whose ``values`` (2ⁿ,) are all known: asking costs an index."""
    n = len(values).bit_length() - 1
    powers = 1 << np.arange(n, dtype=np.int64)

    def v(coalitions: Bools) -> Floats:
        found: Floats = values[np.asarray(coalitions, dtype=np.int64) @ powers]
        return found

    return v


def shapley_by_enumeration(values: Floats) -> Floats:
    """φ (n,) from all ``values`` (2ⁿ,): φ_i = Σ_S p_|S| (v(S ∪ i) − v(S))."""
    n = len(values).bit_length() - 1
    weights = np.array([1 / (n * math.comb(n - 1, s)) for s in range(n)])
    sizes = np.bitwise_count(np.arange(2 ** (n - 1), dtype=np.uint64)).astype(np.intp)
    phi = np.empty(n)
    for i in range(n):
        halves = values.reshape(-1, 2, 2**i)
        phi[i] = weights[sizes] @ (halves[:, 1] - halves[:, 0]).ravel()  # dropping bit i keeps the size of the rest
    return phi


@dataclass(frozen=True, slots=True)
class Tree:
    """One binary tree: ``feature`` (k,) < 0 at leaves, ``x[feature] ≤ threshold`` goes ``left``; ``value`` (k,)."""

    feature: NDArray[np.intp]
    threshold: Floats
    left: NDArray[np.intp]
    right: NDArray[np.intp]
    value: Floats

    @classmethod
    def of(cls, fitted: Any, value: Floats) -> Tree:
        """From scikit-learn's ``tree_`` and the number each of its nodes stands for."""
        return cls(fitted.feature, fitted.threshold, fitted.children_left, fitted.children_right, value)


def tree_leaves(tree: Tree, x: Floats, background: Floats) -> Iterator[tuple[float, frozenset[int], frozenset[int]]]:
    """(value, needed kept, needed replaced) of every leaf that some mixture of ``x`` and ``background`` (n,) reaches.

    Rows are compared as float32, as scikit-learn does.
    """
    x32, background32 = x.astype(np.float32), background.astype(np.float32)
    stack = [(0, frozenset[int](), frozenset[int]())]
    while stack:
        node, kept, replaced = stack.pop()
        feature = int(tree.feature[node])
        if feature < 0:
            yield float(tree.value[node]), kept, replaced
            continue
        turns = [
            tree.left[node] if row[feature] <= tree.threshold[node] else tree.right[node] for row in (x32, background32)
        ]
        if turns[0] == turns[1] or feature in kept:
            stack.append((int(turns[0]), kept, replaced))
        elif feature in replaced:
            stack.append((int(turns[1]), kept, replaced))
        else:
            stack.append((int(turns[0]), kept | {feature}, replaced))
            stack.append((int(turns[1]), kept, replaced | {feature}))


def shapley_of_trees(trees: Sequence[Tree], x: Floats, backgrounds: Floats) -> Floats:
    """φ (n,) of the sum of ``trees`` at ``x`` (n,), the mean over ``backgrounds`` (k, n).

    A leaf of value V that needs p features kept and q replaced is a game of its own: it gives V (p−1)! q! / (p+q)! to each
    of the p and takes V p! (q−1)! / (p+q)! from each of the q (Lundberg et al., *From Local Explanations to Global
    Understanding with Explainable AI for Trees*, 2020, the interventional algorithm).
    """
    phi = np.zeros(len(x))
    for background in backgrounds:
        for tree in trees:
            for value, kept, replaced in tree_leaves(tree, x, background):
                p, q = len(kept), len(replaced)
                if kept:
                    phi[list(kept)] += value / (p * math.comb(p + q, p))
                if replaced:
                    phi[list(replaced)] -= value / (q * math.comb(p + q, q))
    return phi / len(backgrounds)


def shapley_of_products(weights: Floats, kept: Floats, replaced: Floats) -> Floats:
    """φ (n,) of v(S) = Σ_j w_j Π_{i∈S} A_ji Π_{i∉S} B_ji, ``kept`` A and ``replaced`` B of shape (k, n).

    φ_i = Σ_j w_j (A_ji − B_ji) ∫₀¹ Π_{l≠i} (t A_jl + (1 − t) B_jl) dt (Owen's multilinear extension, 1972); the integrand
    is a polynomial of degree n − 1, for which ⌈n/2⌉ Gauss–Legendre nodes are exact.
    """
    n = kept.shape[1]
    nodes, masses = np.polynomial.legendre.leggauss(math.ceil(n / 2) + 1)
    phi = np.zeros(n)
    for t, mass in zip((nodes + 1) / 2, masses / 2, strict=True):
        factors = t * kept + (1 - t) * replaced
        ones = np.ones((len(factors), 1))
        before = np.cumprod(np.hstack([ones, factors[:, :-1]]), axis=1)
        after = np.cumprod(np.hstack([ones, factors[:, :0:-1]]), axis=1)[:, ::-1]
        phi += mass * (weights @ ((kept - replaced) * before * after))
    return phi

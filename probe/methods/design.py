"""Which coalitions to ask: designs without replacement, deterministic from the generator that is passed in.

A coalition and its complement form a *pair*; both lie in the *layer* ``min(s, n − s)`` of their size ``s``. Pairs are what
Shapley estimators want (the part of the game that is even under complement cancels in their difference: Covert & Lee,
*Improving KernelSHAP*, AISTATS 2021), and layers are small at the ends, so the designs enumerate a layer as soon as its
share of the budget covers it and draw distinct pairs from the others.
"""

from __future__ import annotations

import itertools
import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from probe.methods.base import Bools, Floats

Ints: TypeAlias = NDArray[np.intp]

#: layers up to this many pairs are listed in full when a good part of them is wanted
_LISTABLE = 20_000
#: the most features whose 2ⁿ coalitions are ever listed
_ENUMERABLE = 24


def row_keys(coalitions: Bools) -> list[bytes]:
    """One hashable key per row of an (m, n) table of coalitions."""
    return [row.tobytes() for row in np.packbits(coalitions, axis=1)]


def find_rows(coalitions: Bools, wanted: Bools) -> Ints:
    """Index in ``coalitions`` (m, n) of every row of ``wanted`` (k, n), −1 where it is not there; shape (k,)."""
    index = {key: row for row, key in enumerate(row_keys(coalitions))}
    return np.array([index.get(key, -1) for key in row_keys(wanted)], dtype=np.intp)


def without_known(rows: Bools, known: Bools) -> Bools:
    """``rows`` (k, n) in order, less those that are in ``known`` (m, n)."""
    return rows[find_rows(known, rows) < 0]


def layers_of(coalitions: Bools) -> Ints:
    """min(s, n − s) of each row's size s; (m,)."""
    sizes = coalitions.sum(axis=1, dtype=np.intp)
    layers: Ints = np.minimum(sizes, coalitions.shape[1] - sizes)
    return layers


def _distinct(rows: Bools) -> Bools:
    first = {key: row for row, key in reversed(list(enumerate(row_keys(rows))))}
    return rows[sorted(first.values())]


def leave_one_out(n: int) -> Bools:
    """The full coalition, then each one without a single feature: (n + 1, n)."""
    return np.vstack([np.ones((1, n), dtype=bool), ~np.eye(n, dtype=bool)])


def enumerate_all(n: int) -> Bools:
    """All 2ⁿ coalitions, ∅ and the full one first: (2ⁿ, n). Raises :class:`ValueError` above 24 features."""
    if n > _ENUMERABLE:
        raise ValueError(
            f"2^{n} coalitions are too many to list; use at most {_ENUMERABLE} features or a smaller budget"
        )
    codes = np.arange(2**n, dtype=np.int64)
    rows = (codes[:, None] >> np.arange(n)) & 1 == 1
    return np.vstack([ends(n), rows[1:-1]]) if n else rows


def ends(n: int) -> Bools:
    """∅ and the full coalition: (2, n)."""
    return np.array([[False], [True]]).repeat(n, axis=1)


def kernel_masses(n: int) -> Floats:
    """KernelSHAP's weight of all coalitions of each size 0 … n, unnormalised: (n − 1)/(s(n − s)), 0 at the ends; (n + 1,).

    Source: Lundberg & Lee, *A Unified Approach to Interpreting Model Predictions*, NeurIPS 2017, theorem 2.
    """
    sizes = np.arange(n + 1, dtype=np.float64)
    masses = np.zeros(n + 1)
    masses[1:-1] = (n - 1) / (sizes[1:-1] * (n - sizes[1:-1]))
    return masses


def leverage_masses(n: int) -> Floats:
    """Equal weight for all sizes 1 … n − 1, 0 at the ends; (n + 1,).

    The statistical leverage of a coalition of size s in the regression that defines Shapley values is proportional to
    1/C(n, s): Musco & Witter, *Provably Accurate Shapley Value Estimation via Leverage Score Sampling*, ICLR 2025.
    """
    masses = np.ones(n + 1)
    masses[[0, -1]] = 0.0
    return masses


def coin_masses(n: int) -> Floats:
    """Probability of each size 0 … n when every feature is kept with probability ½; (n + 1,)."""
    sizes = np.arange(n + 1)
    masses: Floats = np.exp(gammaln(n + 1) - gammaln(sizes + 1) - gammaln(n - sizes + 1) - n * math.log(2))
    return masses


def paired_kernel_design(n: int, budget: int, rng: np.random.Generator, *, known: Bools | None = None) -> Bools:
    """:func:`paired_design` with sizes by KernelSHAP's weights."""
    return paired_design(n, budget, rng, masses=kernel_masses(n), known=known)


def paired_design(
    n: int, budget: int, rng: np.random.Generator, *, masses: Floats, known: Bools | None = None
) -> Bools:
    """Distinct coalitions that, with ``known``, make up ``budget`` rows: ∅ and full, then complementary pairs; (k, n).

    ``masses`` (n + 1,) says how much each size matters; a pair counts for both of its sizes. Layers whose share covers
    them are enumerated; in the others features are dealt from shuffled decks, so that each appears about equally often.
    Pairs come in random order (a design cut short is a smaller one of the same kind), both members side by side; pairs that
    ``known`` has half of are completed first. With an odd number of rows left, one is not used. ``budget ≥ 2ⁿ`` gives all
    coalitions.
    """
    known = np.zeros((0, n), dtype=bool) if known is None else known
    if n <= _ENUMERABLE and budget >= 2**n:
        return without_known(enumerate_all(n), known)
    first = without_known(ends(n), known)
    room = budget - len(known) - len(first)
    if room <= 0:
        return first[: max(0, budget - len(known))]
    known = np.vstack([known, first])
    halved = without_known(~known, known)[:room]  # members whose pair is still to be completed
    known = np.vstack([known, halved])
    counts = _new_pairs(n, (budget - 2) // 2, (room - len(halved)) // 2, masses, known, rng)
    layer_of = layers_of(known)
    blocks = [
        _draw_layer(n, layer, count, known[layer_of == layer], rng)
        for layer, count in enumerate(counts, start=1)
        if count
    ]
    halves = np.vstack([np.zeros((0, n), dtype=bool), *blocks])
    halves = halves[rng.permutation(len(halves))]
    pairs = np.stack([halves, ~halves], axis=1).reshape(-1, n)
    return np.vstack([first, halved, pairs])


def singles_first_design(
    n: int, budget: int, rng: np.random.Generator, *, masses: Floats, known: Bools | None = None
) -> Bools:
    """:func:`paired_design` that takes the whole layer 1 first, whatever its share: (k, n).

    ∅, full, every coalition without one feature, every single feature, then pairs; cut at ``budget``. A regression on
    fewer than about 3n rows needs this: n random pairs seldom determine n values, and never well.
    """
    known = np.zeros((0, n), dtype=bool) if known is None else known
    singles = np.eye(n, dtype=bool)[rng.permutation(n)]
    rows = np.vstack([ends(n), ~np.eye(n, dtype=bool), singles])
    rows = _distinct(without_known(rows, known))[: max(0, budget - len(known))]
    known = np.vstack([known, rows])
    if budget - len(known) < 2:
        return rows
    return np.vstack([rows, paired_design(n, budget, rng, masses=masses, known=known)])


def layer_sizes(n: int) -> list[int]:
    """Number of pairs in the layers 1 … ⌊n/2⌋."""
    return [math.comb(n, s) // (2 if 2 * s == n else 1) for s in range(1, n // 2 + 1)]


def share_out(total: int, masses: Floats, capacities: list[int], rng: np.random.Generator) -> list[int]:
    """``total`` items over strata in proportion to ``masses`` (k,), none above its capacity; what is cut off goes to the rest.

    Fractions are rounded by systematic sampling: every stratum gets its exact share on average. Strata without mass get
    something only when all others are full.
    """
    counts = [0] * len(capacities)
    open_ = list(range(len(capacities)))
    left = min(total, sum(capacities))
    while left and open_:
        weights = masses[open_] if masses[open_].sum() > 0 else np.ones(len(open_))
        shares = left * weights / weights.sum()
        full = {i for i, share in zip(open_, shares, strict=True) if float(share) >= capacities[i]}
        if not full:
            steps = np.floor(np.concatenate([[0.0], np.cumsum(shares)]) + rng.random())
            steps[-1] = left + steps[0]  # the sum of the shares is whole, up to rounding
            for i, count in zip(open_, np.diff(steps), strict=True):
                counts[i] = int(count)
            break
        for i in full:
            counts[i] = capacities[i]
        left -= sum(capacities[i] for i in full)
        open_ = [i for i in open_ if i not in full]
    return counts


def _new_pairs(n: int, target: int, room: int, masses: Floats, known: Bools, rng: np.random.Generator) -> list[int]:
    """How many pairs each layer gets now, so that it nears its share of ``target`` pairs without exceeding ``room``."""
    layers = np.arange(1, n // 2 + 1)
    layer_masses = masses[layers] + np.where(2 * layers == n, 0.0, masses[n - layers])
    capacities = layer_sizes(n)
    wanted = share_out(target, layer_masses, capacities, rng)
    touched = np.array(list({key: row for row, key in enumerate(row_keys(_canonical(known)))}.values()), dtype=np.intp)
    have = np.bincount(layers_of(known[touched]), minlength=n // 2 + 1)[1:].tolist()
    lacking = [max(0, w - h) for w, h in zip(wanted, have, strict=True)]
    if sum(lacking) >= room:
        return share_out(room, np.array(lacking, dtype=np.float64), lacking, rng)
    free = [c - h - k for c, h, k in zip(capacities, have, lacking, strict=True)]
    extra = share_out(room - sum(lacking), layer_masses, free, rng)
    return [k + e for k, e in zip(lacking, extra, strict=True)]


def _draw_layer(n: int, layer: int, count: int, known: Bools, rng: np.random.Generator) -> Bools:
    """``count`` coalitions of size ``layer``, no two of one pair, none of a pair that ``known`` touches: (count, n)."""
    pairs = layer_sizes(n)[layer - 1]
    taken = set(row_keys(_canonical(known)))
    if pairs <= _LISTABLE and count + len(taken) > pairs // 4:
        return _choose_listed(n, layer, count, taken, rng)
    rows = np.zeros((count, n), dtype=bool)
    deck: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
    done = 0
    while done < count:
        hand = deck[:layer]
        deck = deck[layer:]
        if len(hand) < layer:
            fresh = rng.permutation(n)
            clash = np.isin(fresh, hand)
            fresh = np.concatenate([fresh[~clash], fresh[clash]])
            need = layer - len(hand)
            hand, deck = np.concatenate([hand, fresh[:need]]), fresh[need:]
        row = np.zeros((1, n), dtype=bool)
        row[0, hand] = True
        key = row_keys(_canonical(row))[0]
        if key not in taken:
            taken.add(key)
            rows[done] = row[0]
            done += 1
    return rows


def _choose_listed(n: int, layer: int, count: int, taken: set[bytes], rng: np.random.Generator) -> Bools:
    members = np.array(list(itertools.combinations(range(n), layer)), dtype=np.intp)
    if 2 * layer == n:
        members = members[: len(members) // 2]  # those with feature 0: one of each pair
    rows = np.zeros((len(members), n), dtype=bool)
    np.put_along_axis(rows, members, values=True, axis=1)
    if taken:
        rows = rows[[key not in taken for key in row_keys(_canonical(rows))]]
    return rows[rng.permutation(len(rows))[:count]]


def _canonical(rows: Bools) -> Bools:
    """The member of each row's pair that lacks feature 0."""
    return rows ^ rows[:, :1]

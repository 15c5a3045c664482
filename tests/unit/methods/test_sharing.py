"""What a table that several methods share begins with."""

from __future__ import annotations

import numpy as np
import pytest

from probe.maskers.base import Feature
from probe.methods import METHODS, build_method
from probe.methods.base import BudgetTooSmall, CoalitionTable, Method, Selective
from probe.methods.design import ends, find_rows, leave_one_out, row_keys
from probe.methods.sharing import essential_rows, first_rows, lead_of, rows_from

N = 12
FEATURES = tuple(Feature(f"f{k}") for k in range(N))


def methods(*names: str) -> tuple[Method, ...]:
    return tuple(build_method(name) for name in names)


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("names", "lead"),
    [
        (("occlusion", "lime", "shapley", "kernelshap"), "shapley"),
        (("lime", "kernelshap"), "kernelshap"),
        (("occlusion", "lime"), "lime"),
        (("occlusion",), "occlusion"),
    ],
)
def test_who_leads(names: tuple[str, ...], lead: str) -> None:
    assert names[lead_of(methods(*names))] == lead


@pytest.mark.parametrize("name", sorted(METHODS))
def test_essential_rows_are_all_that_a_selective_method_asks(name: str) -> None:
    (method,) = methods(name)
    rows = essential_rows([method], FEATURES)
    assert rows[0].all()
    assert len(set(row_keys(rows))) == len(rows)
    if isinstance(method, Selective):
        asked = method.ask(FEATURES, CoalitionTable.empty(N), N + 1, rng())
        assert sorted(row_keys(asked)) == sorted(row_keys(rows))
    else:
        assert sorted(row_keys(rows)) == sorted(row_keys(ends(N)))


@pytest.mark.parametrize("name", ["occlusion", "lime", "kernelshap", "shapley"])
@pytest.mark.parametrize("budget", [14, 60, 5000])
def test_alone_a_method_gets_what_it_asks(name: str, budget: int) -> None:
    asked = methods(name)[0].ask(FEATURES, CoalitionTable.empty(N), budget, rng())
    assert first_rows(methods(name), FEATURES, budget, rng()).tolist() == asked.tolist()


@pytest.mark.parametrize("budget", [14, 15, 27, 60, 301, 5000])
def test_a_shared_table_has_what_is_essential_and_shapleys_design(budget: int) -> None:
    rows = first_rows(methods("occlusion", "lime", "shapley"), FEATURES, budget, rng())
    assert len(set(row_keys(rows))) == len(rows) <= budget
    assert (find_rows(rows, leave_one_out(N)) >= 0).all()
    design = methods("shapley")[0].ask(FEATURES, CoalitionTable.empty(N), budget, rng())
    assert len(rows) >= min(budget, len(design))
    added = set(row_keys(rows)) - set(row_keys(leave_one_out(N))) - set(row_keys(ends(N)))
    assert added <= set(row_keys(design))


def test_without_shapley_all_designs_have_their_part() -> None:
    """LIME over pictures needs coalitions of half the features, of which KernelSHAP asks few."""
    features = tuple(Feature(f"s{k}", {"segment": k}) for k in range(50))
    both = methods("lime", "kernelshap")
    middle = {}
    for chosen in (both, both[:1], both[1:]):
        sizes = first_rows(chosen, features, 320, rng()).sum(axis=1)
        middle[chosen] = int(np.sum((sizes > 15) & (sizes < 35)))
    assert middle[both[1:]] < 70 < 130 < middle[both] < 220 < middle[both[:1]]
    assert len(first_rows(both, features, 320, rng())) > 300


def test_known_rows_follow_what_is_essential_in_their_order() -> None:
    known = methods("lime")[0].ask(FEATURES, CoalitionTable.empty(N), 60, rng())
    rows = rows_from(methods("shapley"), FEATURES, known, 40, fresh=known)
    assert sorted(row_keys(rows[:2])) == sorted(row_keys(ends(N)))
    assert rows[2:].tolist() == [row for row in known.tolist() if 0 < sum(row) < N][:38]
    fresh = first_rows(methods("shapley", "occlusion"), FEATURES, 40, rng())
    rows = rows_from(methods("shapley", "occlusion"), FEATURES, known, 40, fresh=fresh)
    assert len(rows) == 40
    assert (find_rows(rows, leave_one_out(N)) >= 0).all()
    only_full = rows_from(methods("shapley"), FEATURES, leave_one_out(N), 40, fresh=leave_one_out(N))
    assert only_full.all(axis=1).any()
    assert only_full.any(axis=1).all(), "who does not ask for ∅ need not pay for it"


@pytest.mark.parametrize(("names", "needed"), [(("occlusion", "shapley"), 14), (("occlusion", "occlusion"), 13)])
def test_a_budget_below_what_they_need(names: tuple[str, ...], needed: int) -> None:
    first_rows(methods(*names), FEATURES, needed, rng())
    with pytest.raises(BudgetTooSmall) as caught:
        first_rows(methods(*names), FEATURES, needed - 1, rng())
    assert caught.value.needed == needed
    with pytest.raises(BudgetTooSmall, match="occlusion"):
        rows_from(methods("occlusion", "lime"), FEATURES, ends(N), 12, fresh=leave_one_out(N))

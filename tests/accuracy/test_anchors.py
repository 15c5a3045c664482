"""The existing tools are run at their best and held to their budget."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks.accuracy.anchors import Anchor, CannotDo, Counted, anchors
from benchmarks.accuracy.truth import Value, looked_up, shapley_by_enumeration

_N = 6
_VALUES = np.random.default_rng(0).normal(size=2**_N)


@pytest.fixture(scope="module")
def tools() -> Iterator[dict[str, Anchor]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import shap  # noqa: F401 (it warns once, on import)
    with anchors() as found:
        yield {tool.name: tool for tool in found}


def watched(budget: int) -> tuple[Value, Counted]:
    counted = Counted(looked_up(_VALUES), budget)
    return counted, counted


def test_a_game_is_counted_by_distinct_coalitions_and_ends_at_its_budget() -> None:
    v, counted = watched(3)
    rows = np.eye(_N, dtype=bool)
    v(rows[[0, 1, 0]])
    assert v(rows[[1]]).tolist() == looked_up(_VALUES)(rows[[1]]).tolist()
    assert counted.asked == 2
    with pytest.raises(CannotDo, match="asked for 4 coalitions with a budget of 3"):
        v(rows[2:4])
    assert v(rows[[5]]).shape == (1,), "a refusal costs nothing"


def test_every_tool_that_gives_values_at_all_keeps_to_the_budget(tools: dict[str, Anchor]) -> None:
    for tool in tools.values():
        for budget in (2 * _N, 5 * _N):
            v, counted = watched(budget)
            try:
                phi = tool.run(v, _N, budget, 0).phi
            except CannotDo as refusal:
                assert "asked for" not in str(refusal), (tool.name, str(refusal))  # noqa: PT017
                continue
            assert phi.shape == (_N,)
            assert 2 < counted.asked <= budget, tool.name


def test_two_evaluations_a_feature_are_one_permutation_there_and_back(tools: dict[str, Anchor]) -> None:
    v, counted = watched(2 * _N)
    phi = tools["shap PermutationExplainer"].run(v, _N, 2 * _N, 0).phi
    assert counted.asked == 2 * _N
    assert phi.sum() == pytest.approx(_VALUES[-1] - _VALUES[0])


def test_kernel_explainer_is_exact_when_it_may_ask_everything(tools: dict[str, Anchor]) -> None:
    v, _ = watched(2**_N)
    phi = tools["shap KernelExplainer, l1_reg=False"].run(v, _N, 2**_N, 0).phi
    assert phi == pytest.approx(shapley_by_enumeration(_VALUES), abs=1e-9)


def test_the_seed_decides_what_is_drawn(tools: dict[str, Anchor]) -> None:
    for tool in tools.values():
        v, _ = watched(3 * _N)
        once, again = (tool.run(v, _N, 3 * _N, 1).phi for _ in range(2))
        assert once.tolist() == again.tolist(), tool.name

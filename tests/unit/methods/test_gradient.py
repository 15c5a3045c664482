from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probe.maskers import StepMasker
from probe.methods import BudgetTooSmall, CoalitionTable, Explanation
from probe.methods.gradient import Gradient
from tests.unit.methods.games import Bools, Floats, play, tiles

#: score of a row given as an array of its columns
Model: TypeAlias = Callable[[Floats], float]


def masker_of(values: Floats, steps: Floats) -> StepMasker:
    names = [f"c{k}" for k in range(len(values))]
    return StepMasker(
        dict(zip(names, values.tolist(), strict=True)), steps=dict(zip(names, steps.tolist(), strict=True))
    )


def explain(
    method: Gradient, model: Model, values: Floats, steps: Floats, budget: int, *, noise: float = 0.0, seed: int = 0
) -> tuple[CoalitionTable, Explanation]:
    masker = masker_of(values, steps)
    rng = np.random.default_rng([seed, 99])

    def game(rows: Bools) -> Floats:
        scores = [model(np.array(list(masker.render(row).values()), dtype=np.float64)) for row in rows]
        return np.array(scores) + rng.normal(scale=np.sqrt(noise), size=len(rows)) * (noise > 0)

    return play(method, game, masker.features, budget, seed=seed, noise=noise)


def slopes(explanation: Explanation) -> Floats:
    return np.array([one["slope"] for one in explanation.details["slopes"]])


@settings(deadline=None, max_examples=30)
@given(n=st.integers(1, 12), seed=st.integers(0, 2**32 - 1), directions=st.sampled_from(["single", "random"]))
def test_linear_models_are_exact(n: int, seed: int, directions: Any) -> None:
    rng = np.random.default_rng(seed)
    weights, values, steps = rng.normal(size=n), rng.normal(size=n), rng.uniform(0.1, 2, size=n)
    _, explanation = explain(
        Gradient(directions=directions), lambda x: 3 + float(x @ weights), values, steps, 4 * n + 1
    )
    determined = directions == "single" or not any(finding.code == "P207" for finding in explanation.findings)
    if determined:
        assert slopes(explanation) == pytest.approx(weights, abs=1e-8)
        assert explanation.values[::2] == pytest.approx(weights, abs=1e-8)
        assert explanation.values[1::2] == pytest.approx(weights, abs=1e-8)


def test_the_error_of_a_smooth_model_is_of_second_order() -> None:
    values = np.array([0.3, -0.7])
    truth = np.array([np.cos(0.3) * np.exp(-0.7), np.sin(0.3) * np.exp(-0.7)])
    errors = []
    for step in (0.2, 0.1):
        _, found = explain(Gradient(), lambda x: float(np.sin(x[0]) * np.exp(x[1])), values, np.full(2, step), 5)
        errors.append(np.abs(slopes(found) - truth).max())
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.05)
    assert errors[1] < 0.002


def test_one_sided_slopes_and_times_value() -> None:
    values, steps = np.array([2.0, -1.0]), np.array([0.5, 0.25])
    table, found = explain(Gradient(scale="value"), lambda x: float(x[0] ** 2 + 3 * x[1]), values, steps, 5)
    assert table.m == 5
    first, second = found.details["slopes"]
    assert (first["slope"], first["upward"], first["downward"]) == pytest.approx((4, 4.5, 3.5))
    assert first["times_value"] == pytest.approx(8)
    assert second["times_value"] == pytest.approx(-3)
    assert found.values == pytest.approx([9, 7, -3, -3])
    json.dumps(dict(found.details), allow_nan=False)


def test_random_directions_average_an_endpoints_noise() -> None:
    n, noise = 8, 0.01
    weights = np.random.default_rng(0).normal(size=n)
    by: dict[str, list[Floats]] = {"single": [], "random": []}
    hits = []
    for seed in range(30):
        for directions in ("single", "random"):
            _, found = explain(
                Gradient(directions=directions),
                lambda x: float(x @ weights),
                np.zeros(n),
                np.ones(n),
                33 if directions == "random" else 17,
                noise=noise,
                seed=seed,
            )
            by[directions].append(slopes(found) - weights)
            errors = np.array([one["std_error"] for one in found.details["slopes"]], dtype=np.float64)
            hits.append(np.abs(slopes(found) - weights) <= 1.96 * errors)
    single, random = (np.mean(np.square(by[name])) for name in ("single", "random"))
    assert single == pytest.approx(noise / 2, rel=0.3)
    assert random < single / 4
    assert np.mean(hits) > 0.9


def test_few_random_directions_give_the_smallest_slopes_and_say_so() -> None:
    _, found = explain(Gradient(directions="random"), lambda x: float(x.sum()), np.zeros(10), np.ones(10), 9)
    assert "P207" in {finding.code for finding in found.findings}
    assert np.isnan(found.std_errors).all()
    assert np.isfinite(found.values).all()


def test_plateaus_and_kinks_are_named() -> None:
    _, stairs = explain(Gradient(), lambda x: float(x[0] > 5), np.zeros(2), np.ones(2), 5)
    assert {finding.code for finding in stairs.findings} == {"P205"}
    tree = CoalitionTable.of(np.array([[1, 1], [0, 1], [1, 0], [0, 0]], dtype=bool), np.array([0.2, 0.2, 0.2, 0.9]))
    found = Gradient().explain(masker_of(np.zeros(1), np.ones(1)).features, tree)
    assert {finding.code for finding in found.findings} == {"P212"}
    _, kink = explain(Gradient(), lambda x: float(abs(x[0])), np.zeros(1), np.ones(1), 3)
    assert {finding.code for finding in kink.findings} == {"P213"}
    assert kink.values == pytest.approx([1, -1])


def test_what_is_refused() -> None:
    features = masker_of(np.zeros(3), np.ones(3)).features
    with pytest.raises(BudgetTooSmall, match="at least 7"):
        Gradient().ask(features, CoalitionTable.empty(6), 6, np.random.default_rng(0))
    with pytest.raises(ValueError, match="one step up and one step down"):
        Gradient().ask(tiles(4), CoalitionTable.empty(4), 20, np.random.default_rng(0))
    with pytest.raises(ValueError, match="single, random, not 'all'"):
        Gradient(directions="all")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no step has an answer in both directions"):
        Gradient().explain(features, CoalitionTable.of(np.ones((1, 6), dtype=bool), np.ones(1)))

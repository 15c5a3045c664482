"""Shapley values of trained models, against enumeration: small cousins of ``benchmarks``' games, quick enough for every run."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import probe
from probe.analysis.intervals import half_widths
from probe.methods import CoalitionTable
from probe.methods.design import enumerate_all, find_rows
from probe.methods.exact import exact_shapley
from tests.unit.methods.games import Bools, Floats, Game

N = 11


def games() -> Iterator[tuple[Game, Floats]]:
    """The probability of the predicted class, missing columns taken from a row of another class; with the exact values."""
    rows = enumerate_all(N)
    for load, model in (
        (load_breast_cancer, RandomForestClassifier(20, max_depth=6, random_state=0)),
        (load_wine, make_pipeline(StandardScaler(), MLPClassifier((16,), max_iter=1000, random_state=0))),
    ):
        data = load()
        x, y = data.data[:, :N], data.target
        model.fit(x, y)
        for i in (0, 100):
            other = x[y != y[i]][7]
            scores = model.predict_proba(np.where(rows, x[i], other))[:, y[i]]

            def game(asked: Bools, scores: Floats = scores) -> Floats:
                return scores[find_rows(rows, asked)]

            yield game, exact_shapley(CoalitionTable.of(rows, scores))[0]


@pytest.fixture(scope="module")
def known() -> list[tuple[Game, Floats]]:
    return list(games())


def errors(known: list[tuple[Game, Floats]], method: str, per_feature: int) -> Floats:
    """‖φ − φ*‖² / ‖φ*‖² of each game."""
    found = [probe.explain_game(game, n=N, budget=per_feature * N, method=method) for game, _ in known]
    return np.array([np.sum((f.values - phi) ** 2) / np.sum(phi**2) for f, (_, phi) in zip(found, known, strict=True)])


@pytest.mark.parametrize(("per_feature", "share"), [(3, 0.5), (5, 0.5), (10, 0.3), (20, 0.1)])
def test_errors_are_a_fraction_of_leverage_shap_s(
    known: list[tuple[Game, Floats]], per_feature: int, share: float
) -> None:
    ours, theirs = (errors(known, method, per_feature) for method in ("shapley", "leverageshap"))
    assert np.exp(np.mean(np.log(ours / theirs))) < share


def test_intervals_cover(known: list[tuple[Game, Floats]]) -> None:
    hits = []
    for game, phi in known:
        for seed in (1, 2):
            found = probe.explain_game(game, n=N, budget=10 * N, seed=seed)
            hits.append(np.abs(found.values - phi) <= half_widths(found.std_errors))
    assert np.mean(hits) > 0.9


def test_stopping_early_keeps_the_intervals(known: list[tuple[Game, Floats]]) -> None:
    hits, spent = [], []
    for game, phi in known:
        half_width = 0.15 * float(np.abs(phi).max())
        found = probe.explain_game(game, n=N, budget=60 * N, stop={"half_width": half_width})
        hits.append(np.abs(found.values - phi) <= half_widths(found.std_errors))
        spent.append(found.evaluations)
        assert half_widths(found.std_errors).max() <= half_width
    assert np.mean(hits) > 0.9
    assert max(spent) < 60 * N

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, mean_squared_error, r2_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from adapters import Prediction
from probe.surveys.base import Answers, RowSet
from probe.surveys.metrics import METRICS, truth_numbers
from probe.surveys.permutation import Permutation, PermutationDesign, Shuffles
from tests.unit.surveys.tables import Floats, answers, ask, frame, numbers


def as_rows(cells: Floats) -> RowSet:
    return RowSet.of([{f"x{j}": value for j, value in enumerate(row)} for row in cells.tolist()])


def as_array(rows: Sequence[Mapping[str, Any]]) -> Floats:
    return np.array([list(row.values()) for row in rows], dtype=np.float64)


def sklearns_shuffles(columns: Sequence[str], n: int, repeats: int, seed: int) -> Shuffles:
    """The donors that ``permutation_importance(random_state=seed)`` draws: one stream a column, shuffles that add up."""
    state = np.random.RandomState(seed)
    stream = state.randint(np.iinfo(np.int32).max + 1)
    found: Shuffles = {}
    for column in columns:
        rng = np.random.RandomState(stream)
        order, donor = np.arange(n), np.arange(n)
        drawn = []
        for _ in range(repeats):
            rng.shuffle(order)
            donor = donor[order]
            drawn.append(donor)
        found[column] = np.stack(drawn)
    return found


@pytest.mark.parametrize(
    ("metric", "scoring"), [("accuracy", "accuracy"), ("log_loss", "neg_log_loss"), ("roc_auc", "roc_auc")]
)
def test_a_classifiers_importances_are_scikit_learns(metric: str, scoring: str) -> None:
    cells, classes = load_breast_cancer(return_X_y=True)
    cells, classes = cells[:120, :5], classes[:120]
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(cells, classes)
    wanted = permutation_importance(model, cells, classes, scoring=scoring, n_repeats=4, random_state=3)
    rows = as_rows(cells)
    design = PermutationDesign(rows, sklearns_shuffles(rows.columns, rows.n, 4, 3), metric, seed=0)
    found = ask(
        rows,
        design,
        lambda asked: model.predict_proba(as_array(asked)),
        labels=("0", "1"),
        target="1",
        truth=classes.tolist(),
    )
    np.testing.assert_allclose(found.values, wanted.importances_mean, atol=1e-12)
    np.testing.assert_allclose(list(found.details["repeats"].values()), wanted.importances, atol=1e-12)
    np.testing.assert_allclose(list(found.details["repeats_std"].values()), wanted.importances_std, atol=1e-12)


@pytest.mark.parametrize(
    ("metric", "scoring"), [(None, "r2"), ("mse", "neg_mean_squared_error"), ("mae", "neg_mean_absolute_error")]
)
def test_a_regressions_importances_are_scikit_learns(metric: str | None, scoring: str) -> None:
    cells, truth = load_diabetes(return_X_y=True)
    cells, truth = cells[:100, :4], truth[:100]
    model = RandomForestRegressor(10, random_state=0).fit(cells, truth)
    wanted = permutation_importance(model, cells, truth, scoring=scoring, n_repeats=3, random_state=1)
    rows = as_rows(cells)
    design = PermutationDesign(rows, sklearns_shuffles(rows.columns, rows.n, 3, 1), metric, seed=0)
    found = ask(rows, design, lambda asked: model.predict(as_array(asked)), truth=truth.tolist())
    np.testing.assert_allclose(found.values, wanted.importances_mean, rtol=1e-9, atol=1e-12)
    assert found.full_value == pytest.approx(
        {"r2": model.score(cells, truth)}.get(found.details["metric"], found.full_value)
    )


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_metrics_are_scikit_learns(metric: str) -> None:
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 2, 40)
    score = np.round(rng.random(40), 1)  # with ties
    predictions = [Prediction({"0": 1 - each, "1": each}) for each in score.tolist()]
    given = Answers(score, predictions, ("1",), truth.tolist())
    chosen = METRICS[metric]
    wanted = {
        "accuracy": accuracy_score(truth, score > 0.5),  # of equals the first label by name
        "log_loss": -log_loss(truth, np.clip(score, 1e-15, 1 - 1e-15)),
        "roc_auc": roc_auc_score(truth, score),
        "r2": r2_score(truth, score),
        "mse": -mean_squared_error(truth, score),
        "mae": -mean_absolute_error(truth, score),
    }[metric]
    got = chosen.score(chosen.of(given, range(40)), truth_numbers(given, chosen))
    tolerance = 1e-12 if metric != "log_loss" or not ((score == 0) | (score == 1)).any() else 1.0
    assert float(got) == pytest.approx(wanted, abs=tolerance)


def test_without_labels_it_is_the_mean_absolute_change() -> None:
    rows = numbers(30, "ab")
    design = Permutation(repeats=3).design(rows, seed=1)
    found = ask(rows, design, lambda asked: np.array([2 * row["a"] for row in asked]))
    own = frame(rows)[:, 0]
    donors = design.shuffles["a"]
    assert found.values.tolist() == pytest.approx([float(np.abs(2 * (own[donors] - own)).mean()), 0.0])
    assert found.details["metric"] == "mean absolute change"
    assert found.full_value == pytest.approx(float(2 * own.mean()))
    assert found.std_errors[0] > 0
    assert found.std_errors[1] == 0


def test_standard_errors_tell_how_another_sample_of_rows_would_differ() -> None:
    estimates, told = [], []
    for seed in range(60):
        rows = numbers(40, "ab", seed=seed)
        found = ask(
            rows, Permutation(repeats=4).design(rows, seed), lambda asked: np.array([row["a"] for row in asked])
        )
        estimates.append(found.values[0])
        told.append(found.std_errors[0])
    assert np.mean(told) == pytest.approx(np.std(estimates), rel=0.35)


def test_shuffles_depend_on_the_seed_and_the_column_alone() -> None:
    rows = numbers(20, "abc")
    whole, part = Permutation().design(rows, seed=4), Permutation(columns=("c",)).design(rows, seed=4)
    assert part.shuffles["c"].tolist() == whole.shuffles["c"].tolist()
    assert whole.shuffles["a"].tolist() != whole.shuffles["b"].tolist()
    assert Permutation().design(rows, seed=5).shuffles["c"].tolist() != whole.shuffles["c"].tolist()
    for donors in whole.shuffles.values():
        assert np.sort(donors, axis=1).tolist() == [list(range(20))] * 5


def test_a_row_that_gets_its_own_value_is_not_altered() -> None:
    rows = RowSet.of([{"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": 2, "b": "y"}])
    asked = {(query.row, query.changes) for query in Permutation(repeats=20).design(rows, seed=0).queries}
    assert asked == {
        *((row, ()) for row in range(3)),
        (0, (("a", 2),)), (1, (("a", 2),)), (2, (("a", 1),)),
        (0, (("b", "y"),)), (1, (("b", "x"),)), (2, (("b", "x"),)),
    }  # fmt: skip


def test_rows_without_an_answer_are_left_out_on_both_sides() -> None:
    rows = numbers(20, "a")
    design = Permutation(repeats=2).design(rows, seed=0)
    own = frame(rows)[:, 0]
    given = answers(rows, design, lambda asked: np.array([row["a"] for row in asked]), truth=own.tolist())
    values = given.values.copy()
    values[[0, 20 + 3]] = np.nan  # one row as it is, and one shuffled
    found = design.read(replace(given, values=values))
    wanted = []
    for repeat, donors in enumerate(design.shuffles["a"]):
        kept = [i for i in range(1, 20) if (repeat, i) != (0, 3)]
        wanted.append(1.0 - r2_score(own[kept], own[donors][kept]))
    assert found.details["repeats"]["a"] == pytest.approx(wanted)


def test_truth_that_fits_nothing_is_said() -> None:
    rows = numbers(4, "a")
    design = Permutation().design(rows, seed=0)
    model = lambda asked: np.array([[row["a"], -row["a"]] for row in asked])  # noqa: E731
    with pytest.raises(ValueError, match=r"none of the true labels .* is a label of the endpoint: 'no', 'yes'"):
        ask(rows, design, model, labels=("no", "yes"), target="no", truth=["maybe"] * 4)
    numeric = replace(design, metric="r2")
    with pytest.raises(ValueError, match="must be numbers"):
        ask(rows, numeric, model, labels=("no", "yes"), target="no", truth=["yes"] * 4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"repeats": 0}, "repeats is 0"),
        ({"metric": "acuracy"}, r"metric 'acuracy' is unknown \(did you mean 'accuracy'"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Permutation(**settings)


def test_one_row_cannot_be_shuffled() -> None:
    with pytest.raises(ValueError, match="at least two rows"):
        Permutation().design(numbers(1), seed=0)

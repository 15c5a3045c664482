"""Games on the tables that scikit-learn ships; one instance is one row that the model was not trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from sklearn import datasets
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from benchmarks.accuracy.games import Built
from benchmarks.accuracy.mixing import boosted_trees, column, forest_trees, mixed, rbf_game, tree_game
from benchmarks.accuracy.truth import Floats


class Split(NamedTuple):
    """Standardised columns; ``test`` rows are explained, ``train`` rows are learned from and are the background."""

    train: Floats
    test: Floats
    target: Any


def _split(load: Callable[..., Any], columns: int | None = None) -> Split:
    table, target = load(return_X_y=True)
    train, test, learned, _ = train_test_split(table[:, :columns], target, random_state=0)
    scale = StandardScaler().fit(train)
    return Split(scale.transform(train), scale.transform(test), learned)


def _probability(model: Any, row: Floats) -> Callable[[Floats], Floats]:
    """Probability of the class that ``model`` gives ``row``."""
    return column(model.predict_proba, int(np.argmax(model.predict_proba(row[None])[0])))


def diabetes_forest(count: int) -> Iterator[Built]:
    """A random forest's progression score; 50 background rows."""
    data = _split(datasets.load_diabetes)
    model = RandomForestRegressor(50, min_samples_leaf=3, random_state=0).fit(data.train, data.target)
    for row in data.test[:count]:
        yield len(row), mixed(model.predict, row, data.train[:50]), None


def diabetes_boosting(count: int) -> Iterator[Built]:
    """Gradient boosting; one background row, another for each instance."""
    data = _split(datasets.load_diabetes)
    model = GradientBoostingRegressor(n_estimators=100, max_depth=4, random_state=0).fit(data.train, data.target)
    for row, background in zip(data.test[:count], data.train, strict=False):
        yield len(row), mixed(model.predict, row, background[None]), None


def wine_mlp(count: int) -> Iterator[Built]:
    """A small network's probability of its class; one background row of another class."""
    data = _split(datasets.load_wine)
    model = MLPClassifier((32, 16), alpha=1e-2, max_iter=2000, random_state=0).fit(data.train, data.target)
    classes = model.predict(data.train)
    for row in data.test[:count]:
        other = data.train[classes != model.predict(row[None])[0]][0]
        yield len(row), mixed(_probability(model, row), row, other[None]), None


def wine_svm(count: int) -> Iterator[Built]:
    """A kernel machine's decision between its class and the rest; 30 background rows."""
    data = _split(datasets.load_wine)
    model = SVC(decision_function_shape="ovr", C=3.0, gamma=0.1).fit(data.train, data.target)
    for row in data.test[:count]:
        output = int(model.predict(row[None])[0])
        yield len(row), mixed(column(model.decision_function, output), row, data.train[:30]), None


def cancer_logistic(count: int) -> Iterator[Built]:
    """A logistic regression's probability on 15 columns, saturated as such models are; one background row."""
    data = _split(datasets.load_breast_cancer, columns=15)
    model = LogisticRegression(C=1.0, max_iter=1000).fit(data.train, data.target)
    for row in data.test[:count]:
        other = data.train[model.predict(data.train) != model.predict(row[None])[0]][1]
        yield len(row), mixed(_probability(model, row), row, other[None]), None


def cancer_forest(count: int) -> Iterator[Built]:
    """A random forest's probability on all 30 columns; one background row."""
    data = _split(datasets.load_breast_cancer)
    model = RandomForestClassifier(100, random_state=0).fit(data.train, data.target)
    for row in data.test[:count]:
        other = data.train[model.predict(data.train) != model.predict(row[None])[0]][0]
        output = int(np.argmax(model.predict_proba(row[None])[0]))
        yield tree_game(forest_trees(model, output), _probability(model, row), row, other[None])


def cancer_boosting(count: int) -> Iterator[Built]:
    """Gradient boosting's log-odds on all 30 columns; ten background rows."""
    data = _split(datasets.load_breast_cancer)
    model = GradientBoostingClassifier(n_estimators=100, max_depth=4, random_state=0).fit(data.train, data.target)
    for row in data.test[:count]:
        yield tree_game(boosted_trees(model), model.decision_function, row, data.train[:10])


def cancer_svm(count: int) -> Iterator[Built]:
    """A kernel machine's decision on all 30 columns; one background row of the other class."""
    data = _split(datasets.load_breast_cancer)
    gamma = 1 / 30
    model = SVC(C=1.0, gamma=gamma).fit(data.train, data.target)
    for row in data.test[:count]:
        other = data.train[model.predict(data.train) != model.predict(row[None])[0]][0]
        yield rbf_game(model.support_vectors_, model.dual_coef_[0], gamma, float(model.intercept_[0]), row, other)

"""Other people's tools on ``probe.predict_fn``, unchanged: ledgered, limited, and with the right answers."""

from __future__ import annotations

import itertools
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import probe
from tests.cli.program import pictures_endpoint, rows_endpoint, texts_endpoint, write
from tests.servers import RunningServer

COLUMNS = ("a", "b", "c", "d")
WEIGHTS = np.array([1.0, 2.0, -3.0, 0.5])
TEXT = "the refund took exceedingly long"


@pytest.fixture
def config(server: RunningServer, tmp_path: Path) -> Path:
    endpoints = {
        "rows": rows_endpoint(server.url, batch=32, limits={"rate": "200/s"}),
        "words": texts_endpoint(server.url, batch=32),
        "pictures": pictures_endpoint(server.url, batch=4),
    }
    entry = {"kind": "text", "inputs": {"inline": [TEXT]}, "endpoints": ["words"], "methods": ["occlusion"]}
    return write(tmp_path, {"endpoints": endpoints, "probes": {"reviews": entry}})


@contextmanager
def libraries_warn() -> Iterator[None]:
    """What these releases of shap and lime say about numpy and Python of today; nothing of ours comes from their files."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"(shap|lime|numba|sklearn)(\.|$)")
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"(shap|lime|sklearn)(\.|$)")
        yield


def rows(count: int, *, seed: int = 0) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.random.default_rng(seed).normal(size=(count, 4)).round(3)
    return found


def exact_shapley(row: NDArray[np.float64], background: NDArray[np.float64]) -> NDArray[np.float64]:
    """By definition, over all orders, of the demo server's model ``sum``."""

    def value(kept: tuple[int, ...]) -> float:
        mixed = background.copy()
        mixed[:, kept] = row[list(kept)]
        return float(np.mean(1 / (1 + np.exp(-(mixed @ WEIGHTS)))))

    orders = list(itertools.permutations(range(4)))
    found = np.zeros(4)
    for order in orders:
        for position, column in enumerate(order):
            found[column] += value(order[: position + 1]) - value(order[:position])
    return found / len(orders)


def test_predictions(server: RunningServer, config: Path) -> None:
    with probe.predict_fn("rows", config=config, columns=COLUMNS, outputs=["positive", "negative"]) as predict:
        given = rows(50)
        found = predict(given)
        truth = 1 / (1 + np.exp(-(given @ WEIGHTS)))
        assert found.shape == (50, 2)
        assert found[:, 0] == pytest.approx(truth, abs=1e-12)
        assert found.sum(axis=1) == pytest.approx(1)
        assert server.counts()["requests"] == 2 == predict.sent
        assert (predict(given[::-1]) == found[::-1]).all()
        assert predict.sent == 2
        assert predict.from_ledger == 50
        assert predict(given[:0]).shape == (0, 2)


def test_texts_and_pictures(server: RunningServer, config: Path) -> None:
    with probe.predict_fn("words", config=config) as predict:
        found = predict([TEXT, "a"])
        assert predict.outputs == ("long", "short")
        # a word's share of the logit is (letters − 4) / 4: 2 for the text, −3/4 for "a"
        assert found[:, 0] == pytest.approx(1 / (1 + np.exp([-2, 0.75])))
    with probe.predict_fn("pictures", config=config) as predict:
        pictures = np.zeros((3, 8, 8, 3), dtype=np.uint8)
        pictures[:, :4, :4] = 255
        assert predict(pictures).shape == (3, 4)
        assert server.counts()["billed_items"] == 3, "equal pictures are sent once"


def test_kernel_shap(server: RunningServer, config: Path) -> None:
    shap = pytest.importorskip("shap")
    background, row = rows(5, seed=1), rows(1, seed=2)
    passes = []
    for _ in range(2):
        with (
            probe.predict_fn("rows", config=config, columns=COLUMNS, outputs=["positive"]) as predict,
            libraries_warn(),
        ):
            explainer = shap.KernelExplainer(lambda given: predict(given)[:, 0], background)
            passes.append(explainer.shap_values(row, nsamples=100, silent=True)[0])
            sent = predict.sent
    assert passes[0] == pytest.approx(exact_shapley(row[0], background), abs=1e-6)
    assert passes[0].tolist() == passes[1].tolist()
    assert sent == 0, "the second pass is answered by the ledger"
    counts = server.counts()
    assert counts["billed_items"] == counts["distinct_items"] > 50


def test_lime_on_texts(server: RunningServer, config: Path) -> None:
    lime_text = pytest.importorskip("lime.lime_text")
    passes = []
    for _ in range(2):
        with probe.predict_fn("words", config=config, outputs=["long", "short"]) as predict, libraries_warn():
            explainer = lime_text.LimeTextExplainer(class_names=["long", "short"], random_state=3, bow=False)
            explained = explainer.explain_instance(TEXT, predict, labels=(0,), num_features=5, num_samples=60)
            passes.append(explained.as_list(label=0))
            sent = predict.sent
    assert passes[0] == passes[1]
    assert passes[0][0][0] == "exceedingly"
    assert passes[0][0][1] > 0
    assert sent == 0
    counts = server.counts()
    assert counts["billed_items"] == counts["distinct_items"] <= 2**5


def test_lime_on_rows(server: RunningServer, config: Path) -> None:
    lime_tabular = pytest.importorskip("lime.lime_tabular")
    passes = []
    for _ in range(2):
        with probe.predict_fn("rows", config=config, columns=COLUMNS, outputs=["positive", "negative"]) as predict:
            with libraries_warn():
                explainer = lime_tabular.LimeTabularExplainer(
                    rows(200), feature_names=COLUMNS, discretize_continuous=False, random_state=4
                )
                explained = explainer.explain_instance(rows(1, seed=5)[0], predict, labels=(0,), num_samples=300)
            passes.append(dict(explained.as_list(label=0)))
            sent = predict.sent
    assert passes[0] == passes[1]
    assert sent == 0
    strongest = sorted(passes[0], key=lambda name: -abs(passes[0][name]))
    assert strongest[:2] == ["c", "b"]
    assert np.sign([passes[0][name] for name in COLUMNS]).tolist() == np.sign(WEIGHTS).tolist()


def test_permutation_importance(server: RunningServer, config: Path) -> None:
    """scikit-learn wants an estimator; one that asks the endpoint is a few lines."""
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.inspection import permutation_importance

    class Remote(ClassifierMixin, BaseEstimator):  # type: ignore[misc] # published without types
        classes_ = np.array([0, 1])

        def __init__(self, predict_fn: Any) -> None:
            self.predict_fn = predict_fn

        def fit(self, given: Any, labels: Any) -> Remote:
            return self

        def predict_proba(self, given: Any) -> Any:
            return self.predict_fn(given)

        def predict(self, given: Any) -> Any:
            return self.predict_proba(given).argmax(axis=1)

    given = rows(40, seed=6)
    labels = (given @ WEIGHTS > 0).astype(int)
    with probe.predict_fn("rows", config=config, columns=COLUMNS, outputs=["negative", "positive"]) as predict:
        first, again = (
            permutation_importance(Remote(predict), given, labels, n_repeats=3, random_state=0) for _ in range(2)
        )
        sent = predict.sent
        assert first.importances.tolist() == again.importances.tolist()
        assert np.argmax(first.importances_mean) == 2
        counts = server.counts()
        assert counts["requests"] == sent
        assert counts["billed_items"] == counts["distinct_items"] <= 40 + 40 * 4 * 3


def test_a_tool_is_held_to_the_limit(server: RunningServer, config: Path) -> None:
    server.set_strict({"rate": {"limit": 20, "window": 1.0}})
    with probe.predict_fn("rows", config=config, columns=COLUMNS, outputs=["positive"], rate="20/s") as predict:
        began = time.monotonic()
        for row in rows(30):  # one call a row, as tools do that know nothing of batches
            predict(row[None])
        took = time.monotonic() - began
    counts = server.counts()
    assert counts["refused_429"] == 0
    assert counts["answered"] == 30
    assert took > 29 / 20


def test_a_tool_is_held_to_the_budget(server: RunningServer, config: Path) -> None:
    with probe.predict_fn("rows", config=config, columns=COLUMNS, budget="2req") as predict:
        predict(rows(64))
        with pytest.raises(probe.BudgetReached, match="budget of 2 requests"):
            predict(rows(10, seed=9))
        assert predict(rows(64)).shape == (64, 2), "what was paid for stays there"
    assert server.counts()["requests"] == 2


def test_errors(server: RunningServer, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(config.parent)
    with pytest.raises(probe.ConfigError, match="did you mean 'rows'"):
        probe.predict_fn("row", config=config)
    with pytest.raises(probe.ConfigError, match="not int"):
        probe.predict_fn(3)  # type: ignore[arg-type]
    with pytest.raises(probe.ConfigError, match="lots"):
        probe.predict_fn("rows", config=config, budget="lots")
    with pytest.raises(probe.StorageError, match="none does not exist"):
        probe.predict_fn("rows", config=config, storage="sqlite:///none/probe.db")
    server.set_strict({"api_key": "right"})
    with (
        probe.predict_fn("rows", config=config, columns=COLUMNS) as predict,
        pytest.raises(probe.EndpointDown, match="401"),
    ):
        predict(rows(1))

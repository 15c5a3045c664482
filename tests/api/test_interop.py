"""Results in other people's tools: shap's explanations and plots, data frames; and the same numbers where they are exact."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes
from sklearn.ensemble import GradientBoostingRegressor

import probe
from probe.interop import data_frame, shap_explanation

COLUMNS = tuple(load_diabetes().feature_names[:8])
ROWS: NDArray[np.float64] = load_diabetes().data[:, :8].round(4)
MODEL = GradientBoostingRegressor(n_estimators=25, max_depth=3, random_state=0).fit(ROWS, load_diabetes().target)


@contextmanager
def libraries_warn() -> Iterator[None]:
    """What these releases of shap say about numpy, pandas and matplotlib of today."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(shap|numba|sklearn|matplotlib)(\.|$)")
        yield


def progression(rows: Sequence[Mapping[str, float]]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = MODEL.predict(np.array([[row[name] for name in COLUMNS] for row in rows]))
    return found


def row(index: int) -> dict[str, float]:
    return dict(zip(COLUMNS, ROWS[index].tolist(), strict=True))


def explained(index: int = 3, background: int = 100, **options: Any) -> probe.Result:
    masker = {"background": [row(background)], "fill": "rows"}
    return probe.explain(progression, row(index), **({"masker": masker, "budget": 256} | options))


@pytest.mark.parametrize("method", ["shapley", "kernelshap"])
def test_exact_values_are_shaps(method: str) -> None:
    """One background row: the interventional game is the same, and both enumerate it."""
    shap = pytest.importorskip("shap")
    result = explained(method=method)
    assert result.probe.exact
    with libraries_warn():
        exact = shap.explainers.Exact(MODEL.predict, shap.maskers.Independent(ROWS[100:101]))(ROWS[3:4])
        trees = shap.TreeExplainer(MODEL, data=ROWS[100:101], feature_perturbation="interventional")(ROWS[3:4])
    assert result.values == pytest.approx(exact.values[0], abs=1e-6)
    assert result.values == pytest.approx(trees.values[0], abs=1e-6)
    assert result.base_value == pytest.approx(float(np.ravel(exact.base_values)[0]), abs=1e-6)


def test_a_row_as_shap_has_it() -> None:
    shap = pytest.importorskip("shap")
    result = explained()
    with libraries_warn():
        converted = result.to_shap()
        again = shap.explainers.Exact(MODEL.predict, shap.maskers.Independent(ROWS[100:101]))(ROWS[3:4])[0]
    assert isinstance(converted, shap.Explanation)
    assert converted.feature_names == list(COLUMNS)
    assert converted.values == pytest.approx(again.values, abs=1e-6)
    assert converted.data.tolist() == pytest.approx(again.data.tolist())
    assert converted.base_values == pytest.approx(float(again.base_values), abs=1e-6)
    assert converted.base_values + converted.values.sum() == pytest.approx(result.full_value)


def test_shaps_plots_draw_it(monkeypatch: pytest.MonkeyPatch) -> None:
    shap = pytest.importorskip("shap")
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    many = shap_explanation_of([explained(index, budget=100) for index in range(4)])
    assert many.values.shape == (4, 8)
    with libraries_warn():
        for draw, what in ((shap.plots.waterfall, many[0]), (shap.plots.bar, many), (shap.plots.beeswarm, many)):
            draw(what, show=False)
            labels = {label.get_text().split(" = ")[-1] for label in plt.gca().get_yticklabels()}
            assert set(COLUMNS) & labels
            plt.close("all")


def shap_explanation_of(results: Sequence[probe.Result]) -> Any:
    return shap_explanation([result.shown for result in results])


def test_a_text_and_a_picture_as_shap_have_them() -> None:
    pytest.importorskip("shap")
    text = probe.explain(lambda texts: [float(len(each)) for each in texts], "a slow refund", method="occlusion")
    converted = text.to_shap()
    assert converted.data.tolist() == ["a", "slow", "refund"]
    assert converted.base_values + converted.values.sum() == pytest.approx(text.full_value), "∅ was not asked"
    picture = np.zeros((32, 32, 3), dtype=np.uint8)
    picture[:16] = 255
    seen = probe.explain(
        lambda pictures: [each.mean() for each in pictures], picture, method="lime", masker={"segments": 4}, budget=16
    ).to_shap()
    assert sum(seen.data) == pytest.approx(1), "shares of the area"


def test_a_data_frame() -> None:
    pytest.importorskip("pandas")
    result = explained(budget=40)
    frame = result.to_pandas()
    assert frame["feature"].tolist() == list(COLUMNS)
    assert frame["value"].tolist() == result.values.tolist()
    assert frame["data"].tolist() == ROWS[3].tolist()
    assert ((frame["low"] <= frame["value"]) & (frame["value"] <= frame["high"])).all()
    both = data_frame([result.shown, explained(5, budget=40).shown])
    assert len(both) == 16
    assert set(both["method"]) == {"shapley"}


@pytest.mark.parametrize(("name", "call"), [("shap", "to_shap"), ("pandas", "to_pandas")])
def test_what_is_not_installed_is_named(name: str, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    result = explained(budget=40)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(probe.ConfigError, match=f"{call} needs {name}, .* pip install {name}"):
        getattr(result, call)()


def test_what_cannot_be_stacked_is_refused() -> None:
    pytest.importorskip("shap")
    first = explained(budget=40)
    with pytest.raises(probe.ConfigError, match="the same method"):
        shap_explanation_of([first, explained(budget=40, method="lime")])
    with pytest.raises(probe.ConfigError, match="the same features"):
        shap_explanation_of(
            [first, explained(budget=40, masker={"background": [row(1)], "groups": {"g": ["age", "sex"]}})]
        )
    with pytest.raises(probe.ConfigError, match="no explanation"):
        shap_explanation([])

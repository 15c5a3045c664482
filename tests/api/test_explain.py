"""``probe.explain`` and ``probe.run`` from ordinary code and from a running loop."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import probe
from tests.cli.program import texts_config, write
from tests.servers import RunningServer

WEIGHTS = {"awful": -3.0, "slow": -1.0, "lovely": 2.0}


def sentiment(texts: Sequence[str]) -> list[Mapping[str, float]]:
    """Additive in its words, so that every method has one right answer."""
    scores = [sum(WEIGHTS.get(word.strip(".,").lower(), 0.0) for word in text.split()) for text in texts]
    return [{"sentiment": score} for score in scores]


def linear(rows: Sequence[Mapping[str, float]]) -> NDArray[np.float64]:
    return np.array([row["a"] + 2 * row["b"] - 3 * row["c"] for row in rows])


def top_left(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
    return np.array([picture[:16, :16].mean() / 255 for picture in pictures])


@pytest.mark.parametrize("method", ["occlusion", "shapley", "lime"])
def test_a_function_of_texts(method: str) -> None:
    result = probe.explain(
        sentiment, "The lovely staff was slow, and the food awful.", method=method, target="sentiment"
    )
    found = dict(zip(result.names, result.values, strict=True))
    for word, weight in WEIGHTS.items():
        assert found[word] == pytest.approx(weight, abs=1e-6)
    assert sum(abs(value) > 1e-6 for value in result.values) == 3
    assert [name for name, _ in result.top(2)] == ["awful", "lovely"]
    assert result.full_value == pytest.approx(-2)
    assert result.probe.status == "finished"


def test_several_methods_on_one_bill() -> None:
    asked: list[str] = []

    def counted(texts: Sequence[str]) -> list[Mapping[str, float]]:
        asked.extend(texts)
        return sentiment(texts)

    text = "The lovely staff was slow, and the food awful."
    results = probe.explain_all(
        counted, text, methods=("occlusion", {"lime": {"kernel_width": 0.5}}, "shapley"), target="sentiment", budget=80
    )
    assert len(asked) == len(set(asked)) <= 80
    assert [result.probe.method for result in results] == ["occlusion", "lime", "shapley"]
    assert sum(result.probe.requests for result in results) == results[2].probe.requests
    for result in results:
        assert dict(zip(result.names, result.values, strict=True))["awful"] == pytest.approx(-3, abs=1e-6)


def test_a_card_to_trust_it_by() -> None:
    text = "The lovely staff was slow, and the food awful, said the man who came from afar."
    good = probe.explain(sentiment, text, method="kernelshap", target="sentiment", budget=200, repeats=2).trust
    assert (good.verdict, good.advice) == ("good", ())
    assert good.figures["agreement"] == pytest.approx(1)
    assert "endpoint noise none" in good.line()
    rng = np.random.default_rng(0)
    noisy = probe.explain(lambda texts: rng.random(len(texts)), text, method="lime", budget=60).trust
    assert noisy.verdict == "poor"
    assert noisy.advice


def test_stop_when_it_is_enough() -> None:
    text = " ".join(f"word{index}" for index in range(12)) + " lovely"
    options: dict[str, Any] = {"method": "kernelshap", "target": "sentiment", "budget": 400}
    early = probe.explain(sentiment, text, stop={"half_width": 0.01, "top": 3}, **options)
    assert early.probe.evaluations < 400
    for wrong in ({}, {"half_width": 0}, {"tpo": 3}):
        with pytest.raises(probe.ConfigError, match=r"^stop"):
            probe.explain(sentiment, text, stop=wrong, **options)


def test_a_function_of_rows_with_a_background() -> None:
    background = [{"a": 0.0, "b": 0.0, "c": 0.0, "d": 0.0}, {"a": 2.0, "b": 4.0, "c": 6.0, "d": 1.0}]
    row = {"a": 1.0, "b": 1.0, "c": 1.0, "d": 9.0}
    result = probe.explain(linear, row, method="shapley", masker={"background": background, "fill": "rows"})
    # a linear model's Shapley values: weight × (value − mean of the background)
    assert result.values == pytest.approx([0.0, -2.0, 6.0, 0.0], abs=1e-9)
    assert result.names == ("a", "b", "c", "d")
    assert result.values[3] == 0.0
    assert result.base_value == pytest.approx(1 + 4 - 9)


def test_a_background_may_be_a_data_frame() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame([{"a": 0.0, "b": 0.0, "c": 0.0}, {"a": 2.0, "b": 4.0, "c": 6.0}])
    result = probe.explain(linear, {"a": 1.0, "b": 1.0, "c": 1.0}, masker={"background": frame, "fill": "rows"})
    assert result.values == pytest.approx([0.0, -2.0, 6.0], abs=1e-9)


def test_a_function_of_pictures() -> None:
    picture = np.full((64, 64, 3), 255, dtype=np.uint8)
    settings = {"occlusion": {"window": 16, "stride": 16, "fill": "black"}}
    result = probe.explain(top_left, picture, method=settings)
    assert result.values[0] == pytest.approx(1.0)
    assert np.count_nonzero(result.values) == 1
    html = result._repr_html_()
    assert "data:image/png;base64," in html


def test_what_a_notebook_shows_is_inert() -> None:
    text = "<script>alert(1)</script> lovely <img src=x onerror=alert(2)>"
    html = probe.explain(sentiment, text, method="occlusion", target="sentiment")._repr_html_()
    assert "lovely" in html
    assert "<script" not in html.lower()
    assert "<img" not in html.lower()
    assert not re.search(r"""(src|href)\s*=\s*["']?https?:""", html)


def test_the_same_seed_gives_the_same_numbers() -> None:
    text = " ".join(f"word{index}" for index in range(30)) + " lovely awful"
    options: dict[str, Any] = {"method": "kernelshap", "budget": 120, "target": "sentiment"}
    first, again, other = (probe.explain(sentiment, text, seed=seed, **options) for seed in (1, 1, 2))
    assert first.values.tolist() == again.values.tolist()
    assert first.std_errors.tolist() == again.std_errors.tolist()
    assert first.probe.params["seed"] != other.probe.params["seed"]


def test_inside_a_running_loop() -> None:
    async def work() -> tuple[probe.Result, probe.Result]:
        awaited = await probe.aexplain(sentiment, "lovely food", method="occlusion", target="sentiment")
        called = probe.explain(sentiment, "lovely food", method="occlusion", target="sentiment")
        return awaited, called

    awaited, called = asyncio.run(work())
    assert awaited.values.tolist() == called.values.tolist() == pytest.approx([2.0, 0.0])


def test_an_endpoint_by_name(server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, texts_config(server.url))
    monkeypatch.chdir(tmp_path)
    text = "the refund took exceedingly long"
    result = probe.explain("words", text, method="occlusion", target="long")
    sent = server.counts()["billed_items"]
    assert sent == 6
    assert result.shown.endpoint.name == "words"
    again = probe.explain("words", text, method="occlusion", target="long")
    assert server.counts()["billed_items"] == sent, "the config's ledger has the answers"
    assert again.values.tolist() == result.values.tolist()
    probe.explain("words", text, method="occlusion", target="short")
    assert server.counts()["billed_items"] == sent, "another label is in the same answers"


def test_run_returns_what_the_command_stores(
    server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write(tmp_path, texts_config(server.url, methods=["occlusion", "lime"], budget=40))
    heard: list[str] = []
    results = probe.run(config, on_event=lambda event: heard.append(type(event).__name__))
    assert results.exit_code == 0
    assert results.reasons == ()
    assert [result.probe.method for result in results] == ["occlusion", "lime"]
    assert len(results) == 2
    assert results[1].values.shape == (7,)
    assert heard[0] == "RunStarted"
    assert heard[-1] == "RunFinished"
    assert results.run.id in results.text()
    assert results.html().lower().startswith("<!doctype html>")
    assert "exceedingly" in results._repr_html_()
    assert (tmp_path / "probe.db").exists()
    again = probe.run(config, storage=f"sqlite:///{tmp_path / 'probe.db'}")
    assert again.run.totals["sent"] == 0
    # a relative path in the environment is relative to where the program runs, not to the config
    monkeypatch.setenv("PROBE_STORAGE", "sqlite:///elsewhere.db")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert probe.run(config).run.totals["sent"] > 0
    assert (tmp_path / "work" / "elsewhere.db").exists()


def fails(texts: Sequence[str]) -> list[float]:
    raise RuntimeError("no weights loaded")


ERRORS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "model": ({"model": 3}, probe.ConfigError, "a function, an adapter or an endpoint's name, not int"),
    "method": ({"method": "lmie"}, probe.ConfigError, "did you mean 'lime'?"),
    "setting": ({"method": {"lime": {"kernel_widht": 1}}}, probe.ConfigError, "'kernel_width'"),
    "masker": ({"masker": {"segment": 3}}, probe.ConfigError, "'segment'"),
    "budget": ({"budget": 2}, probe.ConfigError, "budget of 2"),
    "instance": ({"instance": object()}, probe.ConfigError, "object is not a text"),
    "picture": ({"instance": np.zeros((4, 4))}, probe.ConfigError, "uint8"),
    "no background": ({"model": linear, "instance": {"a": 1.0}}, probe.ConfigError, "background"),
    "target": ({"target": "nobody"}, probe.ConfigError, "'nobody'"),
    "config": ({"model": "words", "config": "none.yaml"}, probe.ConfigError, "none.yaml: no such file"),
    "raises": ({"model": fails}, probe.EndpointDown, "no weights loaded"),
    "rows": ({"model": lambda texts: [1.0, 2.0, 3.0]}, probe.EndpointDown, "3 rows for 1 inputs"),
    "words": ({"model": lambda texts: ["good"] * len(texts)}, probe.EndpointDown, "array of shape"),
    "NaN": ({"model": lambda texts: [float("nan")] * len(texts)}, probe.EndpointDown, "NaN"),
    "storage": ({"storage": "sqlite:///none/probe.db"}, probe.StorageError, "none does not exist"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_are_one_line(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options, kind, words = ERRORS[case]
    given = {"model": sentiment, "instance": "lovely food", "method": "shapley", **options}
    with pytest.raises(kind) as caught:
        probe.explain(**given)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)

"""``probe.survey`` on functions, endpoints, data frames and texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import probe
from tests.cli.program import rows_endpoint, write
from tests.servers import RunningServer

METHODS = ["permutation", "pdp", "ale", {"surrogate": {"drawn": 40}}, {"beeswarm": {"budget": 16}}]


def people(n: int = 30) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    homes = rng.choice(["own", "rent"], n).tolist()
    return [
        {"age": age, "income": income, "home": home}
        for age, income, home in zip(
            rng.integers(18, 80, n).tolist(), rng.normal(50, 20, n).round(1).tolist(), homes, strict=True
        )
    ]


class Model:
    """Adds up; counts what it is asked."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
        self.asked.update(str(dict(row)) for row in rows)
        scores = [0.3 + 0.004 * row["age"] + 0.2 * (row["home"] == "own") for row in rows]
        return [{"yes": score, "no": 1 - score} for score in scores]


def found(results: probe.Results) -> dict[str, dict[str, float]]:
    return {each.probe.method: dict(zip(each.names, each.values.tolist(), strict=True)) for each in results}


def test_methods_share_one_bill() -> None:
    model, rows = Model(), people()
    results = probe.survey(model, rows, methods=METHODS, target="yes")
    assert max(model.asked.values()) == 1, "nothing is asked twice"
    assert results.exit_code == 0
    figures = found(results)
    assert figures["permutation"]["income"] == figures["pdp"]["income"] == figures["ale"]["income"] == 0
    assert figures["beeswarm"]["income"] == pytest.approx(0, abs=1e-9)
    own = np.array([row["home"] == "own" for row in rows])
    assert figures["ale"]["home"] == pytest.approx(0.2 * own.std())
    assert figures["pdp"]["home"] == pytest.approx(0.2 / 4)
    age = np.array([row["age"] for row in rows])
    phi = 0.004 * (age - np.sort(age)[(len(age) - 1) // 2])  # a linear model's shares against the median row
    assert figures["beeswarm"]["age"] == pytest.approx(float(np.abs(phi).mean()), rel=1e-6)


def test_the_default_target_is_the_label_that_is_best_most_often() -> None:
    results = probe.survey(Model(), people(), methods=["permutation"])
    assert results[0].probe.target == "yes"


def test_labels_are_a_column_or_values_and_the_model_never_gets_them() -> None:
    rows = people()
    truth = ["yes" if row["age"] > 50 else "no" for row in rows]
    model = Model()
    labelled = [{**row, "paid": label} for row, label in zip(rows, truth, strict=True)]
    column = probe.survey(model, labelled, labels="paid", methods=["permutation"])
    assert not any("paid" in row for row in model.asked)
    values = probe.survey(Model(), rows, labels=truth, methods=["permutation"])
    assert found(column) == found(values)
    assert column[0].probe.details["metric"] == "accuracy"
    with pytest.raises(probe.ConfigError, match="labels: 2 of them for 30 inputs"):
        probe.survey(Model(), rows, labels=["yes", "no"])


def test_a_data_frame_and_an_array() -> None:
    pandas = pytest.importorskip("pandas")
    rows = people()
    frame = probe.survey(Model(), pandas.DataFrame(rows), methods=["ale"], target="yes")
    assert found(frame) == found(probe.survey(Model(), rows, methods=["ale"], target="yes"))
    cells = np.random.default_rng(0).normal(size=(20, 2))
    array = probe.survey(
        lambda rows: [{"y": row["u"] - 2 * row["v"]} for row in rows], cells, columns=["u", "v"], methods=["ale"]
    )
    assert set(found(array)["ale"]) == {"u", "v"}


def test_words_over_texts() -> None:
    weights = {"awful": -3.0, "slow": -1.0, "lovely": 2.0}

    def sentiment(texts: Sequence[str]) -> list[dict[str, float]]:
        return [{"mood": sum(weights.get(word.strip(".,").lower(), 0.0) for word in text.split())} for text in texts]

    texts = ["Slow and awful.", "Lovely food, lovely staff", "The staff was slow"]
    results = probe.survey(sentiment, texts, methods=["beeswarm"])
    figures = found(results)["beeswarm"]
    assert figures["awful"] == pytest.approx(1)
    assert figures["lovely"] == pytest.approx(4 / 3)
    assert figures["slow"] == pytest.approx(2 / 3)
    assert figures["staff"] == pytest.approx(0, abs=1e-9)
    with pytest.raises(probe.ConfigError, match="permutation surveys table rows, not text inputs; use beeswarm"):
        probe.survey(sentiment, texts, methods=["permutation"])


def test_the_same_seed_gives_the_same_numbers_and_another_sample_others() -> None:
    options: dict[str, Any] = {"methods": ["permutation", "surrogate"], "target": "yes", "sample": 20}
    first, again, other = (probe.survey(Model(), people(60), seed=seed, **options) for seed in (1, 1, 2))
    assert found(first) == found(again)
    assert found(first) != found(other)
    assert first[0].probe.details["survey"]["inputs"] == 20


def test_what_it_would_cost_is_held_to_the_budget_before_anything_is_asked() -> None:
    model = Model()
    with pytest.raises(probe.ConfigError, match=r"need up to .* evaluations and the budget is 100"):
        probe.survey(model, people(), budget=100)
    assert not model.asked


def test_a_stored_survey_is_reported_again(
    server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"endpoints": {"rows": rows_endpoint(server.url)}, "probes": {}, "surveys": _any(server)})
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    rows = [dict(zip("abcd", row, strict=True)) for row in rng.normal(size=(12, 4)).round(2).tolist()]
    results = probe.survey("rows", rows, methods=METHODS, target="positive")
    sent = server.counts()["billed_items"]
    page = results.html()
    for mark in ("The surrogate, whole", "Beeswarm of the shares", "thin lines are single rows", "0 is the set's mean"):
        assert mark in page
    assert "<script" not in page
    again = probe.survey("rows", rows, methods=METHODS, target="negative")
    assert server.counts()["billed_items"] == sent, "every label is in the same answers"
    assert found(again)["ale"] == pytest.approx(found(results)["ale"])
    assert "Beeswarm" in results[4]._repr_html_()


def _any(server: RunningServer) -> dict[str, Any]:
    return {"s": {"inputs": {"inline": [{"a": 1.0}]}, "endpoints": ["rows"], "methods": ["pdp"]}}


def test_an_endpoint_that_refuses_some_rows_is_told() -> None:
    def picky(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
        if any(row["age"] > 70 for row in rows):
            raise ValueError("too old")
        return [{"yes": row["age"] / 100} for row in rows]

    rows = people(40)
    results = probe.survey(picky, rows, methods=["ale"])
    codes = {finding["code"] for finding in results[0].probe.findings}
    assert codes & {"P101", "P102"}
    assert results[0].probe.full_value == pytest.approx(np.mean([row["age"] / 100 for row in rows if row["age"] <= 70]))

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestRegressor
from sklearn.metrics import r2_score

from probe.surveys.base import Query, RowSet
from probe.surveys.surrogate import Surrogate
from tests.unit.surveys.tables import Floats, answers, ask, numbers


def loans(n: int = 120) -> RowSet:
    rng = np.random.default_rng(2)
    cells = zip(
        rng.integers(18, 80, n).tolist(),
        rng.choice(["own", "rent"], n).tolist(),
        rng.normal(50, 20, n).tolist(),
        rng.normal(size=n).tolist(),
        strict=True,
    )
    return RowSet.of([dict(zip(("age", "home", "income", "odd"), row, strict=True)) for row in cells])


def threshold(asked: Any) -> Floats:
    return np.array([0.9 if r["home"] == "own" and r["age"] > 40 else 0.1 for r in asked])


def linear(asked: Any) -> Floats:
    return np.array([0.25 + 0.5 * r["age"] - 3.0 * (r["home"] == "own") for r in asked])


def test_a_tree_finds_the_rules_of_a_model_that_has_some() -> None:
    rows = loans()
    found = ask(rows, Surrogate(depth=2).design(rows, seed=1), threshold)
    assert found.trust["fidelity"] > 0.9
    rules = found.details["rules"]
    assert len(rules) == 3
    own = next(line for line in rules if "0.9 " in line)
    assert "home is own" in own
    # the ages of the set leave the threshold of 40 a gap of a year or two
    assert 37 < float(own.partition("age > ")[2].partition(":")[0]) < 43
    assert not any("odd" in line or "income" in line for line in rules)
    assert found.values[found.names.index("odd")] == 0
    assert found.values.sum() == pytest.approx(1)


def test_a_linear_model_is_found_exactly() -> None:
    rows = loans()
    found = ask(rows, Surrogate(form="linear").design(rows, seed=1), linear)
    assert found.trust["fidelity"] == pytest.approx(1)
    assert found.trust["fidelity_se"] == pytest.approx(0, abs=1e-9)
    said = " ; ".join(found.details["rules"])
    assert "+ 0.5 × age" in said
    assert found.values[found.names.index("age")] == pytest.approx(0.5 * 18, rel=0.25)
    assert found.values[found.names.index("odd")] == pytest.approx(0, abs=1e-9)


def test_fidelity_is_on_rows_that_were_held_out() -> None:
    cells, truth = load_diabetes(return_X_y=True)
    model = RandomForestRegressor(20, random_state=0).fit(cells[:200, :5], truth[:200])
    rows = RowSet.of([{f"x{j}": value for j, value in enumerate(row)} for row in cells[:150, :5].tolist()])
    design = Surrogate(depth=4, drawn=100).design(rows, seed=3)
    given = answers(rows, design, lambda asked: model.predict(np.array([list(row.values()) for row in asked])))
    found = design.read(given)
    assert 0.2 < found.trust["fidelity"] < 1
    # what is held out does not shape the fit: other answers there change the fidelity and nothing else
    values = given.values.copy()
    values[design.held_out] = np.random.default_rng(0).normal(100, 1, int(design.held_out.sum()))
    other = design.read(replace(given, values=values))
    assert other.details["rules"] == found.details["rules"]
    assert other.trust["fidelity"] < 0
    assert found.trust["held_out"] == design.held_out.sum()


def test_the_interval_of_the_fidelity_covers_that_of_many_rows() -> None:
    def model(asked: Any) -> Floats:
        return np.array([r["a"] + r["b"] ** 2 for r in asked])

    inside = []
    for seed in range(40):
        rows = numbers(80, "ab", seed=seed)
        design = Surrogate(depth=3, drawn=0).design(rows, seed)
        found = design.read(answers(rows, design, model))
        many = numbers(2000, "ab", seed=1000 + seed)
        cells = design._encoding.encode(many.rows)
        fit = design._fitted(
            design._encoding.encode([rows.rows[k] for k in np.flatnonzero(~design.held_out)]),
            model([rows.rows[k] for k in np.flatnonzero(~design.held_out)]),
        )
        truth = r2_score(model(many.rows), fit.predict(cells))
        inside.append(abs(found.trust["fidelity"] - truth) <= 2.1 * found.trust["fidelity_se"])
    assert np.mean(inside) >= 0.75  # R² on two dozen rows is skewed; the interval is a guide


def test_labels() -> None:
    rows = loans()
    model = lambda asked: np.stack([1 - threshold(asked), threshold(asked)], axis=1)  # noqa: E731
    found = ask(rows, Surrogate(of="label").design(rows, seed=1), model, labels=("no", "yes"), target="yes")
    assert found.details["metric"] == "accuracy"
    assert found.trust["fidelity"] > 0.95 > found.trust["guess"]
    assert any(": yes (100%)" in line for line in found.details["rules"])


def test_drawn_rows_come_from_the_marginals_and_from_the_seed() -> None:
    rows = loans(30)
    design = Surrogate(drawn=200).design(rows, seed=1)
    assert design.queries[:30] == rows.unaltered()
    for query in design.queries[30:]:
        for column, value in query.changes:
            assert value in rows.column(column)
    assert len({rows.render(query)["age"] for query in design.queries[30:]}) > 15
    assert Surrogate(drawn=200).design(rows, seed=1).queries == design.queries
    assert Surrogate(drawn=200).design(rows, seed=2).queries != design.queries
    assert Query(0) not in design.queries[30:]


def test_missing_values_and_rare_categories_are_encoded() -> None:
    rows = RowSet.of([{"x": None if i % 3 == 0 else i, "c": f"c{i % 30}"} for i in range(90)])
    model = lambda asked: np.array([5.0 if r["x"] is None else 0.0 for r in asked])  # noqa: E731
    found = ask(rows, Surrogate().design(rows, seed=0), model)
    assert found.trust["fidelity"] == pytest.approx(1)
    assert any("x is missing" in line and "5" in line for line in found.details["rules"])


def test_a_model_that_says_one_thing_is_a_single_rule() -> None:
    rows = numbers(30)
    for form in ("tree", "linear"):
        found = ask(rows, Surrogate(form=form).design(rows, seed=0), lambda asked: np.full(len(asked), 0.5))
        assert found.trust["fidelity"] == 1
        assert len(found.details["rules"]) == 1
        assert found.values.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"form": "forest"}, "form 'forest' is unknown"),
        ({"form": "linear", "of": "label"}, "for labels use form: tree"),
        ({"depth": 0}, "depth is 0"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Surrogate(**settings)


def test_too_few_rows() -> None:
    with pytest.raises(ValueError, match="too few"):
        Surrogate(drawn=2).design(numbers(5), seed=0)

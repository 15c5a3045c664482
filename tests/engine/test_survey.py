"""Surveys and the endpoint's rules: one limit over both parts, one reading, faults, and the targets of sets."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters import Adapter, Prediction
from probe.engine.run import RunResult, RunSettings
from probe.engine.survey_plan import plan_surveys
from probe.engine.survey_run import SurveyRunner
from probe.engine.survey_tasks import InputSet, SurveyTask, set_target
from probe.errors import ConfigError
from probe.inputs import Item
from probe.survey_setup import SurveyPlan, survey_tasks
from probe.targets import TargetSpec
from storage import Store
from tests.engine.harness import QUICK, remote, row_adapter
from tests.engine.runs import later, transport
from tests.servers import RunningServer


def table(n: int = 12) -> InputSet:
    cells = np.random.default_rng(0).normal(size=(n, 4)).round(2).tolist()
    items = tuple(Item(f"row {k}", "tabular", dict(zip("abcd", row, strict=True))) for k, row in enumerate(cells))
    return InputSet("rows", "tabular", items)


def tasks(*adapters: Adapter, inputs: InputSet | None = None, **changes: Any) -> list[SurveyTask]:
    fields: dict[str, Any] = {
        "name": "survey",
        "methods": ["permutation", {"ale": {"points": 5}}, {"beeswarm": {"of": "occlusion"}}],
        "target": TargetSpec("positive", ("positive",)),
        "budget": 10_000,
        "masker": {},
        "fresh": timedelta(hours=24),
        "seed": 1,
        "where": "survey",
    }
    return survey_tasks(SurveyPlan(**(fields | changes)), inputs or table(), [remote(each) for each in adapters])


def run(todo: list[SurveyTask], store: Store, **options: Any) -> RunResult:
    settings = RunSettings(name="survey", config="", seed=1, code_version="0", policy=QUICK)

    async def work() -> RunResult:
        result = await SurveyRunner(todo, store, settings=settings, open_transport=transport, **options).run()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    return asyncio.run(work())


def figures(result: RunResult) -> list[Mapping[str, float]]:
    return [{share.feature: share.value for share in probe.attributions} for probe in result.probes]


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with Store.open(f"sqlite:///{tmp_path}/probe.db") as opened:
        yield opened


def test_the_limit_holds_where_the_explanations_of_single_inputs_begin(server: RunningServer, store: Store) -> None:
    server.set_strict({"rate": {"limit": 20, "window": 1.0}})
    result = run(tasks(row_adapter(server.url, batch=8, limits={"rate": "20/s"})), store)
    assert {probe.status for probe in result.probes} == {"finished"}
    counts = server.counts()
    assert counts["refused_429"] == 0
    assert counts["requests"] > 20
    assert counts["billed_by_item_max"] == 1


def test_faults_change_neither_figures_nor_the_bill(server: RunningServer, store: Store, tmp_path: Path) -> None:
    undisturbed = run(tasks(row_adapter(server.url, batch=8)), store)
    billed = server.counts()["billed_items"]
    server.reset()
    server.set_strict({"faults": {"status500": 0.2, "seed": 3}})
    with Store.open(f"sqlite:///{tmp_path}/other.db") as other:
        disturbed = run(tasks(row_adapter(server.url, batch=8)), other)
    assert server.counts()["faults"]["status500"] > 0
    assert figures(disturbed) == figures(undisturbed)
    assert server.counts()["billed_items"] == billed


def test_old_answers_are_asked_again(server: RunningServer, store: Store) -> None:
    todo = tasks(row_adapter(server.url, batch=8))
    first = run(todo, store)
    planned = plan_surveys(todo, store, now=datetime.now(UTC), code_version="0")
    assert sum(line.to_send for line in planned.probes) == 0
    tomorrow = later(30)
    planned = plan_surveys(todo, store, now=tomorrow.now(), code_version="0")
    server.reset()
    again = run(todo, store, clock=tomorrow)
    assert server.counts()["billed_items"] == sum(line.to_send for line in planned.probes) > 0
    assert figures(again) == figures(first)


def test_two_endpoints_are_surveyed_side_by_side(server: RunningServer, store: Store) -> None:
    one = row_adapter(server.url, batch=8)
    other = row_adapter(server.url, name="other", batch=8, model="other")
    result = run(tasks(one, other), store)
    assert len(result.probes) == 6
    assert figures(result)[:3] == figures(result)[3:]
    assert server.counts()["billed_by_item_max"] == 2
    renamed = row_adapter(server.url, name="percent", batch=8, missing=0)
    with pytest.raises(ConfigError, match="read the answers differently"):
        run(tasks(one, renamed), store)


def test_an_endpoint_that_is_not_there_is_told_and_asked_little(store: Store) -> None:
    result = run(tasks(row_adapter("http://127.0.0.1:9", batch=8)), store)
    assert result.exit_code == 4
    assert {probe.status for probe in result.probes} == {"failed"}
    assert all(probe.error for probe in result.probes)


def test_a_target_that_is_not_there_costs_the_set_alone(server: RunningServer, store: Store) -> None:
    result = run(tasks(row_adapter(server.url, batch=8), target=TargetSpec("psitive", ("psitive",))), store)
    assert result.exit_code == 2
    assert "did you mean 'positive'?" in result.usage_errors[0]
    assert server.counts()["billed_items"] == 12


def test_the_target_of_a_set() -> None:
    answers = [Prediction({"a": x, "b": y, "c": z}) for x, y, z in ((0.6, 0.4, 0), (0.1, 0.5, 0.4), (0.2, 0.5, 0.3))]
    assert set_target(TargetSpec(), answers, where="here").name == "b"
    assert set_target(TargetSpec(), answers[:2], where="here").name == "a", "of equals the first by name"
    group = TargetSpec("a or c", ("a", "c"))
    assert set_target(group, answers, where="here").value(answers[2]) == pytest.approx(0.5)
    with pytest.raises(ConfigError, match="no labels"):
        set_target(TargetSpec(), [Prediction({}, floor=0.0)], where="here")


def test_a_set_is_known_by_its_content() -> None:
    one = table()
    assert one.id == table().id
    renamed = InputSet("other name", "tabular", tuple(Item("x", "tabular", item.instance) for item in one.items))
    assert renamed.id == one.id
    assert InputSet("rows", "tabular", one.items[::-1]).id != one.id
    assert InputSet("rows", "tabular", one.items, tuple("abcdefghijkl")).id != one.id

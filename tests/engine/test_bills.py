"""Methods that share their evaluations, and what later probes begin with; counted by the demo server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from adapters import Adapter
from probe.engine.bills import bills
from probe.engine.budget import Budget
from probe.engine.known import read_table
from probe.engine.tasks import ProbeTask
from probe.errors import ConfigError
from probe.maskers.base import Feature, Kind
from probe.methods.base import Bools, CoalitionTable, Method, OwnTable, View
from probe.methods.design import ends, enumerate_all, find_rows, leave_one_out, without_known
from probe.methods.kernelshap import KernelShap
from probe.methods.stopping import StopRule
from probe.targets import TargetSpec
from storage import Store
from tests.engine.harness import text_adapter, until
from tests.engine.runs import attributions, later, plan, run, runner, task
from tests.servers import RunningServer

TEXT = "please refund the broken kettle today because it never worked properly"
N = 11
FOUR = ("occlusion", "lime", "kernelshap", "shapley")


def several(adapter: Adapter, methods: tuple[str, ...] = FOUR, **options: Any) -> list[ProbeTask]:
    return [task(adapter, method, instance=TEXT, **({"budget": 100} | options)) for method in methods]


def one(adapter: Adapter, method: str, *, built: Method | None = None, **options: Any) -> list[ProbeTask]:
    tasks = several(adapter, (method,), **options)
    return tasks if built is None else [replace(each, method=built) for each in tasks]


@dataclass(frozen=True)
class Rounds(KernelShap):
    """Asks in rounds of five, each made of what the highest-scored answer so far keeps: a design that follows the answers."""

    name: ClassVar[str] = "rounds"
    view: ClassVar[View] = "parts"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"text"})

    def ask(self, features: tuple[Feature, ...], table: CoalitionTable, budget: int, rng: np.random.Generator) -> Bools:
        first = without_known(np.vstack([ends(N), leave_one_out(N)[1:]]), table.coalitions)
        if len(first):
            return first
        best = table.coalitions[int(np.argmax(table.values))]
        nearest = enumerate_all(N)
        nearest = nearest[np.argsort((nearest ^ best).sum(axis=1), kind="stable")]
        return without_known(nearest, table.coalitions)[: min(5, budget - table.m)]


class Apart(OwnTable, KernelShap):
    name: ClassVar[str] = "apart"


def test_four_methods_cost_what_one_costs(server: RunningServer, store: Store, tmp_path: Path) -> None:
    adapter = text_adapter(server.url, batch=7, price={"item": 0.001})
    with Store.open(f"sqlite:///{tmp_path / 'alone.db'}") as other:
        run(one(adapter, "shapley"), other)
    alone = server.counts()["billed_items"]
    server.reset()
    tasks = several(adapter)
    planned = plan(tasks, store)
    result = run(tasks, store)
    counts = server.counts()
    assert counts["billed_items"] == counts["distinct_items"] == alone == 100
    assert [probe.status for probe in result.probes] == ["finished"] * 4
    assert [probe.method for probe in result.probes] == list(FOUR)
    assert [line.to_send for line in planned.probes] == [0, 0, 0, 100], "what is sent is shapley's"
    assert [line.shared for line in planned.probes] == [100, 100, 100, 0]
    assert {line.evaluations for line in planned.probes} == {100}
    assert planned.endpoints[0].evaluations == counts["billed_items"]
    assert planned.endpoints[0].requests == counts["requests"]
    assert [probe.cost_micro for probe in result.probes] == [0, 0, 0, 100_000]
    assert len({probe.table for probe in result.probes}) == 1


def test_a_table_that_is_shared_holds_what_each_method_needs(server: RunningServer, store: Store) -> None:
    result = run(several(text_adapter(server.url), ("lime", "occlusion"), budget=60), store)
    coalitions, _ = read_table(result.probes[0].table)
    assert len(coalitions) <= 60
    assert (find_rows(coalitions, leave_one_out(N)) >= 0).all()
    (alone,) = run(one(text_adapter(server.url), "occlusion"), store).probes
    assert alone.attributions == result.probes[1].attributions


def test_a_budget_that_all_can_live_on(server: RunningServer, store: Store) -> None:
    with pytest.raises(ConfigError, match=r"probe \(instance, echo, occlusion, shapley\): .* needs at least 13"):
        plan(several(text_adapter(server.url), ("occlusion", "shapley"), budget=12), store)
    with pytest.raises(ConfigError, match="copies of the background × repeats"):
        run(several(text_adapter(server.url), ("occlusion", "shapley"), budget=25, repeats=2), store)
    assert store.runs() == []
    assert server.counts()["requests"] == 0


def test_who_shares_with_whom(server: RunningServer) -> None:
    adapter, other = text_adapter(server.url), text_adapter(server.url, name="other", query={"v": "2"})
    tasks = [
        *several(adapter, ("occlusion", "lime")),
        *one(adapter, "shapley", target=TargetSpec("short", ("short",))),
        *one(adapter, "shapley", masker={"fill": "mask"}),
        *one(adapter, "shapley", repeats=2),
        *one(adapter, "shapley", name="another"),
        *one(other, "shapley"),
        *one(adapter, "substitution"),
        *one(adapter, "shapley"),
        *one(adapter, "shapley", built=Apart()),
    ]
    shared = bills(tasks)
    assert [len(bill.tasks) for bill in shared] == [3, 1, 1, 1, 1, 1, 1, 1]
    assert [task.method.name for task in shared[0].tasks] == ["occlusion", "lime", "shapley"]
    assert shared[0].lead.method.name == "shapley"


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("lime", {"target": TargetSpec("short", ("short",))}),
        ("lime", {"settings": {"kernel_width": 0.5}}),
        ("kernelshap", {}),
        ("shapley", {"budget": 80}),
    ],
)
def test_another_question_about_the_same_features_costs_nothing(
    server: RunningServer, store: Store, method: str, changes: Mapping[str, Any]
) -> None:
    adapter = text_adapter(server.url)
    run(one(adapter, "lime"), store)
    server.reset()
    tasks = one(adapter, method, **changes)
    (line,) = plan(tasks, store).probes
    result = run(tasks, store)
    assert server.counts()["requests"] == line.to_send == 0
    assert result.probes[0].status == "finished"
    assert result.probes[0].evaluations == result.probes[0].from_ledger == changes.get("budget", 100)


def test_only_what_is_lacking_is_asked(server: RunningServer, store: Store) -> None:
    adapter = text_adapter(server.url)
    run(one(adapter, "lime"), store)
    for method, budget, lacking in (("shapley", 140, 40), ("occlusion", 140, None)):
        server.reset()
        tasks = one(adapter, method, budget=budget)
        planned = plan(tasks, store)
        result = run(tasks, store)
        billed = server.counts()["billed_items"]
        assert sum(line.to_send for line in planned.probes) == planned.endpoints[0].evaluations == billed
        assert billed == lacking if lacking else billed <= N
        assert result.probes[0].evaluations == (budget if lacking else N + 1)


def test_another_seed_begins_afresh(server: RunningServer, store: Store) -> None:
    adapter = text_adapter(server.url)
    first = run(one(adapter, "lime"), store)
    other = run(one(adapter, "lime", seed=2), store)
    assert attributions(first) != attributions(other)
    assert 100 < server.counts()["billed_items"] < 200


def test_the_same_question_keeps_its_coalitions(server: RunningServer, store: Store) -> None:
    """Whatever was asked in between, and also when every answer is too old to count."""
    adapter = text_adapter(server.url)
    run(one(adapter, "lime"), store)
    second = run(several(adapter, ("occlusion", "kernelshap"), budget=90), store)
    run(one(adapter, "shapley", budget=200), store)
    server.reset()
    assert attributions(run(several(adapter, ("occlusion", "kernelshap"), budget=90), store)) == attributions(second)
    assert server.counts()["requests"] == 0
    again = run(several(adapter, ("occlusion", "kernelshap"), budget=90), store, clock=later(48))
    assert attributions(again) == attributions(second)
    assert server.counts()["billed_items"] == 90


def test_old_answers_are_nothing_to_begin_with(server: RunningServer, store: Store) -> None:
    adapter = text_adapter(server.url)
    run(one(adapter, "lime"), store)
    server.reset()
    run(one(adapter, "shapley"), store, clock=later(48))
    assert server.counts()["billed_items"] == 100


def test_a_resumed_run_goes_on_as_it_began(server: RunningServer, store: Store, tmp_path: Path) -> None:
    adapter = text_adapter(server.url)
    with Store.open(f"sqlite:///{tmp_path / 'other.db'}") as other:
        whole = run(several(adapter), other)
    stopped = run(several(adapter), store, budget=Budget.parse("30req"))
    assert stopped.run.status == "partial"
    run(one(adapter, "lime", name="in between"), store)
    done = run(several(adapter), store)
    assert done.run.id == stopped.run.id
    assert attributions(done) == attributions(whole)


def test_a_refused_coalition_does_not_end_the_asking(server: RunningServer, store: Store) -> None:
    adapter = text_adapter(server.url, retry={"never": [500]})
    server.set_strict({"faults": {"poison": [TEXT.replace(" kettle", "")]}})
    run(one(adapter, "lime", budget=30), store)
    result = run(several(adapter), store)
    shapley = result.probes[3]
    assert shapley.status == "finished"
    assert shapley.evaluations == 100 - sum(finding["code"] == "P101" for finding in shapley.findings) == 99
    server.reset()
    assert attributions(run(several(adapter), store))[1:] == attributions(result)[1:]
    assert server.counts()["requests"] == 0


def test_a_design_that_follows_the_answers(server: RunningServer, store: Store, tmp_path: Path) -> None:
    adapter = text_adapter(server.url, batch=3)
    tasks = one(adapter, "lime", built=Rounds(), budget=43)
    planned = plan(tasks, store)
    assert planned.probes[0].at_most
    result = run(tasks, store)
    counts = server.counts()
    assert planned.probes[0].to_send == counts["billed_items"] == counts["distinct_items"] == 43
    assert planned.endpoints[0].requests == counts["requests"]
    server.reset()
    again = plan(tasks, store)
    assert (again.probes[0].at_most, again.probes[0].in_ledger, again.endpoints[0].evaluations) == (False, 43, 0)
    assert attributions(run(tasks, store)) == attributions(result)
    assert server.counts()["requests"] == 0
    larger = one(adapter, "lime", built=Rounds(), budget=60, target=TargetSpec("short", ("short",)))
    assert plan(larger, store).endpoints[0].evaluations == 17
    run(larger, store)
    assert server.counts()["billed_items"] == 17


def test_rounds_go_on_beside_an_endpoint_that_is_down(server: RunningServer, store: Store) -> None:
    gone = text_adapter("http://127.0.0.1:9", name="gone")
    tasks = [*one(gone, "lime", name="a"), *one(text_adapter(server.url), "lime", name="b", built=Rounds(), budget=43)]
    result = run(tasks, store)
    assert result.stops["gone"].kind == "down"
    assert [probe.status for probe in result.probes] == ["failed", "finished"]
    assert result.probes[1].evaluations == 43


def test_interrupted_between_rounds_is_not_finished(server: RunningServer, store: Store) -> None:
    adapter = text_adapter(server.url, limits={"rate": "20/s"})
    tasks = one(adapter, "lime", built=Rounds(), budget=43)

    async def work() -> Any:
        working = runner(tasks, store)
        running = asyncio.create_task(working.run())
        await until(lambda: server.counts()["answered"] >= N + 1)
        working.interrupt()
        return await running

    stopped = asyncio.run(work())
    assert stopped.probes[0].status == "partial"
    done = run(one(text_adapter(server.url), "lime", built=Rounds(), budget=43), store)
    assert done.run.id == stopped.run.id
    assert done.probes[0].status == "finished"
    assert server.counts()["billed_items"] == server.counts()["distinct_items"] == 43


def test_the_strictest_freshness_of_a_bill_is_its_own(server: RunningServer, store: Store) -> None:
    adapter = text_adapter(server.url)
    run(one(adapter, "lime"), store)
    server.reset()
    run(one(adapter, "shapley", fresh=timedelta(0)), store)
    assert server.counts()["billed_items"] == 100


def test_enough_is_enough(server: RunningServer, store: Store) -> None:
    """An additive game of the logit is not additive, but nearly: intervals are narrow long before the budget."""
    adapter = text_adapter(server.url)
    rule = StopRule(half_width=0.1)
    tasks = several(adapter, ("lime", "kernelshap"), budget=1000, stop=rule)
    planned = plan(tasks, store)
    assert planned.endpoints[0].evaluations == 1000
    assert all(line.at_most for line in planned.probes)
    result = run(tasks, store)
    sent = server.counts()["billed_items"]
    assert sent in rule.looks(N, 1000)[:-1]
    kernelshap = result.probes[1]
    assert kernelshap.evaluations == sent
    assert "within ±0.1" in kernelshap.details["stop"]["reason"]
    assert kernelshap.status == "finished"
    server.reset()
    assert attributions(run(tasks, store)) == attributions(result)
    assert server.counts()["requests"] == 0
    run(several(adapter, ("lime", "kernelshap"), budget=1000), store)
    assert server.counts()["billed_items"] == 1000 - sent


def test_a_rule_that_is_never_content_uses_the_budget(server: RunningServer, store: Store) -> None:
    tasks = one(text_adapter(server.url), "kernelshap", stop=StopRule(half_width=1e-9))
    planned = plan(tasks, store)
    result = run(tasks, store)
    assert server.counts()["billed_items"] == planned.endpoints[0].evaluations == 100
    assert result.probes[0].details["stop"]["reason"] is None


def test_repeats_of_a_deterministic_endpoint_change_nothing(server: RunningServer, store: Store) -> None:
    adapter = text_adapter(server.url)
    once, thrice = (run(one(adapter, "lime", repeats=n, budget=60 * n), store) for n in (1, 3))
    assert attributions(once) == attributions(thrice)
    assert "noise_share" not in thrice.probes[0].trust

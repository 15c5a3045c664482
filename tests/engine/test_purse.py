"""One budget for everybody who works on a run: never overspent, whoever takes, given back where nothing was sent."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from probe.engine.budget import Budget
from probe.engine.purse import SharedBudget
from probe.errors import BudgetReached
from storage import Purse, Spent, Store
from tests.engine.harness import text_adapter
from tests.engine.runs import run, task
from tests.servers import RunningServer

ROOT = Path(__file__).resolve().parents[2]


def shared(store: Store, text: str, name: str = "run 1") -> SharedBudget:
    return SharedBudget(Budget.parse(text), Purse(store), name)


async def spend(budget: SharedBudget, micro: int, *, most: int = 1000) -> int:
    """How often it could be taken."""
    for count in range(most):
        await budget.secure(micro)
        try:
            budget.take(micro)
        except BudgetReached:
            return count
    return most


def test_two_spend_no_more_than_one_would(store: Store) -> None:
    async def work() -> list[int]:
        return list(await asyncio.gather(*(spend(shared(store, "50req"), 0) for _ in range(2))))

    assert sum(asyncio.run(work())) == 50
    assert Purse(store).spent("run 1") == Spent(50, 0)


def test_money_is_spent_to_the_last_request_that_fits(store: Store) -> None:
    async def work() -> tuple[int, str]:
        budget = shared(store, "0.01usd")
        count = await spend(budget, 3000)
        with pytest.raises(BudgetReached) as reached:
            budget.take(3000)
        return count, str(reached.value)

    count, said = asyncio.run(work())
    assert count == 3
    assert said == (
        "the next request (0.003) would exceed the budget of 0.01 (0.009 spent); raise --budget and run the same command"
    )


def test_what_is_left_over_is_given_back(store: Store) -> None:
    async def work() -> None:
        budget = shared(store, "100req,1usd")
        assert await spend(budget, 100, most=3) == 3
        budget.give_back(100)  # nothing left this machine
        budget.refund(60)  # it cost less than was thought
        await budget.aclose()
        assert (budget.spent_requests, budget.spent_micro) == (2, 140)

    asyncio.run(work())
    assert Purse(store).spent("run 1") == Spent(2, 140)


def test_a_price_above_the_estimate_is_made_up_for(store: Store) -> None:
    async def work() -> None:
        budget = shared(store, "0.001usd")
        assert await spend(budget, 250) == 4
        budget.refund(-300)
        await budget.aclose()

    asyncio.run(work())
    assert Purse(store).spent("run 1") == Spent(4, 1300)


def test_a_run_that_is_taken_up_goes_on_with_what_is_left(server: RunningServer, store: Store) -> None:
    adapter = text_adapter(server.url)
    for budget, sent in (("20req", 20), ("20req", 20), ("30req", 30), ("500req", 64)):
        result = run([task(adapter, "shapley")], store, budget=Budget.parse(budget))
        assert server.counts()["requests"] == sent
    assert result.exit_code == 0


def test_what_was_sent_without_a_budget_counts_too(server: RunningServer, store: Store) -> None:
    adapter = text_adapter(server.url)
    stopped = run([task(adapter, "shapley")], store, budget=Budget.parse("20req"))
    purse = Purse(store)
    purse.give_back(f"run {stopped.run.id}", requests=20, micro=0)  # as if it had been sent without
    run([task(adapter, "shapley")], store, budget=Budget.parse("25req"))
    assert server.counts()["requests"] == 25


PROCESS = """
import asyncio, json, sys
from probe.engine.budget import Budget
from storage import Store
from tests.engine.harness import text_adapter
from tests.engine.runs import run, task

url, storage = sys.argv[1:]
with Store.open(storage, timeout=30) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    instance = " ".join(f"word{number}" for number in range(8))
    result = run([task(text_adapter(url), "shapley", instance=instance)], store, budget=Budget.parse("60req"))
    print(json.dumps({"exit": result.exit_code, "run": result.run.id}))
"""


def test_processes_that_work_on_one_run_share_its_budget(server: RunningServer, storage_url: str) -> None:
    """Both take up the run that an earlier process began, and ask the same: what one spends the other has not."""
    instance = " ".join(f"word{number}" for number in range(8))
    with Store.open(storage_url) as store:
        run([task(text_adapter(server.url), "shapley", instance=instance)], store, budget=Budget.parse("10req"))
    server.set_strict({"latency": {"mean": 0.02}})
    command = [sys.executable, "-c", PROCESS, server.url, storage_url]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    processes = [subprocess.Popen(command, **pipes) for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    said = [json.loads(process.communicate("go\n", timeout=60)[0]) for process in processes]
    assert said[0]["run"] == said[1]["run"]
    assert 3 in {each["exit"] for each in said}
    assert server.counts()["requests"] <= 60

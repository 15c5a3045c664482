"""Plan, run, ledger and resumption against the demo server."""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters import HttpResponse
from adapters.http import HttpAdapter
from probe.engine.budget import Budget
from probe.engine.events import EvaluationDone, Event, ProbeFinished, RunFinished, RunStarted
from probe.engine.keys import evaluation_key
from probe.engine.throttle import PacedThrottler
from probe.errors import ConfigError
from probe.targets import TargetSpec
from storage import Store
from tests.engine.harness import remote, row_adapter, text_adapter, until
from tests.engine.runs import ROW, SENTENCE, attributions, later, plan, run, runner, task, transport
from tests.servers import RunningServer

BACKGROUND = [{"a": 0.0, "b": 0.0, "c": 0.0, "d": 0.0}, {"a": 2.0, "b": -1.0, "c": 0.5, "d": 0.0}]


def rows(url: str, method: str = "shapley", **options: Any) -> Any:
    masker = {"background": BACKGROUND, "fill": "rows"}
    return task(row_adapter(url), method, instance=ROW, kind="tabular", masker=masker, **options)


def test_what_two_probes_share_is_sent_once(server: RunningServer, store: Store) -> None:
    adapter = text_adapter(server.url)
    tasks = [task(adapter, "occlusion", name="one"), task(adapter, "shapley", name="two")]
    events: list[Event] = []
    result = run(tasks, store, emit=events.append)
    counts = server.counts()
    assert counts["billed_items"] == counts["distinct_items"] == 2**6  # shapley takes all, occlusion's are among them
    assert result.exit_code == 0
    assert [probe.status for probe in result.probes] == ["finished", "finished"]
    assert result.run.totals["sent"] == counts["requests"]
    both = [event for event in events if isinstance(event, EvaluationDone) and event.probes == ("one", "two")]
    assert len(both) == 7
    assert sum(probe.requests for probe in result.probes) == counts["requests"]
    assert isinstance(events[0], RunStarted)
    assert isinstance(events[-1], RunFinished)
    assert [event.method for event in events if isinstance(event, ProbeFinished)] == ["occlusion", "shapley"]


@pytest.mark.parametrize("batch", [1, 5])
def test_the_plan_is_what_the_server_counts(server: RunningServer, store: Store, batch: int) -> None:
    one = text_adapter(server.url, batch=batch, price={"request": 0.002, "item": 0.001})
    two = text_adapter(server.url, name="other", batch=7, query={"v": "2"}, limits={"rate": "100/s"})
    tasks = [
        task(one, "occlusion", name="a"),
        task(one, "shapley", name="a", repeats=2),
        task(two, "lime", name="b", budget=40),
        rows(server.url, name="c", repeats=2),
    ]
    planned = plan(tasks, store)
    assert server.counts()["requests"] == 0
    result = run(tasks, store)
    counts = server.counts()
    assert sum(endpoint.requests for endpoint in planned.endpoints) == counts["requests"] == result.run.totals["sent"]
    assert sum(endpoint.evaluations for endpoint in planned.endpoints) == counts["billed_items"]
    assert sum(probe.to_send for probe in planned.probes) == counts["billed_items"]
    assert sum(endpoint.cost_micro for endpoint in planned.endpoints) == result.run.totals["cost_micro"]
    assert [each.least_seconds for each in planned.endpoints][1] == planned.endpoints[1].requests / 100
    for probe in planned.probes:
        assert probe.evaluations == probe.in_ledger + probe.shared + probe.to_send
    again = plan(tasks, store)
    assert sum(endpoint.evaluations for endpoint in again.endpoints) == 0
    assert all(probe.to_send == 0 for probe in again.probes)


def test_nothing_is_paid_for_twice(server: RunningServer, store: Store) -> None:
    adapter = text_adapter(server.url, price={"request": 0.002})
    first = run([task(adapter)], store)
    server.reset()
    second = run([task(adapter)], store)
    assert server.counts()["requests"] == 0
    assert attributions(first) == attributions(second)
    assert first.run.id != second.run.id
    assert second.run.totals["from_ledger"] == second.probes[0].from_ledger == 7
    assert (second.run.totals["sent"], second.run.totals["cost_micro"], second.probes[0].cost_micro) == (0, 0, 0)


def test_old_answers_are_asked_again_and_kept(server: RunningServer, store: Store) -> None:
    adapter = text_adapter(server.url)
    run([task(adapter)], store)
    server.reset()
    run([task(adapter)], store, clock=later(25))
    assert server.counts()["billed_items"] == 7
    key = evaluation_key(adapter.identity, SENTENCE)
    assert [(entry.generation, entry.state) for entry in store.entries([key])] == [(0, "answered"), (1, "answered")]
    server.reset()
    run([task(adapter, fresh=timedelta(hours=72))], store, clock=later(90))
    assert server.counts()["billed_items"] == 0


def test_the_stricter_of_two_probes_decides_what_is_fresh(server: RunningServer, store: Store) -> None:
    adapter = text_adapter(server.url)
    run([task(adapter)], store)
    server.reset()
    tasks = [task(adapter, name="old"), task(adapter, "shapley", name="new", fresh=timedelta(0))]
    run(tasks, store)
    assert server.counts()["billed_items"] == 64


class Bomb(Exception):
    pass


def exploding(after: int) -> Any:
    count = itertools.count(1)

    def hear(event: Event) -> None:
        if isinstance(event, EvaluationDone) and next(count) >= after:
            raise Bomb

    return hear


@pytest.mark.parametrize("after", [1, 5, 30])
def test_a_run_that_was_killed_goes_on_to_the_same_end(
    server: RunningServer, store: Store, tmp_path: Path, after: int
) -> None:
    adapter = text_adapter(server.url, batch=4)
    tasks = [task(adapter, "lime", budget=50), task(adapter, "shapley", budget=60)]
    with Store.open(f"sqlite:///{tmp_path / 'other.db'}") as other:
        whole = run(tasks, other)
    server.reset()
    with pytest.raises(Bomb):
        run(tasks, store, emit=exploding(after))
    events: list[Event] = []
    result = run(tasks, store, emit=events.append)
    assert isinstance(events[0], RunStarted)
    assert events[0].resumed
    assert attributions(result) == attributions(whole)
    assert result.exit_code == 0
    counts = server.counts()
    assert counts["billed_items"] == counts["distinct_items"]
    assert [found.id for found in store.runs()] == [result.run.id]


def test_two_fresh_runs_are_equal_to_the_last_bit(server: RunningServer, tmp_path: Path) -> None:
    results = []
    for number, batch in enumerate((1, 16)):
        adapter = text_adapter(server.url, batch=batch)
        tasks = [task(adapter, name) for name in ("occlusion", "lime", "shapley", "kernelshap")]
        tasks.append(rows(server.url))
        with Store.open(f"sqlite:///{tmp_path / str(number)}.db") as own:
            results.append(attributions(run(tasks, own)))
    assert results[0] == results[1]


def test_a_resumed_run_counts_its_own_answers_whatever_their_age(server: RunningServer, store: Store) -> None:
    adapter = text_adapter(server.url)
    with pytest.raises(Bomb):
        run([task(adapter, fresh=timedelta(0))], store, emit=exploding(4))
    answered = server.counts()["billed_items"]
    result = run([task(adapter, fresh=timedelta(0))], store, clock=later(1000))
    assert server.counts()["billed_items"] == 7
    assert result.run.totals["from_ledger"] >= min(4, answered)


def test_what_was_in_flight_is_unsure_and_sent_once_more(server: RunningServer, store: Store) -> None:
    """The event loop dies with requests in flight, as in a crash."""
    server.set_strict({"latency": {"mean": 0.3}})
    adapter = text_adapter(server.url)

    async def work() -> None:
        running = asyncio.create_task(runner([task(adapter)], store).run())
        await until(lambda: server.counts()["in_flight"] >= 6)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(work())
    server.set_strict({})
    assert plan([task(adapter)], store).endpoints[0].unsure == 6
    events: list[Event] = []
    result = run([task(adapter)], store, emit=events.append)
    assert isinstance(events[0], RunStarted)
    assert events[0].unsure == result.run.totals["unsure"] == 6
    assert server.counts()["requests"] == 1 + 6 + 6
    assert result.exit_code == 0
    key = evaluation_key(adapter.identity, SENTENCE)
    assert [entry.attempts for entry in store.entries([key])] == [1]


def test_a_refused_input_is_not_asked_again(server: RunningServer, store: Store) -> None:
    adapter = text_adapter(server.url, batch=1, retry={"never": [500]})
    server.set_strict({"faults": {"poison": ["broken"], "attempts": None}})
    refused = task(adapter, "shapley", target=TargetSpec("long", ("long",)), budget=20)
    whole = run([refused], store)
    assert server.counts()["requests"] == 1, "without the unaltered input's answer nothing else is of use"
    assert whole.probes[0].status == "failed"
    assert "HTTP 500" in (whole.probes[0].error or "")
    server.reset()
    run([refused], store)
    assert server.counts()["requests"] == 0


def test_some_refused_inputs_are_a_finding(server: RunningServer, store: Store) -> None:
    adapter = text_adapter(server.url, retry={"never": [500]})
    server.set_strict({"faults": {"poison": [SENTENCE.replace(" kettle", "")]}})
    result = run([task(adapter)], store)
    assert result.probes[0].status == "finished"
    assert [finding["code"] for finding in result.probes[0].findings if finding["code"] == "P101"] == ["P101"]
    server.reset()
    run([task(adapter)], store)
    assert server.counts()["requests"] == 0


def wide(count: int, n: int) -> bytes:
    rows_ = [{"scores": {f"label {k}": (k + 1) / 1e3 for k in range(count)}} for _ in range(n)]
    return json.dumps({"predictions": rows_}).encode()


class WideTransport:
    """An in-process endpoint with many labels."""

    def __init__(self, labels: int) -> None:
        self.labels = labels
        self.sent = 0

    async def send(self, request: Any) -> HttpResponse:
        self.sent += 1
        n = request.body.count(b"|") + 1 if b"|" in request.body else 1
        return HttpResponse(200, (("content-type", "application/json"),), wide(self.labels, n))

    async def aclose(self) -> None:
        pass


@pytest.mark.parametrize("labels", [32, 33, 500])
def test_wide_answers_are_read_again_from_their_body(store: Store, labels: int) -> None:
    adapter = text_adapter("http://127.0.0.1:9")
    probe = task(adapter, target=TargetSpec("label 7", ("label 7",)))
    wide_transport = WideTransport(labels)
    first = run([probe], store, open_transport=lambda _adapter: wide_transport)
    entry = store.entries([evaluation_key(adapter.identity, SENTENCE)])[0]
    assert (entry.scores is None) == (labels > 32)
    second = run([probe], store, open_transport=lambda _adapter: wide_transport)
    assert wide_transport.sent == 7
    assert attributions(first) == attributions(second)
    assert second.probes[0].full_value == 0.008


def test_other_rules_read_the_stored_answers_again(server: RunningServer, store: Store) -> None:
    run([task(text_adapter(server.url))], store)
    server.reset()
    percent = text_adapter(server.url, scores={"map": {"at": "scores", "scale": 100}})
    again = run([task(percent)], store)
    plain = run([task(text_adapter(server.url))], store)
    assert server.counts()["requests"] == 0
    assert again.probes[0].full_value == pytest.approx(100 * (plain.probes[0].full_value or 0))


def test_two_readings_of_one_endpoint_cannot_share_a_run(server: RunningServer, store: Store) -> None:
    percent = text_adapter(server.url, name="percent", scores={"map": {"at": "scores", "scale": 100}})
    tasks = [task(text_adapter(server.url)), task(percent)]
    with pytest.raises(ConfigError, match="'echo' and 'percent' send the same requests"):
        run(tasks, store)
    with pytest.raises(ConfigError, match="read the answers differently"):
        plan(tasks, store)
    assert store.runs() == []


class Noisy:
    """An in-process endpoint whose score has a random part."""

    def __init__(self) -> None:
        self.sent = 0
        self.rng = np.random.default_rng(1)

    async def send(self, request: Any) -> HttpResponse:
        self.sent += 1
        (asked,) = json.loads(request.body)["inputs"]
        scores = {"long": len(asked) / 100 + float(self.rng.normal(0, 0.01))}
        return HttpResponse(200, (), json.dumps({"predictions": [{"scores": scores}]}).encode())

    async def aclose(self) -> None:
        pass


def test_repeats_tell_the_noise(store: Store) -> None:
    noisy = Noisy()
    result = run([task(text_adapter("http://127.0.0.1:9"), repeats=30)], store, open_transport=lambda _adapter: noisy)
    assert noisy.sent == 7 * 30
    for share in result.probes[0].attributions:
        # a difference of two means of 30 with a standard deviation of 0.01 each
        assert share.std_error == pytest.approx(0.01 * (2 / 30) ** 0.5, rel=0.15)


def test_a_target_that_does_not_exist_costs_one_evaluation(server: RunningServer, store: Store) -> None:
    adapter = text_adapter(server.url)
    result = run([task(adapter, target=TargetSpec("lang", ("lang",)))], store)
    assert server.counts()["requests"] == 1
    assert result.exit_code == 2
    assert "did you mean 'long'?" in result.usage_errors[0]
    assert result.probes[0].status == "failed"


def test_the_target_does_not_depend_on_which_repeat_answers_first(server: RunningServer, store: Store) -> None:
    result = run([task(text_adapter(server.url), target=TargetSpec(), repeats=4)], store)
    assert result.probes[0].target == "long"


def test_a_label_that_the_provider_cuts_off_is_a_finding(server: RunningServer, store: Store) -> None:
    server.set_strict({"top_k": 1})
    adapter = text_adapter(server.url, scores={"map": "scores"}, missing="censored")
    result = run([task(adapter, target=TargetSpec("short", ("short",)))], store)
    assert any(finding["code"] == "P103" for finding in result.probes[0].findings)


def test_a_label_that_goes_missing_is_not_taken_for_zero(server: RunningServer, store: Store) -> None:
    adapter = text_adapter(server.url)
    run([task(adapter, name="whole only", method="occlusion", budget=7)], store, budget=Budget.parse("1req"))
    server.set_strict({"drop_label": "long"})
    result = run([task(adapter, name="whole only", method="occlusion", budget=7)], store)
    assert result.exit_code == 3
    assert result.probes[0].status == "failed"
    found = next(finding for finding in result.probes[0].findings if finding["code"] == "P102")
    assert "label 'long' is not in the answer" in found["message"]


def test_a_budget_stops_the_run_and_the_same_command_goes_on(server: RunningServer, store: Store) -> None:
    adapter = text_adapter(server.url, price={"request": 0.002})
    stopped = run([task(adapter, "shapley")], store, budget=Budget.parse("20req"))
    assert stopped.exit_code == 3
    assert stopped.run.status == "partial"
    assert server.counts()["requests"] == 20
    assert store.counts()["intended"] == 0
    done = run([task(adapter, "shapley")], store)
    assert done.run.id == stopped.run.id
    assert done.exit_code == 0
    assert server.counts()["requests"] == server.counts()["billed_items"] == 64


def test_a_money_budget_without_a_price_is_refused(server: RunningServer, store: Store) -> None:
    with pytest.raises(ConfigError, match="no endpoint has a price"):
        run([task(text_adapter(server.url))], store, budget=Budget.parse("2usd"))
    assert store.runs() == []


def test_a_missing_secret_is_said_before_anything_is_stored(server: RunningServer, store: Store) -> None:
    def refuse(_adapter: Any) -> Any:
        raise ConfigError("the environment variable KEY is not set")

    with pytest.raises(ConfigError, match="KEY is not set"):
        run([task(text_adapter(server.url))], store, open_transport=refuse)
    assert store.runs() == []


def test_interrupted_at_a_slow_limiter(server: RunningServer, store: Store) -> None:
    adapter = text_adapter(server.url, limits={"rate": "2/s"})

    async def work() -> Any:
        working = runner([task(adapter, "shapley")], store)
        running = asyncio.create_task(working.run())
        await until(lambda: server.counts()["answered"] >= 2)
        working.interrupt()
        return await asyncio.wait_for(running, 3)

    result = asyncio.run(work())
    assert (result.exit_code, result.run.status) == (130, "interrupted")
    assert store.counts()["intended"] == 0
    done = run([task(text_adapter(server.url), "shapley")], store)
    assert done.run.id == result.run.id
    assert server.counts()["billed_items"] == 64


def test_interrupted_before_it_began(server: RunningServer, store: Store) -> None:
    async def work() -> Any:
        working = runner([task(text_adapter(server.url))], store)
        working.interrupt()
        return await working.run()

    assert asyncio.run(work()).exit_code == 130
    assert server.counts()["requests"] == 0


def test_one_endpoint_down_does_not_stop_the_other(server: RunningServer, store: Store) -> None:
    server.set_strict({})
    gone = text_adapter("http://127.0.0.1:9", name="gone")
    result = run([task(gone, name="a"), task(text_adapter(server.url), name="b")], store)
    assert result.exit_code == 4
    assert result.stops["gone"].kind == "down"
    assert [probe.status for probe in result.probes] == ["failed", "finished"]


def test_a_throttler_of_ones_own(server: RunningServer, store: Store) -> None:
    working = runner([task(text_adapter(server.url))], store)
    throttler = PacedThrottler(50)
    working._settings = replace(working._settings, throttlers={"echo": throttler})
    asyncio.run(working.run())
    assert len(throttler._sends) == 7


def test_many_probes_take_time_in_proportion(store: Store) -> None:
    adapter = text_adapter("http://127.0.0.1:9")
    wide_transport = WideTransport(2)
    tasks = [
        task(adapter, instance=f"word {number}", name=f"p{number}", target=TargetSpec("label 1", ("label 1",)))
        for number in range(300)
    ]
    result = run(tasks, store, open_transport=lambda _adapter: wide_transport)
    assert [probe.name for probe in result.probes] == [f"p{number}" for number in range(300)]
    assert result.exit_code == 0


def test_remotes_are_told_apart_by_what_they_send(server: RunningServer) -> None:
    one, two = text_adapter(server.url), text_adapter(server.url, query={"v": "2"})
    assert isinstance(one, HttpAdapter)
    assert remote(one).record.id != remote(two).record.id
    assert transport(one) is not transport(one)

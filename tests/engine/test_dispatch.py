"""The dispatcher against the strict demo server over loopback."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Sequence
from typing import Any

import pytest
from asyncio_throttle.throttler import Throttler

from adapters import HttpRequest, Instance, Request, open_transport
from adapters.http import HttpAdapter
from probe.engine.budget import Budget
from probe.engine.dispatch import Dispatcher
from probe.engine.events import EndpointStopped, Retried, Throttled
from probe.engine.retry import RetryPolicy
from storage import StorageError, Store
from storage.records import Entry
from tests.engine.harness import Sending, text, text_adapter, until
from tests.servers import RunningServer

TEXTS = [text(number) for number in range(40)]


def test_everything_is_answered_in_order_and_packed(server: RunningServer, store: Store) -> None:
    sending = Sending(text_adapter(server.url, batch=8, limits={"rate": "200/s"}), store)
    dispatcher = sending.run(TEXTS[:37])
    assert [arrival["items"] for arrival in server.arrivals()] == [8, 8, 8, 8, 5]
    assert server.counts()["billed_items"] == 37
    assert dispatcher.stats.sent == 5
    assert sending.by_state() == {"answered": 37}
    entries = sending.stored(TEXTS[:37])
    assert [(entry.item, entry.items, entry.attempts) for entry in entries if entry is not None][8:10] == [
        (0, 8, 1),
        (1, 8, 1),
    ]


class SlowFirst(HttpAdapter):
    """Renders the earlier inputs more slowly than the later ones."""

    def request(self, batch: Sequence[Instance]) -> HttpRequest:
        time.sleep(0.03 if int(str(batch[0])[-4:]) % 4 == 0 else 0)
        return super().request(batch)


class Seen:
    """A transport that notes what passes by."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.texts: list[str] = []

    async def send(self, request: Request) -> Any:
        assert isinstance(request, HttpRequest)
        self.texts += json.loads(request.body)["inputs"]
        return await self.inner.send(request)

    async def aclose(self) -> None:
        await self.inner.aclose()


def test_requests_leave_in_order_however_long_rendering_takes(server: RunningServer, store: Store) -> None:
    plain = text_adapter(server.url, limits={"rate": "300/s"})
    assert isinstance(plain, HttpAdapter)
    sending = Sending(SlowFirst("echo", plain.spec), store)

    async def work() -> list[str]:
        seen = Seen(open_transport(plain, environment={}))
        await sending.send(sending.jobs(TEXTS), transport=seen)
        return seen.texts

    assert asyncio.run(work()) == TEXTS


def test_until_the_first_answer_one_request_goes_alone(server: RunningServer, store: Store) -> None:
    server.set_strict({"latency": {"mean": 0.2}})
    sending = Sending(text_adapter(server.url), store)
    sending.run(TEXTS[:9])
    at = [arrival["at"] for arrival in server.arrivals()]
    assert at[1] - at[0] >= 0.2
    assert at[8] - at[1] < 0.2


def test_a_limit_below_the_one_we_were_told(server: RunningServer, store: Store) -> None:
    server.set_strict({"rate": {"limit": 20, "window": 0.5, "retry_after": "exact"}})
    sending = Sending(text_adapter(server.url, limits={"rate": "100/s"}), store)
    texts = [text(number) for number in range(90)]
    dispatcher = sending.run(texts)
    counts = server.counts()
    assert counts["refused_429"] > 0
    assert dispatcher.stopped is None
    assert sending.by_state() == {"answered": 90}
    assert (counts["billed_items"], counts["billed_by_item_max"]) == (90, 1)
    assert dispatcher.stats.throttled == dispatcher.stats.retried == counts["refused_429"]
    assert dispatcher.stats.sent == counts["requests"]
    assert any(isinstance(event, Throttled) for event in sending.events)


def test_first_attempt_errors_are_repeated_and_counted(server: RunningServer, store: Store) -> None:
    server.set_strict({"faults": {"status500": 0.3, "seed": 4}})
    sending = Sending(text_adapter(server.url, price={"request": 0.002}), store)
    dispatcher = sending.run(TEXTS)
    counts = server.counts()
    failed = counts["faults"]["status500"]
    assert failed > 3
    assert sending.by_state() == {"answered": 40}
    assert (counts["billed_items"], counts["billed_by_item_max"]) == (40, 1)
    assert dispatcher.stats.retried == failed
    assert dispatcher.stats.sent == counts["requests"] == 40 + failed
    assert dispatcher.stats.cost_micro == 40 * 2000
    assert sum(isinstance(event, Retried) for event in sending.events) == failed
    assert sum(entry.attempts for entry in sending.stored(TEXTS) if entry is not None) == counts["requests"]


def test_a_lost_answer_is_counted_as_maybe_billed(server: RunningServer, store: Store) -> None:
    server.set_strict({"faults": {"drop_after": 0.3, "seed": 1}})
    sending = Sending(text_adapter(server.url, price={"request": 0.002}), store)
    dispatcher = sending.run(TEXTS)
    counts = server.counts()
    lost = counts["faults"]["drop_after"]
    assert lost > 3
    assert sending.by_state() == {"answered": 40}
    assert counts["billed_twice"] == lost == dispatcher.stats.maybe_billed
    assert counts["billed_by_item_max"] == 2
    assert dispatcher.stats.cost_micro == (40 + lost) * 2000
    entries = [entry for entry in sending.stored(TEXTS) if entry is not None]
    assert sum(entry.maybe_billed for entry in entries) == lost
    assert sum(entry.cost_micro for entry in entries) == (40 + lost) * 2000


def test_a_lost_answer_is_not_asked_for_again_if_that_is_the_policy(server: RunningServer, store: Store) -> None:
    sending = Sending(text_adapter(server.url), store)
    sending.run(TEXTS[:1])
    server.set_strict({"faults": {"drop_after": 1.0, "attempts": None}})
    policy = RetryPolicy(first_wait=0.01, repeat_maybe_billed=False)
    again = Sending(text_adapter(server.url), store)
    dispatcher = again.run(TEXTS[1:2], policy=policy)
    assert again.by_state() == {"failed": 1}
    assert server.counts()["billed_by_item_max"] == 1
    assert dispatcher.stats.maybe_billed == 1


def test_connections_that_break_before_processing_cost_nothing_twice(server: RunningServer, store: Store) -> None:
    server.set_strict({"faults": {"drop_before": 0.3, "seed": 2}})
    sending = Sending(text_adapter(server.url), store)
    sending.run(TEXTS)
    assert sending.by_state() == {"answered": 40}
    assert server.counts()["billed_by_item_max"] == 1


def test_a_hanging_answer_times_out(server: RunningServer, store: Store) -> None:
    server.set_strict({"faults": {"hang": {"share": 0.1, "seconds": 5}, "seed": 5}})
    sending = Sending(text_adapter(server.url, limits={"timeout": 0.4}), store)
    dispatcher = sending.run(TEXTS)
    assert sending.by_state() == {"answered": 40}
    assert dispatcher.stats.maybe_billed == server.counts()["faults"]["hang"] > 0


def test_an_answer_that_ends_in_the_middle_is_asked_again(server: RunningServer, store: Store) -> None:
    server.set_strict({"faults": {"truncate": 0.2, "seed": 3}})
    sending = Sending(text_adapter(server.url), store)
    dispatcher = sending.run(TEXTS)
    assert sending.by_state() == {"answered": 40}
    assert dispatcher.stats.maybe_billed == server.counts()["faults"]["truncate"] > 0


def test_a_page_among_answers_is_asked_again(server: RunningServer, store: Store) -> None:
    sending = Sending(text_adapter(server.url), store)

    async def later(_dispatcher: Dispatcher) -> None:
        await until(lambda: sending.answers)
        server.set_strict({"faults": {"html": 0.3, "seed": 6}})

    texts = [text(number) for number in range(200)]
    dispatcher = sending.run(texts, meanwhile=later, throttler=Throttler(200, 1.0))
    assert server.counts()["faults"]["html"] > 3
    assert dispatcher.stopped is None
    assert sending.by_state() == {"answered": 200}


def test_a_page_from_the_start_stops_the_endpoint(server: RunningServer, store: Store) -> None:
    server.set_strict({"faults": {"html": 1.0, "attempts": None}})
    sending = Sending(text_adapter(server.url, price={"request": 0.002}), store)
    dispatcher = sending.run(TEXTS)
    assert dispatcher.stopped is not None
    assert dispatcher.stopped.kind == "broken"
    assert "a page instead of JSON" in dispatcher.stopped.reason
    assert server.counts()["requests"] == 1
    assert dispatcher.stats.cost_micro == 0
    assert sending.states(TEXTS) == ["failed"] + ["nothing"] * 39


@pytest.mark.parametrize(
    ("faults", "says"), [({"fewer_rows": True}, "7 rows"), ({"nan": True}, "NaN, which is not a number in JSON")]
)
def test_answers_that_are_not_as_described_stop_the_endpoint(
    server: RunningServer, store: Store, faults: dict[str, bool], says: str
) -> None:
    server.set_strict({"faults": faults})
    sending = Sending(text_adapter(server.url, batch=8), store)
    dispatcher = sending.run(TEXTS)
    assert dispatcher.stopped is not None
    assert dispatcher.stopped.kind == "broken"
    assert says in dispatcher.stopped.reason
    assert server.counts()["requests"] <= 2
    assert "intended" not in sending.states(TEXTS)


def test_a_wrong_key_stops_the_endpoint(server: RunningServer, store: Store) -> None:
    server.set_strict({"api_key": "right"})
    environment = {"KEY": "wrong-key-123"}
    adapter = text_adapter(server.url, environment=environment, auth={"bearer": "${KEY}"})
    sending = Sending(adapter, store, environment=environment)
    dispatcher = sending.run(TEXTS)
    assert dispatcher.stopped is not None
    assert dispatcher.stopped.kind == "auth"
    assert "HTTP 401" in dispatcher.stopped.reason
    assert "wrong-key-123" not in dispatcher.stopped.reason
    assert server.counts()["requests"] == 1
    assert sum(isinstance(event, EndpointStopped) for event in sending.events) == 1


def test_one_bad_input_does_not_take_its_neighbours_down(server: RunningServer, store: Store) -> None:
    server.set_strict({"faults": {"poison": [TEXTS[11]]}})
    sending = Sending(text_adapter(server.url, batch=8, price={"item": 0.001}), store)
    dispatcher = sending.run(TEXTS[:24])
    assert dispatcher.stopped is None
    assert sending.states(TEXTS[:24]) == ["answered"] * 11 + ["failed"] + ["answered"] * 12
    bad = sending.stored([TEXTS[11]])[0]
    assert bad is not None
    assert "HTTP 500" in (bad.error or "")
    assert "internal error" in (bad.error or "")
    assert bad.attempts == 4  # twice in the batch, twice alone
    neighbour = sending.stored([TEXTS[10]])[0]
    assert neighbour is not None
    assert (neighbour.attempts, neighbour.item, neighbour.items) == (3, 0, 1)
    assert neighbour.cost_micro == 1000
    assert server.counts()["billed_by_item_max"] == 1
    assert dispatcher.stats.cost_micro == 23_000


def test_a_bad_input_in_the_first_batch_is_found_too(server: RunningServer, store: Store) -> None:
    server.set_strict({"faults": {"poison": [TEXTS[0]]}})
    sending = Sending(text_adapter(server.url, batch=8), store)
    dispatcher = sending.run(TEXTS[:16])
    assert dispatcher.stopped is None
    assert sending.by_state() == {"answered": 15, "failed": 1}


def test_a_refused_input_is_refused_alone(server: RunningServer, store: Store) -> None:
    server.set_strict({"max_batch": 3})
    sending = Sending(text_adapter(server.url, batch=4), store)
    sending.run(TEXTS[:8])
    assert sending.by_state() == {"answered": 8}
    assert server.counts()["statuses"] == {"200": 8, "413": 2}


def test_what_cost_something_before_a_split_still_counts(server: RunningServer, store: Store) -> None:
    """First the answer of the whole batch is lost, then the batch is refused."""
    sending = Sending(text_adapter(server.url, batch=4, price={"item": 0.001}), store)
    server.set_strict({"faults": {"drop_after": 1.0}})

    async def later(_dispatcher: Dispatcher) -> None:
        await until(lambda: server.counts()["requests"] >= 1)
        server.set_strict({"max_batch": 1})

    dispatcher = sending.run(TEXTS[:4], meanwhile=later, policy=RetryPolicy(first_wait=0.6))
    assert sending.by_state() == {"answered": 4}
    entries = [entry for entry in sending.stored(TEXTS[:4]) if entry is not None]
    assert [(entry.attempts, entry.maybe_billed, entry.cost_micro) for entry in entries] == [(3, 1, 2000)] * 4
    assert dispatcher.stats.cost_micro == 8000


def test_nobody_there(store: Store) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        sending = Sending(text_adapter(url), store)
        started = time.monotonic()
        dispatcher = sending.run(TEXTS, policy=RetryPolicy())
    assert dispatcher.stopped is not None
    assert dispatcher.stopped.kind == "down"
    assert time.monotonic() - started < 8
    assert dispatcher.stats.sent == 0
    assert dispatcher._budget.spent_requests == 0
    assert sum(isinstance(event, Retried) for event in sending.events) == 4
    assert sending.states(TEXTS) == ["failed"] + ["nothing"] * 39


def test_a_server_that_only_fails_is_given_up(server: RunningServer, store: Store) -> None:
    server.set_strict({"faults": {"status500": 1.0, "attempts": None}})
    sending = Sending(text_adapter(server.url), store)
    dispatcher = sending.run(TEXTS)
    assert dispatcher.stopped is not None
    assert dispatcher.stopped.kind == "down"
    assert server.counts()["requests"] == 10
    assert sending.states(TEXTS) == ["failed"] * 5 + ["nothing"] * 35


def test_a_budget_stops_in_the_middle(server: RunningServer, store: Store) -> None:
    sending = Sending(text_adapter(server.url, price={"request": 0.002}), store)
    budget = Budget.parse("0.025usd")
    dispatcher = sending.run(TEXTS, budget=budget)
    assert dispatcher.stopped is not None
    assert dispatcher.stopped.kind == "budget"
    assert server.counts()["requests"] == 12
    assert budget.spent_micro == 24_000 == dispatcher.stats.cost_micro
    assert sending.states(TEXTS) == ["answered"] * 12 + ["nothing"] * 28


def test_a_budget_that_ends_while_a_batch_is_taken_apart(server: RunningServer, store: Store) -> None:
    server.set_strict({"faults": {"poison": [TEXTS[3]]}})
    sending = Sending(text_adapter(server.url, batch=8), store)
    dispatcher = sending.run(TEXTS[:8], budget=Budget.parse("4req"))
    assert dispatcher.stopped is not None
    assert dispatcher.stopped.kind == "budget"
    assert sending.states(TEXTS[:8]) == ["answered"] * 2 + ["failed"] * 6
    assert server.counts()["requests"] == 4


@pytest.mark.parametrize("limits", [{"rate": "1/min"}, {"rate": "1/s"}])
def test_an_interrupt_does_not_wait_for_a_slow_limiter(
    server: RunningServer, store: Store, limits: dict[str, str]
) -> None:
    sending = Sending(text_adapter(server.url, limits=limits), store)

    async def later(dispatcher: Dispatcher) -> None:
        await until(lambda: sending.answers)
        await asyncio.sleep(0.05)
        dispatcher.stop("interrupted", "interrupted")
        self_started.append(time.monotonic())

    self_started: list[float] = []
    budget = Budget()
    dispatcher = sending.run(TEXTS, meanwhile=later, budget=budget)
    assert time.monotonic() - self_started[0] < 2
    sent = server.counts()["requests"]
    assert sent == dispatcher.stats.sent == budget.spent_requests <= 2
    assert "intended" not in sending.states(TEXTS)
    assert sending.states(TEXTS).count("answered") == sent


def test_an_interrupt_does_not_wait_for_retry_after(server: RunningServer, store: Store) -> None:
    server.set_strict({"rate": {"limit": 3, "window": 60, "retry_after": 300}})
    sending = Sending(text_adapter(server.url), store)
    stopped_at: list[float] = []

    async def later(dispatcher: Dispatcher) -> None:
        await until(lambda: any(isinstance(event, Throttled) for event in sending.events))
        await asyncio.sleep(0.1)
        dispatcher.stop("interrupted", "interrupted")
        stopped_at.append(time.monotonic())

    sending.run(TEXTS, meanwhile=later)
    assert time.monotonic() - stopped_at[0] < 2
    assert sending.states(TEXTS).count("answered") == 3
    assert "intended" not in sending.states(TEXTS)


def test_an_interrupt_waits_for_what_is_in_flight(server: RunningServer, store: Store) -> None:
    server.set_strict({"latency": {"mean": 0.3}})
    sending = Sending(text_adapter(server.url), store)

    async def later(dispatcher: Dispatcher) -> None:
        await until(lambda: server.counts()["in_flight"] >= 5)
        dispatcher.stop("interrupted", "interrupted")

    dispatcher = sending.run(TEXTS, meanwhile=later)
    counts = server.counts()
    assert counts["abandoned"] == 0
    assert sending.states(TEXTS).count("answered") == counts["billed_items"] == dispatcher.stats.sent
    assert "intended" not in sending.states(TEXTS)


def test_a_cancelled_run_leaves_intents_and_no_tasks(server: RunningServer, store: Store) -> None:
    server.set_strict({"latency": {"mean": 0.5}})
    sending = Sending(text_adapter(server.url), store)

    async def work() -> None:
        task = asyncio.create_task(sending.send(sending.jobs(TEXTS)))
        await until(lambda: server.counts()["in_flight"] >= 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(work())
    assert sending.states(TEXTS).count("intended") >= 4
    assert not any(isinstance(event, EndpointStopped) for event in sending.events)


class Failing:
    """A journal whose disk is full after so many calls."""

    def __init__(self, calls: int) -> None:
        self.left = calls

    async def intend(self, entries: Sequence[Entry]) -> None:
        await self._write()

    async def record(self, entries: Sequence[Entry], bodies: Sequence[bytes] = ()) -> None:
        await self._write()

    async def _write(self) -> None:
        await asyncio.sleep(0)
        self.left -= 1
        if self.left < 0:
            raise StorageError("no space left for the database")


@pytest.mark.parametrize("calls", [0, 1, 2, 11])
def test_a_failing_journal_ends_it(server: RunningServer, store: Store, calls: int) -> None:
    sending = Sending(text_adapter(server.url), store)
    with pytest.raises(StorageError, match="no space left"):
        sending.run(TEXTS, journal=Failing(calls))
    before = server.counts()["requests"]
    assert before <= calls
    time.sleep(0.1)
    assert server.counts()["requests"] == before
    assert sending.dispatcher is not None
    assert sending.dispatcher._flow.gate._value == 2 + 50


def test_an_input_that_cannot_be_written_is_the_users_to_put_right(server: RunningServer, store: Store) -> None:
    adapter = text_adapter(server.url, json={"inputs": [{"$each": "{{ x | png | b64 }}"}]})
    sending = Sending(adapter, store)
    dispatcher = sending.run(TEXTS)
    assert dispatcher.stopped is not None
    assert dispatcher.stopped.kind == "usage"
    assert server.counts()["requests"] == 0
    assert dispatcher._budget.spent_requests == 0


def test_a_plain_asyncio_throttler_can_be_plugged_in(server: RunningServer, store: Store) -> None:
    server.set_strict({"rate": {"limit": 15, "window": 0.5, "retry_after": "exact"}})
    sending = Sending(text_adapter(server.url), store)
    dispatcher = sending.run(TEXTS, throttler=Throttler(20, 0.5))
    assert sending.by_state() == {"answered": 40}
    assert dispatcher.stats.throttled > 0


def test_large_answers_are_read_and_stored_alike(server: RunningServer, store: Store) -> None:
    sending = Sending(text_adapter(server.url, batch=2000, limits={"timeout": 30}), store)
    texts = [text(number) for number in range(2000)]
    sending.run(texts)
    assert sending.by_state() == {"answered": 2000}
    shas = {entry.body_sha for entry in sending.stored(texts) if entry is not None}
    assert len(shas) == 1
    (body,) = store.bodies([sha for sha in shas if sha]).values()
    assert len(body) > 1 << 16


def test_it_goes_on_after_it_was_reopened(server: RunningServer, store: Store) -> None:
    server.set_strict({"api_key": "secret"})
    sending = Sending(text_adapter(server.url), store)

    async def work() -> None:
        transport = open_transport(sending.adapter, environment={})
        dispatcher = await sending.send(sending.jobs(TEXTS[:2]), transport=Kept(transport), journal=Failing(1000))
        assert dispatcher.stopped is not None
        server.set_strict({})
        dispatcher.reopen()
        await dispatcher.run(sending.jobs(TEXTS[:2]), sending.answers.append)
        await transport.aclose()

    asyncio.run(work())
    assert sending.by_state() == {"failed": 1, "answered": 2}


class Kept(Seen):
    """Is not closed by whoever uses it."""

    async def aclose(self) -> None:
        pass

"""An endpoint that is out for a while, and one that stays out."""

from __future__ import annotations

import pytest

from adapters import HttpResponse, MaybeBilled, NotSent, Verdict
from probe.engine.breaker import Breaker, is_outage
from probe.engine.dispatch import Dispatcher
from probe.engine.events import CircuitClosed, CircuitOpened
from probe.engine.retry import RetryPolicy
from storage import Store
from tests.engine.clocks import HandClock
from tests.engine.harness import Sending, text, text_adapter, until
from tests.servers import RunningServer


def breaker(patience: float = 60.0) -> tuple[Breaker, HandClock]:
    hand = HandClock()
    return Breaker(lambda: hand.time, patience, opens_after=3), hand


def test_it_opens_after_several_failures_in_a_row() -> None:
    circuit, _ = breaker()
    assert [circuit.failed(), circuit.failed(), circuit.succeeded()] == [None, None, False]
    assert [circuit.failed(), circuit.failed(), circuit.failed()] == [None, None, 1.0]
    assert circuit.is_open
    assert circuit.failed() is None, "that one was under way"
    assert circuit.wait() == circuit.next_trial == 1.0


def test_one_tries_at_a_time_and_the_pause_grows() -> None:
    circuit, hand = breaker()
    for _ in range(3):
        circuit.failed()
    pauses = []
    for _ in range(7):
        hand.time += circuit.wait()
        assert circuit.wait() == 0, "this one tries"
        assert circuit.wait() > 0, "nobody else does"
        pauses.append(circuit.failed())
    assert pauses == [2, 4, 8, 16, 30, 30, 30]
    assert circuit.is_hopeless
    hand.time += 30
    assert circuit.wait() == 0
    assert circuit.succeeded()
    assert (circuit.is_open, circuit.is_hopeless, circuit.wait()) == (False, False, 0.0)


@pytest.mark.parametrize(
    ("outcome", "throttled", "expected"),
    [
        (HttpResponse(502, (), b""), False, True),
        (HttpResponse(503, (), b""), True, False),
        (HttpResponse(500, (), b""), False, False),
        (HttpResponse(429, (), b""), True, False),
        (HttpResponse(200, (), b""), False, False),
        (NotSent("nobody listens"), False, True),
        (MaybeBilled("no answer within 60 s"), False, True),
    ],
)
def test_what_an_outage_is(outcome: HttpResponse | Exception, throttled: bool, expected: bool) -> None:
    assert is_outage(outcome, Verdict("retry", throttled=throttled)) is expected


TEXTS = [text(number) for number in range(150)]


def sent_through(server: RunningServer, store: Store, *, seconds: float, patience: float) -> Sending:
    """The server goes away for ``seconds`` once some are answered."""
    adapter = text_adapter(server.url, limits={"rate": "60/s", "timeout": 5})
    sending = Sending(adapter, store)

    async def later(_dispatcher: Dispatcher) -> None:
        await until(lambda: len(sending.answers) > 20)
        server.set_strict({"storm": {"seconds": seconds, "status": 503, "retry_after": "none"}})

    policy = RetryPolicy(first_wait=0.02, most_wait=0.05, patience=patience)
    sending.run(TEXTS, meanwhile=later, policy=policy)
    return sending


def test_an_outage_is_waited_for_with_few_requests(server: RunningServer, store: Store) -> None:
    sending = sent_through(server, store, seconds=2.5, patience=60)
    assert sending.by_state().get("answered", 0) >= 148
    assert any(isinstance(event, CircuitOpened) for event in sending.events)
    assert isinstance(
        [each for each in sending.events if isinstance(each, CircuitOpened | CircuitClosed)][-1], CircuitClosed
    )
    assert server.counts()["faults"]["storm"] < 40


def test_an_endpoint_that_stays_out_is_given_up(server: RunningServer, store: Store) -> None:
    sending = sent_through(server, store, seconds=600, patience=2.0)
    assert sending.dispatcher is not None
    assert sending.dispatcher.stopped is not None
    assert sending.dispatcher.stopped.kind == "down"
    assert "HTTP 503" in sending.dispatcher.stopped.reason
    assert "intended" not in sending.states(TEXTS)

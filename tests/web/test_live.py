"""What the events of a run come to for whoever looks, with the time in one's hands."""

from __future__ import annotations

from probe.engine.events import (
    EndpointStopped,
    EvaluationDone,
    Event,
    ProbeFinished,
    Retried,
    RunFinished,
    RunStarted,
    Standing,
)
from probe.web.live import Live

STARTED = RunStarted("7f3a", 1, False, 2, 10, 4, 0)
DONE = EvaluationDone("vendor-a", ("reviews",), "answered", 0.1)
RETRIED = Retried("vendor-a", 1, "429", 1.0, False)
EXPLAINED = ProbeFinished("p1", "reviews", "a.txt", "vendor-a", "lime", "finished", "long", (), None)


def standing(left: int) -> Standing:
    return Standing("vendor-a", left, 5, 2, 440_000, "USD", "rate", "5/s", None, left / 5)


def told(*events: Event, now: float = 2.0) -> Live:
    clock = [0.0]
    live = Live(monotonic=lambda: clock[0])
    for event in events:
        live.hear(event)
    clock[0] = now
    return live


def test_a_run_is_counted() -> None:
    state = told(STARTED, *[DONE] * 6, RETRIED, standing(4), EXPLAINED).state()
    assert (state.run, state.done, state.total, state.from_ledger) == ("7f3a", 6, 10, 4)
    assert (state.probes, state.explained, state.retried, state.in_flight) == (2, 1, 1, 2)
    assert state.words == "4 from ledger · 1 retried · $0.44 · 3.0/s · 0.8 s left"
    assert state.holding == ("vendor-a: 5/s",)


def test_what_comes_after_the_first_round_adds_to_the_total() -> None:
    assert told(STARTED, *[DONE] * 8, standing(7)).state().total == 15


def test_single_evaluations_are_counted_and_not_kept() -> None:
    live = told(STARTED, *[DONE] * 1000, RETRIED)
    assert [each.seq for each in live.since(0)] == [1, 1002]
    assert [each.event for each in live.since(1)] == [RETRIED]


def test_why_an_endpoint_stopped_is_noted() -> None:
    stopped = EndpointStopped("vendor-a", "auth", "401 from the server")
    assert told(STARTED, stopped).state().notes == ("vendor-a: stopped (auth): 401 from the server",)


def test_a_run_that_is_over_stands_still() -> None:
    clock = [0.0]
    live = Live(monotonic=lambda: clock[0])
    live.hear(STARTED)
    clock[0] = 2.0
    live.hear(DONE)
    assert not live.state().over
    live.hear(RunFinished("7f3a", "finished", {}))
    live.end()
    before = live.state()
    clock[0] = 100.0
    assert live.state() == before
    assert before.over
    assert before.rate == 0.5

"""The progress line, second by second."""

from __future__ import annotations

import io
from datetime import datetime, timedelta
from typing import Any

import pytest

from probe.cli.pace import Pace, duration
from probe.cli.progress import Progress
from probe.engine.events import EvaluationDone, Retried, RunStarted, Standing


class Time:
    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime(2026, 3, 1, 14, 3) + timedelta(seconds=self.seconds)


def standing(endpoint: str = "words", **changes: Any) -> Standing:
    given: dict[str, Any] = {"left": 20, "sent": 5, "in_flight": 2, "cost_micro": 0, "currency": "USD"}
    given |= {"binding": None, "limit": "", "wait": None, "least_seconds": None}
    return Standing(endpoint, **(given | changes))


def pace(time: Time, *, answers: int, seconds: float) -> Pace:
    """So many answers, evenly over so many seconds."""
    made = Pace(monotonic=time.monotonic, now=time.now)
    for _ in range(answers):
        time.seconds += seconds / answers
        made.answered()
    return made


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "2.0/s · 10 s left"),
        ({"binding": "rate", "limit": "2/s", "least_seconds": 9.9}, "2.0/s · limit 2/s · 10 s left"),
        (
            {"binding": "used up", "limit": "200/min", "wait": 7.0, "least_seconds": 65.0},
            "2.0/s · 200/min used up until 14:03:12 · 1 min 05 s left",
        ),
        (
            {"binding": "held", "wait": 11.2, "least_seconds": 15.0},
            "2.0/s · held by the server: 12 s · 15 s left",
        ),
        ({"binding": "in flight", "limit": "8 of 8", "least_seconds": 4.0}, "2.0/s · in flight 8 of 8 · 10 s left"),
        ({"binding": "held", "wait": 40.0}, "2.0/s · held by the server: 40 s · 40 s left"),
        ({"cost_micro": 220_000}, "2.0/s · 10 s left · 0.22 USD"),
        ({"left": 0}, "2.0/s"),
    ],
)
def test_what_binds_says_how_long_it_takes(changes: dict[str, Any], expected: str) -> None:
    assert pace(Time(), answers=10, seconds=5.0).words({"words": standing(**changes)}) == expected


def test_the_rate_is_the_current_one() -> None:
    time = Time()
    made = pace(time, answers=1000, seconds=10.0)
    assert made.rate == pytest.approx(100, rel=0.01)
    time.seconds += 5
    assert made.rate == pytest.approx(50, rel=0.01)
    assert made.words({"words": standing()}) == "50.1/s · no answer for 5 s · 1 s left"
    time.seconds += 60
    assert made.rate == 0
    assert made.words({"words": standing()}) == "0.0/s · no answer for 1 min 05 s"


def test_several_endpoints_are_named_and_the_slowest_counts() -> None:
    made = pace(Time(), answers=10, seconds=5.0)
    standings = {
        "a": standing("a", binding="rate", limit="5/s", least_seconds=4.0),
        "b": standing("b", binding="held", wait=3.0, least_seconds=30.0),
    }
    assert made.words(standings) == "2.0/s · a: limit 5/s · b: held by the server: 3 s · 30 s left"


def test_retries_say_why() -> None:
    made = pace(Time(), answers=10, seconds=5.0)
    for reason in ["endpoint 'w': HTTP 429 from h: slow down"] * 2 + ["the connection was reset"]:
        made.retried(Retried("w", 1, reason, 0.5, maybe_billed=False))
    assert made.words({}, from_ledger=7) == "2.0/s · 7 from ledger · 3 retried (2 × 429, 1 × no answer)"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (59.0, "59 s"), (60.0, "1 min 00 s"), (12_000.0, "3 h 20 min")]
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_without_a_terminal_there_is_a_line_every_ten_seconds_also_while_nothing_comes() -> None:
    time, stream = Time(), io.StringIO()
    with Progress(stream, monotonic=time.monotonic, now=time.now) as progress:
        progress.hear(RunStarted("7f3a", 1, resumed=False, probes=1, evaluations=25, from_ledger=3, unsure=0))
        for _ in range(5):
            progress.hear(EvaluationDone("words", ("p",), "answered", 0.1))
        for _ in range(25):
            time.seconds += 1
            wait = 30.0 - time.seconds
            progress.hear(standing(binding="used up", limit="5/min", wait=wait, least_seconds=wait + 5, left=40))
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("run 7f3a: 1 probes, 25 evaluations to send, 3 in the ledger")
    assert lines[1:] == [
        "5/45 evaluations · 0.0/s · 5/min used up until 14:03:30 · 25 s left · 3 from ledger",
        "5/45 evaluations · 0.0/s · 5/min used up until 14:03:30 · 15 s left · 3 from ledger",
    ]

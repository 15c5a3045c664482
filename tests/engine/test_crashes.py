"""A few runs that are killed and stopped at random moments, and started again: as measured by ``benchmarks.crashes``."""

from __future__ import annotations

import signal

import pytest

from benchmarks.crashes import CONCURRENCY, LATENCY, Bench, Trial
from tests.servers import RunningServer


@pytest.fixture(scope="module")
def bench(running: RunningServer) -> Bench:
    running.set_strict({"latency": LATENCY})
    return Bench(running)


def assert_nothing_wrong(trial: Trial) -> None:
    assert trial.code_again == 0, trial
    assert trial.equal, trial
    assert trial.lost == trial.duplicates == trial.understated == trial.unreported == 0, trial


def test_killed_at_any_moment(bench: Bench) -> None:
    trials = bench.trials(signal.SIGKILL, 3)
    for trial in trials:
        assert_nothing_wrong(trial)
        assert trial.twice <= CONCURRENCY, trial
    assert any(trial.code == -signal.SIGKILL and trial.sent_before and trial.sent_after for trial in trials)


@pytest.fixture(scope="module")
def stopped(bench: Bench) -> list[Trial]:
    return bench.trials(signal.SIGTERM, 2)


def test_stopped_at_any_moment(stopped: list[Trial]) -> None:
    for trial in stopped:
        assert_nothing_wrong(trial)
        assert trial.twice == trial.unsure == 0, trial
        assert trial.code == 130 or trial.finished, trial


def test_a_stopped_run_states_no_request_that_was_not_made(stopped: list[Trial]) -> None:
    assert [trial.overstated for trial in stopped] == [0, 0]

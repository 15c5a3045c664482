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


def test_stopped_at_any_moment(bench: Bench) -> None:
    for trial in bench.trials(signal.SIGTERM, 2):
        assert_nothing_wrong(trial)
        assert trial.twice == trial.unsure == 0, trial
        assert trial.code == 130 or trial.finished, trial

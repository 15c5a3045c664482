"""The fault matrix on fewer texts: whatever happens on the way, our account agrees with the server's."""

from __future__ import annotations

import pytest

from benchmarks.faults import CASES, Case, drive
from tests.servers import RunningServer

COUNT = 40
#: another case here goes the same way
LEFT_TO_THE_BENCHMARK = {
    "connections refused at the start, for 0.7 s",
    "500 for ever on one input",
    "503 storm of 1 s with Retry-After",
    "everything at once",
}
SHORT = [case for case in CASES if case.name not in LEFT_TO_THE_BENCHMARK]


@pytest.mark.parametrize("case", SHORT, ids=lambda case: case.name)
def test_nothing_is_lost_miscounted_or_billed_again_unsaid(server: RunningServer, case: Case) -> None:
    verdict = drive(case, server, count=COUNT)
    assert not verdict.wrong, verdict
    answered = sum(state == "answered" for state in verdict.ours.states.values())
    assert answered == (0 if case.down else COUNT - case.poisoned)
    assert not {"faults", "storm"} & case.rules.keys() or verdict.seen["faults"], "nothing went wrong"


def test_names_of_cases_are_those_of_the_matrix() -> None:
    assert {case.name for case in CASES} >= LEFT_TO_THE_BENCHMARK

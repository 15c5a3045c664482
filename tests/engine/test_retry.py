from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from adapters import HttpResponse, MaybeBilled, NotSent, ResponseError, Verdict
from probe.engine.outcome import Final, failure
from probe.engine.retry import RetryPolicy, TryAgain, retrying
from tests.engine.clocks import HandClock

LIMITED = Verdict("retry", "HTTP 429", throttled=True)


def answer(status: int, body: bytes = b"") -> HttpResponse:
    return HttpResponse(status, (), body)


def error(status: int, body: bytes) -> TryAgain:
    return TryAgain(Verdict("retry", f"HTTP {status}"), answer(status, body), None)


def errors(count: int) -> list[TryAgain]:
    return [error(500, str(number).encode()) for number in range(count)]


def attempts(failures: Sequence[TryAgain], policy: RetryPolicy | None = None) -> tuple[int, list[float], bool]:
    """How many attempts were made, the pauses between them, and whether it came to an answer."""
    hand = HandClock()
    made = 0
    announced: list[float] = []

    async def before_wait(number: int, again: TryAgain, wait: float) -> None:
        assert number == made
        assert again is failures[made - 1]
        announced.append(wait)

    async def work() -> bool:
        nonlocal made
        rng = np.random.default_rng(3)
        began = hand.clock.monotonic()
        chosen = policy or RetryPolicy()
        async for attempt in retrying(chosen, rng=rng, clock=hand.clock, began=began, before_wait=before_wait):
            with attempt:
                made += 1
                if made <= len(failures):
                    raise failures[made - 1]
                return True
        raise AssertionError

    try:
        answered = asyncio.run(work())
    except TryAgain:
        answered = False
    assert announced == hand.slept
    return made, hand.slept, answered


def test_the_servers_word_is_kept_exactly() -> None:
    failures = [
        TryAgain(Verdict("retry", "", after=after, throttled=True), answer(429), None) for after in (7.25, 0, 1)
    ]
    assert attempts(failures) == (4, [7.25, 0.0, 1.0], True)


def test_else_pauses_grow_with_jitter() -> None:
    policy = RetryPolicy(attempts=8, first_wait=1.0, most_wait=10.0)
    made, slept, answered = attempts(errors(7), policy)
    assert (made, answered) == (8, True)
    ceilings = [1, 3, 9, 10, 10, 10, 10]
    assert all(ceiling / 2 <= pause <= ceiling for pause, ceiling in zip(slept, ceilings, strict=True))
    assert len({pause / ceiling for pause, ceiling in zip(slept, ceilings, strict=True)}) == 7


def test_it_gives_up() -> None:
    made, slept, answered = attempts(errors(9))
    assert (made, len(slept), answered) == (5, 4, False)


def test_no_attempt_begins_after_the_deadline() -> None:
    asked = [TryAgain(Verdict("retry", "HTTP 429", after=10.0, throttled=True), answer(429), None)] * 9
    made, slept, answered = attempts(asked, RetryPolicy(deadline=35.0))
    assert (made, slept, answered) == (4, [10.0, 10.0, 10.0], False)


def test_the_same_server_error_twice_is_enough() -> None:
    same = error(500, b"bad input")
    assert attempts([error(500, b"busy"), same, same, same])[0::2] == (3, False)
    assert attempts([error(500, b"x"), error(502, b"x"), error(503, b"x")])[2]


def test_being_told_to_slow_down_has_its_own_allowance() -> None:
    failures = [TryAgain(LIMITED, answer(429, b"same"), None) for _ in range(9)]
    made, slept, answered = attempts([*failures, *errors(3)])
    assert (made, answered) == (13, True)
    assert slept[9] <= 0.5, "nine refusals do not make the first failure wait long"
    assert attempts([*failures, failures[0]])[0::2] == (10, False)


def test_a_busy_server_that_asks_to_wait_is_not_a_failing_one() -> None:
    busy = TryAgain(Verdict("retry", "HTTP 503", after=1.0, throttled=True), answer(503, b"same"), None)
    assert attempts([busy] * 5) == (6, [1.0] * 5, True)
    assert busy.fingerprint() is None


@pytest.mark.parametrize("cause", [MaybeBilled("lost"), ResponseError("cut off")])
def test_what_may_be_billed_is_repeated_only_if_allowed(cause: MaybeBilled | ResponseError) -> None:
    lost = TryAgain(Verdict("retry", "lost", maybe_billed=True), None, cause)
    assert attempts([lost])[2]
    assert attempts([lost], RetryPolicy(repeat_maybe_billed=False)) == (1, [], False)
    free = TryAgain(Verdict("retry", "refused"), None, NotSent("refused"))
    assert attempts([free], RetryPolicy(repeat_maybe_billed=False))[2]


def ended(
    verdict: Verdict, response: HttpResponse | None, cause: ResponseError | None = None, **state: object
) -> object:
    given = {"policy": RetryPolicy(), "useless": 0, "succeeded": True} | state
    return failure(verdict, response, cause, **given)  # type: ignore[arg-type]


def test_a_page_between_good_answers_is_asked_again_once() -> None:
    page = Verdict("broken", "a page")
    assert isinstance(ended(page, answer(200), useless=1), TryAgain)
    last = ended(page, answer(200), useless=2)
    assert isinstance(last, Final)
    assert (last.state, last.stop) == ("failed", None)
    first = ended(page, answer(200), useless=1, succeeded=False)
    assert isinstance(first, Final)
    assert first.stop is not None
    assert first.stop.kind == "broken"


def test_an_answer_that_was_cut_off_gets_a_second_chance_from_the_start() -> None:
    cut = Verdict("retry", "cut off", maybe_billed=True)
    again = ended(cut, answer(200), ResponseError("cut off"), useless=1, succeeded=False)
    assert isinstance(again, TryAgain)
    assert again.verdict.maybe_billed
    assert isinstance(ended(cut, answer(200), ResponseError("cut off"), useless=2, succeeded=False), Final)


def test_a_throttled_answer_of_status_200_is_not_useless() -> None:
    verdict = Verdict("retry", "error: busy", after=1.0, throttled=True)
    assert isinstance(ended(verdict, answer(200)), TryAgain)


def test_a_very_long_pause_is_a_used_up_quota() -> None:
    verdict = Verdict("retry", "HTTP 429", after=601.0, throttled=True)
    end = ended(verdict, answer(429))
    assert isinstance(end, Final)
    assert end.stop is not None
    assert end.stop.kind == "quota"
    assert "asks to wait 601 s" in end.stop.reason


@pytest.mark.parametrize("kind", ["auth", "quota"])
def test_refusals_of_the_account_stop_the_endpoint(kind: str) -> None:
    end = ended(Verdict(kind, "no"), answer(403))  # type: ignore[arg-type]
    assert isinstance(end, Final)
    assert end.stop is not None
    assert (end.stop.kind, end.stop.reason) == (kind, "no")

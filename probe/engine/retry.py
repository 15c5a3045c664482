"""When a request is sent again, and after how long: tenacity's machinery, with our verdicts as its language."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from adapters import AdapterError, HttpResponse, Verdict
from probe.clock import Clock

_IDS = re.compile(rb"[0-9A-Fa-f-]{16,}|[0-9]{8,}")
_PASSING = {502, 503, 504, 529}
_MOST_GROWTH = 30  #: beyond it every wait is the longest one


class TryAgain(Exception):
    """An attempt that brought no answer and may be repeated."""

    def __init__(self, verdict: Verdict, response: HttpResponse | None, cause: AdapterError | None) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict
        self.response = response
        self.cause = cause

    def fingerprint(self) -> tuple[int, bytes] | None:
        """Status and body of a server error: the same again for the same request means that asking again is no use. Ids and
        long numbers in the body, which may be of the request, do not count.

        A gateway that is overloaded or has lost its server says the same to everybody, whatever they ask.
        """
        response = self.response
        if response is None or response.status < 500 or response.status in _PASSING or self.verdict.throttled:
            return None
        return response.status, _IDS.sub(b"#", response.body)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How patient the engine is with one request.

    Being told to slow down is not a failure of the request, so 429s have their own, larger allowance.
    """

    attempts: int = 5  #: in all, throttled ones aside
    throttled_attempts: int = 10  #: LLMock, which judges clients, calls more a storm
    first_wait: float = (
        0.1  #: seconds after a failure; three times as long after every further one, times a random 0.5 … 1
    )
    throttled_wait: float = 0.5  #: the same for "too fast" without a time, doubling
    most_wait: float = 30.0
    deadline: float = 1800.0  #: seconds from the first attempt on after which no other begins
    longest_retry_after: float = 600.0  #: a longer announced wait is a used-up quota, not a pause
    patience: float = 120.0  #: seconds for which an endpoint that has answered before may be out
    repeat_maybe_billed: bool = True  #: ask again although the provider may have counted the lost answer

    def wait(self, rng: np.random.Generator) -> wait_base:
        """The pause before the next attempt: what the server said, else jittered exponential backoff. One per request."""
        return _Wait(self, rng)

    def stop(self, monotonic: Callable[[], float], began: float) -> stop_base:
        """Whether to give up. One per request, whose first attempt began at ``began`` on the clock ``monotonic``."""
        return _Stop(self, monotonic, began)


class _Wait(wait_base):
    """Stateful: a server that was busy for a while does not make the first real failure wait for long."""

    def __init__(self, policy: RetryPolicy, rng: np.random.Generator) -> None:
        self._policy = policy
        self._rng = rng
        self._counts = {True: 0, False: 0}

    def __call__(self, retry_state: RetryCallState) -> float:
        verdict = _failure(retry_state).verdict
        earlier = min(self._counts[verdict.throttled], _MOST_GROWTH)
        self._counts[verdict.throttled] += 1
        if verdict.after is not None:
            return max(0.0, verdict.after)
        policy = self._policy
        ceiling = policy.throttled_wait * 2**earlier if verdict.throttled else policy.first_wait * 3**earlier
        return float(self._rng.uniform(0.5, 1.0) * min(policy.most_wait, ceiling))


class _Stop(stop_base):
    """Stateful: counts throttled and failed attempts apart, and sees the same 5xx come again."""

    def __init__(self, policy: RetryPolicy, monotonic: Callable[[], float], began: float) -> None:
        self._policy = policy
        self._monotonic = monotonic
        self._ends = began + policy.deadline
        self._failed = 0
        self._throttled = 0
        self._seen: Counter[tuple[int, bytes]] = Counter()

    def __call__(self, retry_state: RetryCallState) -> bool:
        failure = _failure(retry_state)
        if self._monotonic() + retry_state.upcoming_sleep > self._ends:
            return True
        if failure.verdict.throttled:
            self._throttled += 1
            return self._throttled >= self._policy.throttled_attempts
        self._failed += 1
        print_ = failure.fingerprint()
        if print_ is not None:
            self._seen[print_] += 1
            if self._seen[print_] > failure.verdict.same_max:
                return True
        if failure.verdict.maybe_billed and not self._policy.repeat_maybe_billed:
            return True
        return self._failed >= self._policy.attempts


def _failure(state: RetryCallState) -> TryAgain:
    error = state.outcome.exception() if state.outcome is not None else None
    if not isinstance(error, TryAgain):
        raise TypeError(f"retrying is decided on TryAgain only, not on {error!r}")
    return error


def retrying(
    policy: RetryPolicy,
    *,
    rng: np.random.Generator,
    clock: Clock,
    began: float,
    before_wait: Callable[[int, TryAgain, float], Awaitable[None]],
) -> AsyncRetrying:
    """One request's attempts, as tenacity's async iterator. Re-raises the last :class:`TryAgain` when it gives up.

    ``began``: when the first of them did, on ``clock.monotonic``. ``before_wait(attempt number, failure, seconds)`` runs
    before each pause.
    """

    async def announce(state: RetryCallState) -> None:
        wait = state.next_action.sleep if state.next_action is not None else 0.0
        await before_wait(state.attempt_number, _failure(state), wait)

    return AsyncRetrying(
        sleep=clock.sleep,
        stop=policy.stop(clock.monotonic, began),
        wait=policy.wait(rng),
        retry=retry_if_exception_type(TryAgain),
        before_sleep=announce,
        reraise=True,
    )

"""What an attempt without an answer leads to. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from adapters import AdapterError, HttpResponse, ResponseError, Verdict
from probe.engine.retry import RetryPolicy, TryAgain

_MOST_USELESS = 2  #: answers to one request that are not as described


@dataclass(frozen=True, slots=True)
class Stop:
    """Why an endpoint gets no more requests."""

    kind: str  #: auth, quota, broken, down, usage, budget, time, interrupted, offline
    reason: str


class Halted(Exception):
    """This request will not be sent (again): its endpoint was stopped."""


class Final(Exception):
    """No further attempt: ``rejected`` (the input is refused) or ``failed``; ``stop`` if the endpoint is to be stopped."""

    def __init__(
        self,
        state: Literal["rejected", "failed"],
        reason: str,
        response: HttpResponse | None,
        *,
        stop: Stop | None = None,
    ) -> None:
        super().__init__(reason)
        self.state: Literal["rejected", "failed"] = state
        self.response = response
        self.stop = stop


def is_useless(verdict: Verdict, cause: AdapterError | None) -> bool:
    """Whether what came is not an answer of the described API: a gateway's page, a damaged or misshapen body."""
    return verdict.kind == "broken" or isinstance(cause, ResponseError)


def failure(
    verdict: Verdict,
    response: HttpResponse | None,
    cause: AdapterError | None,
    *,
    policy: RetryPolicy,
    useless: int,
    succeeded: bool,
) -> TryAgain | Final:
    """Another try, or the end of this request.

    ``useless``: answers to this request so far that were not as described. One may slip in between good ones
    (``succeeded``: the endpoint has answered before) and is asked again once; from the start it means that this is not the
    API that was described, unless the answer was merely cut off.
    """
    if verdict.kind == "reject":
        return Final("rejected", verdict.reason, response)
    if is_useless(verdict, cause):
        if useless < _MOST_USELESS and (succeeded or verdict.kind == "retry"):
            again = Verdict("retry", verdict.reason, maybe_billed=isinstance(cause, ResponseError))
            return TryAgain(again, response, cause)
        stop = None if succeeded else Stop("broken", verdict.reason)
        return Final("failed", verdict.reason, response, stop=stop)
    if verdict.kind != "retry":
        return Final("failed", verdict.reason, response, stop=Stop(verdict.kind, verdict.reason))
    if verdict.after is not None and verdict.after > policy.longest_retry_after:
        reason = f"{verdict.reason}; it asks to wait {verdict.after:.0f} s: run the same command after that"
        return Final("failed", reason, response, stop=Stop("quota", reason))
    return TryAgain(verdict, response, cause)

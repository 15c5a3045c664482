"""How hard the demo server is on its clients: limits, latency, faults. Pure: time is passed in, chance is a hash.

Every random decision is the SHA-256 of (seed, input digest, attempt), so it is the same in every run and on every machine,
whatever the order and the timing of the requests.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from email.utils import formatdate
from typing import Annotated, Literal, Protocol

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

FaultKind = Literal["status500", "drop_before", "drop_after", "hang", "truncate", "html", "poison", "fewer_rows", "nan"]
Share = Annotated[float, Field(ge=0, le=1)]


def _as_tuple(value: object) -> object:
    """One setting where a list is allowed."""
    if value is None:
        return ()
    return value if isinstance(value, list | tuple) else (value,)


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class RateLimit(_Settings):
    """At most ``limit`` requests per ``window`` seconds, judged by the server's clock at arrival; more get a 429.

    ``sliding``: never more than ``limit`` admitted in any window. ``bucket``: ``burst`` tokens (``limit`` if not given)
    that refill at ``limit / window`` per second.
    """

    limit: PositiveInt
    window: PositiveFloat = 1.0
    kind: Literal["sliding", "bucket"] = "sliding"
    burst: PositiveInt | None = None
    count_refused: bool = False  #: sliding: refused requests use up the window too
    #: Retry-After: ``whole`` seconds rounded up, ``exact`` decimal seconds, ``milliseconds`` (retry-after-ms), an HTTP
    #: ``date``, ``none``, or always this number of seconds.
    retry_after: Literal["whole", "exact", "milliseconds", "date", "none"] | NonNegativeFloat = "whole"

    def limiter(self) -> Limiter:
        """A fresh limiter with these settings."""
        return SlidingWindow(self) if self.kind == "sliding" else TokenBucket(self)

    def headers(self, wait: float, *, wall: float) -> dict[str, str]:
        """Headers of a 429 whose client has to wait ``wait`` seconds; ``wall``: Unix time now."""
        match self.retry_after:
            case "none":
                return {}
            case "whole":
                return {"Retry-After": str(math.ceil(wait))}
            case "exact":
                return {"Retry-After": f"{wait:.3f}"}
            case "milliseconds":
                return {"retry-after-ms": str(math.ceil(wait * 1000))}
            case "date":
                return {"Retry-After": formatdate(math.ceil(wall + wait), usegmt=True)}
            case seconds:
                return {"Retry-After": f"{seconds:g}"}


class Limiter(Protocol):
    """Judges arrivals; ``now`` is a monotonic time in seconds that never goes back."""

    rate: RateLimit

    def wait(self, now: float) -> float:
        """Seconds until a request would be admitted; 0 if it is admitted now. Takes nothing."""

    def take(self, *, admitted: bool) -> None:
        """Count the request that :meth:`wait` was asked about last."""


class SlidingWindow:
    """At most ``limit`` requests in every window ``(now − window, now]``."""

    def __init__(self, rate: RateLimit) -> None:
        self.rate = rate
        self._times: deque[float] = deque()
        self._now = 0.0

    def wait(self, now: float) -> float:
        self._now = now
        while self._times and self._times[0] + self.rate.window <= now:
            self._times.popleft()
        if len(self._times) < self.rate.limit:
            return 0.0
        return self._times[-self.rate.limit] + self.rate.window - now

    def take(self, *, admitted: bool) -> None:
        if admitted or self.rate.count_refused:
            self._times.append(self._now)


class TokenBucket:
    """``burst`` tokens, refilled at ``limit / window`` per second; every admitted request takes one."""

    def __init__(self, rate: RateLimit) -> None:
        self.rate = rate
        self._capacity = float(rate.burst or rate.limit)
        self._tokens = self._capacity
        self._then: float | None = None

    def wait(self, now: float) -> float:
        per_second = self.rate.limit / self.rate.window
        if self._then is not None:
            self._tokens = min(self._capacity, self._tokens + (now - self._then) * per_second)
        self._then = now
        # a token that is missing by rounding alone is there
        return 0.0 if self._tokens >= 1 - 1e-9 else (1 - self._tokens) / per_second

    def take(self, *, admitted: bool) -> None:
        if admitted:
            self._tokens -= 1


class Latency(_Settings):
    """An admitted request is answered no earlier than ``mean ± jitter`` seconds (uniform) after it arrived."""

    mean: NonNegativeFloat = 0.0
    jitter: NonNegativeFloat = 0.0
    seed: int = 0

    def of(self, digest: bytes, attempt: int) -> float:
        """Seconds for this attempt at this input, at least 0."""
        if not self.jitter:
            return self.mean
        return max(0.0, self.mean + self.jitter * (2 * uniform("latency", self.seed, digest, attempt) - 1))


class Hang(_Settings):
    """``share`` of the requests is processed and billed, and answered only after ``seconds`` more."""

    share: Share = 0.0
    seconds: NonNegativeFloat = 60.0


class Faults(_Settings):
    """What goes wrong. Shares (0 … 1) are of requests, exclude each other and add up to at most 1.

    Not processed and not billed: ``status500`` (a JSON error), ``drop_before`` (the connection is reset), ``html`` (a
    gateway's page with status 200), ``poison`` (inputs that contain one of these strings, or whose digest it is, always
    get a 500). Processed and billed: ``drop_after`` (then the connection is reset), ``hang``, ``truncate`` (half of the
    body, then the end), ``fewer_rows`` (every batch answer lacks its last row), ``nan`` (every answer's first score is a
    ``NaN`` literal).
    """

    seed: int = 0
    attempts: PositiveInt | None = (
        1  #: shares apply to this many first attempts at an input; ``null``: to every attempt
    )
    status500: Share = 0.0
    drop_before: Share = 0.0
    drop_after: Share = 0.0
    hang: Hang = Hang()
    truncate: Share = 0.0
    html: Share = 0.0
    fewer_rows: bool = False
    nan: bool = False
    poison: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], BeforeValidator(_as_tuple)] = ()

    @model_validator(mode="after")
    def _check_sum(self) -> Faults:
        total = sum(share for _, share in self._shares())
        if total > 1 + 1e-9:
            raise ValueError(f"the shares of all faults add up to {total:g}; they must not exceed 1")
        return self

    def _shares(self) -> tuple[tuple[FaultKind, float], ...]:
        return (
            ("status500", self.status500),
            ("drop_before", self.drop_before),
            ("drop_after", self.drop_after),
            ("hang", self.hang.share),
            ("truncate", self.truncate),
            ("html", self.html),
        )

    def draw(self, digest: bytes, attempt: int) -> FaultKind | None:
        """What happens to attempt ``attempt`` (1, 2, …) at the request with this ``digest``."""
        if self.attempts is not None and attempt > self.attempts:
            return None
        left = uniform("fault", self.seed, digest, attempt)
        for kind, share in self._shares():
            left -= share
            if left < 0:
                return kind
        return None

    def poisons(self, text: str, digest: bytes) -> bool:
        """Whether the input with this wording (empty for a picture) and digest is poison."""
        return any(poison in text or poison == digest.hex() for poison in self.poison)


class Strict(_Settings):
    """Everything the demo server can be told to be strict about; the default is an obliging server."""

    rate: Annotated[tuple[RateLimit, ...], BeforeValidator(_as_tuple)] = ()  #: one limit or a list: all must admit
    latency: Latency = Latency()
    faults: Faults = Faults()
    labels_only: bool = False  #: answers name the best label and give no score
    top_k: PositiveInt | None = None  #: answers hold this many labels (where a route lists labels by name)
    rounding: Annotated[int, Field(ge=0, le=17)] | None = None  #: decimal digits of every score
    api_key: str | None = None  #: as ``Authorization: Bearer``, ``x-api-key`` or ``?key=``; otherwise 401
    max_batch: PositiveInt | None = None
    max_batch_status: Literal[400, 413] = 413
    drop_label: str | None = None  #: this label is missing from every answer


def uniform(purpose: str, seed: int, digest: bytes, attempt: int) -> float:
    """A number in [0, 1) that depends on the arguments only."""
    hashed = hashlib.sha256(f"{purpose}:{seed}:{attempt}:".encode() + digest).digest()
    return int.from_bytes(hashed[:7]) / 2**56

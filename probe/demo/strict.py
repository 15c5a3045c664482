"""How hard the demo server is on its clients: limits, latency, faults. Pure: time is passed in, chance is a hash.

Every random decision is the SHA-256 of (seed, input digest, attempt), so it is the same in every run and on every machine,
whatever the order and the timing of the requests.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import deque
from dataclasses import dataclass
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

FaultKind = Literal[
    "status500",
    "drop_before",
    "drop_after",
    "hang",
    "truncate",
    "html",
    "close",
    "drip",
    "cut",
    "poison",
    "fewer_rows",
    "nan",
    "storm",
]
Family = Literal["none", "ietf", "ietf-draft", "openai", "anthropic", "github"]
Share = Annotated[float, Field(ge=0, le=1)]
#: Retry-After: ``whole`` seconds rounded up, ``exact`` decimal seconds, ``milliseconds`` (retry-after-ms), an HTTP ``date``,
#: ``none``, or always this number of seconds.
RetryAfter = Literal["whole", "exact", "milliseconds", "date", "none"] | NonNegativeFloat

_WORD = re.compile(rb"\w+")


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
    that refill at ``limit / window`` per second. With ``unit: tokens`` a request counts as many as :func:`tokens_of` its
    body, and answers report them as ``usage``.
    """

    limit: PositiveInt
    unit: Literal["requests", "tokens"] = "requests"
    window: PositiveFloat = 1.0
    kind: Literal["sliding", "bucket"] = "sliding"
    burst: PositiveInt | None = None
    count_refused: bool = False  #: sliding: refused requests use up the window too
    retry_after: RetryAfter = "whole"

    def limiter(self) -> Limiter:
        """A fresh limiter with these settings."""
        return SlidingWindow(self) if self.kind == "sliding" else TokenBucket(self)


def retry_headers(form: RetryAfter, wait: float, *, wall: float) -> dict[str, str]:
    """Headers of a refusal whose client has to wait ``wait`` seconds; ``wall``: Unix time now."""
    match form:
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


@dataclass(frozen=True, slots=True)
class Standing:
    """How a limit stands: what :mod:`probe.demo.announce` tells the client. Times are in seconds from now."""

    limit: int  #: requests (or tokens) that an unused limit lets through at once
    remaining: int  #: … and that it would let through now
    more_in: float  #: until ``remaining`` grows; 0 if it is full
    full_in: float  #: until ``remaining`` is ``limit`` again if nothing more is sent


class Limiter(Protocol):
    """Judges arrivals; ``now`` is a monotonic time in seconds that never goes back."""

    rate: RateLimit

    def wait(self, now: float, units: int = 1) -> float:
        """Seconds until a request of so many ``units`` would be admitted; 0 if it is admitted now. Takes nothing. One that
        is larger than the whole limit counts as large as that."""

    def take(self, *, admitted: bool) -> None:
        """Count the request that :meth:`wait` was asked about last."""

    def standing(self) -> Standing:
        """How it stands at the time that :meth:`wait` was asked about last."""


class SlidingWindow:
    """At most ``limit`` requests or tokens in every window ``(now − window, now]``."""

    def __init__(self, rate: RateLimit) -> None:
        self.rate = rate
        self._times: deque[float] = deque()  # one for every unit
        self._now = 0.0
        self._units = 1

    def wait(self, now: float, units: int = 1) -> float:
        self._now, self._units = now, min(units, self.rate.limit)
        while self._times and self._times[0] + self.rate.window <= now:
            self._times.popleft()
        room = self.rate.limit - self._units
        if len(self._times) <= room:
            return 0.0
        return self._times[-room - 1] + self.rate.window - now

    def take(self, *, admitted: bool) -> None:
        if admitted or self.rate.count_refused:
            self._times.extend([self._now] * self._units)

    def standing(self) -> Standing:
        limit, times = self.rate.limit, self._times
        if not times:
            return Standing(limit, limit, 0.0, 0.0)
        over = max(0, len(times) - limit)
        ends = self.rate.window - self._now
        return Standing(limit, max(0, limit - len(times)), times[over] + ends, times[-1] + ends)


class TokenBucket:
    """``burst`` tokens, refilled at ``limit / window`` per second; every admitted request takes one for each unit."""

    def __init__(self, rate: RateLimit) -> None:
        self.rate = rate
        self._capacity = float(rate.burst or rate.limit)
        self._tokens = self._capacity
        self._per_second = rate.limit / rate.window
        self._then: float | None = None
        self._units = 1.0

    def wait(self, now: float, units: int = 1) -> float:
        self._units = min(float(units), self._capacity)
        if self._then is not None:
            self._tokens = min(self._capacity, self._tokens + (now - self._then) * self._per_second)
        self._then = now
        # a token that is missing by rounding alone is there
        missing = self._units - self._tokens
        return 0.0 if missing <= 1e-9 else missing / self._per_second

    def take(self, *, admitted: bool) -> None:
        if admitted:
            self._tokens -= self._units

    def standing(self) -> Standing:
        whole = max(0, math.floor(self._tokens + 1e-9))
        missing = self._capacity - self._tokens
        more = min(whole + 1 - self._tokens, missing)
        return Standing(int(self._capacity), whole, more / self._per_second, missing / self._per_second)


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


class Drip(_Settings):
    """``share`` of the requests is processed and billed; the answer's head comes in time, its body spread over ``seconds``."""

    share: Share = 0.0
    seconds: NonNegativeFloat = 60.0


class Spell(_Settings):
    """A time of trouble, in seconds since the last reset or change of the rules."""

    start: NonNegativeFloat = Field(default=0.0, alias="from")
    seconds: PositiveFloat

    def left(self, elapsed: float) -> float:
        """Seconds until it is over; 0 outside of it."""
        return self.start + self.seconds - elapsed if self.start <= elapsed < self.start + self.seconds else 0.0


class Storm(Spell):
    """Every request is refused, whatever the limits say, and counts neither there nor as an attempt."""

    status: Literal[429, 503] = 429
    retry_after: RetryAfter = "whole"  #: until the end of the storm


class Faults(_Settings):
    """What goes wrong. Shares (0 … 1) are of requests, exclude each other and add up to at most 1.

    Not processed and not billed: ``status500`` (a JSON error), ``drop_before`` (the connection is reset), ``html`` (a
    gateway's page with status 200), ``poison`` (inputs that contain one of these strings, or whose digest it is, always
    get a 500). Processed and billed: ``drop_after`` (then the connection is reset), ``close`` (then it ends in order, without
    an answer), ``hang``, ``drip``, ``truncate`` (half of the promised body, then the end), ``cut`` (half of the body, as if
    it were the whole), ``fewer_rows`` (every batch answer lacks its last row), ``nan`` (every answer's first score is a
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
    close: Share = 0.0
    drip: Drip = Drip()
    cut: Share = 0.0
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
            ("close", self.close),
            ("drip", self.drip.share),
            ("cut", self.cut),
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
    concurrency: PositiveInt | None = None  #: more requests in flight than this get a 429 that names no time
    latency: Latency = Latency()
    faults: Faults = Faults()
    storm: Storm | None = None
    refuse: Spell | None = None  #: nothing listens; connections that are open go on
    #: kept-alive connections are closed after so many seconds without a request, unannounced; 0: right after each answer
    idle_close: NonNegativeFloat | None = None
    announce: Family = "none"  #: how answers tell about the limits (announce.py)
    labels_only: bool = False  #: answers name the best label and give no score
    top_k: PositiveInt | None = None  #: answers hold this many labels (where a route lists labels by name)
    rounding: Annotated[int, Field(ge=0, le=17)] | None = None  #: decimal digits of every score
    api_key: str | None = None  #: as ``Authorization: Bearer``, ``x-api-key`` or ``?key=``; otherwise 401
    max_batch: PositiveInt | None = None
    max_batch_status: Literal[400, 413] = 413
    drop_label: str | None = None  #: this label is missing from every answer


def tokens_of(body: bytes) -> dict[str, int]:
    """What a language model's answer would report as ``usage``: a token for every run of letters and digits in the request's
    body, and one for the answer."""
    prompt = len(_WORD.findall(body))
    return {"prompt_tokens": prompt, "completion_tokens": 1, "total_tokens": prompt + 1}


def uniform(purpose: str, seed: int, digest: bytes, attempt: int) -> float:
    """A number in [0, 1) that depends on the arguments only."""
    hashed = hashlib.sha256(f"{purpose}:{seed}:{attempt}:".encode() + digest).digest()
    return int.from_bytes(hashed[:7]) / 2**56

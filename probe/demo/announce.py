"""How the demo server tells its clients about the limits: the headers of the families that are in use. Pure.

    ietf        RateLimit-Policy, RateLimit                              draft-ietf-httpapi-ratelimit-headers-08 and later
    ietf-draft  RateLimit-Limit, -Remaining, -Reset, RateLimit-Policy    the same draft until -06
    openai      x-ratelimit-{limit,remaining,reset}-{requests,tokens}    reset as a duration: 12ms, 1.5s, 6m0s
    anthropic   anthropic-ratelimit-{requests,tokens}-{limit,remaining,reset}    reset as an RFC 3339 time
    github      x-ratelimit-{limit,remaining,used,reset,resource}        reset in Unix seconds

All of them tell the truth as it is when a request arrives, that request included, rounded to the safe side where a family
has only whole seconds. A family that has room for one limit of a kind tells about the one that lets the fewest requests
(or tokens) through; ``ietf-draft`` and ``github`` tell about requests only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from probe.demo.strict import Family, Limiter, RateLimit, Standing


def headers(family: Family, limiters: Sequence[Limiter], *, wall: float) -> dict[str, str]:
    """Headers of every answer to the request that ``limiters`` were asked about last; ``wall``: Unix time now."""
    if family == "none" or not limiters:
        return {}
    if family == "ietf":
        standings = [limiter.standing() for limiter in limiters]
        return {
            "ratelimit-policy": ", ".join(
                f'"{_name(k, limiter.rate)}";q={limiter.rate.limit}{_window(limiter.rate)}'
                for k, limiter in enumerate(limiters)
            ),
            "ratelimit": ", ".join(
                f'"{_name(k, limiter.rate)}";r={each.remaining};t={math.ceil(each.more_in)}'
                for k, (limiter, each) in enumerate(zip(limiters, standings, strict=True))
            ),
        }
    told: dict[str, str] = {}
    for unit in ("requests", "tokens") if family in {"openai", "anthropic"} else ("requests",):
        counting = [limiter for limiter in limiters if limiter.rate.unit == unit]
        if counting:
            tightest = min(
                (limiter.standing() for limiter in counting), key=lambda each: (each.remaining, -each.more_in)
            )
            told |= _of_one(family, unit, tightest, [limiter.rate for limiter in counting], wall)
    return told


def _of_one(family: Family, unit: str, tightest: Standing, rates: Sequence[RateLimit], wall: float) -> dict[str, str]:
    limit, remaining = str(tightest.limit), str(tightest.remaining)
    full_at = math.ceil(wall + tightest.full_in)
    match family:
        case "openai":
            names = f"x-ratelimit-{{}}-{unit}"
            reset = duration(tightest.full_in)
        case "anthropic":
            names = f"anthropic-ratelimit-{unit}-{{}}"
            reset = datetime.fromtimestamp(full_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        case "github":
            names = "x-ratelimit-{}"
            reset = str(full_at)
        case _:
            names = "ratelimit-{}"
            reset = str(math.ceil(tightest.full_in))
    told = {names.format("limit"): limit, names.format("remaining"): remaining, names.format("reset"): reset}
    if family == "github":
        told |= {"x-ratelimit-used": str(tightest.limit - tightest.remaining), "x-ratelimit-resource": "core"}
    policies = [f"{rate.limit}{window}" for rate in rates if (window := _window(rate))]
    if family == "ietf-draft" and policies:
        told["ratelimit-policy"] = ", ".join(policies)
    return told


def duration(seconds: float) -> str:
    """As Go prints it, in whole milliseconds rounded up: ``0s``, ``12ms``, ``1.5s``, ``6m0s``, ``1h0m2.25s``."""
    milliseconds = math.ceil(round(seconds * 1000, 6))
    if 0 < milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest / 1000:g}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def _name(index: int, rate: RateLimit) -> str:
    return f"tokens-{index + 1}" if rate.unit == "tokens" else f"limit-{index + 1}"


def _window(rate: RateLimit) -> str:
    """The parameter that names the window; there is none for a part of a second, as it is a whole number by definition."""
    return f";w={rate.window:.0f}" if rate.window == int(rate.window) else ""

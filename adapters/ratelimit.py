"""What an answer's headers say about the server's limits. Pure; nothing here raises, whatever a server sends.

Known are ``Retry-After`` and its variants in milliseconds, ``RateLimit`` with ``RateLimit-Policy`` (IETF
draft-ietf-httpapi-ratelimit-headers, -07 and later), the older trio ``RateLimit-Limit``, ``-Remaining``, ``-Reset`` with
and without ``X-``, its forms per kind and period, and the ``anthropic-ratelimit`` family.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Literal, TypeAlias

Now = Callable[[], datetime]
Headers: TypeAlias = Iterable[tuple[str, str]]
Kind: TypeAlias = Literal["requests", "tokens", "input-tokens", "output-tokens", "unknown"]

#: seconds; what is announced for later than a month from now is no pause but a mistake
LONGEST: Final = 32 * 86400.0

_TEXT = 2048  #: characters read of one header
_PARTS = 32  #: items read of one list
_EPOCH = 1e9  #: a reset above this many seconds is a date (2001 or later), not a wait
_EPOCH_MS = 1e12  #: the same in milliseconds

_NUMBER = re.compile(r"\d{1,12}(\.\d{1,20})?", re.ASCII)
_COUNT = re.compile(r"(\d{1,15})(\.\d{1,20})?", re.ASCII)
_SECONDS = re.compile(r"\d{1,15}(\.\d{1,20})?", re.ASCII)
_CLOCK = re.compile(r"(\d{1,3}):([0-5]\d):([0-5]\d(?:\.\d{1,20})?)", re.ASCII)
_IMF_DATE = re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", re.ASCII)
_DURATION = re.compile(r"(?:\d{1,9}(?:\.\d{1,20})?(?:ns|us|µs|ms|s|m|h|d)){1,8}", re.ASCII)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d)", re.ASCII)
_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PERIODS: Final = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0, "month": 30 * 86400.0}
_KINDS: Final[Mapping[str, Kind]] = {
    "": "requests",
    "requests": "requests",
    "tokens": "tokens",
    "input-tokens": "input-tokens",
    "output-tokens": "output-tokens",
}
_TRIO = re.compile(r"((?:anthropic-|x-)?ratelimit)-([a-z-]{5,60})", re.ASCII)
_RELEVANT = re.compile(r"ratelimit|retry-after", re.ASCII)


@dataclass(frozen=True, slots=True)
class Announcement:
    """One limit as a server states it. ``None``: it did not say."""

    kind: Kind
    limit: int | None = None  #: units allowed per window
    remaining: int | None = None  #: units left now
    reset_after: float | None = None  #: seconds until the units are back, 0 … :data:`LONGEST`
    window: float | None = None  #: seconds
    policy: str = ""  #: the server's name for it, else the family of headers it stands in


def announced(headers: Headers, *, now: datetime | None = None) -> tuple[Announcement, ...]:
    """All limits that ``headers`` announce, without repeats; a ``Retry-After`` comes first, as nothing remaining until then.

    ``now`` (aware) is what dates count from in an answer without a ``Date``; without either, dates are not understood.
    Values that are malformed, negative, not finite or beyond :data:`LONGEST` are left out.
    """
    lines: dict[str, str] = {}
    date = ""
    for name, value in headers:
        lower = name.lower()
        if lower == "date":
            date = value
        elif _RELEVANT.search(lower):  # several lines of one name are one list
            lines[lower] = f"{lines[lower]}, {value}"[:_TEXT] if lower in lines else value[:_TEXT]
    if not lines:
        return ()
    start = _http_date(date) or now
    found: list[Announcement] = []
    wait = retry_after(lines.items(), now=lambda: start)
    if wait is not None and wait <= LONGEST:
        found.append(Announcement("unknown", remaining=0, reset_after=wait, policy="retry-after"))
    found += _ietf(lines)
    found += _trios(lines, start)
    return tuple(dict.fromkeys(found))


def retry_after(headers: Headers, *, now: Callable[[], datetime | None] | None = None) -> float | None:
    """Seconds the server asks to wait, from ``retry-after-ms``, ``x-ms-retry-after-ms`` or ``Retry-After`` (seconds or HTTP
    date), else ``None``.

    A date is taken relative to the answer's own ``Date``, so that a wrong clock on either side does not matter; ``now`` is
    asked only if there is none.
    """
    lines: dict[str, str] = {}
    for name, value in headers:
        lines.setdefault(name.lower(), value.strip())
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        if _NUMBER.fullmatch(lines.get(name, "")):
            return float(lines[name]) / 1000
    text = lines.get("retry-after", "")
    if _NUMBER.fullmatch(text):
        return float(text)
    until = _http_date(text)
    if until is None:
        return None
    start = _http_date(lines.get("date", ""))
    if start is None and now is not None:
        start = now()
    return None if start is None else max(0.0, math.ceil((until - start).total_seconds()))


# -- the trio ---------------------------------------------------------------------------------------------------------------


def _trios(lines: Mapping[str, str], start: datetime | None) -> list[Announcement]:
    """``[x-]ratelimit-{limit,remaining,reset}``, with a kind and a period in any order around it."""
    found: dict[tuple[str, Kind, str], Announcement] = {}
    more: list[_Quota] = []
    for name, value in lines.items():
        place = _TRIO.fullmatch(name)
        if place is None:
            continue
        words = place[2].split("-")
        field = [word for word in words if word in ("limit", "remaining", "reset")]
        period = [word for word in words if word in _PERIODS]
        rest = "-".join(word for word in words if word not in field and word not in period)
        if len(field) != 1 or len(period) > 1 or rest not in _KINDS:
            continue
        kind = _KINDS[rest]
        key = (place[1], kind, "".join(period))
        policy = "-".join(filter(None, (place[1], rest, *period)))
        so_far = found.get(key, Announcement(kind, window=_PERIODS.get(key[2]), policy=policy))
        found[key] = _with_field(so_far, field[0], value, lines, start)
        if field[0] == "limit":
            more += [quota for quota in _policies(value)[1:] if quota.window and quota.limit != found[key].limit]
    told = [each for each in found.values() if (each.limit, each.remaining, each.reset_after) != (None, None, None)]
    return told + [_announcement(quota, None, None) for quota in more]


def _with_field(
    so_far: Announcement, field: str, value: str, lines: Mapping[str, str], start: datetime | None
) -> Announcement:
    if field == "reset":
        return replace(so_far, reset_after=_reset(value, start))
    count = _count(_split(value, ",")[0])
    if field == "remaining":
        return replace(so_far, remaining=count)
    window = so_far.window
    if window is None and count is not None:
        # "100, 100;window=60, 10000;window=86400", or a RateLimit-Policy beside it, say which window it is about
        quotas = _policies(value) + _policies(lines.get("ratelimit-policy", ""))
        window = next((quota.window for quota in quotas if quota.limit == count and quota.window), None)
    return replace(so_far, limit=count, window=window)


def _reset(value: str, start: datetime | None) -> float | None:
    """Seconds from a number of them, an epoch in seconds or milliseconds, ``6m0s``, RFC 3339, or an HTTP date."""
    text = value.strip()
    if _SECONDS.fullmatch(text):
        number = float(text)
        if number < _EPOCH:
            return _sane(number)
        epoch = number / 1000 if number >= _EPOCH_MS else number
        return None if start is None else _sane(max(0.0, epoch - start.timestamp()))
    if _DURATION.fullmatch(text):
        return _sane(sum(float(size) * _UNITS[unit] for size, unit in _DURATION_PART.findall(text)))
    if clock := _CLOCK.fullmatch(text):
        return _sane(int(clock[1]) * 3600 + int(clock[2]) * 60 + float(clock[3]))
    until = _http_date(text) if _IMF_DATE.fullmatch(text) else _rfc3339(text)
    return None if until is None or start is None else _sane(max(0.0, (until - start).total_seconds()))


# -- RateLimit and RateLimit-Policy -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Item:
    names: tuple[str, ...]
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Quota:
    names: tuple[str, ...]
    limit: int | None
    window: float | None
    kind: Kind


def _ietf(lines: Mapping[str, str]) -> list[Announcement]:
    state = [_item(part) for part in _split(lines.get("ratelimit", ""), ",")]
    quotas = _policies(lines.get("ratelimit-policy", ""))
    if not any(item.names for item in state):
        merged = {key: value for item in state for key, value in item.values.items()}
        return _draft_07(merged, quotas) if merged else _unused(quotas, lines)
    found = []
    for item in state:
        if not item.names:
            continue
        match = [quota for quota in quotas if set(quota.names) & set(item.names)]
        quota = match[0] if match else _Quota(item.names, None, None, _kind("", item.names))
        quotas = [each for each in quotas if each is not quota]
        remaining, after = _count(item.values.get("r", "")), _seconds(item.values.get("t", ""))
        if (remaining, after) != (None, None):
            found.append(_announcement(quota, remaining, after, item.names[-1]))
    return found + _unused(quotas, lines)


def _draft_07(state: Mapping[str, str], quotas: list[_Quota]) -> list[Announcement]:
    """``limit=100, remaining=50, reset=30``, in -05 also ``policy=(10;w=1 50;w=60)``."""
    limit, remaining, after = _count(state.get("limit", "")), _count(state.get("remaining", "")), state.get("reset", "")
    quotas = quotas + _policies(",".join(state.get("policy", "").strip("()").split()))
    window = next((quota.window for quota in quotas if quota.limit == limit), None)
    current = Announcement("requests", limit, remaining, _seconds(after), window, "ratelimit")
    rest = [_announcement(quota, None, None) for quota in quotas if quota.limit not in (None, limit)]
    return [current, *rest] if (limit, remaining, current.reset_after) != (None, None, None) else rest


def _unused(quotas: list[_Quota], lines: Mapping[str, str]) -> list[Announcement]:
    """Policies whose state is not told; one without a name belongs to the trio beside it."""
    told = _count(_split(lines.get("ratelimit-limit", ""), ",")[0])
    return [
        _announcement(quota, None, None)
        for quota in quotas
        if quota.limit is not None and not (quota.limit == told and not quota.names)
    ]


def _announcement(quota: _Quota, remaining: int | None, after: float | None, name: str = "") -> Announcement:
    policy = name or (quota.names[-1] if quota.names else "ratelimit-policy")
    return Announcement(quota.kind, quota.limit, remaining, after, quota.window, policy)


def _policies(value: str) -> list[_Quota]:
    """``"name";q=500;w=300`` (several names happen), or ``500;w=300`` and ``500;window=300`` of older drafts."""
    found = []
    for item in map(_item, _split(value, ",")):
        window = _seconds(item.values.get("w", item.values.get("window", ""))) or None
        bare = _count(item.names[0]) if len(item.names) == 1 else None
        names = () if bare is not None else item.names
        limit = bare if bare is not None else _count(item.values.get("q", ""))
        if limit is not None:
            found.append(_Quota(names, limit, window, _kind(item.values.get("qu", ""), names)))
    return found


def _kind(unit: str, names: tuple[str, ...]) -> Kind:
    if unit and unit != "requests":
        return _KINDS.get(unit, "unknown")
    said = " ".join(names).lower()
    if unit or "token" not in said:
        return "requests"
    return "input-tokens" if "input" in said else "output-tokens" if "output" in said else "tokens"


def _item(text: str) -> _Item:
    names: list[str] = []
    values: dict[str, str] = {}
    for part in _split(text, ";"):
        key, equals, value = part.partition("=")
        if part.startswith('"') or not equals:
            if part:
                names.append(part.strip('"')[:100])
        else:
            values[key.strip().lower()] = value.strip().strip('"')
    return _Item(tuple(names), values)


def _split(text: str, separator: str) -> list[str]:
    """``text`` at ``separator``, but not inside quotes and parentheses; never empty."""
    parts, quoted, depth, begin = [], False, 0, 0
    for index, char in enumerate(text):
        if char == '"':
            quoted = not quoted
        elif not quoted and char in "()":
            depth += 1 if char == "(" else -1
        elif char == separator and not quoted and depth <= 0:
            parts.append(text[begin:index].strip())
            begin = index + 1
            if len(parts) == _PARTS:
                return parts
    return [*parts, text[begin:].strip()]


# -- values -----------------------------------------------------------------------------------------------------------------


def _count(text: str) -> int | None:
    found = _COUNT.fullmatch(text.strip())
    return int(found[1]) if found else None


def _seconds(text: str) -> float | None:
    return _sane(float(text)) if _NUMBER.fullmatch(text) else None


def _sane(seconds: float) -> float | None:
    return seconds if seconds <= LONGEST else None


def _rfc3339(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _http_date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)

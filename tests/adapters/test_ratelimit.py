"""Limits as servers announce them. Samples are as recorded or documented; each test id says where."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import Announcement, HttpAdapter, HttpResponse, announced
from adapters.ratelimit import LONGEST, retry_after
from tests.adapters.sockets import adapter_for

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EPOCH = int(NOW.timestamp())
DATE = "Thu, 01 Jan 2026 00:00:00 GMT"


def heard(headers: dict[str, str], now: datetime | None = NOW) -> list[Announcement]:
    return list(announced(headers.items(), now=now))


SAMPLES: dict[str, tuple[dict[str, str], list[Announcement]]] = {
    "OpenAI, guides/rate-limits": (
        {
            "x-ratelimit-limit-requests": "60",
            "x-ratelimit-limit-tokens": "150000",
            "x-ratelimit-remaining-requests": "59",
            "x-ratelimit-remaining-tokens": "149984",
            "x-ratelimit-reset-requests": "1s",
            "x-ratelimit-reset-tokens": "6m0s",
        },
        [
            Announcement("requests", 60, 59, 1.0, policy="x-ratelimit-requests"),
            Announcement("tokens", 150000, 149984, 360.0, policy="x-ratelimit-tokens"),
        ],
    ),
    "openai-php/client, tests: meta headers": (
        {
            "x-ratelimit-limit-requests": "3000",
            "x-ratelimit-remaining-requests": "2999",
            "x-ratelimit-reset-requests": "20ms",
            "x-ratelimit-reset-tokens": "2ms",
        },
        [
            Announcement("requests", 3000, 2999, 0.02, policy="x-ratelimit-requests"),
            Announcement("tokens", None, None, 0.002, policy="x-ratelimit-tokens"),
        ],
    ),
    "Groq, docs/rate-limits": (
        {
            "retry-after": "2",
            "x-ratelimit-limit-requests": "14400",
            "x-ratelimit-limit-tokens": "18000",
            "x-ratelimit-remaining-requests": "14370",
            "x-ratelimit-remaining-tokens": "17997",
            "x-ratelimit-reset-requests": "2m59.56s",
            "x-ratelimit-reset-tokens": "7.66s",
        },
        [
            Announcement("unknown", None, 0, 2.0, policy="retry-after"),
            Announcement("requests", 14400, 14370, 179.56, policy="x-ratelimit-requests"),
            Announcement("tokens", 18000, 17997, 7.66, policy="x-ratelimit-tokens"),
        ],
    ),
    "Cerebras, support/rate-limits": (
        {
            "x-ratelimit-limit-requests-day": "1000000000",
            "x-ratelimit-limit-tokens-minute": "1000000000",
            "x-ratelimit-remaining-requests-day": "999997455",
            "x-ratelimit-remaining-tokens-minute": "999998298",
            "x-ratelimit-reset-requests-day": "33011.382867097855",
            "x-ratelimit-reset-tokens-minute": "11.382867097854614",
        },
        [
            Announcement("requests", 10**9, 999997455, 33011.382867097855, 86400.0, "x-ratelimit-requests-day"),
            Announcement("tokens", 10**9, 999998298, 11.382867097854614, 60.0, "x-ratelimit-tokens-minute"),
        ],
    ),
    "Anthropic, a recorded answer (tidyllm, tests: messages-e050b5-POST)": (
        {
            "date": "Thu, 21 Aug 2025 12:41:00 GMT",
            "anthropic-ratelimit-input-tokens-limit": "80000",
            "anthropic-ratelimit-input-tokens-remaining": "80000",
            "anthropic-ratelimit-input-tokens-reset": "2025-08-21T12:40:59Z",
            "anthropic-ratelimit-output-tokens-limit": "16000",
            "anthropic-ratelimit-output-tokens-remaining": "16000",
            "anthropic-ratelimit-output-tokens-reset": "2025-08-21T12:41:00Z",
            "anthropic-ratelimit-requests-limit": "1000",
            "anthropic-ratelimit-requests-remaining": "999",
            "anthropic-ratelimit-requests-reset": "2025-08-21T12:41:05Z",
            "anthropic-ratelimit-tokens-limit": "96000",
            "anthropic-ratelimit-tokens-remaining": "96000",
            "anthropic-ratelimit-tokens-reset": "2025-08-21T12:40:59Z",
        },
        [
            Announcement("input-tokens", 80000, 80000, 0.0, policy="anthropic-ratelimit-input-tokens"),
            Announcement("output-tokens", 16000, 16000, 0.0, policy="anthropic-ratelimit-output-tokens"),
            Announcement("requests", 1000, 999, 5.0, policy="anthropic-ratelimit-requests"),
            Announcement("tokens", 96000, 96000, 0.0, policy="anthropic-ratelimit-tokens"),
        ],
    ),
    "GitHub, rest/using-the-rest-api/rate-limits": (
        {
            "x-ratelimit-limit": "5000",
            "x-ratelimit-remaining": "4999",
            "x-ratelimit-reset": str(EPOCH + 1800),
            "x-ratelimit-used": "1",
            "x-ratelimit-resource": "core",
        },
        [Announcement("requests", 5000, 4999, 1800.0, policy="x-ratelimit")],
    ),
    "Statbot, api/schemas/ratelimitheaders": (
        {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "5", "x-ratelimit-reset": "60", "retry-after": "30"},
        [
            Announcement("unknown", None, 0, 30.0, policy="retry-after"),
            Announcement("requests", 10, 5, 60.0, policy="x-ratelimit"),
        ],
    ),
    "Connecteam, docs/rate-limiting": (
        {
            "x-ratelimit-minute-limit": "100",
            "x-ratelimit-minute-remaining": "0",
            "x-ratelimit-minute-reset": str(EPOCH + 12),
            "x-ratelimit-day-limit": "10000",
            "x-ratelimit-day-remaining": "9000",
            "x-ratelimit-day-reset": str(EPOCH + 3600),
        },
        [
            Announcement("requests", 100, 0, 12.0, 60.0, "x-ratelimit-minute"),
            Announcement("requests", 10000, 9000, 3600.0, 86400.0, "x-ratelimit-day"),
        ],
    ),
    "lemlist, api-reference/rate-limits: a date in words is not guessed at": (
        {
            "Retry-After": "2",
            "X-RateLimit-Limit": "20",
            "X-RateLimit-Remaining": "7",
            "X-RateLimit-Reset": "Tue Feb 16 2021 09:02:42 GMT+0100 (Central European Standard Time)",
        },
        [
            Announcement("unknown", None, 0, 2.0, policy="retry-after"),
            Announcement("requests", 20, 7, None, policy="x-ratelimit"),
        ],
    ),
    "WHOOP, developing/rate-limiting": (
        {
            "X-RateLimit-Limit": "100, 100;window=60, 10000;window=86400",
            "X-RateLimit-Remaining": "98",
            "X-RateLimit-Reset": "3",
        },
        [
            Announcement("requests", 100, 98, 3.0, 60.0, "x-ratelimit"),
            Announcement("requests", 10000, None, None, 86400.0, "ratelimit-policy"),
        ],
    ),
    "Persona, reference/rate-limiting": (
        {"ratelimit-limit": "300", "ratelimit-remaining": "280", "ratelimit-reset": "53"},
        [Announcement("requests", 300, 280, 53.0, policy="ratelimit")],
    ),
    "express-rate-limit, standardHeaders draft-6": (
        {
            "ratelimit-policy": "100;w=60",
            "ratelimit-limit": "100",
            "ratelimit-remaining": "99",
            "ratelimit-reset": "58",
        },
        [Announcement("requests", 100, 99, 58.0, 60.0, "ratelimit")],
    ),
    "express-rate-limit, standardHeaders draft-7": (
        {"ratelimit-policy": "100;w=60", "ratelimit": "limit=100, remaining=50, reset=30"},
        [Announcement("requests", 100, 50, 30.0, 60.0, "ratelimit")],
    ),
    "ietf-wg-httpapi/ratelimit-headers, tests: all in one": (
        {"ratelimit": "limit=10, remaining=10, reset=4,policy=(10;w=1 50;w=60)"},
        [
            Announcement("requests", 10, 10, 4.0, 1.0, "ratelimit"),
            Announcement("requests", 50, None, None, 60.0, "ratelimit-policy"),
        ],
    ),
    "Hugging Face, a recorded answer": (
        {"ratelimit": '"api";r=495;t=23', "ratelimit-policy": '"fixed window";"api";q=500;w=300'},
        [Announcement("requests", 500, 495, 23.0, 300.0, "api")],
    ),
    "Hugging Face, hub/rate-limits: used up": (
        {"RateLimit": '"api";r=0;t=55', "RateLimit-Policy": '"fixed window";"api";q=500;w=300'},
        [Announcement("requests", 500, 0, 55.0, 300.0, "api")],
    ),
    "two limits, one of them not explained": (
        {"RateLimit": '"default";r=50;t=30, "api";r=0;t=137', "RateLimit-Policy": '"api";q=500;w=300'},
        [
            Announcement("requests", None, 50, 30.0, None, "default"),
            Announcement("requests", 500, 0, 137.0, 300.0, "api"),
        ],
    ),
    "UniFi Protect, a recorded answer": (
        {"ratelimit-policy": '"10-in-1sec"; q=10; w=1; pk=:cHsdsRa894==:', "ratelimit": '"10-in-1sec"; r=9; t=1'},
        [Announcement("requests", 10, 9, 1.0, 1.0, "10-in-1sec")],
    ),
    "Stalwart, a recorded 429": (
        {
            "Retry-After": "3600",
            "RateLimit-Policy": '"blob-upload-files";q=1000, "blob-upload-bytes";q=50000000;qu="content-bytes"',
        },
        [
            Announcement("unknown", None, 0, 3600.0, policy="retry-after"),
            Announcement("requests", 1000, policy="blob-upload-files"),
            Announcement("unknown", 50000000, policy="blob-upload-bytes"),
        ],
    ),
    "a policy of tokens": (
        {
            "RateLimit": '"input tokens, per minute";r=7;t=9',
            "RateLimit-Policy": '"input tokens, per minute";q=900;w=60',
        },
        [Announcement("input-tokens", 900, 7, 9.0, 60.0, "input tokens, per minute")],
    ),
    "Azure Cosmos DB, 429": (
        {"x-ms-retry-after-ms": "100"},
        [Announcement("unknown", None, 0, 0.1, policy="retry-after")],
    ),
    "openai-python, _base_client: milliseconds before seconds": (
        {"retry-after-ms": "250", "retry-after": "1"},
        [Announcement("unknown", None, 0, 0.25, policy="retry-after")],
    ),
    "RFC 9110 10.2.3: a date": (
        {"retry-after": "Thu, 01 Jan 2026 00:02:00 GMT"},
        [Announcement("unknown", None, 0, 120.0, policy="retry-after")],
    ),
    "none": ({"content-type": "application/json", "date": DATE}, []),
}


@pytest.mark.parametrize("sample", SAMPLES, ids=SAMPLES)
def test_samples(sample: str) -> None:
    headers, expected = SAMPLES[sample]
    assert heard(headers) == expected


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        ("0", 0.0),
        ("59.5", 59.5),
        ("86400", 86400.0),
        (str(EPOCH + 30), 30.0),
        (f"{EPOCH + 30}.25", 30.25),
        (str((EPOCH + 30) * 1000), 30.0),
        (str(EPOCH - 30), 0.0),
        ("1h2m3s", 3723.0),
        ("1d", 86400.0),
        ("500µs", 0.0005),
        ("00:01:00.5", 60.5),
        ("2026-01-01T00:00:30Z", 30.0),
        ("2026-01-01T01:00:30+01:00", 30.0),
        ("2026-01-01T00:00:30.250Z", 30.25),
        ("Thu, 01 Jan 2026 00:00:30 GMT", 30.0),
    ],
)
def test_a_reset_in_every_notation(reset: str, seconds: float) -> None:
    assert heard({"x-ratelimit-reset": reset}) == [Announcement("requests", reset_after=seconds, policy="x-ratelimit")]


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "-1",
        "nan",
        "NaN",
        "inf",
        "1e9",
        "1e999",
        "9" * 400,
        "soon",
        "٣",
        "0x10",
        "1 0",
        "5ss",
        "m",
        "1:2:3",
        "9999-13-01",
    ],
)
def test_what_makes_no_sense_is_left_out(value: str) -> None:
    names = ("limit", "remaining", "reset", "reset-tokens", "limit-requests")
    headers = {f"x-ratelimit-{name}": value for name in names} | {"ratelimit-reset": value, "retry-after": value}
    headers |= {"ratelimit": f'"a";r={value};t={value}', "ratelimit-policy": f'"a";q={value};w={value}'}
    assert heard(headers) == []


def test_a_reset_beyond_a_month_is_a_mistake() -> None:
    for value in ("2678400001", str(EPOCH + 10**8), "999999d", "9998-01-01T00:00:00Z", "40000000"):
        assert heard({"x-ratelimit-reset": value, "retry-after": "99999999"}) == []
    assert heard({"x-ratelimit-reset": f"{LONGEST:.0f}"})[0].reset_after == LONGEST


def test_dates_count_from_the_servers_own_clock() -> None:
    wrong = NOW + timedelta(hours=7)
    headers = {
        "date": DATE,
        "x-ratelimit-reset": str(EPOCH + 9),
        "anthropic-ratelimit-tokens-reset": "2026-01-01T00:00:09Z",
    }
    assert [each.reset_after for each in heard(headers, wrong)] == [9.0, 9.0]
    del headers["date"]
    assert [each.reset_after for each in heard(headers, NOW.astimezone(timezone(timedelta(hours=5))))] == [9.0, 9.0]
    assert heard(headers, None) == []


def test_several_lines_of_one_name_are_one_list() -> None:
    lines = [("RateLimit-Policy", '"a";q=1;w=1'), ("ratelimit-policy", '"b";q=2;w=2'), ("RATELIMIT", '"b";r=0;t=2')]
    assert announced(lines) == (
        Announcement("requests", 2, 0, 2.0, 2.0, "b"),
        Announcement("requests", 1, None, None, 1.0, "a"),
    )


def test_one_retry_after_only() -> None:
    assert retry_after([("Retry-After", "3"), ("retry-after", "4")]) == 3.0
    assert retry_after([("retry-after-ms", "x"), ("retry-after", "4")]) == 4.0
    assert retry_after([]) is None


def test_an_adapter_hears_them_by_its_own_clock() -> None:
    adapter = adapter_for("http://h/")
    assert isinstance(adapter, HttpAdapter)
    answer = HttpResponse(200, (("x-ratelimit-reset", str(EPOCH + 5)),), b"")
    assert adapter.announced(answer) == ()
    assert [each.reset_after for each in adapter.announced(answer, now=NOW)] == [5.0]
    ticking = HttpAdapter("v", adapter.spec, now=lambda: NOW)
    assert [each.reset_after for each in ticking.announced(answer)] == [5.0]


NAMES = [
    *(
        "date",
        "retry-after",
        "retry-after-ms",
        "x-ms-retry-after-ms",
        "ratelimit",
        "ratelimit-policy",
        "RateLimit-Limit",
    ),
    *(
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
        "x-ratelimit-reset-tokens",
        "x-ratelimit-reset-day",
    ),
    *(
        "anthropic-ratelimit-tokens-reset",
        "anthropic-ratelimit-requests-limit",
        "x-ratelimit--",
        "x-ratelimit-reset-reset",
    ),
]
PIECES = [
    '"',
    ";",
    ",",
    "=",
    "(",
    ")",
    " ",
    "r",
    "t",
    "q",
    "w",
    "qu",
    "limit",
    "remaining",
    "reset",
    "policy",
    "1",
    "60",
    "s",
]
PIECES += ["ms", "-", ".", ":", "9" * 15, "api", DATE, "2026-01-01T00:00:30Z", "0001-01-01T00:00:00+23:59", str(EPOCH)]
VALUES: st.SearchStrategy[Any] = st.text(max_size=80) | st.lists(st.sampled_from(PIECES), max_size=20).map("".join)


@settings(max_examples=600, deadline=None)
@given(
    headers=st.lists(st.tuples(st.sampled_from(NAMES) | st.text(max_size=30), VALUES), max_size=8), clock=st.booleans()
)
def test_nothing_raises_and_nothing_absurd_comes_out(headers: list[tuple[str, str]], clock: bool) -> None:
    found = announced(headers, now=NOW if clock else None)
    for each in found:
        for number in (each.limit, each.remaining, each.reset_after, each.window):
            assert number is None or (number >= 0 and math.isfinite(number))
        assert each.reset_after is None or each.reset_after <= LONGEST
        assert len(each.policy) <= 100
    assert len(set(found)) == len(found) <= 200


def test_a_long_header_costs_nothing() -> None:
    for value in ('"a";r=1;t=1,' * 200_000, "1m" * 500_000, "(" * 1_000_000, '"' * 1_000_001):
        headers = {
            "ratelimit": value,
            "ratelimit-policy": value,
            "x-ratelimit-reset": value,
            "x-ratelimit-limit": value,
        }
        assert len(heard(headers)) <= 100

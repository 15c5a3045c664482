"""What the demo server announces about its limits, read back and compared with the limits."""

from __future__ import annotations

import re
import time
from datetime import datetime

import httpx
import pytest

from probe.demo import announce
from probe.demo.strict import Family, RateLimit, Standing
from tests.demo.asking import ask
from tests.servers import RunningServer

WALL = 1_770_000_000.25
FAMILIES: tuple[Family, ...] = ("ietf", "ietf-draft", "openai", "anthropic", "github")


def told(family: Family, *rates: RateLimit, sent: int = 1, now: float = 100.0) -> dict[str, str]:
    """The headers of the last of ``sent`` requests that arrive 0.1 s apart, the last one at ``now``."""
    limiters = [rate.limiter() for rate in rates]
    for number in range(sent):
        at = now - 0.1 * (sent - 1 - number)
        free = max((limiter.wait(at) for limiter in limiters), default=0.0) == 0
        for limiter in limiters:
            limiter.take(admitted=free)
    return announce.headers(family, limiters, wall=WALL)


TEN_A_MINUTE = RateLimit(limit=10, window=60)
TWO_A_SECOND = RateLimit(limit=2, window=1)


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("none", {}),
        ("ietf", {"ratelimit-policy": '"limit-1";q=10;w=60', "ratelimit": '"limit-1";r=7;t=60'}),
        (
            "ietf-draft",
            {
                "ratelimit-limit": "10",
                "ratelimit-remaining": "7",
                "ratelimit-reset": "60",
                "ratelimit-policy": "10;w=60",
            },
        ),
        (
            "openai",
            {
                "x-ratelimit-limit-requests": "10",
                "x-ratelimit-remaining-requests": "7",
                "x-ratelimit-reset-requests": "1m0s",
            },
        ),
        (
            "anthropic",
            {
                "anthropic-ratelimit-requests-limit": "10",
                "anthropic-ratelimit-requests-remaining": "7",
                "anthropic-ratelimit-requests-reset": "2026-02-02T02:41:01Z",
            },
        ),
        (
            "github",
            {
                "x-ratelimit-limit": "10",
                "x-ratelimit-remaining": "7",
                "x-ratelimit-reset": "1770000061",
                "x-ratelimit-used": "3",
                "x-ratelimit-resource": "core",
            },
        ),
    ],
)
def test_each_family_as_it_is_written(family: Family, expected: dict[str, str]) -> None:
    assert told(family, TEN_A_MINUTE, sent=3) == expected
    assert told(family) == {}, "no limit, nothing to tell"


def test_every_limit_stands_in_the_lists_and_the_tightest_elsewhere() -> None:
    rates = (TEN_A_MINUTE, TWO_A_SECOND)
    ietf = told("ietf", *rates, sent=2)
    assert ietf["ratelimit-policy"] == '"limit-1";q=10;w=60, "limit-2";q=2;w=1'
    assert ietf["ratelimit"] == '"limit-1";r=8;t=60, "limit-2";r=0;t=1'
    draft = told("ietf-draft", *rates, sent=2)
    assert draft["ratelimit-policy"] == "10;w=60, 2;w=1"
    assert [draft[f"ratelimit-{name}"] for name in ("limit", "remaining", "reset")] == ["2", "0", "1"]
    assert told("openai", *rates, sent=2)["x-ratelimit-reset-requests"] == "1s"


def test_a_window_of_parts_of_a_second_has_no_place_in_the_standard() -> None:
    odd = RateLimit(limit=5, window=0.4)
    assert told("ietf", odd) == {"ratelimit-policy": '"limit-1";q=5', "ratelimit": '"limit-1";r=4;t=1'}
    assert "ratelimit-policy" not in told("ietf-draft", odd)
    assert told("openai", odd)["x-ratelimit-reset-requests"] == "400ms"


def test_bucket_announces_its_burst() -> None:
    bucket = RateLimit(limit=60, window=60, kind="bucket", burst=5)
    github = told("github", bucket, sent=3)
    assert (github["x-ratelimit-limit"], github["x-ratelimit-remaining"], github["x-ratelimit-used"]) == ("5", "2", "3")


@pytest.mark.parametrize("kind", ["sliding", "bucket"])
def test_standing_keeps_what_it_promises(kind: str) -> None:
    rate = RateLimit.model_validate({"limit": 4, "window": 2.0, "kind": kind})
    limiter = rate.limiter()
    now = 50.0
    assert limiter.wait(now) == 0
    assert limiter.standing() == Standing(4, 4, 0.0, 0.0)
    for _ in range(3):
        limiter.wait(now)
        limiter.take(admitted=True)
        now += 0.1
    limiter.wait(now)
    before = limiter.standing()
    assert before.remaining == 1
    assert 0 < before.more_in < before.full_in <= 2
    limiter.wait(now + before.more_in - 1e-6)
    assert limiter.standing().remaining == 1
    limiter.wait(now + before.more_in + 1e-6)
    assert limiter.standing().remaining == 2
    limiter.wait(now + before.full_in + 1e-6)
    assert limiter.standing().remaining == 4


def test_nothing_is_left_when_refused_requests_count_too() -> None:
    limiter = RateLimit(limit=1, window=1.0, count_refused=True).limiter()
    for at in (0.0, 0.25, 0.5):
        free = limiter.wait(at) == 0
        limiter.take(admitted=free)
    assert limiter.standing() == Standing(1, 0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0121, "13ms"),
        (0.9999, "1s"),
        (1.5, "1.5s"),
        (360, "6m0s"),
        (3602.25, "1h0m2.25s"),
        (59.9995, "1m0s"),
    ],
)
def test_durations_are_written_as_go_does(seconds: float, text: str) -> None:
    assert announce.duration(seconds) == text


@pytest.mark.parametrize("family", FAMILIES)
def test_every_answer_announces(server: RunningServer, client: httpx.Client, family: Family) -> None:
    marks = {
        "ietf": ("ratelimit", r'"limit-1";r=(\d+);t=\d+'),
        "ietf-draft": ("ratelimit-remaining", r"(\d+)"),
        "openai": ("x-ratelimit-remaining-requests", r"(\d+)"),
        "anthropic": ("anthropic-ratelimit-requests-remaining", r"(\d+)"),
        "github": ("x-ratelimit-remaining", r"(\d+)"),
    }
    name, form = marks[family]
    server.set_strict(
        {
            "announce": family,
            "rate": {"limit": 4, "window": 60},
            "faults": {"status500": 0.5, "cut": 0.5, "poison": "arsenic", "seed": 2},
        }
    )
    answers = [ask(client, text) for text in ("a", "b", "arsenic", "a", "b")]
    assert {200, 500, 429} == {answer.status_code for answer in answers}
    remaining = [re.fullmatch(form, answer.headers[name]) for answer in answers]
    assert [found and found[1] for found in remaining] == ["3", "2", "1", "0", "0"]
    assert not any("ratelimit" in header for header in client.get("/models").headers)


def test_reset_times_come_true(server: RunningServer, client: httpx.Client) -> None:
    server.set_strict({"announce": "anthropic", "rate": {"limit": 1, "window": 1.0, "retry_after": "none"}})
    answer = ask(client, "a")
    assert ask(client, "b").status_code == 429
    reset = datetime.fromisoformat(answer.headers["anthropic-ratelimit-requests-reset"]).timestamp()
    assert 0 <= reset - time.time() <= 2
    time.sleep(max(0.0, reset - time.time()))
    assert ask(client, "c").status_code == 200


def test_storm_announces_too_and_no_limit_announces_nothing(server: RunningServer, client: httpx.Client) -> None:
    server.set_strict({"announce": "github", "rate": {"limit": 3, "window": 60}, "storm": {"seconds": 60}})
    assert ask(client, "a").headers["x-ratelimit-remaining"] == "3"
    server.set_strict({"announce": "github"})
    assert "x-ratelimit-remaining" not in ask(client, "a").headers

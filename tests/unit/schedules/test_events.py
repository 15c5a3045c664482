"""What alerts say and how they are signed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from probe.errors import ConfigError
from probe.schedules.events import RETRIES, Signer, body_of, event_id, kind_of, next_try, payload
from storage import Fire, Schedule

NOW = datetime(2026, 5, 1, 7, 0, tzinfo=UTC)
SCHEDULE = Schedule("nightly", "0 7 * * *", "UTC", ("check", "intents"), "/srv/probe.yaml", "once", NOW)
FIRE = Fire("nightly", NOW, "done", "me", 1, 0, NOW, NOW, 1, "2 of 20 probes flipped")


def test_the_signature_is_that_of_the_published_example() -> None:
    """Standard Webhooks' own test vector (specification, section "Signature scheme")."""
    signer = Signer.of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", where="alerts.team")
    at = datetime.fromtimestamp(1614265330, tz=UTC)
    headers = dict(signer.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', at=at))
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_????", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
def test_a_weak_or_malformed_secret_is_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(ConfigError, match=r"alerts\.team: the secret must be") as caught:
        Signer.of(secret, where="alerts.team")
    assert secret in ("", "whsec_") or secret not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "before", "kind"),
    [
        (0, None, None),
        (0, 0, None),
        (0, 1, "recovered"),
        (0, 4, "recovered"),
        (1, 0, "finding"),
        (1, 1, "finding"),
        (3, 0, "inconclusive"),
        (4, 0, "error"),
        (-9, 0, "error"),
        (None, None, "error"),
    ],
)
def test_exit_codes_are_events(code: int | None, before: int | None, kind: str | None) -> None:
    assert kind_of(code, before) == kind


def test_an_event_has_one_id_however_often_it_is_told() -> None:
    again = Fire("nightly", NOW, "done", "other", 3, 7, NOW + timedelta(hours=1), NOW, 1, "other words")
    assert event_id("finding", FIRE) == event_id("finding", again)
    others = [
        event_id("error", FIRE),
        event_id("finding", Fire("nightly", NOW + timedelta(days=1), "done", "", 1, 0, NOW)),
    ]
    assert len({event_id("finding", FIRE), *others}) == 3


def test_the_body_says_what_happened() -> None:
    body = body_of(payload("finding", SCHEDULE, FIRE, at=NOW))
    assert b'"type":"probe.finding"' in body
    assert b'"summary":"2 of 20 probes flipped"' in body
    assert b'"exit_code":1' in body
    assert b"/srv" not in body  # paths of this machine are nobody's business


def test_attempts_are_further_and_further_apart_and_end_after_three_days() -> None:
    waits = [next_try(attempts, now=NOW) for attempts in range(1, len(RETRIES) + 1)]
    apart = [each - NOW for each in waits if each is not None]
    assert apart == sorted(apart)
    assert sum(apart, timedelta()) > timedelta(days=3)
    assert next_try(len(RETRIES) + 1, now=NOW) is None

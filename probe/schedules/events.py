"""What alerts say, how they are signed, and when they are tried again. Pure.

Webhooks follow Standard Webhooks 1.0 (https://www.standardwebhooks.com): the headers ``webhook-id``, ``webhook-timestamp``
and ``webhook-signature``; the id is the event's, the same at every attempt, so that a receiver can drop repeats.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from probe.config_sections import EventKind
from probe.errors import ConfigError
from storage.schedules import Fire, Schedule

#: after the 1st, 2nd, … failed attempt; then it is given up
RETRIES: Final = tuple(
    timedelta(seconds=seconds) for seconds in (5, 60, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
)
#: how long a receiver may take, and until when nobody else tries
PATIENCE: Final = timedelta(seconds=15)
_PREFIX = "whsec_"


def kind_of(exit_code: int | None, before: int | None) -> EventKind | None:
    """The event that a command's ``exit_code`` is, after that of the fire ``before``; ``None``: nothing to tell.

    1 is a finding; 3 (a budget, or a check that could not be judged) is inconclusive; all else but 0 an error. Repeats of the
    same are told again; ``recovered`` is told once.
    """
    if exit_code == 0:
        return "recovered" if before not in (0, None) else None
    told: dict[int | None, EventKind] = {1: "finding", 3: "inconclusive"}
    return told.get(exit_code, "error")


def event_id(kind: EventKind, fire: Fire) -> str:
    """The same for every attempt to tell of the same thing."""
    digest = hashlib.sha256(json.dumps([kind, fire.schedule, fire.due.isoformat()]).encode()).hexdigest()
    return f"evt_{digest[:32]}"


def payload(kind: EventKind, schedule: Schedule, fire: Fire, *, at: datetime) -> dict[str, Any]:
    """The event as JSON."""
    return {
        "type": f"probe.{kind}",
        "timestamp": at.isoformat(),
        "data": {
            "schedule": schedule.name,
            "command": list(schedule.command),
            "due": fire.due.isoformat(),
            "began": fire.began.isoformat(),
            "ended": None if fire.ended is None else fire.ended.isoformat(),
            "attempt": fire.attempt,
            "exit_code": fire.exit_code,
            "summary": fire.summary,
        },
    }


def body_of(event: Mapping[str, Any]) -> bytes:
    """The bytes that are sent and signed."""
    return json.dumps(event, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs with a secret of the form ``whsec_`` + base64 of 24 to 64 bytes."""

    key: bytes

    @classmethod
    def of(cls, secret: str, *, where: str) -> Signer:
        """Raises :class:`ConfigError`, which does not show the secret."""
        try:
            key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if not secret.startswith(_PREFIX) or not 24 <= len(key) <= 64:
            raise ConfigError(
                f"{where}: the secret must be whsec_ and the base64 of 24 to 64 random bytes, as from "
                "`echo whsec_$(head -c 32 /dev/urandom | base64)`"
            )
        return cls(key)

    def headers(self, event: str, body: bytes, *, at: datetime) -> tuple[tuple[str, str], ...]:
        """The three headers of one attempt."""
        stamp = str(int(at.timestamp()))
        signed = b".".join((event.encode(), stamp.encode(), body))
        signature = base64.b64encode(hmac.new(self.key, signed, hashlib.sha256).digest()).decode()
        return (("webhook-id", event), ("webhook-timestamp", stamp), ("webhook-signature", f"v1,{signature}"))


def next_try(attempts: int, *, now: datetime) -> datetime | None:
    """When to try again after so many failed attempts; ``None``: not any more."""
    return now + RETRIES[attempts - 1] if attempts <= len(RETRIES) else None

"""When a schedule is due: cron expressions in a time zone, and what becomes of times that nobody was there for.

An expression has the five fields of cron; names of days and months, ``L`` (last day), ``#`` (n-th weekday) are understood.
When clocks go forward, what was due in the hour that does not exist is due right after it; when they go back, what is due at
a fixed hour is due once, and what is due every so many minutes or every hour goes on (as Debian's cron does it).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from probe.errors import ConfigError
from storage.schedules import Missed

#: due times that are looked at after a long absence; earlier ones are not even counted as missed
_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Times:
    """The times of one cron expression in one zone. Raises :class:`ConfigError` if it is none, or never comes."""

    expression: str
    zone: str

    def __post_init__(self) -> None:
        self.after(datetime(2026, 1, 1, tzinfo=UTC))

    def after(self, moment: datetime) -> datetime:
        """The first due time after ``moment``, in UTC."""
        return next(self._after(moment))

    def between(self, after: datetime, until: datetime) -> list[datetime]:
        """Due times after ``after`` up to and including ``until``, in UTC: the last 10,000 at most."""
        found: list[datetime] = []
        for due in self._after(after):
            if due > until:
                break
            found.append(due)
            if len(found) > 2 * _MOST:
                del found[:_MOST]
        return found[-_MOST:]

    def _after(self, moment: datetime) -> Iterator[datetime]:
        try:
            zone = ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ConfigError(f"there is no time zone {self.zone!r}; write one like Europe/Berlin or UTC") from None
        try:
            yield from (due.astimezone(UTC) for due in CronSim(self.expression, moment.astimezone(zone)))
        except CronSimError as error:
            raise ConfigError(
                f"{self.expression!r} is not a cron expression ({str(error).lower()}); "
                "write minute, hour, day of month, month, day of week, such as '0 7 * * mon-fri'"
            ) from None
        raise ConfigError(f"{self.expression!r} is never due: there is no such day within fifty years")


@dataclass(frozen=True, slots=True)
class Due:
    """What to do now: ``run`` these due times, and put ``missed`` ones on record."""

    run: tuple[datetime, ...] = ()
    missed: tuple[datetime, ...] = ()


def due_now(times: Times, *, handled: datetime, now: datetime, missed: Missed, grace: timedelta) -> Due:
    """What is due at ``now``, if everything up to ``handled`` has been seen to.

    A due time older than ``grace`` counts as missed. ``skip``: missed ones are not made up for. ``once``: however many were
    missed, the latest due time is run. ``all``: each is run, oldest first. A clock that was set back makes nothing due
    again, because ``handled`` does not go back.
    """
    found = times.between(handled, now)
    late = tuple(due for due in found if now - due > grace)
    fresh = tuple(found[len(late) :])
    if missed == "all":
        return Due(run=(*late, *fresh))
    if missed == "skip":
        return Due(run=fresh, missed=late)
    return Due(run=tuple(found[-1:]), missed=tuple(found[:-1]))

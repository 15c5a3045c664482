"""Getting an event to those who want it: a signed webhook, or a command that reads it on its standard input."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

from adapters import AdapterError, HttpRequest, Limits
from adapters.transport import HttpTransport
from probe.config import expand, load_config
from probe.config_sections import AlertConfig, EventKind
from probe.errors import ConfigError
from probe.report.clean import safe_text
from probe.schedules.events import PATIENCE, Signer, body_of, next_try
from storage.schedules import Alert, AlertState, Schedules

#: of a receiver's answer
_MOST_BYTES = 64 * 1024
#: seconds a command may take
_COMMAND_PATIENCE = 60.0

#: path of a config file → its alerts
Targets: TypeAlias = Callable[[str], Mapping[str, AlertConfig]]


def configured(config: str) -> Mapping[str, AlertConfig]:
    """The section ``alerts`` of the file ``config``. Raises :class:`ConfigError`."""
    return load_config(Path(config))[0].alerts


def wanted(targets: Mapping[str, AlertConfig], kind: EventKind) -> list[str]:
    """Names of the targets that want to hear of ``kind``."""
    return [name for name, target in targets.items() if kind in target.on]


class _Gone(Exception):
    """There is no use in trying again."""


class Deliverer:
    """Takes alerts from ``schedules`` and tries to deliver them. ``environment`` holds the secrets."""

    def __init__(self, schedules: Schedules, *, environment: Mapping[str, str], targets: Targets = configured) -> None:
        self._schedules = schedules
        self._environment = environment
        self._targets = targets

    async def deliver_one(self, now: Callable[[], datetime]) -> str | None:
        """Try the alert that has waited longest; one line about how it went, or ``None`` if none is due."""
        taken = await asyncio.to_thread(self._schedules.take_alert, now(), until=now() + 5 * PATIENCE)
        if taken is None:
            return None
        named = f"alert {taken.event} to {taken.target}"
        try:
            refused = await self._attempt(taken, now())
        except (_Gone, ConfigError) as gone:
            await self._settle(taken, "given up", now(), str(gone))
            return f"{named}: given up: {gone}"
        if refused is None:
            await self._settle(taken, "delivered", now(), None)
            return f"{named}: delivered"
        again = next_try(taken.attempts, now=now())
        await self._settle(taken, "given up" if again is None else "pending", again or now(), refused)
        when = "given up" if again is None else f"again at {again:%Y-%m-%d %H:%M:%S} UTC"
        return f"{named}: {refused}; {when}"

    async def _settle(self, taken: Alert, state: AlertState, when: datetime, error: str | None) -> None:
        await asyncio.to_thread(self._schedules.settle_alert, taken.number, state, next_try=when, error=error)

    async def _attempt(self, taken: Alert, now: datetime) -> str | None:
        """Why it was not taken; ``None`` if it was."""
        target = self._targets(taken.config).get(taken.target)
        if target is None:
            raise _Gone(f"{taken.config} has no alerts.{taken.target} any more")
        if target.command is not None:
            return await _tell_command(target.command, body_of(taken.payload), folder=Path(taken.config).parent)
        return await self._tell_webhook(taken, target, now)

    async def _tell_webhook(self, taken: Alert, target: AlertConfig, now: datetime) -> str | None:
        where = f"alerts.{taken.target}"
        body = body_of(taken.payload)
        signer = Signer.of(expand(target.secret or "", self._environment, where=f"{where}.secret"), where=where)
        headers = (("content-type", "application/json"), *signer.headers(taken.event, body, at=now))
        request = HttpRequest("POST", expand(target.webhook or "", self._environment, where=where), headers, body)
        limits = Limits(timeout=PATIENCE.total_seconds(), max_response_bytes=_MOST_BYTES)
        transport = HttpTransport(where, limits=limits)
        try:
            answer = await transport.send(request)
        except AdapterError as error:
            return safe_text(error, one_line=True, limit=300)
        finally:
            await transport.aclose()
        if answer.status == 410:
            raise _Gone("HTTP 410: the receiver wants no more of them")
        return None if 200 <= answer.status < 300 else f"HTTP {answer.status}"


async def _tell_command(command: tuple[str, ...], body: bytes, *, folder: Path) -> str | None:
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        return f"{command[0]}: {error.strerror or error}"
    try:
        async with asyncio.timeout(_COMMAND_PATIENCE):
            _, said = await process.communicate(body)
    except TimeoutError:
        process.kill()
        await process.wait()
        return f"{command[0]} took longer than {_COMMAND_PATIENCE:g} s and was ended"
    if process.returncode == 0:
        return None
    last = safe_text(said.decode("utf-8", "replace").strip().rpartition("\n")[2], one_line=True, limit=200)
    return f"{command[0]} ended with {process.returncode}" + (f": {last}" if last else "")

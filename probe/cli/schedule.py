"""``probe schedule``."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from probe.cli.options import config_option, database_url, json_option, print_table, storage_option
from probe.database import open_store
from probe.errors import ConfigError
from storage.schedules import Missed, Schedule, Schedules

if TYPE_CHECKING:
    from storage import Store

#: commands whose exit code says something about an endpoint
_COMMANDS = ("run", "survey", "check")


@click.group("schedule", short_help="Run and check by the clock; alert.")
def command() -> None:
    """Run, survey and check by the clock, and tell who wants to know.

    Schedules are kept in the database; `probe schedule run` fires them, on one machine or on several, each fire once. For
    system cron and CI: `probe schedule run --once`.
    """


@command.command("add", short_help="Add a schedule, or change one.")
@click.argument("name")
@click.argument("cron")
@click.argument("arguments", nargs=-1, required=True, metavar="COMMAND…")
@click.option("--zone", default="UTC", show_default=True, help="Time zone of the expression, such as Europe/Berlin.")
@click.option(
    "--missed",
    type=click.Choice(get_args(Missed)),
    default="once",
    show_default=True,
    help="Due times that nobody was there for: left out, made up for once, or all of them.",
)
@click.option("--replace", is_flag=True, help="Change the schedule of this name.")
@config_option
@storage_option
def add(
    name: str,
    cron: str,
    arguments: tuple[str, ...],
    zone: str,
    missed: Missed,
    replace: bool,
    config_path: Path,
    storage: str | None,
) -> int:
    """Add a schedule: NAME, a cron expression, and what to do.

    \b
    probe schedule add nightly '0 3 * * *' --zone Europe/Berlin -- check intents
    probe schedule add weekly '0 6 * * mon' -- run --budget 2usd
    """
    from probe.schedules.cron import Times

    if arguments[0] not in _COMMANDS:
        raise ConfigError(f"a schedule does one of {', '.join(_COMMANDS)}, not {arguments[0]!r}")
    if not name or len(name) > 100 or not name.isprintable():
        raise ConfigError(f"not a name for a schedule: {name[:100]!r}; write up to 100 printable characters")
    now = datetime.now(UTC)
    first = Times(cron, zone).after(now)
    value = Schedule(name, cron, zone, arguments, str(config_path.resolve()), missed, now)
    with open_store(database_url(config_path, storage)) as store:
        if not Schedules(store).add(value, replace=replace):
            raise ConfigError(f"there is a schedule {name!r} already; change it with --replace")
    click.echo(f"{name}: probe {' '.join(arguments)}, next at {first:%Y-%m-%d %H:%M} UTC")
    return 0


@command.command("ls", short_help="List schedules, when they are next due, and how they last went.")
@config_option
@storage_option
@json_option
def ls(config_path: Path, storage: str | None, as_json: bool) -> int:
    """List schedules, when they are next due, and how they last went."""
    from probe.report.clean import safe_text
    from probe.schedules.cron import Times

    now = datetime.now(UTC)
    with open_store(database_url(config_path, storage)) as store:
        schedules = Schedules(store)
        found = [(each, next(iter(schedules.fires(each.name, most=1)), None)) for each in schedules.all()]
    listed = [
        {
            "name": each.name,
            "cron": each.cron,
            "zone": each.zone,
            "command": list(each.command),
            "config": each.config,
            "missed": each.missed,
            "next": None if each.paused else Times(each.cron, each.zone).after(now).isoformat(),
            "last": last and {"due": last.due.isoformat(), "state": last.state, "exit_code": last.exit_code},
        }
        for each, last in found
    ]
    if as_json:
        click.echo(json.dumps(listed, indent=2))
        return 0
    if not listed:
        click.echo("no schedules yet; `probe schedule add` makes one")
        return 0
    rows = []
    for entry, (each, last) in zip(listed, found, strict=True):
        due = "paused" if entry["next"] is None else str(entry["next"])[:16].replace("T", " ")
        how = "" if last is None else f"{last.due:%Y-%m-%d %H:%M} {last.state}"
        how += "" if last is None or last.exit_code is None else f", exit {last.exit_code}"
        what = safe_text(" ".join(each.command), one_line=True, limit=100)
        rows.append((safe_text(each.name, one_line=True), each.cron, each.zone, due, how, what))
    print_table(("schedule", "cron", "zone", "next (UTC)", "last", "command"), rows, numbers=(), folded="command")
    return 0


@command.command("rm", short_help="Forget a schedule.")
@click.argument("name")
@config_option
@storage_option
def rm(name: str, config_path: Path, storage: str | None) -> int:
    """Forget a schedule and its history."""
    with open_store(database_url(config_path, storage)) as store:
        Schedules(store).remove(name)
    click.echo(f"{name}: removed")
    return 0


@command.command("pause", short_help="Stop firing a schedule until it is resumed.")
@click.argument("name")
@click.option("--resume", is_flag=True, help="Fire it again.")
@config_option
@storage_option
def pause(name: str, resume: bool, config_path: Path, storage: str | None) -> int:
    """Stop firing a schedule until it is resumed. What was due meanwhile counts as missed."""
    with open_store(database_url(config_path, storage)) as store:
        Schedules(store).pause(name, not resume)
    click.echo(f"{name}: {'resumed' if resume else 'paused'}")
    return 0


@command.command("history", short_help="What fired when, and who was told.")
@click.argument("name", required=False)
@config_option
@storage_option
@json_option
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Most lines.")
def history(name: str | None, config_path: Path, storage: str | None, as_json: bool, limit: int) -> int:
    """What fired when and how it ended, latest first, and which alerts wait or were given up."""
    from probe.report.clean import safe_text

    with open_store(database_url(config_path, storage)) as store:
        schedules = Schedules(store)
        fires = schedules.fires(name, most=limit)
        alerts = [each for each in schedules.alerts(most=limit) if name in (None, each.payload["data"]["schedule"])]
    if as_json:
        told = {"fires": [_plain(each) for each in fires], "alerts": [_plain(each) for each in alerts]}
        click.echo(json.dumps(told, indent=2))
        return 0
    rows = [
        (
            f"{each.due:%Y-%m-%d %H:%M}",
            safe_text(each.schedule, one_line=True),
            each.state,
            "" if each.exit_code is None else str(each.exit_code),
            safe_text(each.summary, one_line=True, limit=200),
        )
        for each in fires
    ]
    print_table(
        ("due (UTC)", "schedule", "state", "exit", "what it said"), rows, numbers=("exit",), folded="what it said"
    )
    for each in alerts:
        why = f": {safe_text(each.error, one_line=True)}" if each.error else ""
        click.echo(f"alert {each.event} to {safe_text(each.target, one_line=True)}: {each.state}{why}")
    return 0


def _plain(value: object) -> dict[str, object]:
    from dataclasses import asdict

    fields: dict[str, object] = asdict(value)  # type: ignore[call-overload]
    return {key: each.isoformat() if isinstance(each, datetime) else each for key, each in fields.items()}


@command.command("run", short_help="Fire schedules when they are due.")
@click.option("--once", is_flag=True, help="Do what is due now, then end: for system cron and CI.")
@click.option(
    "--look",
    type=click.FloatRange(min=0.1, max=60),
    default=5.0,
    show_default=True,
    help="Seconds between two looks for new schedules and alerts.",
)
@click.option(
    "--stall",
    type=click.FloatRange(min=1),
    default=30.0,
    show_default=True,
    help="Seconds after which a silent scheduler's work is taken over; much more than its --look.",
)
@config_option
@storage_option
def run(once: bool, look: float, stall: float, config_path: Path, storage: str | None) -> int:
    """Fire schedules when they are due, until interrupted. SIGTERM: what runs stops in good order, and is gone on with.

    With --once the exit code is the worst of the commands': 1 for a finding, 3 if one could not be judged.
    """
    from probe.schedules.runner import Pace, Scheduler

    if stall < 2 * look:
        raise ConfigError(f"--stall {stall:g} must be at least twice --look {look:g}, or work is taken from the living")
    owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"

    async def work(store: Store) -> int:
        pace = Pace(look=look, stall=stall)
        scheduler = Scheduler(Schedules(store), owner=owner, environment=os.environ, log=_log, pace=pace)
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, scheduler.interrupt)
        return await scheduler.run(once=once)

    with open_store(database_url(config_path, storage)) as store:
        return asyncio.run(work(store))


def _log(line: str) -> None:
    from probe.report.clean import safe_text

    click.echo(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {safe_text(line, one_line=True)}", err=True)

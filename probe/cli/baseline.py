"""``probe baseline``."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from probe.cli.options import config_option, json_option, print_table, project, storage_option, stored
from probe.cli.run import stop_on_signals
from probe.engine.budget import money

if TYPE_CHECKING:
    from probe.engine.drift_plan import DriftPlan
    from probe.engine.drift_run import Made
    from storage import Baseline


@click.group("baseline", short_help="Answers to compare later ones with.")
def command() -> None:
    """Keep answers of an endpoint, so that `probe check` can tell whether it has changed."""


@command.command("create")
@click.argument("name")
@config_option
@storage_option
@click.option("--replace", is_flag=True, help="Make a new one although there is one.")
@click.option(
    "--plan", is_flag=True, help="Say what would be asked, what it costs and what checks would see; send nothing."
)
@click.option("--budget", help="Most requests or money: 5000req, 2usd.")
@click.option("--rate", help="Instead of the endpoint's own limit: 5/s, 300/min.")
@click.option("--max-time", help="Stop sending after this long: 90s, 30m, 2h.")
@json_option
@click.option("--quiet", is_flag=True, help="No progress on standard error.")
def create(
    name: str,
    config_path: Path,
    storage: str | None,
    replace: bool,
    plan: bool,
    budget: str | None,
    rate: str | None,
    max_time: str | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Ask the inputs of NAME (an entry of `baselines` in the config), find the boundaries between their labels, and keep the
    answers. Interrupted, or out of budget? The same command goes on where it stopped.
    """
    loaded = project(config_path, rate=rate)
    if plan:
        from probe.drift_setup import watch_task
        from probe.engine.drift_plan import plan_baseline

        show_plan(plan_baseline(watch_task(loaded, name)), as_json=as_json)
        return 0

    from probe.cli.progress import Progress
    from probe.drift_api import amake_baseline

    with Progress(sys.stderr, quiet=quiet) as progress:

        async def work() -> Made:
            return await amake_baseline(
                name,
                config_path,
                replacing=replace,
                budget=budget,
                rate=rate,
                max_time=max_time,
                storage=storage,
                environment=os.environ,
                on_event=progress.hear,
                on_runner=stop_on_signals,
            )

        made = asyncio.run(work())
    _show_made(made, as_json=as_json)
    return made.exit_code


def _show_made(made: Made, *, as_json: bool) -> None:
    from probe.report.clean import safe_text

    if as_json:
        click.echo(
            json.dumps({**_as_json(made.baseline), "run": made.run.id, "totals": dict(made.run.totals)}, indent=2)
        )
    elif made.suite is not None:
        suite, noise = made.suite, made.suite.noise
        click.echo(
            f"baseline {made.baseline.id}: {len(suite.of('natural'))} inputs, {len(suite.of('boundary'))} probes at "
            f"boundaries, {len(suite.of('band'))} inputs that vary"
        )
        click.echo(
            f"noise: {noise.unequal} of {noise.pairs} double calls disagreed (at most {100 * noise.most():.2g} % do); "
            f"{noise.unequal_raw} in a score"
        )
        if not suite.of("boundary"):
            click.echo("no boundary was found: the inputs themselves are watched, which only a large change moves")
    if made.stop is not None:
        click.echo(f"probe: {safe_text(made.stop.reason, one_line=True)}", err=True)


def show_plan(plan: DriftPlan, *, as_json: bool) -> None:
    """What would be asked, and what it is good for."""
    if as_json:
        click.echo(json.dumps(asdict(plan), indent=2))
        return
    click.echo(f"expected {plan.expected:,} questions, at most {plan.most:,}" + _priced(plan))
    if plan.least_seconds is not None:
        click.echo(f"at least {plan.least_seconds:.0f} s under its limit")
    click.echo(f"a check {plan.sees}")


def _priced(plan: DriftPlan) -> str:
    if not plan.most_micro:
        return ""
    return f" · {money(plan.expected_micro)} {plan.currency}, at most {money(plan.most_micro)}"


@command.command("ls")
@config_option
@storage_option
@json_option
def ls(config_path: Path, storage: str | None, as_json: bool) -> int:
    """List baselines, newest first."""
    from probe.report.clean import safe_text
    from storage import Baselines

    with stored(config_path, storage) as store:
        kept = Baselines(store)
        found = [(each, kept.checks(each.id)) for each in kept.all()]
    if as_json:
        click.echo(json.dumps([{**_as_json(each), "checks": len(checks)} for each, checks in found], indent=2))
        return 0
    if not found:
        click.echo("no baselines yet; `probe baseline create NAME` makes one")
        return 0
    rows = [
        (
            each.id,
            safe_text(each.name, one_line=True),
            each.started.strftime("%Y-%m-%d %H:%M"),
            each.status,
            str(len(checks)),
            next((check.verdict or "running" for check in reversed(checks)), "none"),
        )
        for each, checks in found
    ]
    header = ("baseline", "name", "made (UTC)", "status", "checks", "last check")
    print_table(header, rows, numbers=("checks",), folded="name")
    return 0


@command.command("show")
@click.argument("name")
@config_option
@storage_option
@json_option
def show(name: str, config_path: Path, storage: str | None, as_json: bool) -> int:
    """Show the probes of the baseline NAME with what they answered so far."""
    from probe.engine.drift_run import loaded
    from probe.report.clean import safe_text
    from storage import Baselines

    with stored(config_path, storage) as store:
        kept = Baselines(store)
        baseline = kept.current(name)
        suite, checks = loaded(kept, baseline)
    probes = [(probe.role, probe.name, probe.reference.usual, probe.reference) for probe in suite.probes]
    if as_json:
        listed = [
            {"role": role, "name": label, "usual": usual, "answers": reference.n, "off": reference.off}
            for role, label, usual, reference in probes
        ]
        click.echo(json.dumps({**_as_json(baseline), "checks": len(checks), "probes": listed}, indent=2))
        return 0
    click.echo(
        f"baseline {baseline.id} of {baseline.started:%Y-%m-%d %H:%M} UTC: {baseline.status}, {len(checks)} checks · "
        f"{suite.noise.unequal} of {suite.noise.pairs} double calls disagreed"
    )
    if baseline.note is not None:
        click.echo(f"accepted on {baseline.accepted_at:%Y-%m-%d}: {safe_text(baseline.note, one_line=True)}")
    rows = [
        (
            role,
            safe_text(label, one_line=True, limit=60),
            safe_text(usual, one_line=True, limit=30),
            *_counts(reference),
        )
        for role, label, usual, reference in probes
    ]
    print_table(("role", "probe", "usual", "answers", "off"), rows, numbers=("answers", "off"), folded="probe")
    return 0


def _counts(reference: Any) -> tuple[str, str]:
    return str(reference.n), str(reference.off)


@command.command("accept")
@click.argument("name")
@click.option("--note", required=True, help="Why the change is taken as it is; kept with the baseline.")
@config_option
@storage_option
def accept(name: str, note: str, config_path: Path, storage: str | None) -> int:
    """Record that the change which the last alarm found is taken as it is.

    Later checks need a new baseline: an old one never grows past a change.
    """
    from probe.errors import ConfigError
    from storage import Baselines

    with stored(config_path, storage) as store:
        kept = Baselines(store)
        baseline = kept.current(name)
        alarm = next((each for each in reversed(kept.checks(baseline.id)) if each.verdict == "alarm"), None)
        if baseline.status == "accepted":
            raise ConfigError(f"baseline {name!r}: its change is accepted already; `probe baseline create {name}`")
        if alarm is None:
            raise ConfigError(f"baseline {name!r}: no check has raised an alarm; there is nothing to accept")
        kept.accept(baseline.id, check_id=alarm.id, at=datetime.now(UTC), note=note)
    click.echo(f"accepted the change found by check {alarm.id}; `probe baseline create {name}` makes a new baseline")
    return 0


def _as_json(baseline: Baseline) -> dict[str, Any]:
    return {
        "baseline": baseline.id,
        "name": baseline.name,
        "status": baseline.status,
        "started": baseline.started.isoformat(),
        "finished": None if baseline.finished is None else baseline.finished.isoformat(),
        "noise": dict(baseline.noise),
        "accepted_at": None if baseline.accepted_at is None else baseline.accepted_at.isoformat(),
        "accepted_check": baseline.accepted_check,
        "note": baseline.note,
    }

"""``probe ls``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from probe.cli.options import config_option, json_option, print_table, storage_option, stored
from probe.engine.budget import money


@click.command("ls")
@config_option
@storage_option
@json_option
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Most runs to list.")
def command(config_path: Path, storage: str | None, as_json: bool, limit: int) -> int:
    """List runs, newest first."""
    from probe.report.as_json import run_json
    from probe.report.clean import safe_text

    with stored(config_path, storage) as store:
        runs = store.runs(limit)
    if as_json:
        click.echo(json.dumps([run_json(run) for run in runs], indent=2))
        return 0
    if not runs:
        click.echo("no runs yet; `probe run` makes one")
        return 0
    numbers = ("sent", "from ledger", "cost")
    rows = [
        (
            run.id,
            run.started.strftime("%Y-%m-%d %H:%M:%S"),
            run.status,
            f"{run.totals.get('sent', 0):,}",
            f"{run.totals.get('from_ledger', 0):,}",
            money(run.totals.get("cost_micro", 0)),
            safe_text(run.name, one_line=True),
        )
        for run in runs
    ]
    print_table(("run", "started (UTC)", "status", *numbers, "config"), rows, numbers=numbers, folded="config")
    return 0

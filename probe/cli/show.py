"""``probe show``."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import click

from probe.cli.options import colored, config_option, json_option, storage_option, stored


@click.command("show")
@click.argument("run_id", metavar="RUN")
@config_option
@storage_option
@json_option
def command(run_id: str, config_path: Path, storage: str | None, as_json: bool) -> int:
    """Show a stored run. RUN is its id or the beginning of it."""
    from probe.report.as_json import results_json
    from probe.results import load_results

    with stored(config_path, storage) as store:
        results = load_results(store, run_id)
    if as_json:
        click.echo(json.dumps(results_json(results.run, results.shown), indent=2))
    else:
        width = min(shutil.get_terminal_size((100, 24)).columns, 140)
        click.echo(results.text(width=width, color=colored(sys.stdout)), nl=False)
    return 0

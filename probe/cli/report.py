"""``probe report``."""

from __future__ import annotations

from pathlib import Path

import click

from probe.cli.options import config_option, storage_option, stored
from probe.errors import ConfigError


@click.command("report", short_help="Write a stored run as one HTML file.")
@click.argument("run_id", metavar="RUN")
@config_option
@storage_option
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="File to write; probe-report-RUN.html by default."
)
def command(run_id: str, config_path: Path, storage: str | None, output: Path | None) -> int:
    """Write the HTML report of a stored run: one file, no JavaScript, nothing loaded from elsewhere."""
    from probe.results import load_results

    with stored(config_path, storage) as store:
        results = load_results(store, run_id)
    path = output or Path(f"probe-report-{results.run.id}.html")
    write_report(path, results.html())
    click.echo(path)
    return 0


def write_report(path: Path, html: str) -> None:
    """Raises :class:`ConfigError` if the file cannot be written."""
    try:
        path.write_text(html, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: the report cannot be written: {error.strerror or error}") from error

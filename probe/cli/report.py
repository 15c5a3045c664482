"""``probe report``."""

from __future__ import annotations

import os
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
    if output is not None:
        check_writable(output)

    from probe.results import load_results

    with stored(config_path, storage) as store:
        results = load_results(store, run_id)
    path = output or Path(f"probe-report-{results.run.id}.html")
    write_report(path, results.html())
    click.echo(path)
    return 0


def check_writable(path: Path) -> None:
    """Raises :class:`ConfigError` if ``path`` is no place for a report, as far as that can be told without writing."""
    folder = path.parent
    if not folder.is_dir():
        raise ConfigError(f"{path}: the report cannot be written: there is no directory {folder}; create it")
    if path.is_dir():
        raise ConfigError(f"{path}: the report cannot be written: this is a directory; name a file in it")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise ConfigError(f"{path}: the report cannot be written: permission denied; name another file")


def write_report(path: Path, html: str) -> None:
    """Raises :class:`ConfigError` if the file cannot be written."""
    try:
        path.write_text(html, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: the report cannot be written: {error.strerror or error}") from error

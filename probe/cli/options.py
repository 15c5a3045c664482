"""Options that several commands share, and what they come to."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from probe.config import load_config
from probe.database import configured_url, open_store, storage_url

if TYPE_CHECKING:
    from probe.setup import Project
    from storage import Store

F = TypeVar("F", bound=Callable[..., Any])

config_option = click.option(
    "-c",
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    default=Path("probe.yaml"),
    show_default=True,
    envvar="PROBE_CONFIG",
    help="The config file.",
)
storage_option = click.option(
    "--storage",
    help="Database URL, instead of the config's: sqlite:///probe.db or postgresql://…",
    envvar="PROBE_STORAGE",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output.")


def colored(stream: TextIO) -> bool:
    """Whether to write colours: to a terminal, unless ``NO_COLOR`` says otherwise (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Collection[str], folded: str) -> None:
    """A table on standard output. ``numbers``: columns set right; ``folded``: the column that gives way on a narrow terminal
    (elsewhere lines are whole)."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in header:
        table.add_column(name, justify="right" if name in numbers else "left", no_wrap=name != folded, overflow="fold")
    for row in rows:
        table.add_row(*row)
    width = None if sys.stdout.isatty() else 10_000
    Console(highlight=False, markup=False, emoji=False, width=width, no_color=not colored(sys.stdout)).print(table)


def run_options(command: F) -> F:
    """``--only``, ``--budget``, ``--rate``, ``--max-time``, ``--seed``: shared by plan and run."""
    for option in (
        click.option("--seed", type=click.IntRange(min=0), help="Instead of the config's seed."),
        click.option("--max-time", help="Stop sending after this long, as at a budget: 90s, 30m, 2h."),
        click.option("--rate", help="Instead of every endpoint's own limit: 5/s, 300/min."),
        click.option("--budget", help="Most requests or money for this run: 500req, 2usd."),
        click.option("--only", multiple=True, metavar="PROBE", help="Only this probe; may be given several times."),
        config_option,
        storage_option,
    ):
        command = option(command)
    return command


def project(config_path: Path, *, rate: str | None = None) -> Project:
    """The config at ``config_path``, read and checked. Raises :class:`probe.ConfigError`."""
    config, text = load_config(config_path)  # a slip in the config is said before the libraries are loaded

    from probe.setup import Project

    return Project(config_path, config, text, os.environ, rate)


def database_url(config_path: Path, storage: str | None) -> str:
    """Where the database of the option, or else of the config, is."""
    if storage is not None:
        return storage_url(storage, base=Path())
    config, _ = load_config(config_path)
    return configured_url(config, environment=os.environ, base=config_path.parent)


def stored(config_path: Path, storage: str | None) -> Store:
    """The database of the option or the config, which must be there: for commands that only read."""
    return open_store(database_url(config_path, storage), create=False)

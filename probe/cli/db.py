"""``probe db``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from probe.cli.options import config_option, storage_option
from probe.config import load_config
from probe.database import configured_url, storage_url
from storage import upgrade as upgrade_database


@click.group("db", short_help="Look after the database.")
def command() -> None:
    """Look after the database."""


@command.command("upgrade", short_help="Bring an older database up to date.")
@config_option
@storage_option
def upgrade(config_path: Path, storage: str | None) -> int:
    """Bring a database that an earlier version made up to date: all of it, or nothing."""
    if storage is not None:
        url = storage_url(storage, base=Path())
    else:
        config, _ = load_config(config_path)
        url = configured_url(config, environment=os.environ, base=config_path.parent)
    before, after = upgrade_database(url)
    click.echo(f"schema {after}: up to date already" if before == after else f"schema {before or 'none'} → {after}")
    return 0

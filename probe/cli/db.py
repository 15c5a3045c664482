"""``probe db``."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import click

from probe.cli.options import config_option, database_url, json_option, storage_option, stored
from probe.config import load_config
from probe.config_sections import parse_duration
from probe.database import open_store, storage_url
from probe.errors import ConfigError
from storage import Store
from storage import upgrade as upgrade_database


@click.group("db", short_help="Look after the database.")
def command() -> None:
    """Look after the database."""


@command.command("upgrade", short_help="Bring an older database up to date.")
@config_option
@storage_option
def upgrade(config_path: Path, storage: str | None) -> int:
    """Bring a database that an earlier version made up to date: all of it, or nothing."""
    from storage.upkeep import compact

    url = database_url(config_path, storage)
    before, after = upgrade_database(url)
    click.echo(f"schema {after}: up to date already" if before == after else f"schema {before or 'none'} → {after}")
    with open_store(url) as store:
        if moved := compact(store):
            click.echo(f"{moved:,} evaluations of finished runs put into packs")
    return 0


@command.command("stats", short_help="What is stored, and in how many bytes.")
@config_option
@storage_option
@json_option
def stats(config_path: Path, storage: str | None, as_json: bool) -> int:
    """Say what is stored, and in how many bytes."""
    from storage.upkeep import stats as count

    with stored(config_path, storage) as store:
        found = count(store)
        where = store.url
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return 0
    click.echo(where)
    for name, value in found.items():
        click.echo(f"{name.replace('_', ' '):18}{value:>16,}")
    if found["evaluations"]:
        click.echo(f"{'per evaluation':18}{found['bytes'] / found['evaluations']:>16.1f} bytes")
    return 0


@command.command("check", short_help="See that the database is whole.")
@config_option
@storage_option
@click.option("--repair", is_flag=True, help="Make the index of keys anew first.")
def check(config_path: Path, storage: str | None, *, repair: bool) -> int:
    """Hash packs and bodies again, look up every key, follow the chain. Exit code 6 if anything is not as it was."""
    from storage.upkeep import check as look

    with stored(config_path, storage) as store:
        wrong = list(look(store, repair=repair))
        evaluations = store.counts()["evaluations"]
    for line in wrong:
        click.echo(line)
    if wrong:
        return 6
    click.echo(f"{evaluations:,} evaluations, their bodies, the index and the chain are whole")
    return 0


@command.command("prune", short_help="Drop old response bodies; the numbers stay.")
@config_option
@storage_option
@click.option("--older-than", metavar="TIME", help="180d, 26w; by default `retain` of the config.")
@click.option("--dry-run", is_flag=True, help="Only say what would be dropped.")
@click.option("--vacuum", is_flag=True, help="Give the space back to the disk (SQLite).")
def prune(config_path: Path, storage: str | None, *, older_than: str | None, dry_run: bool, vacuum: bool) -> int:
    """Drop the response bodies of evaluations that are older than `retain`. Scores, costs and explanations stay, and the
    chain of evidence says what was dropped."""
    from storage import upkeep

    try:
        age = load_config(config_path)[0].retain if older_than is None else parse_duration(older_than)
    except ValueError as error:
        raise ConfigError(f"--older-than: {error}") from error
    if age is None:
        raise ConfigError(
            f"{config_path}: it does not say how long to keep bodies; write retain: 180d, or --older-than 180d"
        )
    now = datetime.now(UTC)
    with stored(config_path, storage) as store:
        done = upkeep.prune(store, before=now - age, at=now, dry_run=dry_run)
        if vacuum and not dry_run:
            upkeep.vacuum(store)
    kept = f"; {done.kept:,} kept, whose scores are nowhere else" if done.kept else ""
    click.echo(f"{'would drop' if dry_run else 'dropped'} {done.bodies:,} bodies, {done.bytes:,} bytes{kept}")
    return 0


@command.command("copy", short_help="Copy everything into an empty database: SQLite to Postgres, or back.")
@click.argument("target", metavar="URL")
@config_option
@storage_option
def copy(target: str, *, config_path: Path, storage: str | None) -> int:
    """Copy the database to URL, sqlite:///… or postgresql://…, which must be empty: all of it, or nothing."""
    from storage import upkeep

    def told(name: str, count: int) -> None:
        if count:
            click.echo(f"{name:14}{count:>12,} rows", err=True)

    with stored(config_path, storage) as source, open_store(storage_url(target, base=Path())) as into:
        if _same(source, into):
            raise ConfigError(f"{source.url}: a database cannot be copied onto itself")
        count = upkeep.copy(source, into, told=told)
        click.echo(f"{count:,} rows copied to {into.url}")
    return 0


def _same(one: Store, other: Store) -> bool:
    return one.database.engine.url == other.database.engine.url

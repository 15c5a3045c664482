"""``probe serve``."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from probe.cli.options import config_option, database_url, json_option, print_table, storage_option
from probe.config_sections import parse_duration
from probe.database import open_store
from probe.errors import ConfigError

if TYPE_CHECKING:
    from storage import Store


@click.group("serve", invoke_without_command=True, short_help="Pages to look at, an API to call.")
@config_option
@storage_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; another one needs tokens.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free one.")
@click.option("--name", "names", multiple=True, metavar="HOST", help="Also answer under this name; may be repeated.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Where configs to run are; the config's own by default.",
)
@click.option("--tokens", is_flag=True, help="Ask for tokens on the loopback interface too.")
@click.option("--jobs", type=click.IntRange(min=1), default=4, show_default=True, help="Most runs at a time.")
@click.pass_context
def command(
    context: click.Context,
    config_path: Path,
    storage: str | None,
    host: str,
    port: int,
    names: tuple[str, ...],
    folder: Path | None,
    tokens: bool,
    jobs: int,
) -> int:
    """Serve pages and a JSON API over the database, until interrupted. SIGTERM lets what is in flight be answered.

    Without a subcommand. `probe serve token` makes the keys that are needed on any address but the loopback one.
    """
    context.obj = (config_path, storage)
    if context.invoked_subcommand is not None:
        return 0
    try:
        from probe.web.server import serve
    except ImportError as error:
        raise ConfigError(f"serving needs {error.name}; install blackbox-probe[web]") from error
    url = database_url(config_path, storage)
    where = folder or (config_path.parent if config_path.exists() else Path())
    with open_store(url) as store:
        serve(
            store,
            url=url,
            folder=where.resolve(),
            host=host,
            port=port,
            names=names,
            tokens_needed=tokens,
            most_jobs=jobs,
            environment=os.environ,
            started=lambda address: click.echo(f"listening {address}"),
            log=sys.stderr,
        )
    return 0


@command.group("token", short_help="Keys to the service.")
def token() -> None:
    """Keys to the service: what is stored is a hash, so a key is shown once."""


@token.command("add")
@click.argument("name")
@click.option(
    "--scope", type=click.Choice(["read", "run", "admin"]), default="read", show_default=True,
    help="Look at results; also start runs; also ask in SQL.",
)  # fmt: skip
@click.option("--expires", default="90d", show_default=True, help="How long it is good for: 12h, 90d, never.")
@json_option
@click.pass_context
def add(context: click.Context, name: str, scope: Any, expires: str, as_json: bool) -> int:
    """Make a key for NAME and print it: a person, or another program."""
    from storage import tokens

    lifetime = _lifetime(expires, "--expires")
    with _store(context) as store:
        made, key = tokens.add(store, name, scope, now=datetime.now(UTC), lifetime=lifetime)
    _show_key(made, key, as_json=as_json)
    return 0


@token.command("ls")
@json_option
@click.pass_context
def ls(context: click.Context, as_json: bool) -> int:
    """List the keys, which are not shown themselves."""
    from probe.report.clean import safe_text
    from probe.report.figures import moment
    from storage import tokens

    with _store(context) as store:
        found = tokens.listed(store)
    if as_json:
        click.echo(json.dumps([_as_json(each) for each in found], indent=2))
        return 0
    now = datetime.now(UTC)
    rows = [
        (
            each.id,
            each.scope,
            moment(each.created),
            "never" if each.expires is None else moment(each.expires) + ("" if each.expires > now else " (expired)"),
            safe_text(each.name, one_line=True),
        )
        for each in found
    ]
    if rows:
        print_table(("id", "scope", "made", "expires", "name"), rows, numbers=(), folded="name")
    else:
        click.echo("no tokens yet; `probe serve token add NAME` makes one")
    return 0


@token.command("rm")
@click.argument("token_id", metavar="ID")
@click.pass_context
def rm(context: click.Context, token_id: str) -> int:
    """Take the key ID away, at once."""
    from storage import tokens

    with _store(context) as store:
        tokens.remove(store, token_id)
    return 0


@token.command("rotate")
@click.argument("token_id", metavar="ID")
@click.option("--grace", default="24h", show_default=True, help="How long the old key is good for yet.")
@json_option
@click.pass_context
def rotate(context: click.Context, token_id: str, grace: str, as_json: bool) -> int:
    """Make a new key with the name, scope and lifetime of the key ID, and let that one run out."""
    from storage import tokens

    left = _lifetime(grace, "--grace") or timedelta(0)
    with _store(context) as store:
        made, key = tokens.rotate(store, token_id, now=datetime.now(UTC), grace=left)
    _show_key(made, key, as_json=as_json)
    return 0


def _show_key(made: Any, key: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_as_json(made) | {"key": key}, indent=2))
        return
    click.echo(key)
    click.echo(f"probe: this is token {made.id}; it is not shown again", err=True)


def _as_json(each: Any) -> dict[str, Any]:
    times = {
        name: value.isoformat() if value else None
        for name, value in (("created", each.created), ("expires", each.expires))
    }
    return {"id": each.id, "name": each.name, "scope": each.scope, **times}


def _lifetime(text: str, option: str) -> timedelta | None:
    if text == "never":
        return None
    try:
        found = parse_duration(text)
    except ValueError as error:
        raise ConfigError(f"{option}: {text!r} is {error}, or never") from error
    return found


def _store(context: click.Context) -> Store:
    config_path, storage = context.obj
    return open_store(database_url(config_path, storage))

"""``probe import``."""

from __future__ import annotations

from pathlib import Path

import click

from probe.cli.options import config_option, project, storage_option


@click.command("import", short_help="Take answers that were collected elsewhere into the ledger.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--endpoint", required=True, help="Whose answers they are: an endpoint of the config.")
@config_option
@storage_option
def command(file: Path, *, endpoint: str, config_path: Path, storage: str | None) -> int:
    """Read JSON lines like {"input": "some text", "scores": {"positive": 0.9}} into the ledger.

    input is a text or a row; image names a file instead. at (a time), floor and repeat are optional. They cost nothing and
    are marked as imported; a probe that asks the same finds them there, and asks again only if they are older than `fresh`.
    """
    from probe.database import open_store, storage_url
    from probe.imported import import_answers

    found = project(config_path)
    remote = found.remote(endpoint)
    url = storage_url(storage, base=Path()) if storage is not None else found.storage_url
    with open_store(url) as store:
        done = import_answers(store, remote, file)
    known = f", {done.known:,} were there already" if done.known else ""
    click.echo(f"{done.added:,} answers imported{known} · run {done.run}")
    return 0

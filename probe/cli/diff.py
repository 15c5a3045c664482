"""``probe diff``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from probe.cli.options import config_option, json_option, storage_option, stored


@click.command("diff", short_help="Compare two runs, two endpoints or two days.")
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@config_option
@storage_option
@click.option("--run", "run_id", metavar="RUN", help="A and B are endpoints of this run.")
@click.option(
    "--level", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.05, show_default=True,
    help="Most of what is reported as moved that may not have.",
)  # fmt: skip
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="A=B",
    help="What A calls the label A is called B there; may be repeated.",
)
@click.option("--attributions", is_flag=True, help="Compare stored attributions only: quicker, and sees less.")
@json_option
def command(
    first: str,
    second: str,
    *,
    config_path: Path,
    storage: str | None,
    run_id: str | None,
    level: float,
    labels: tuple[str, ...],
    attributions: bool,
    as_json: bool,
) -> int:
    """Say what moved from A to B, by how much, and what could not have been seen. Exit code 1 if anything did.

    A and B are runs (an id or its beginning), days (the newest run of 2026-03-01), or endpoints of the newest run that has
    both. Where both asked the same coalitions, they are compared pair by pair.
    """
    from probe.compared import compare, sides
    from probe.errors import ConfigError
    from probe.report import differences

    wrong = [text for text in labels if "=" not in text]
    if wrong:
        raise ConfigError(f"--label: {wrong[0]!r} is not A=B")
    with stored(config_path, storage) as store:
        one, two = sides(store, first, second, run=run_id)
        renamed = dict(text.split("=", 1) for text in labels)
        found = compare(store, one, two, level=level, labels=renamed, pairs=not attributions)
    if as_json:
        click.echo(json.dumps(differences.as_json(found), indent=2, ensure_ascii=False))
    else:
        click.echo(differences.as_text(found), nl=False)
    return 1 if found.moved else 0

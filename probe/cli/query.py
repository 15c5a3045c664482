"""``probe query``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from probe.cli.options import config_option, json_option, print_table, storage_option, stored
from probe.errors import ConfigError

_AGO = re.compile(r"[0-9.]+\s*[smhdw]")


@click.command("query", short_help="Search what is stored.")
@config_option
@storage_option
@click.option("--run", "run_id", metavar="RUN", help="Of this run (its id or the beginning of it).")
@click.option("--probe", help="Of this probe. Here and below * stands for anything.")
@click.option("--endpoint", help="The endpoint's name in the config.")
@click.option("--provider", help="The adapter or preset.")
@click.option("--model", help="The model, with its version.")
@click.option("--instance", help="The input's name or id.")
@click.option("--feature", help="The word, column or region.")
@click.option("--label", help="The explained label.")
@click.option("--method", help="The method.")
@click.option("--since", help="Finished since: 2026-03-01, 2026-03-01T12:00, or 7d for the last week.")
@click.option("--until", help="Finished before.")
@click.option(
    "--significant", type=click.FloatRange(0, 1), metavar="LEVEL", help="Different from 0 at this level: 0.05."
)
@click.option("--limit", type=click.IntRange(min=1), default=1000, show_default=True, help="Most rows.")
@click.option("--sql", help="One SELECT of your own instead; it can only read.")
@click.option("--timeout", type=float, default=30.0, show_default=True, help="Seconds that --sql may take.")
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV on standard output.")
def command(config_path: Path, storage: str | None, *, as_json: bool, as_csv: bool, **asked: Any) -> int:
    """Search the stored attributions, newest first, or ask the database in SQL.

    \b
    probe query --feature refund --endpoint vendor-a --since 30d
    probe query --sql "SELECT day, provider, requests, cost_micro FROM usage_day ORDER BY day"
    """
    with stored(config_path, storage) as store:
        columns, rows, more = _sql(store, asked) if asked["sql"] is not None else _search(store, asked)
    show(columns, rows, as_json=as_json, as_csv=as_csv)
    if more:
        click.echo(f"probe: only the first {asked['limit']:,} rows; ask for more with --limit", err=True)
    return 0


def show(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, as_json: bool, as_csv: bool) -> None:
    """Rows on standard output, as the options say."""
    from probe.report import listing

    if as_json:
        click.echo(listing.as_json(columns, rows))
    elif as_csv:
        click.echo(listing.as_csv(columns, rows), nl=False)
    elif not rows:
        click.echo("nothing found")
    else:
        numbers = [
            name
            for place, name in enumerate(columns)
            if all(isinstance(row[place], int | float | None) for row in rows)
        ]
        cells = [[listing.cell(value) for value in row] for row in rows]
        print_table(columns, cells, numbers=numbers, folded="feature" if "feature" in columns else columns[-1])


def _sql(store: Any, asked: dict[str, Any]) -> tuple[Sequence[str], list[tuple[Any, ...]], bool]:
    from storage.readonly import select

    answer = select(store.database, asked["sql"], limit=asked["limit"], seconds=asked["timeout"])
    return answer.columns, answer.rows, answer.more


def _search(store: Any, asked: dict[str, Any]) -> tuple[Sequence[str], list[list[Any]], bool]:
    from probe.report.queried import COLUMNS, Found, significant
    from storage.questions import Filter, shares

    names = ("probe", "endpoint", "provider", "model", "instance", "feature", "label", "method")
    wanted = Filter(
        run=None if asked["run_id"] is None else store.run(asked["run_id"]).id,
        since=moment(asked["since"], option="--since"),
        until=moment(asked["until"], option="--until"),
        **{name: asked[name] for name in names},
    )
    limit = asked["limit"]
    rows = shares(store, wanted, limit=limit + 1)
    found = [Found.of(share) for share in rows[:limit]]
    if asked["significant"] is not None:
        found = significant(found, asked["significant"])
    return COLUMNS, [each.cells() for each in found], len(rows) > limit


def moment(text: str | None, *, option: str) -> datetime | None:
    """A date, a time (UTC unless it says otherwise), or how long ago. Raises :class:`ConfigError`."""
    from probe.config_sections import parse_duration

    if text is None:
        return None
    try:
        if _AGO.fullmatch(text.strip()):
            ago: timedelta = parse_duration(text)
            return datetime.now(UTC) - ago
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{option}: {text!r} is no time; write 2026-03-01, 2026-03-01T12:00 or 7d") from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)

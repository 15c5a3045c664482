"""``probe check``."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from probe.cli.baseline import show_plan
from probe.cli.options import config_option, json_option, print_table, project, storage_option, stored
from probe.cli.report import check_writable, write_report
from probe.cli.run import stop_on_signals
from probe.engine.budget import money

if TYPE_CHECKING:
    from probe.engine.drift_run import Checked
    from probe.report.drift_view import CheckView


_SUFFIXES = (".md", ".xml", ".json", ".txt", ".html")


class _NameOrCommand(click.Group):
    """``probe check NAME`` as well as ``probe check history NAME``."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            args = ["run", *args]
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and not {"-h", "--help"} & set(args):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group("check", cls=_NameOrCommand, short_help="Whether an endpoint has changed since its baseline.")
def command() -> None:
    """Ask the probes of a baseline again: `probe check NAME`.

    Exit codes: 0 no change found, 1 alarm, 3 inconclusive.
    """


@command.command("run", short_help="Carry out one check; the word `run` may be left out.")
@click.argument("name")
@config_option
@storage_option
@click.option(
    "--plan", is_flag=True, help="Say what would be asked, what it costs and what it would see; send nothing."
)
@click.option("--budget", help="Most requests or money: 500req, 2usd.")
@click.option("--rate", help="Instead of the endpoint's own limit: 5/s, 300/min.")
@click.option("--max-time", help="Stop sending after this long: 90s, 30m, 2h.")
@json_option
@click.option(
    "--report",
    "reports",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Write a report: .html, .md, .xml (JUnit), .json or .txt; may be given several times.",
)
@click.option("--quiet", is_flag=True, help="No progress on standard error.")
def run(
    name: str,
    config_path: Path,
    storage: str | None,
    plan: bool,
    budget: str | None,
    rate: str | None,
    max_time: str | None,
    as_json: bool,
    reports: tuple[Path, ...],
    quiet: bool,
) -> int:
    """Ask the probes of the baseline NAME again, and say whether its endpoint has changed.

    Exit code 0: no change found; 1: alarm; 3: inconclusive, nothing can be said of the endpoint.
    """
    for path in reports:
        _check_report(path)
    if plan:
        return _plan(name, config_path, storage, rate, as_json=as_json)

    from probe.cli.progress import Progress
    from probe.drift_api import acheck

    with Progress(sys.stderr, quiet=quiet) as progress:

        async def work() -> Checked:
            return await acheck(
                name,
                config_path,
                budget=budget,
                rate=rate,
                max_time=max_time,
                storage=storage,
                environment=os.environ,
                on_event=progress.hear,
                on_runner=stop_on_signals,
            )

        checked = asyncio.run(work())
    _show(checked, name, config_path, storage, as_json=as_json, reports=reports)
    return checked.exit_code


def _check_report(path: Path) -> None:
    if path.suffix not in _SUFFIXES:
        raise click.UsageError(f"--report {path}: a report ends in {', '.join(_SUFFIXES)}")
    check_writable(path)


def _show(
    checked: Checked,
    name: str,
    config_path: Path,
    storage: str | None,
    *,
    as_json: bool,
    reports: tuple[Path, ...],
) -> None:
    from probe.report.clean import safe_text
    from probe.report.drift_view import check_json, check_text

    if checked.verdict is not None:
        view = _view(config_path, storage, name, checked.record.id)
        if as_json:
            click.echo(json.dumps(check_json(view), indent=2))
        else:
            click.echo(check_text(view), nl=False)
        for path in reports:
            write_report(path, _written(view, path))
            if not as_json:
                click.echo(f"report: {path}")
    if checked.stop is not None:
        click.echo(f"probe: {safe_text(checked.stop.reason, one_line=True)}", err=True)


def _written(view: CheckView, path: Path) -> str:
    from probe.report.drift_page import check_html
    from probe.report.drift_view import check_file

    return check_html(view) if path.suffix == ".html" else check_file(view, path.suffix) or ""


def _view(config_path: Path, storage: str | None, name: str, check_id: str | None = None) -> CheckView:
    """The check of that id, or the last one. Raises ``storage.NotFound``."""
    from probe.errors import ConfigError
    from probe.report.drift_view import check_view
    from storage import Baselines

    loaded = project(config_path)
    spec = loaded.config.baselines.get(name)
    with stored(config_path, storage) as store:
        kept = Baselines(store)
        for baseline in kept.all(name):
            for record in reversed(kept.checks(baseline.id)):
                if record.id == check_id or (check_id is None and record.verdict is not None):
                    endpoint = spec.endpoint if spec is not None else ""
                    currency = loaded.remote(endpoint).adapter.price.currency if endpoint else "USD"
                    probes = kept.probes(baseline.id)
                    return check_view(baseline, record, probes, endpoint=endpoint, currency=currency)
    raise ConfigError(f"there is no such check of {name!r}; `probe check history {name}` lists them")


def _plan(name: str, config_path: Path, storage: str | None, rate: str | None, *, as_json: bool) -> int:
    from probe.drift_setup import watch_task
    from probe.engine.drift_plan import plan_check

    task = watch_task(project(config_path, rate=rate), name)
    with stored(config_path, storage) as store:
        show_plan(plan_check(task, store), as_json=as_json)
    return 0


@command.command("show")
@click.argument("name")
@click.argument("check_id", metavar="[CHECK]", required=False)
@config_option
@storage_option
@json_option
@click.option(
    "--report", "reports", multiple=True, type=click.Path(path_type=Path), help="Write a report, as `run` does."
)
def show(
    name: str,
    check_id: str | None,
    config_path: Path,
    storage: str | None,
    as_json: bool,
    reports: tuple[Path, ...],
) -> int:
    """Show a check of the baseline NAME again: the last one, or that of the id CHECK."""
    from probe.report.drift_view import check_json, check_text

    for path in reports:
        _check_report(path)
    view = _view(config_path, storage, name, check_id)
    click.echo(json.dumps(check_json(view), indent=2) if as_json else check_text(view), nl=as_json)
    for path in reports:
        write_report(path, _written(view, path))
    return 0


@command.command("history")
@click.argument("name")
@config_option
@storage_option
@json_option
@click.option("--svg", "svg_path", type=click.Path(path_type=Path), help="Write a drawing of all checks over time.")
def history(name: str, config_path: Path, storage: str | None, as_json: bool, svg_path: Path | None) -> int:
    """List the checks of the baseline NAME, oldest first, and draw them."""
    from probe.drift.check import SPLIT
    from probe.report.drift_history import history_svg
    from storage import Baselines

    if svg_path is not None:
        check_writable(svg_path)
    with stored(config_path, storage) as store:
        kept = Baselines(store)
        baseline = kept.current(name)
        checks = kept.checks(baseline.id)
    if svg_path is not None:
        alpha = float(baseline.settings.get("alpha", 0.01))
        write_report(svg_path, history_svg(baseline, checks, limit=1 / (alpha * SPLIT["guard"])))
    lines: list[dict[str, Any]] = [
        {
            "check": each.id,
            "started": each.started.isoformat(timespec="seconds"),
            "verdict": each.verdict,
            "level": each.result.get("level"),
            "asked": each.result.get("asked", 0),
            "off": each.result.get("off", 0),
            "probes": each.result.get("probes", 0),
            "e_value": (each.result.get("guard") or {}).get("value"),
            "cost_micro": each.cost_micro,
        }
        for each in checks
    ]
    if as_json:
        click.echo(json.dumps({"baseline": baseline.id, "status": baseline.status, "checks": lines}, indent=2))
        return 0
    rows = [
        (
            line["check"],
            line["started"][:16].replace("T", " "),
            line["verdict"] or "running",
            f"{line['off']} of {line['probes']}",
            str(line["asked"]),
            "" if line["e_value"] is None else f"{line['e_value']:.3g}",
            money(line["cost_micro"]),
        )
        for line in lines
    ]
    header = ("check", "began (UTC)", "verdict", "off", "asked", "e-value", "cost")
    print_table(header, rows, numbers=("off", "asked", "e-value", "cost"), folded="verdict")
    return 0

"""``probe run``."""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from probe.cli.options import colored, json_option, run_options
from probe.cli.report import check_writable, write_report

if TYPE_CHECKING:
    from probe.engine.run import Runner
    from probe.engine.survey_run import SurveyRunner
    from probe.results import Results


_MOST_REASONS = 5  #: lines on standard error; the results name them all


@click.command("run", short_help="Send what is missing, explain, show.")
@run_options
@json_option
@click.option("--report", type=click.Path(path_type=Path), help="Write the HTML report to this file.")
@click.option("--offline", is_flag=True, help="Use the ledger's answers, however old, and send nothing.")
@click.option("--quiet", is_flag=True, help="No progress on standard error.")
def command(
    config_path: Path,
    storage: str | None,
    only: tuple[str, ...],
    budget: str | None,
    rate: str | None,
    max_time: str | None,
    seed: int | None,
    as_json: bool,
    report: Path | None,
    offline: bool,
    quiet: bool,
) -> int:
    """Send what the ledger lacks, explain, store, and show the result.

    Interrupted, or out of budget? The same command goes on where it stopped; nothing is paid for twice. With --offline
    another method, target or setting is computed from answers that are there; what is missing is named.
    """
    if report is not None:
        check_writable(report)  # before anything is paid for

    from probe.api import arun
    from probe.cli.progress import Progress

    with Progress(sys.stderr, quiet=quiet) as progress:

        async def work() -> Results:
            return await arun(
                config_path,
                only=only,
                budget=budget,
                rate=rate,
                max_time=max_time,
                seed=seed,
                storage=storage,
                offline=offline,
                on_event=progress.hear,
                on_runner=stop_on_signals,
            )

        # What is loaded stays: going through it again and again would stop the clockwork of sending for 50 ms at a time.
        gc.collect()
        gc.freeze()
        results = asyncio.run(work())
    show_results(results, as_json=as_json, report=report, width=progress.width)
    return results.exit_code


def show_results(results: Results, *, as_json: bool, report: Path | None, width: int) -> None:
    """Results on standard output and in the file ``report``; why they are not complete on standard error."""
    from probe.report.as_json import results_json
    from probe.report.clean import safe_text

    if as_json:
        click.echo(json.dumps(results_json(results.run, results.shown), indent=2))
    else:
        click.echo(results.text(width=width, color=colored(sys.stdout)), nl=False)
    if report is not None:
        write_report(report, results.html())
        if not as_json:
            click.echo(f"report: {report}")
    for reason in results.reasons[:_MOST_REASONS]:
        click.echo(f"probe: {safe_text(reason, one_line=True)}", err=True)
    if (left := len(results.reasons) - _MOST_REASONS) > 0:
        click.echo(f"probe: … and {left} more like that: probe show {results.run.id}", err=True)


def stop_on_signals(runner: Runner | SurveyRunner) -> None:
    """The first SIGINT or SIGTERM drains; a second one ends at once, as usual."""
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        runner.interrupt()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(name)

    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, interrupt)

"""``probe survey``."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from probe.cli.options import json_option, project, run_options
from probe.cli.plan import print_plan
from probe.cli.report import check_writable
from probe.cli.run import show_results, stop_on_signals
from probe.database import open_store, storage_url

if TYPE_CHECKING:
    from probe.results import Results


@click.command("survey", short_help="What models do over sets of inputs.")
@run_options
@json_option
@click.option("--plan", is_flag=True, help="Say what would be sent, what it costs and takes; send nothing.")
@click.option("--report", type=click.Path(path_type=Path), help="Write the HTML report to this file.")
@click.option("--quiet", is_flag=True, help="No progress on standard error.")
def command(
    config_path: Path,
    storage: str | None,
    only: tuple[str, ...],
    budget: str | None,
    max_time: str | None,
    rate: str | None,
    seed: int | None,
    as_json: bool,
    plan: bool,
    report: Path | None,
    quiet: bool,
) -> int:
    """Carry out the surveys of the config: importances, curves, surrogates over whole sets of inputs.

    Their methods share evaluations with each other and with the ledger. Interrupted, or out of budget? The same command
    goes on where it stopped.
    """
    if plan:
        return _plan(config_path, storage, only, budget, max_time, rate, seed, as_json=as_json)
    if report is not None:
        check_writable(report)  # before anything is paid for

    from probe.cli.progress import Progress
    from probe.survey_api import arun_surveys

    with Progress(sys.stderr, quiet=quiet) as progress:

        async def work() -> Results:
            return await arun_surveys(
                config_path,
                only=only,
                budget=budget,
                max_time=max_time,
                rate=rate,
                seed=seed,
                storage=storage,
                on_event=progress.hear,
                on_runner=stop_on_signals,
            )

        results = asyncio.run(work())
    show_results(results, as_json=as_json, report=report, width=progress.width)
    return results.exit_code


def _plan(
    config_path: Path,
    storage: str | None,
    only: tuple[str, ...],
    budget: str | None,
    max_time: str | None,
    rate: str | None,
    seed: int | None,
    *,
    as_json: bool,
) -> int:
    loaded = project(config_path, rate=rate)

    from probe.engine.survey_plan import plan_surveys
    from probe.engine.survey_run import survey_digest
    from probe.survey_setup import project_surveys

    tasks = project_surveys(loaded, only=only, seed=seed)
    settings = loaded.settings(budget=budget, max_time=max_time, seed=seed)
    url = storage_url(storage, base=Path()) if storage is not None else loaded.storage_url
    with open_store(url) as store:
        earlier = store.resumable_run(survey_digest(tasks), settings.seed)
        version = settings.code_version
        planned = plan_surveys(tasks, store, now=datetime.now(UTC), code_version=version, resumes=earlier)
    if as_json:
        click.echo(json.dumps(asdict(planned), indent=2))
    else:
        resumes = earlier.id if earlier is not None else None
        print_plan(planned, settings=settings, resumes=resumes, command="survey")
    return 0

"""``probe plan``."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from probe.cli.options import json_option, print_table, project, run_options
from probe.database import open_store, storage_url
from probe.engine.budget import money

if TYPE_CHECKING:
    from probe.engine.plan import Plan, PlannedEndpoint, PlannedProbe
    from probe.engine.run import RunSettings


_NUMBERS = ("features", "evaluations", "in ledger", "shared", "to send")


@click.command("plan", short_help="What a run would send, cost and take.")
@run_options
@json_option
def command(
    config_path: Path,
    storage: str | None,
    only: tuple[str, ...],
    budget: str | None,
    rate: str | None,
    max_time: str | None,
    seed: int | None,
    as_json: bool,
) -> int:
    """What `probe run` would send, cost and take. Sends nothing."""
    loaded = project(config_path, rate=rate)

    from probe.engine.plan import make_plan
    from probe.engine.run import run_digest

    tasks = loaded.tasks(only=only, seed=seed)
    settings = loaded.settings(budget=budget, max_time=max_time, seed=seed)
    url = storage_url(storage, base=Path()) if storage is not None else loaded.storage_url
    with open_store(url) as store:
        earlier = store.resumable_run(run_digest(tasks), settings.seed)
        plan = make_plan(tasks, store, now=datetime.now(UTC), code_version=settings.code_version, resumes=earlier)
    if as_json:
        click.echo(json.dumps(asdict(plan), indent=2))
    else:
        print_plan(plan, settings=settings, resumes=earlier.id if earlier is not None else None)
    return 0


def _words(line: PlannedProbe) -> tuple[str, ...]:
    return line.probe, line.instance, line.endpoint, line.method


def print_plan(plan: Plan, *, settings: RunSettings, resumes: str | None, command: str = "run") -> None:
    """The plan as tables and lines. ``resumes``: id of the run that ``probe COMMAND`` would take up again."""
    from probe.report.clean import safe_text

    rows = [
        (
            " · ".join(safe_text(word, one_line=True) for word in _words(line)),
            *(f"{n:,}" for n in (line.features, line.evaluations, line.in_ledger, line.shared)),
            f"≤ {line.to_send:,}" if line.at_most and line.to_send else f"{line.to_send:,}",
        )
        for line in plan.probes
    ]
    print_table(("probe", *_NUMBERS), rows, numbers=_NUMBERS, folded="probe")
    for endpoint in plan.endpoints:
        click.echo(f"{safe_text(endpoint.endpoint)}: {endpoint_words(endpoint)}")
    if resumes is not None:
        click.echo(f"`probe {command}` takes up run {resumes} where it stopped")
    limit = settings.budget
    if limit.is_limit:
        allowed = [f"{limit.requests} requests"] if limit.requests is not None else []
        allowed += [money(limit.micro)] if limit.micro is not None else []
        click.echo(f"budget: {', '.join(allowed)}; the run stops there and can be taken up again")
    if settings.max_time is not None:
        click.echo(f"time: at most {settings.max_time.total_seconds():g} s; then the run can be taken up again")


def endpoint_words(endpoint: PlannedEndpoint) -> str:
    """What goes to one endpoint, in one line."""
    most = "at most " if endpoint.at_most else ""
    parts = [f"{most}{endpoint.evaluations:,} evaluations in {endpoint.requests:,} requests"]
    if endpoint.tokens:
        parts.append(f"about {endpoint.tokens:,} tokens, estimated from the size of the requests")
    if endpoint.units:
        parts.append(f"about {endpoint.units:,} units of characters")
    if endpoint.cost_micro and (endpoint.tokens or endpoint.units):
        parts.append(f"about {money(endpoint.cost_micro)} {endpoint.currency}")
    elif endpoint.cost_micro:
        parts.append(f"at most {money(endpoint.cost_micro)} {endpoint.currency} unless retried")
    if endpoint.least_seconds is not None:
        parts.append(f"at least {endpoint.least_seconds:.1f} s under its limit")
    if endpoint.unsure:
        parts.append(f"{endpoint.unsure} of them unsure: sent before a crash, asked once more")
    return " · ".join(parts)

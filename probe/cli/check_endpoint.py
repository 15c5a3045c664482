"""``probe check-endpoint``."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from probe.cli.options import config_option, json_option, project, storage_option
from probe.errors import BudgetReached, ConfigError, EndpointDown, ProbeError

if TYPE_CHECKING:
    from adapters import Price
    from probe.check_setup import Subject
    from probe.engine.checkup import CheckUp
    from probe.engine.outcome import Stop
    from probe.engine.tasks import Remote
    from probe.report.checkup import Checked
    from storage import Store


@click.command("check-endpoint", short_help="Send up to three requests and show everything that is said.")
@click.argument("name")
@click.option(
    "--input", "inputs", multiple=True, help="A text, JSON or a file to send, instead of the config's; twice for two."
)
@click.option("--budget", help="Most requests or money for the check: 1req, 0.01usd.")
@click.option("--full", is_flag=True, help="Show bodies whole.")
@config_option
@storage_option
@json_option
def command(
    name: str,
    inputs: tuple[str, ...],
    budget: str | None,
    full: bool,
    config_path: Path,
    storage: str | None,
    as_json: bool,
) -> int:
    """Send one input to endpoint NAME, the same again, and a batch; show the exchange, the scores, and what is odd.

    At most three requests, each once, under the endpoint's limits and in the ledger; a later run uses the answers. Exits
    with 1 if an input is answered differently in a batch than alone, with 4 if there is no usable answer: what came back is
    shown all the same.
    """
    loaded = project(config_path)

    from adapters import AdapterError
    from probe.check_setup import subject
    from probe.database import open_store, storage_url
    from probe.discovery.findings import WRONG
    from probe.engine.budget import Budget
    from probe.engine.checkup import check_up, price_of, steps_of
    from probe.report.checkup import as_json as checked_json
    from probe.report.checkup import lines
    from probe.setup import code_version

    remote = loaded.remote(name)
    about = subject(loaded, remote, inputs)
    adapter = remote.adapter
    limit = Budget.parse(budget)
    limit.check({adapter.name: adapter.price})
    try:
        steps = steps_of(adapter, about.item.instance, about.other)
        price = price_of(adapter, steps)
    except AdapterError as error:
        raise ConfigError(f"{about.item.name}: {error}; nothing was sent") from error
    _announce(name, [step.what for step in steps], price, adapter.price)
    url = storage_url(storage, base=Path()) if storage is not None else loaded.storage_url
    with open_store(url) as store:
        outcome = asyncio.run(
            check_up(
                remote,
                store,
                steps,
                open_transport=loaded.open_transport,
                budget=limit,
                code_version=code_version(),
            )
        )
        checked = _checked(remote, about, outcome, store)
    if as_json:
        click.echo(json.dumps(checked_json(checked), indent=2))
    else:
        click.echo("\n".join(lines(checked, full=full)))
    if outcome.stop is not None:
        raise _failure(name, outcome.stop)
    return 1 if any(finding.code in WRONG for finding in checked.findings) else 0


def _announce(name: str, what: list[str], micro: int, price: Price) -> None:
    from probe.engine.budget import money
    from probe.report.clean import safe_text

    most = "about" if price.counts_length else "at most"
    cost = f", {most} {money(micro)} {price.currency}" if micro else ""
    words = f"{safe_text(name, one_line=True)}: sending {len(what)} requests ({', '.join(what)}){cost}"
    click.echo(words, err=True)


def _checked(remote: Remote, about: Subject, outcome: CheckUp, store: Store) -> Checked:
    from adapters import announced
    from probe.check_setup import findings_of, foreseen
    from probe.cli.plan import endpoint_words
    from probe.engine.budget import money
    from probe.report.checkup import Checked

    now = datetime.now(UTC)
    responses = [each.response for each in outcome.exchanges if each.response is not None]
    price = remote.adapter.price
    cost = f"{len(outcome.exchanges)} requests"
    cost += f", {money(outcome.cost_micro)} {price.currency}" if not price.is_free else ""
    ahead = foreseen(about, store, now=now) if outcome.stop is None else None
    whose = "the config's probes" if about.configured else f"a probe like this input with {about.methods}"
    return Checked(
        endpoint=remote.adapter.name,
        exchanges=outcome.exchanges,
        findings=findings_of(remote, about, outcome, now=now),
        announced=announced(responses[-1].headers, now=now) if responses else (),
        cost=cost,
        foreseen="" if ahead is None else f"{whose}: {endpoint_words(ahead)}",
    )


def _failure(name: str, stop: Stop) -> ProbeError:
    """Why there was no usable answer, as the error that ends the command."""
    reason = stop.reason if repr(name) in stop.reason else f"endpoint {name!r}: {stop.reason}"
    if stop.kind in {"budget", "quota"}:
        return BudgetReached(stop.reason if stop.kind == "budget" else reason)
    if stop.kind == "usage":
        return ConfigError(reason)
    return EndpointDown(reason)

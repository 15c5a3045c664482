"""``probe bundle``."""

from __future__ import annotations

from pathlib import Path

import click

from probe.cli.options import config_option, storage_option, stored


@click.command("bundle", short_help="Write a stored run as evidence: one file, verifiable anywhere.")
@click.argument("run_id", metavar="RUN")
@config_option
@storage_option
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File to write; probe-RUN.zip by default.")
@click.option(
    "--sign", "key", type=click.Path(path_type=Path), help="Sign it with this SSH key, beside it in FILE.sig."
)
def command(run_id: str, *, config_path: Path, storage: str | None, output: Path | None, key: Path | None) -> int:
    """Write everything that a run's numbers come from: config, inputs, coalitions, answers, seeds, code version, report.

    `probe verify FILE` hashes it again and recomputes every number, without the network and without this database.
    """
    from probe.bundle import write
    from probe.proof import gather
    from probe.results import load_results
    from probe.signature import sign

    with stored(config_path, storage) as store:
        proof = gather(store, run_id)
        report = load_results(store, proof.run.id).html()
    path = output or Path(f"probe-{proof.run.id}.zip")
    digest = write(proof, path, report=report)
    click.echo(f"{path}: sha256 {digest}")
    if key is not None:
        click.echo(f"{sign(path, key)}: signed")
    return 0

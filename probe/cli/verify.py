"""``probe verify``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from probe.cli.options import config_option, json_option, storage_option, stored


@click.command("verify", short_help="Check a bundle, or a stored run: hashes and every number.")
@click.argument("what", metavar="FILE|RUN")
@config_option
@storage_option
@click.option("--signature", type=click.Path(path_type=Path), help="FILE.sig; needs --allowed and --identity.")
@click.option("--allowed", type=click.Path(path_type=Path), help="Who may sign: ssh-keygen's allowed signers file.")
@click.option("--identity", help="Who signed, as that file calls them.")
@json_option
def command(
    what: str,
    *,
    config_path: Path,
    storage: str | None,
    signature: Path | None,
    allowed: Path | None,
    identity: str | None,
    as_json: bool,
) -> int:
    """Hash everything again and recompute every number from the raw answers. Exit code 6 names the first difference.

    A file is checked without network and database; anything else is a run of the database. A chain shows order and
    integrity, not that its writer was honest.
    """
    from probe.bundle import read
    from probe.errors import ConfigError, EvidenceBroken
    from probe.proof import check, gather
    from probe.signature import check as check_signature

    path = Path(what)
    if path.suffix == ".zip" or path.is_file():
        if signature is not None:
            if allowed is None or identity is None:
                raise ConfigError(
                    "--signature needs --allowed FILE and --identity NAME; see ssh-keygen(1), ALLOWED SIGNERS"
                )
            check_signature(path, signature, allowed=allowed, identity=identity)
        proof = read(path)
    else:
        with stored(config_path, storage) as store:
            proof = gather(store, what)
    done = check(proof)
    if as_json:
        click.echo(json.dumps({"run": proof.run.id, **asdict(done)}, indent=2))
    if done.wrong is not None:
        raise EvidenceBroken(f"{what}: {done.wrong}")
    if not as_json:
        signed = f", signed by {identity}" if signature is not None else ""
        surveys = f"; {done.not_recomputed} without coalitions hashed only" if done.not_recomputed else ""
        click.echo(
            f"{what}: run {proof.run.id} holds{signed}: {done.evaluations:,} evaluations and {done.bodies:,} bodies hashed, "
            f"{done.numbers:,} numbers of {done.recomputed} explanations recomputed{surveys}"
        )
    return 0

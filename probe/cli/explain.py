"""``probe explain``."""

from __future__ import annotations

import difflib

import click

from probe.errors import ConfigError


@click.command("explain", short_help="Word a finding's code, such as P101.")
@click.argument("code", required=False)
def command(code: str | None) -> int:
    """Word a finding's code, such as P101; without a code, list them."""
    from probe.findings import FINDINGS

    if code is None:
        for name, wording in sorted(FINDINGS.items()):
            click.echo(f"{name}  {wording.title}")
        return 0
    wanted = code.upper()
    if wanted not in FINDINGS:
        near = difflib.get_close_matches(wanted, list(FINDINGS), n=1)
        raise ConfigError(
            f"there is no finding {code!r}; " + (f"did you mean {near[0]}?" if near else "list: probe explain")
        )
    click.echo(f"{wanted}: {FINDINGS[wanted].title}\n\n{FINDINGS[wanted].text}")
    return 0

"""``probe demo``."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

import click

from probe.cli.options import colored
from probe.cli.report import write_report
from probe.errors import ConfigError


@click.command("demo", short_help="Probe real models on this machine.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path("demo-out"))
def command(folder: Path) -> int:
    """Probe real models behind a loopback endpoint: a photograph, texts, table rows. Ends with answers that are known.

    Inputs, config, database and report are written to FOLDER. Needs the extra `demo`.
    """
    try:
        from probe.demo.job import demo_server, earlier_port, write_demo
        from probe.demo.known import checks
    except ImportError as error:
        raise ConfigError(f"the demo needs {error.name}; install blackbox-probe[demo]") from error
    from probe.api import run
    from probe.cli.progress import Progress
    from probe.report.clean import safe_text

    folder.mkdir(parents=True, exist_ok=True)
    with demo_server(folder / "models", wanted=earlier_port(folder)) as url:
        main, marks = write_demo(folder, url)
        with Progress(sys.stderr) as progress:
            results = run(main, on_event=progress.hear)
        with Progress(sys.stderr, quiet=True) as progress:
            marked = run(marks, on_event=progress.hear)
    click.echo(results.text(width=progress.width, color=colored(sys.stdout)), nl=False)
    for reason in (*results.reasons, *marked.reasons):
        click.echo(f"probe: {safe_text(reason, one_line=True)}", err=True)
    if results.exit_code or marked.exit_code:
        return results.exit_code or marked.exit_code
    report = folder / "report.html"
    write_report(report, results.html())
    click.echo("\nknown answers")
    held = True
    for check in checks(results, marked):
        click.echo(f"  {'✓' if check.holds else '✗'} {check.what}: {check.seen}")
        held &= check.holds
    click.echo(
        f"\nreport: {report}\nconfig: {main} (probe plan -c {main} sends nothing; a second demo sends nothing either)"
        f"\nbrowse: {_program()} serve -c {main}"
    )
    return 0 if held else 1


def _program() -> str:
    """``probe`` as it can be called from here."""
    beside = Path(sys.executable).with_name("probe")
    found = shutil.which("probe")
    if (found is not None and Path(found).resolve() == beside.resolve()) or not beside.exists():
        return "probe"
    return shlex.quote(os.path.relpath(beside))

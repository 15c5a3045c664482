"""``python -m probe.demo``: run the demo endpoint."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys
from pathlib import Path

import click
from pydantic import ValidationError

from probe.demo.registry import factories
from probe.demo.routes import Refused
from probe.demo.server import DemoServer, serve
from probe.demo.strict import Strict
from probe.demo.wire import worded

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


async def _until_signalled(server: DemoServer, *, host: str, port: int, preload: bool) -> None:
    # Arrivals are timed here: a full collection would stop the clock's reader for as long as several requests take.
    gc.freeze()
    gc.set_threshold(50_000, 20, 1_000)
    task = asyncio.ensure_future(serve(server, host=host, port=port, preload=preload))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=0, show_default=True, help="Port; 0 takes any free one.")
@click.option("--models", default=None, metavar="A,B", help="Models to serve. [default: all]")
@click.option(
    "--cache",
    default=Path.home() / ".cache" / "blackbox-probe",
    type=click.Path(path_type=Path, file_okay=False),
    help="Directory where models keep their files.",
)
@click.option("--strict", "strict_json", default="{}", metavar="JSON", help="Limits, latency and faults to start with.")
@click.option("--preload", is_flag=True, help="Load the models at start, not at first use.")
def main(host: str, port: int, models: str | None, cache: Path, strict_json: str, preload: bool) -> None:
    """Serve real models over HTTP, for demonstrations and tests only: its control routes have no authentication."""
    try:
        strict = Strict.model_validate_json(strict_json)
    except ValidationError as error:
        raise click.UsageError(f"--strict: {worded(error)}") from error
    try:
        makers = factories(None if models is None else [name.strip() for name in models.split(",")])
    except ValueError as error:
        raise click.UsageError(f"--models: {error}") from error
    if host not in _LOOPBACK:
        click.echo(f"warning: {host} is not loopback; anyone who reaches it can change this server's rules", err=True)
    server = DemoServer(makers, cache=cache, strict=strict)
    try:
        asyncio.run(_until_signalled(server, host=host, port=port, preload=preload))
    except Refused as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host} port {port}: {error.strerror or error}") from error
    sys.exit(0)


if __name__ == "__main__":
    main()

"""The group of commands, and how failures reach the user."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from typing import Any

import click

import probe.errors as errors
from adapters import AdapterError, Secrets
from storage import NotFound, Refused
from storage import StorageError as StoreFailure

#: Command → module. What takes long to import (scikit-learn, scikit-image, scipy) is imported where a command needs it, so
#: that `probe --help` and a slip in a config are answered at once.
_COMMANDS = {
    "demo": "probe.cli.demo",
    "init": "probe.cli.init",
    "discover": "probe.cli.discover",
    "check-endpoint": "probe.cli.check_endpoint",
    "plan": "probe.cli.plan",
    "run": "probe.cli.run",
    "survey": "probe.cli.survey",
    "baseline": "probe.cli.baseline",
    "check": "probe.cli.check",
    "show": "probe.cli.show",
    "ls": "probe.cli.ls",
    "query": "probe.cli.query",
    "diff": "probe.cli.diff",
    "export": "probe.cli.export",
    "import": "probe.cli.import_",
    "bundle": "probe.cli.bundle",
    "verify": "probe.cli.verify",
    "serve": "probe.cli.serve",
    "report": "probe.cli.report",
    "schedule": "probe.cli.schedule",
    "explain": "probe.cli.explain",
    "db": "probe.cli.db",
}


class _Commands(click.Group):
    """Finds commands by name and imports them late."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in _COMMANDS:
            return None
        command = importlib.import_module(_COMMANDS[cmd_name]).command
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], list(_COMMANDS), n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(_COMMANDS)}"
            raise click.UsageError(f"there is no command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="blackbox-probe", prog_name="probe")
def cli() -> None:
    """Black-box probing of remote machine-learning APIs.

    Exit codes: 0 all held, 1 finding, 2 usage or config, 3 budget or quota reached (go on with the same command),
    4 endpoint unreachable or refusing, 5 storage, 6 evidence does not verify, 130 interrupted (go on with the same command).
    """


def main(args: list[str] | None = None) -> None:
    """Entry point of ``probe``. Ends the process with an exit code of ARCHITECTURE.md."""
    sys.exit(_run(args))


def _run(args: list[str] | None) -> int:
    try:
        result: Any = cli.main(args=args, standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return errors.ConfigError.exit_code
    except click.ClickException as error:
        return _fail(error.format_message(), 2)
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted; the same command goes on where it stopped", 130)
    except errors.ProbeError as error:
        return _fail(str(error), error.exit_code)
    except (NotFound, Refused) as error:  # a slip in a run id or a statement is no failure of the database
        return _fail(str(error), errors.ConfigError.exit_code)
    except StoreFailure as error:
        return _fail(str(error), errors.StorageError.exit_code)
    except AdapterError as error:
        return _fail(str(error), errors.EndpointDown.exit_code)
    except BrokenPipeError:  # the reader of our output has gone; that is its right
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 - keeps the interpreter quiet at exit
        return 0
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        return _fail(f"{where}{error.strerror or error}", errors.ConfigError.exit_code)
    return result if isinstance(result, int) else 0


def _fail(message: str, code: int) -> int:
    from probe.report.clean import safe_text

    secrets = Secrets(tuple(value for name, value in os.environ.items() if _looks_secret(name) and len(value) >= 8))
    click.echo(f"probe: {safe_text(secrets.redact(message), one_line=True)}", err=True)
    return code


def _looks_secret(name: str) -> bool:
    return any(mark in name.upper() for mark in ("KEY", "TOKEN", "SECRET", "PASSWORD"))

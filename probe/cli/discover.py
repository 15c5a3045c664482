"""``probe discover``."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import yaml

from adapters.show import printable
from probe.errors import ConfigError, EndpointDown

if TYPE_CHECKING:
    from probe.discovery import Draft, Explored


@click.command("discover", short_help="Draft an endpoint from what a server publishes.")
@click.argument("url")
@click.option("--name", help="What to call the endpoint; several get it as the beginning of theirs.")
@click.option("--model", help="Only this model, route or function.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write a config to this new file instead of to standard output."
)
@click.option("--append", type=click.Path(path_type=Path), help="Add the endpoint to this config.")
@click.option("--auth", help="How to authenticate, as in a config: '{bearer: \"${NAME}\"}', by reference only.")
@click.option(
    "--header", "headers", multiple=True, help="A header, 'Name: value'; secrets as ${NAME}. May be repeated."
)
def command(
    url: str,
    name: str | None,
    model: str | None,
    out: Path | None,
    append: Path | None,
    auth: str | None,
    headers: tuple[str, ...],
) -> int:
    """Draft an endpoint from what the server at URL publishes about itself.

    Asks for metadata only, never for a prediction: Open Inference Protocol V2, model lists (KServe V1, OpenAI), Gradio,
    BentoML, OpenAPI, MLflow, TorchServe. The draft goes to standard output or a file, with comments that say where each fact
    is from and what is left to do; what was asked goes to standard error.
    """
    _check_places(out, append)
    access = _access(auth, headers)

    from probe.cli.asking import Caller, explored
    from probe.discovery import base_url

    caller = Caller(base_url(url), access, os.environ)
    caller.adapter()  # a slip in the URL or a header is said before anything is sent
    found = asyncio.run(explored(caller, model=model, tell=_tell))
    drafts = _usable(found, access, name)
    if append is not None:
        _append(append, drafts)
    else:
        _write(out, drafts, source=found.source, url=caller.base)
    for remark in found.remarks:
        _tell(remark)
    first = drafts[0].name
    where = "" if (out or append) is None else f" -c {out or append}"
    _tell(
        f"drafted {', '.join(draft.name for draft in drafts)} from {found.source}; next: probe check-endpoint {first}{where}"
    )
    return 0


def _tell(line: str) -> None:
    click.echo(printable(line, 1000), err=True)


def _check_places(out: Path | None, append: Path | None) -> None:
    if out is not None and append is not None:
        raise ConfigError("--out writes a new file and --append adds to a config: choose one")
    if out is not None:
        from probe.cli.report import check_writable

        if out.exists():
            raise ConfigError(
                f"{out}: exists already and is not overwritten; name another file, or add to it with --append"
            )
        check_writable(out)
    if append is not None and not append.is_file():
        raise ConfigError(f"{append}: no such file; --out {append} writes one")


def _access(auth: str | None, headers: Iterable[str]) -> dict[str, Any]:
    """``auth`` and ``headers`` as they stand in a config."""
    access: dict[str, Any] = {}
    if auth is not None:
        try:
            access["auth"] = yaml.safe_load(auth)
        except (yaml.YAMLError, ValueError) as error:
            raise ConfigError("--auth is not YAML; write it as in a config: '{bearer: \"${NAME}\"}'") from error
    for header in headers:
        key, colon, value = header.partition(":")
        if not colon or not key.strip():
            raise ConfigError("--header is written 'Name: value'")
        access.setdefault("headers", {})[key.strip()] = value.strip()
    return access


def _usable(found: Explored, access: Mapping[str, Any], name: str | None) -> list[Draft]:
    from probe.discovery import fitted

    usable, reasons = fitted(found.drafts, access, name=name)
    if not usable:
        raise EndpointDown(f"what it publishes makes no endpoint: {reasons[0]}")
    for reason in reasons:
        _tell(f"left out, as it makes no endpoint: {reason}")
    return usable


def _write(out: Path | None, drafts: list[Draft], *, source: str, url: str) -> None:
    from probe.discovery import document

    text = document(drafts, source=source, url=url)
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise ConfigError(f"{out}: exists already and is not overwritten") from error


def _append(path: Path, drafts: list[Draft]) -> None:
    """Add ``drafts`` to the config at ``path``: whole or not at all."""
    from probe.discovery import added_to
    from probe.discovery.draft import Unfit

    target = path.resolve()
    try:
        text = added_to(target.read_bytes().decode("utf-8"), drafts)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text") from error
    except Unfit as reason:
        raise ConfigError(f"{path}: {reason}") from reason
    beside = target.with_name(f".{target.name}.new")
    beside.write_bytes(text.encode())
    shutil.copymode(target, beside)
    beside.replace(target)

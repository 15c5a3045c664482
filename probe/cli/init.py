"""``probe init``."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import click

from probe.config import Config
from probe.errors import ConfigError


@click.command("init", short_help="Write a commented probe.yaml.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path())
def command(folder: Path) -> int:
    """Write a commented probe.yaml, its schema for editors, and one example input."""
    template = resources.files("probe.cli").joinpath("template.yaml").read_text(encoding="utf-8")
    target = folder / "probe.yaml"
    if target.exists():
        raise ConfigError(f"{target}: exists already; remove it or choose another folder")
    (folder / "inputs").mkdir(parents=True, exist_ok=True)
    target.write_text(template, encoding="utf-8")
    (folder / "probe.schema.json").write_text(schema(), encoding="utf-8")
    example = folder / "inputs" / "review.txt"
    if not example.exists():
        example.write_text("The staff were friendly, but the refund took far too long.\n", encoding="utf-8")
    click.echo(f"wrote {target}; set the endpoint's url, then: probe plan")
    return 0


def schema() -> str:
    """JSON schema of ``probe.yaml``, for completion in editors."""
    return json.dumps(Config.model_json_schema(), indent=2) + "\n"

"""``probe export``."""

from __future__ import annotations

from pathlib import Path

import click

from probe.cli.options import config_option, storage_option, stored

_ENDINGS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".npz": "npz"}


@click.command("export", short_help="Write a stored run for other programs.")
@click.argument("run_id", metavar="RUN")
@config_option
@storage_option
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="File to write.")
@click.option(
    "--format", "kind", type=click.Choice(["csv", "jsonl", "parquet", "npz", "shap"]), help="By default by the file's name."
)  # fmt: skip
@click.option("--evaluations", is_flag=True, help="Every evaluation and its scores, instead of the attributions.")
def command(
    run_id: str, *, config_path: Path, storage: str | None, output: Path, kind: str | None, evaluations: bool
) -> int:
    """Write the attributions of a run, or its evaluations. RUN is its id or the beginning of it.

    npz holds values, errors, coalitions and scores as NumPy arrays; shap (in a .npz as well) what
    shap.Explanation(**numpy.load(FILE)) takes.
    """
    from probe.errors import ConfigError
    from probe.exported import export

    chosen = kind or _ENDINGS.get(output.suffix.lower())
    if chosen is None:
        raise ConfigError(
            f"{output}: its name does not say what to write; end it in {', '.join(_ENDINGS)}, or use --format"
        )
    if evaluations and chosen in {"npz", "shap"}:
        raise ConfigError("--evaluations are written as csv, jsonl or parquet; npz holds them beside the values anyway")
    with stored(config_path, storage) as store:
        count = export(store, run_id, output, kind=chosen, evaluations=evaluations)
    what = "evaluations" if evaluations else "explanations" if chosen in {"npz", "shap"} else "attributions"
    click.echo(f"{output}: {count:,} {what}")
    return 0

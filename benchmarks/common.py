"""What every benchmark shares: its options, its table, and its exit code."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Line:
    """One measured figure. ``holds`` is ``None`` where the line has no goal (an alternative, for comparison)."""

    what: str
    value: str
    ratio: str = ""
    goal: str = ""
    holds: bool | None = None


def options(description: str) -> argparse.Namespace:
    """``--quick`` and ``--json FILE``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="a smaller version with the same lines")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there as well")
    return parser.parse_args()


def finish(title: str, lines: Sequence[Line], *, json_file: Path | None, packages: Sequence[str] = ()) -> int:
    """Print the table, write it as JSON if asked, and return the exit code: 1 if a goal is missed."""
    versions = {name: importlib.metadata.version(name) for name in packages}
    print(f"\n{title}")
    print(
        f"Python {platform.python_version()}, " + ", ".join(f"{name} {version}" for name, version in versions.items())
    )
    rows = [("what", "value", "ratio", "goal", ""), *[_row(line) for line in lines]]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if json_file is not None:
        record = {"title": title, "versions": versions, "lines": [asdict(line) for line in lines]}
        json_file.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    missed = [line.what for line in lines if line.holds is False]
    if missed:
        print(f"missed: {'; '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


def _row(line: Line) -> tuple[str, str, str, str, str]:
    mark = "" if line.holds is None else "met" if line.holds else "MISSED"
    return line.what, line.value, line.ratio, line.goal, mark

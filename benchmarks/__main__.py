"""``python -m benchmarks``: list the benchmarks, or run those that are named (``all`` for every one)."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

_HERE = Path(__file__).parent
_PLUMBING = {"__init__", "__main__", "common"}


def _names() -> list[str]:
    """Modules that are commands: those that have a main block, and folders with one."""
    modules = [
        path.stem
        for path in _HERE.glob("*.py")
        if path.stem not in _PLUMBING and "__main__" in path.read_text(encoding="utf-8")
    ]
    return sorted([*modules, *(path.parent.name for path in _HERE.glob("*/__main__.py"))])


def _summary(name: str) -> str:
    folder = _HERE / name
    path = folder / "__main__.py" if folder.is_dir() else folder.with_suffix(".py")
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def main() -> int:
    """Exit code 1 if any goal is missed."""
    wanted: list[str] = []
    flags: list[str] = []
    for argument in sys.argv[1:]:
        (flags if argument.startswith("-") else wanted).append(argument)
    if not wanted:
        for name in _names():
            print(f"python -m benchmarks.{name:16} {_summary(name)}")
        return 0
    names = _names() if wanted == ["all"] else wanted
    return max(
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *flags], check=False).returncode for name in names
    )


if __name__ == "__main__":
    sys.exit(main())

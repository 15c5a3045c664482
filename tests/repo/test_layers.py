"""Who may import whom (ARCHITECTURE.md), held by reading the sources: nothing is imported here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PURE = ("probe.maskers", "probe.methods", "probe.analysis", "probe.surveys", "probe.discovery", "probe.drift")
#: what each package must not import; a name covers everything below it
ABOVE_THE_CORE = (
    "probe.engine",
    "probe.report",
    "probe.cli",
    "probe.web",
    "probe.api",
    "probe.config",
    "probe.config_sections",
    "storage",
)
FORBIDDEN = {
    "adapters": ("probe", "storage"),
    "storage": ("probe", "adapters"),
    "probe.maskers": (*ABOVE_THE_CORE, "probe.methods", "probe.analysis"),
    "probe.methods": ABOVE_THE_CORE,
    "probe.analysis": ABOVE_THE_CORE,
    "probe.surveys": ABOVE_THE_CORE,
    "probe.discovery": ABOVE_THE_CORE,
    "probe.drift": ABOVE_THE_CORE,
    "probe.lexicon": (*ABOVE_THE_CORE, "probe.maskers", "probe.methods", "adapters"),
    "probe.engine": ("probe.report", "probe.cli", "probe.web", "probe.api"),
    "probe.report": ("probe.cli", "probe.web", "adapters.transport"),
    "probe.schedules": ("probe.engine", "probe.web", "probe.api", "probe.setup"),
    "probe.web": ("probe.cli", "adapters.transport"),
}
#: packages without clocks, sockets, files or threads of their own
IMPURE = (
    "asyncio",
    "httpx",
    "socket",
    "time",
    "random",
    "threading",
    "subprocess",
    "sqlite3",
    "sqlalchemy",
    "adapters.transport",
)
#: the only things taken from numpy.random: a generator that is passed in, and what one is made of
GENERATORS = {"Generator", "default_rng", "SeedSequence", "PCG64", "BitGenerator"}
GLOBAL_NUMPY = ("numpy.random", "np.random")


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def sources(*packages: str) -> list[Path]:
    found = [path for package in packages for path in sorted((ROOT / package.replace(".", "/")).rglob("*.py"))]
    assert found, f"no sources in {packages}"
    return found


def module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """(absolute dotted name, line) of everything a file imports, at any depth: late and type-checking imports too."""
    yield from imported(
        tree(path), package=module(path) if path.name == "__init__.py" else module(path).rpartition(".")[0]
    )


def imported(code: ast.Module, *, package: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(code):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)


def covers(forbidden: str, name: str) -> bool:
    return name == forbidden or name.startswith(forbidden + ".")


def violations(paths: list[Path], forbidden: tuple[str, ...]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in paths
        for name, line in imports(path)
        if any(covers(entry, name) for entry in forbidden)
    ]


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_layers(package: str) -> None:
    assert violations(sources(package), FORBIDDEN[package]) == []


@pytest.mark.parametrize("package", [*PURE, "probe.lexicon"])
def test_the_core_is_pure(package: str) -> None:
    assert violations(sources(package), IMPURE) == []


def test_only_the_transport_speaks_http() -> None:
    others = [path for path in sources("adapters", "storage", "probe") if path != ROOT / "adapters" / "transport.py"]
    assert violations(others, ("httpx", "requests", "urllib.request", "http.client")) == []


def test_no_global_randomness() -> None:
    paths = sources("adapters", "storage", "probe")
    found = violations(paths, ("random",))
    for path in paths:
        for node in ast.walk(tree(path)):
            if (
                isinstance(node, ast.Attribute)
                and ast.unparse(node.value) in GLOBAL_NUMPY
                and node.attr not in GENERATORS
            ):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno} uses {ast.unparse(node)}")
        found += [
            f"{path.relative_to(ROOT)}:{line} imports {name}"
            for name, line in imports(path)
            if name.startswith("numpy.random.") and name.rpartition(".")[2] not in GENERATORS
        ]
    assert found == []


def test_a_generator_is_never_made_without_a_seed() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno} calls default_rng()"
        for path in sources("adapters", "storage", "probe")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith("default_rng")
        and not node.args
        and not node.keywords
    ]
    assert found == []


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("import storage.ledger", "storage.ledger"),
        ("from storage import Entry", "storage.Entry"),
        ("from ..engine import run", "probe.engine.run"),
        ("from . import text", "probe.maskers.text"),
        ("def late():\n    import probe.cli", "probe.cli"),
    ],
)
def test_imports_are_seen_in_every_spelling(code: str, name: str) -> None:
    assert [found for found, _ in imported(ast.parse(code), package="probe.maskers")] == [name]

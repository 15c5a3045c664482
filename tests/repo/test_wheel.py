"""The wheel holds what is needed to run away from the checkout, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email.parser import BytesParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DATA = (".gz", ".yaml", ".txt", ".html", ".css", ".jinja", ".j2", ".sql", ".mako", ".json")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(directory)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return directory


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(next(built.glob("*.whl")))


def test_the_wheel_holds_our_three_packages_whole(wheel: zipfile.ZipFile) -> None:
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in held} == {"probe", "adapters", "storage"}
    for package in ("probe", "adapters", "storage"):
        assert f"{package}/py.typed" in held
        paths = [path for path in (ROOT / package).rglob("*") if path.suffix in {".py", *DATA} and path.is_file()]
        assert {path.relative_to(ROOT).as_posix() for path in paths} - held == set()


def test_the_wheel_carries_the_licences(wheel: zipfile.ZipFile) -> None:
    metadata = BytesParser().parsebytes(wheel.read(next(n for n in wheel.namelist() if n.endswith("/METADATA"))))
    assert metadata["License-Expression"] == "Apache-2.0"
    files = metadata.get_all("License-File") or []
    assert {"LICENSE", "probe/lexicon/NOTICE"} <= set(files)
    info = next(name for name in wheel.namelist() if name.endswith("/METADATA")).rpartition("/")[0]
    assert b"WordNet" in wheel.read(f"{info}/licenses/probe/lexicon/NOTICE")
    assert b"Apache License" in wheel.read(f"{info}/licenses/LICENSE")


def test_the_wheel_runs_away_from_the_checkout(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    site = tmp_path / "site"
    wheel.extractall(site)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment["PYTHONPATH"] = os.pathsep.join([str(site), sysconfig.get_path("purelib")])
    program = """
import probe.cli, probe.lexicon
print(probe.lexicon.__file__)
assert probe.lexicon.Lexicon.load().substitutes("movie", "synonym")
probe.cli.main(["init", "project"])
"""
    command = [sys.executable, "-S", "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(site))
    assert (tmp_path / "project" / "probe.yaml").exists()


def test_the_source_distribution_can_be_tested(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    needed = {
        "Makefile",
        ".ci/run",
        "requirements-dev.lock",
        "requirements-build.lock",
        "tools/build_lexicon.py",
        "Dockerfile",
    }
    needed |= {"LICENSE", "README.md", "tests/repo/test_wheel.py", "docker-compose.yml", ".dockerignore", ".gitignore"}
    assert needed - held == set()

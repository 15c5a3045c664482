"""``probe serve`` in a process of its own, over a store that real runs filled."""

from __future__ import annotations

import json
import secrets
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from tests.cli.program import command, environment, here, pictures_endpoint, rows_endpoint, texts_endpoint, write

TEXT = "the refund took exceedingly long this time"
SECRET = f"canary-{secrets.token_hex(12)}"
#: what a config's endpoints refer to as ``${WEB_KEY}``
KEYS = {"WEB_KEY": SECRET}


@dataclass(frozen=True, slots=True)
class Serving:
    """A service that is up. ``url`` has no trailing slash; ``folder`` has its config and database."""

    process: subprocess.Popen[str]
    url: str
    folder: Path
    log: Path

    def client(self, key: str | None = None, **headers: str) -> httpx.Client:
        """Somebody who asks."""
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=60)

    def lines(self) -> list[dict[str, Any]]:
        """What it logged."""
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]

    def stop(self) -> int:
        """SIGTERM, wait, exit code."""
        self.process.terminate()
        return self.process.wait(timeout=60)


@contextmanager
def serving(folder: Path, *arguments: str | Path, config: str = "probe.yaml") -> Iterator[Serving]:
    """``probe serve`` on a free port."""
    log = folder / f"serve-{secrets.token_hex(4)}.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            command("serve", "-c", folder / config, "--port", "0", *arguments),
            cwd=folder,
            env=environment(KEYS),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    with process:
        try:
            assert process.stdout is not None
            word, _, url = process.stdout.readline().strip().partition(" ")
            assert word == "listening", log.read_text()
            yield Serving(process, url.rstrip("/"), folder, log)
        finally:
            if process.poll() is None:
                process.kill()


def project(folder: Path, url: str, *, storage: str = "sqlite:///probe.db") -> Path:
    """A config with a text, a picture and table rows at the demo server's built-in models, and what it reads."""
    (folder / "inputs").mkdir(exist_ok=True)
    shades = np.linspace(0, 255, 32 * 24).reshape(24, 32).astype(np.uint8)
    Image.fromarray(shades).save(folder / "inputs" / "ramp.png")
    config = {
        "storage": storage,
        "seed": 1,
        "endpoints": {
            "words": texts_endpoint(url, auth={"bearer": "${WEB_KEY}"}),
            "rows": rows_endpoint(url),
            "light": pictures_endpoint(url),
        },
        "probes": {
            "reviews": {
                "kind": "text",
                "inputs": {"inline": [TEXT]},
                "endpoints": ["words"],
                "methods": ["occlusion", "shapley"],
                "target": "long",
                "budget": 60,
                "fresh": "0",
            },
            "pictures": {
                "kind": "image",
                "inputs": "inputs/*.png",
                "endpoints": ["light"],
                "methods": [{"lime": {"segments": 6}}],
                "target": "top-left",
                "budget": 30,
            },
            "loans": {
                "kind": "tabular",
                "inputs": {"inline": [{"a": 1.5, "b": 2, "c": 3, "d": 4}]},
                "endpoints": ["rows"],
                "methods": ["shapley"],
                "masker": {"background": [{"a": 0, "b": 0, "c": 0, "d": 0}]},
                "target": "positive",
                "budget": 16,
            },
        },
        "surveys": {
            "book": {
                "inputs": {"inline": [{"a": place, "b": place % 3, "c": 1, "d": -place} for place in range(6)]},
                "endpoints": ["rows"],
                "methods": ["permutation", {"pdp": {"points": 3}}],
                "target": "positive",
            },
        },
    }
    return write(folder, config)


def fill(folder: Path, url: str, *, runs: int = 2, storage: str = "sqlite:///probe.db") -> list[str]:
    """Carry the config out ``runs`` times; the runs' ids, oldest first."""
    project(folder, url, storage=storage)
    ids = []
    for _ in range(runs):
        done = here("run", "--json", "--quiet", cwd=folder, env=KEYS)
        assert done.code == 0, done.err
        ids.append(str(done.json["id"]))
    return ids


def token(folder: Path, name: str, *options: str) -> str:
    """A key to the service over the database in ``folder``."""
    done = here("serve", "-c", folder / "probe.yaml", "token", "add", name, *options, cwd=folder, env=KEYS)
    assert done.code == 0, done.err
    return done.out.strip()


def waited(client: httpx.Client, job_id: str, *, until: Sequence[str], seconds: float = 60) -> Mapping[str, Any]:
    """The job once its status is one of ``until``."""
    end = time.monotonic() + seconds
    while True:
        job: dict[str, Any] = client.get(f"/api/v1/jobs/{job_id}").raise_for_status().json()
        if job["status"] in until:
            return job
        assert time.monotonic() < end, job
        time.sleep(0.05)

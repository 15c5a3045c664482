"""The same through the engine, the ledger and a server on the loopback interface."""

from __future__ import annotations

import asyncio
import base64
import io
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from adapters import Instance, endpoint_from_config, open_transport
from benchmarks.drift.models import Noise, Task
from probe.clock import Clock
from probe.drift.build import BuildSettings
from probe.engine.drift_run import BaselineRunner, CheckRunner
from probe.engine.drift_task import WatchTask
from probe.engine.run import RunSettings
from probe.inputs import Item
from probe.setup import remote_of
from storage import Store
from tests.drifting import DriftingServer, drifting_server

_SETTINGS = RunSettings("benchmark", "", 1, "0")


@dataclass(frozen=True, slots=True)
class Live:
    """``questions`` that each change took until the alarm; ``false`` alarms in ``null`` unchanged checks."""

    questions: Mapping[str, float]
    false: int
    null: int


def live(task: Task, noise: Noise, changes: Sequence[str], *, repeats: int, days: int) -> Live:
    """One baseline over HTTP, ``days`` unchanged checks a day apart, and one check of each change."""
    rng = np.random.default_rng(17)
    kind = "tabular" if task.name == "tabular" else "image"

    def served(name: str) -> Callable[[Sequence[Any]], list[dict[str, float]]]:
        def model(inputs: Sequence[Any]) -> list[dict[str, float]]:
            rows = [each if isinstance(each, dict) else _picture(each) for each in inputs]
            return [{str(label): 1.0} for label in noise.labels(task.models[name](rows), rng)]

        return model

    def watched(server: DriftingServer) -> WatchTask:
        template = "{{ x }}" if kind == "tabular" else "{{ x | png | b64 }}"
        spec = server.endpoint(json={"inputs": [{"$each": template}]}, batch=64)
        adapter = endpoint_from_config("m", spec, environment={}, base=Path())
        remote = remote_of(adapter, provider="http", url="", model="")
        items = tuple(Item(name, kind, instance) for name, instance in task.inputs)  # type: ignore[arg-type]
        return WatchTask("w", kind, items, remote, "label", BuildSettings(repeats=repeats), 0.01, 5, 0, 1)  # type: ignore[arg-type]

    with (
        tempfile.TemporaryDirectory() as folder,
        drifting_server(served("same")) as server,
        Store.open(f"sqlite:///{folder}/probe.db") as store,
    ):
        what = watched(server)
        options: dict[str, Any] = {
            "settings": _SETTINGS,
            "open_transport": lambda adapter: open_transport(adapter, environment={}),
        }
        asyncio.run(BaselineRunner(what, store, **options).run())
        codes = [
            asyncio.run(CheckRunner(what, store, clock=_later(day), **options).run()).exit_code for day in range(days)
        ]
        questions = {}
        for change in changes:
            server.model = served(change)
            before = server.inputs
            checked = asyncio.run(CheckRunner(what, store, clock=_later(days), **options).run())
            questions[change] = float(server.inputs - before) if checked.exit_code == 1 else math.inf
        return Live(questions, sum(code == 1 for code in codes), days)


def _picture(text: str) -> Instance:
    with Image.open(io.BytesIO(base64.b64decode(text))) as picture:
        return np.array(picture, dtype=np.uint8)


def _later(days: float) -> Clock:
    return Clock(now=lambda: datetime.now(UTC) + timedelta(days=days))

"""One demo server for each module of tests, obliging again and with an empty account before each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage import Store
from tests.servers import RunningServer, running_server


@pytest.fixture(scope="module")
def running() -> Iterator[RunningServer]:
    with running_server() as server:
        yield server


@pytest.fixture
def server(running: RunningServer) -> RunningServer:
    running.set_strict({})
    running.reset()
    return running


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path / 'probe.db'}") as opened:
        yield opened

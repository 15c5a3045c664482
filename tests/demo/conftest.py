"""A connection to the demo server, kept for a module of tests."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.servers import RunningServer


@pytest.fixture(scope="module")
def connected(running: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.url, trust_env=False, timeout=20) as client:
        yield client


@pytest.fixture
def client(server: RunningServer, connected: httpx.Client) -> httpx.Client:
    return connected

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.servers import RunningServer, running_server
from tests.web.serving import Serving, fill, serving


@dataclass(frozen=True, slots=True)
class Filled:
    """A service over the results of two real runs of one config, and the endpoint they asked."""

    service: Serving
    runs: tuple[str, ...]
    endpoint: RunningServer

    def probes(self, run: str) -> list[dict[str, Any]]:
        """The explanations of a run, as the API lists them."""
        with self.service.client() as client:
            found: list[dict[str, Any]] = client.get(f"/api/v1/runs/{run}/probes").raise_for_status().json()["probes"]
        return found

    def probe(self, name: str, method: str) -> str:
        """The id of an explanation of the newest run."""
        ids: list[str] = [
            each["id"] for each in self.probes(self.runs[-1]) if (each["probe"], each["method"]) == (name, method)
        ]
        assert len(ids) == 1
        return ids[0]


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """One service for each worker; tests that change what is stored use their own."""
    folder: Path = tmp_path_factory.mktemp("service")
    with running_server() as endpoint:
        runs = fill(folder, endpoint.url)
        with serving(folder) as service:
            yield Filled(service, tuple(runs), endpoint)


@pytest.fixture
def client(filled: Filled) -> Iterator[httpx.Client]:
    with filled.service.client(accept="text/html") as found:
        yield found

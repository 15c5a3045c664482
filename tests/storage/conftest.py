from __future__ import annotations

from collections.abc import Iterator

import pytest

from storage import Journal, Store
from tests.storage import builders


@pytest.fixture
def store(storage_url: str) -> Iterator[Store]:
    """An open store that knows the run, endpoint and instance of ``builders``."""
    with Store.open(storage_url, timeout=5) as opened:
        builders.furnish(opened)
        yield opened


@pytest.fixture
def journal(store: Store) -> Iterator[Journal]:
    with Journal(store) as opened:
        yield opened

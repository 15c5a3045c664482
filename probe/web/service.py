"""What the routes have at hand."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, TypeAlias

from fastapi import Depends, Request

from adapters import Secrets
from probe.clock import Clock
from probe.web.access import Access
from probe.web.jobs import Jobs
from probe.web.metrics import Requests
from storage import Store, browse

_FACETS_FOR = 5.0  #: seconds for which the numbers beside the filters may be old


@dataclass(slots=True)
class Service:
    """One database, the runs it is asked for, and who may ask."""

    store: Store
    folder: Path  #: where configs are
    access: Access
    jobs: Jobs
    clock: Clock
    version: str
    secrets: Secrets  #: what no page says, wherever it comes from
    requests: Requests = field(default_factory=Requests)
    _facets: tuple[float, Mapping[str, list[tuple[str, int]]]] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def facets(self) -> Mapping[str, list[tuple[str, int]]]:
        """See :func:`storage.browse.facets`."""
        with self._lock:
            if self._facets is None or time.monotonic() - self._facets[0] > _FACETS_FOR:
                self._facets = time.monotonic(), browse.facets(self.store)
            return self._facets[1]


def of(request: Request) -> Service:
    """The service that answers ``request``."""
    service: Service = request.app.state.service
    return service


Here: TypeAlias = Annotated[Service, Depends(of)]

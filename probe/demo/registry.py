"""Which models the demo server can serve, and loading them when they are first asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path

from probe.demo.models.base import DemoModel
from probe.demo.routes import Refused
from probe.demo.simple import BUILT_IN

Factory = Callable[[Path], DemoModel]


def factories(names: Sequence[str] | None = None) -> dict[str, Factory]:
    """The named models, or all. Raises ``ValueError`` naming an unknown one. Built-in ones import no other model."""
    if names is not None and all(name in BUILT_IN for name in names):
        return {name: BUILT_IN[name] for name in names}
    from probe.demo.models import MODELS  # its libraries take seconds to import

    known: dict[str, Factory] = {**MODELS, **BUILT_IN}
    for name in names or ():
        if name not in known:
            raise ValueError(f"unknown model {name!r}; choose from {', '.join(known)}")
    return known if names is None else {name: known[name] for name in names}


class Models:
    """Models by name, each loaded once, at first use, in a worker thread."""

    def __init__(self, makers: Mapping[str, Factory], cache: Path, workers: Executor) -> None:
        self._makers = makers
        self._cache = cache
        self._workers = workers
        self._loading: dict[str, asyncio.Future[DemoModel]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._makers)

    async def get(self, name: str) -> DemoModel:
        """Raises :class:`Refused`: 404 for an unknown model, 503 for one that cannot be loaded."""
        if name not in self._makers:
            raise Refused(404, f"unknown model {name!r}; this server has {', '.join(self.names)}")
        loading = self._loading.get(name)
        if loading is None:
            loop = asyncio.get_running_loop()
            loading = self._loading[name] = loop.run_in_executor(self._workers, self._makers[name], self._cache)
        if loading.done() and loading.exception() is None:
            return loading.result()
        try:
            return await asyncio.shield(loading)
        except Exception as error:
            self._loading.pop(name, None)  # the next request tries again
            raise Refused(503, f"model {name!r} cannot be loaded: {error}") from error

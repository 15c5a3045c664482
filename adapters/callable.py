"""A Python function as an endpoint, so that what runs in this process is planned, ledgered and explained like the rest.

The function's result is written as JSON, a list of {label: score}, and read back by the rules of every other endpoint.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import importlib.util
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final, TypeAlias

import numpy as np

from adapters.base import (
    HttpResponse,
    Instance,
    ItemError,
    Limits,
    LocalCall,
    Prediction,
    Price,
    Request,
    Secrets,
    Usage,
    Verdict,
)
from adapters.errors import AdapterError, MaybeBilled, NotSent, ResponseError, SpecError
from adapters.scores import VERSION, LabelSpace, ScoreReader
from adapters.show import excerpt, printable, shown
from adapters.spec import CallableSpec
from adapters.spec_scores import Items, Scores

#: (m inputs) → (m,) or (m, k) array, or one {label: score} per input
Function: TypeAlias = Callable[[Sequence[Any]], Any]

_RULES: Final = Scores.model_validate({"map": "@"})
#: most Python models are not safe to call from several threads at once
_ONE_AT_A_TIME: Final = Limits(concurrency=1)


class CallableAdapter:
    """An :class:`~adapters.base.Adapter` around ``function``, which is called in a worker thread.

    ``function`` takes a list of m inputs and returns an (m,) or (m, k) array or a list of m mappings {label: score}.
    ``labels``: names of the k outputs (default ``"0"`` …, or ``"value"`` for an (m,) array). ``reference`` and ``version``
    say which function this is: change ``version`` when it changes, or its old answers in the ledger are used again.
    """

    def __init__(
        self,
        name: str,
        function: Function,
        *,
        reference: str | None = None,
        version: str = "",
        labels: Sequence[str] | None = None,
        max_batch: int = 32,
        limits: Limits = _ONE_AT_A_TIME,
        price: Price | None = None,
    ) -> None:
        if max_batch < 1:
            raise SpecError(f"endpoint {name!r}: max_batch must be at least 1, got {max_batch}")
        self.name = name
        self.limits = limits
        self.price = price or Price()
        self.max_batch = max_batch
        self.labels = tuple(labels) if labels is not None else None
        self._function = function
        reference = reference or _reference(name, function)
        # the labels are in the stored answers, so other labels are other answers
        self.identity = json.dumps(
            {"adapter": "callable", "function": reference, "version": version, "labels": self.labels},
            sort_keys=True,
            separators=(",", ":"),
        )
        self.parser = hashlib.sha256(f"callable {VERSION}".encode()).hexdigest()
        self._reader = ScoreReader(name, scores=_RULES, items=Items(), space=LabelSpace(self.labels))

    def request(self, batch: Sequence[Instance]) -> LocalCall:
        if not 1 <= len(batch) <= self.max_batch:
            raise SpecError(
                f"endpoint {self.name!r}: {len(batch)} inputs in one call, allowed are 1 to {self.max_batch}"
            )
        return LocalCall(self._function, tuple(batch))

    def predictions(self, response: HttpResponse, n: int) -> list[Prediction | ItemError]:
        return self._reader.read(response.body, n)

    def classify(self, outcome: HttpResponse | AdapterError) -> Verdict:
        if isinstance(outcome, HttpResponse):
            if outcome.status == 200:
                return Verdict("ok")
            return Verdict("reject", f"endpoint {self.name!r}: the function failed: {excerpt(outcome.body, 400)}")
        if isinstance(outcome, NotSent | MaybeBilled):
            return Verdict("retry", str(outcome), maybe_billed=isinstance(outcome, MaybeBilled))
        return Verdict("broken" if isinstance(outcome, ResponseError) else "reject", str(outcome))

    def estimate(self, request: Request) -> Usage:
        """Units of characters, if its price counts them; a function counts no tokens."""
        return Usage(units=self.price.units(request.batch)) if isinstance(request, LocalCall) else Usage()

    def usage(self, response: HttpResponse) -> Usage | None:  # noqa: ARG002 - the protocol's
        """``None``: a function counts no tokens."""
        return None

    def encode(self, result: Any, n: int) -> bytes:
        """What ``function`` returned for ``n`` inputs, as a JSON list of {label: score}. Raises ``ValueError``."""
        if isinstance(result, list | tuple) and result and all(isinstance(row, Mapping) for row in result):
            rows = [{str(label): _number(score) for label, score in row.items()} for row in result]
        else:
            rows = self._rows_of_array(result)
        if len(rows) != n:
            raise ValueError(f"it returned {len(rows)} rows for {n} inputs")
        return json.dumps(rows, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode()

    def _rows_of_array(self, result: Any) -> list[dict[str, Any]]:
        try:
            array = np.asarray(result, dtype=np.float64)
        except (TypeError, ValueError):
            array = np.zeros(())
        if array.ndim not in (1, 2):
            raise ValueError(
                f"it must return an array of shape (m,) or (m, k) or a list of mappings, got {shown(result)}"
            )
        table = array[:, None] if array.ndim == 1 else array
        names = self.labels or (("value",) if array.ndim == 1 else tuple(map(str, range(table.shape[1]))))
        if len(names) != table.shape[1]:
            raise ValueError(f"it returned {table.shape[1]} scores an input for {len(names)} labels")
        return [{name: _number(score) for name, score in zip(names, row, strict=True)} for row in table]


class LocalTransport:
    """Runs :class:`LocalCall` in a worker thread and answers as a remote model would."""

    secrets = Secrets()

    def __init__(self, adapter: CallableAdapter) -> None:
        self._adapter = adapter

    async def send(self, request: Request) -> HttpResponse:
        """The answer: 200 with the scores, or 500 with what the function raised. Raises :class:`MaybeBilled` at a timeout,
        after which the function may still be running."""
        if not isinstance(request, LocalCall):
            raise NotSent(f"endpoint {self._adapter.name!r} is a Python function and cannot send HTTP")
        clock = asyncio.get_running_loop().time
        started, timeout = clock(), self._adapter.limits.timeout
        try:
            async with asyncio.timeout(timeout):
                status, body = await asyncio.to_thread(self._call, request)
        except TimeoutError:
            raise MaybeBilled(
                f"endpoint {self._adapter.name!r}: the function did not return within {timeout:g} s"
            ) from None
        return HttpResponse(status, (("content-type", "application/json"),), body, clock() - started)

    async def aclose(self) -> None:
        """Nothing to close."""

    def _call(self, request: LocalCall) -> tuple[int, bytes]:
        try:
            return 200, self._adapter.encode(request.function(list(request.batch)), len(request.batch))
        except Exception as error:  # noqa: BLE001 - whatever a user's function raises is its answer
            text = f"{type(error).__name__}: {error}"
            return 500, json.dumps({"error": text[:2000]}).encode()


def callable_from_spec(name: str, spec: CallableSpec, *, base: Path) -> CallableAdapter:
    """The adapter of ``adapter: callable``. Paths are relative to ``base``. Raises :class:`SpecError`."""
    limits = spec.limits.limits() if "limits" in spec.model_fields_set else _ONE_AT_A_TIME
    return CallableAdapter(
        name,
        load_function(f"endpoints.{name}.function", spec.function, base=base),
        reference=spec.function,
        version=spec.version,
        labels=spec.labels,
        max_batch=spec.batch.max_items,
        limits=limits,
        price=spec.price.price(),
    )


def load_function(where: str, reference: str, *, base: Path) -> Function:
    """The function named ``package.module:name`` or ``path/file.py:name``. Raises :class:`SpecError`."""
    module_name, _, attribute = reference.rpartition(":")
    try:
        module = _load_file(base / module_name) if module_name.endswith(".py") else importlib.import_module(module_name)
    except Exception as error:  # the module is the user's: it may raise anything
        raise SpecError(f"{where}: cannot load {module_name!r}: {type(error).__name__}: {printable(error)}") from error
    found: Any = module
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise SpecError(f"{where}: {module_name!r} has no function {attribute!r}")
    function: Function = found
    return function


def _load_file(path: Path) -> ModuleType:
    name = f"endpoint_{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _reference(name: str, function: Function) -> str:
    """Module and qualified name; for a lambda or local function also the endpoint's name and the code, as there are many."""
    where = f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', type(function).__qualname__)}"
    code = getattr(function, "__code__", None)
    if isinstance(code, CodeType) and "<" in where:
        digest = hashlib.sha256(code.co_code + repr(code.co_names).encode()).hexdigest()[:16]
        return f"{name}={where}#{digest}"
    return where if code is not None else f"{name}={where}"


def _number(value: Any) -> Any:
    """A float, or ``"NaN"`` and the like as text, which JSON can hold and the reader reports for that input alone."""
    number = float(value)
    return number if math.isfinite(number) else {math.inf: "Infinity", -math.inf: "-Infinity"}.get(number, "NaN")

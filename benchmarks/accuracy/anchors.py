"""The existing tools, each at its best settings: shap in this process, shapiq in an interpreter that can run it.

Every tool is a function (v, n, budget, seed) → φ and is held to ``budget`` distinct coalitions, ∅ and the full one among
them; what it asks twice it gets for nothing.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from benchmarks.accuracy.truth import Bools, Floats, Value

#: names the interpreter that has shapiq; without it ``.venv-shapiq`` is looked for, then this interpreter
VARIABLE = "PROBE_SHAPIQ_PYTHON"
#: ShaplEIG asks one coalition at a time and fits before each: beyond so many evaluations it takes minutes
_EIG_MOST = 32
_OWN = Path(__file__).parents[2] / ".venv-shapiq" / "bin" / "python"


class CannotDo(Exception):
    """A tool does not work at this budget, or asked for more than it."""


class Counted:
    """A game that answers at most ``budget`` distinct coalitions."""

    def __init__(self, v: Value, budget: int) -> None:
        self._v = v
        self._budget = budget
        self._known: dict[bytes, float] = {}

    @property
    def asked(self) -> int:
        """Distinct coalitions so far."""
        return len(self._known)

    def __call__(self, coalitions: Bools) -> Floats:
        """Raises :class:`CannotDo` beyond the budget."""
        rows = np.asarray(coalitions, dtype=bool)
        keys = [row.tobytes() for row in rows]
        new = {key: place for place, key in enumerate(keys) if key not in self._known}
        if self.asked + len(new) > self._budget:
            raise CannotDo(f"asked for {self.asked + len(new)} coalitions with a budget of {self._budget}")
        if new:
            self._known.update(zip(new, self._v(rows[list(new.values())]).tolist(), strict=True))
        return np.array([self._known[key] for key in keys])


@dataclass(frozen=True, slots=True)
class Answer:
    """φ (n,) of one run, and the CPU seconds it took, the game's own included where it runs in the same process."""

    phi: Floats
    seconds: float


@dataclass(frozen=True, slots=True)
class Anchor:
    """One tool; ``run(v, n, budget, seed)`` raises :class:`CannotDo` if it does not work at that budget."""

    name: str
    version: str
    run: Callable[[Value, int, int, int], Answer]


@contextlib.contextmanager
def anchors() -> Iterator[list[Anchor]]:
    """All tools that can be run here. Those of shapiq are missing if no interpreter has it; a line on stderr says so."""
    with contextlib.ExitStack() as stack:
        python = shapiq_python()
        found = _shap_tools()
        if python is None:
            print(f"shapiq is not compared: no interpreter has it (benchmarks/README.md; {VARIABLE})", file=sys.stderr)
        else:
            found += stack.enter_context(_Worker(python)).tools()
        yield found


def shapiq_python() -> Path | None:
    """The interpreter that has shapiq ≥ 1.8, if there is one."""
    named = os.environ.get(VARIABLE)
    for python in (Path(named) if named else _OWN, Path(sys.executable)):
        check = "import shapiq; assert hasattr(shapiq, 'LeverageSHAP')"
        if python.exists() and subprocess.run([python, "-c", check], check=False, capture_output=True).returncode == 0:
            return python
    return None


def _shap_tools() -> list[Anchor]:
    from importlib.metadata import version

    tools = {
        "shap KernelExplainer, default": _kernel_default,
        "shap KernelExplainer, l1_reg=False": _kernel_plain,
        "shap PermutationExplainer": _permutation,
    }
    return [Anchor(name, version("shap"), _timed(tool)) for name, tool in tools.items()]


def _timed(tool: Callable[[Value, int, int, int], Floats]) -> Callable[[Value, int, int, int], Answer]:
    def run(v: Value, n: int, budget: int, seed: int) -> Answer:
        counted = Counted(v, budget)
        started = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            phi = tool(lambda rows: counted(np.asarray(rows) > 0.5), n, budget, seed)
        return Answer(_checked(phi, n), time.process_time() - started)

    return run


def _checked(phi: Any, n: int) -> Floats:
    array = np.asarray(phi, dtype=np.float64).reshape(-1)
    if array.shape != (n,) or not np.isfinite(array).all():
        raise CannotDo(f"gave {array.shape} values, {int(np.isfinite(array).sum())} of them finite")
    return array


def _kernel(v: Value, n: int, budget: int, seed: int, **settings: Any) -> Floats:
    import shap

    np.random.seed(seed)  # noqa: NPY002 (the generator that shap draws from)
    explainer = shap.KernelExplainer(v, np.zeros((1, n)))
    try:
        found: Floats = explainer.shap_values(np.ones((1, n)), nsamples=budget - 2, silent=True, **settings)[0]
    except np.linalg.LinAlgError as error:
        raise CannotDo(str(error)) from error
    return found


def _kernel_default(v: Value, n: int, budget: int, seed: int) -> Floats:
    return _kernel(v, n, budget, seed)


def _kernel_plain(v: Value, n: int, budget: int, seed: int) -> Floats:
    return _kernel(v, n, budget, seed, l1_reg=False)


def _permutation(v: Value, n: int, budget: int, seed: int) -> Floats:
    import shap

    rounds = (budget - 2) // (2 * (n - 1))  # a round there and back asks 2(n − 1) coalitions besides ∅ and the full one
    explainer = shap.PermutationExplainer(v, shap.maskers.Independent(np.zeros((1, n))), seed=seed)
    found: Floats = explainer(np.ones((1, n)), max_evals=rounds * (2 * n + 1), silent=True).values[0]
    return found


class _Worker:
    """shapiq in a process of its own; see ``shapiq_worker.py`` for what is said."""

    def __init__(self, python: Path) -> None:
        self._python = python

    def __enter__(self) -> Self:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": ""}
        self._process = subprocess.Popen(
            [self._python, Path(__file__).with_name("shapiq_worker.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        _, self._versions, self._names = self._receive()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)

    def tools(self) -> list[Anchor]:
        """One for each approximator the worker can run."""
        return [self._tool(name) for name in self._names]

    def _tool(self, name: str) -> Anchor:
        def run(v: Value, n: int, budget: int, seed: int) -> Answer:
            if "EIG" in name and budget > _EIG_MOST:
                raise CannotDo(f"takes minutes beyond {_EIG_MOST} evaluations")
            return self._run(name, Counted(v, budget), n, budget, seed)

        return Anchor(name, ", ".join(f"{key} {value}" for key, value in _relevant(name, self._versions)), run)

    def _run(self, name: str, v: Counted, n: int, budget: int, seed: int) -> Answer:
        self._send((name, n, budget, seed))
        over: CannotDo | None = None
        while True:
            kind, *content = self._receive()
            if kind == "failed":
                raise over or CannotDo(content[0])
            if kind == "done":
                if over is not None:
                    raise over
                return Answer(_checked(content[0], n), content[1])
            rows = np.unpackbits(np.frombuffer(content[1], np.uint8).reshape(content[0], -1), axis=1, count=n) > 0
            try:
                values = v(rows)
            except CannotDo as error:
                over, values = error, np.full(len(rows), np.nan)
            self._send(values.tobytes())

    def _send(self, message: object) -> None:
        assert self._process.stdin is not None
        pickle.dump(message, self._process.stdin)
        self._process.stdin.flush()

    def _receive(self) -> Any:
        assert self._process.stdout is not None
        return pickle.load(self._process.stdout)


def _relevant(name: str, versions: Mapping[str, str]) -> list[tuple[str, str]]:
    """The packages whose version can change what a tool answers."""
    wanted = {"shapiq"}
    if "trees" in name or "Odd" in name or "Proxy" in name:
        wanted |= {"lightgbm", "xgboost"}
    if "EIG" in name:
        wanted |= {"torch", "gpytorch", "botorch"}
    return [(key, value) for key, value in sorted(versions.items()) if key in wanted]

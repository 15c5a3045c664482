"""Runs shapiq's approximators in an interpreter of its own: its newest release needs Python 3.12 and packages of its own.

Started by ``anchors.py``, never by hand. On the pipes go pickles. In: ``(tool, n, budget, seed)``, then the values of every
array of coalitions that was asked for. Out: ``("ask", m, packed bits)`` any number of times, then ``("done", φ, CPU
seconds)`` or ``("failed", why)``. The first message out is ``("ready", {package: version}, [tools])``.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import math
import os
import pickle
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np


def _polyshap(shapiq: Any, n: int, budget: int, seed: int) -> Any:
    """Order 2, with as many of its terms as two evaluations each allow."""
    terms = 1 + n + math.comb(n, 2)
    most = None if budget >= 2 * terms else max(n + 1, budget // 2)
    return shapiq.PolySHAP(n, max_order=2, max_terms=most, pairing_trick=True, random_state=seed)


#: name → approximator from (shapiq, n, budget, seed)
TOOLS: dict[str, Callable[[Any, int, int, int], Any]] = {
    "shapiq Leverage SHAP": lambda s, n, _, seed: s.LeverageSHAP(n, random_state=seed),
    "shapiq KernelSHAP": lambda s, n, _, seed: s.KernelSHAP(n, pairing_trick=True, random_state=seed),
    "shapiq OddSHAP": lambda s, n, _, seed: s.OddSHAP(n, random_state=seed, tree_params={"n_jobs": 1}),
    "shapiq PolySHAP": _polyshap,
    "shapiq Regression MSR, linear": lambda s, n, _, seed: s.RegressionMSR(
        n, "SV", proxy_model="linear", random_state=seed
    ),
    "shapiq Regression MSR, trees": lambda s, n, _, seed: s.RegressionMSR(
        n, "SV", proxy_model="xgboost", random_state=seed
    ),
    "shapiq Regression MSR, trees, 5 folds": lambda s, n, _, seed: s.RegressionMSR(
        n, "SV", proxy_model="xgboost", k_folds=5, random_state=seed
    ),
    "shapiq ProxySHAP": lambda s, n, _, seed: s.ProxySHAP(
        n, max_order=1, index="SV", proxy_model="xgboost", random_state=seed
    ),
    "shapiq ProxySHAP, adjusted": lambda s, n, _, seed: s.ProxySHAP(
        n, max_order=1, index="SV", proxy_model="xgboost", adjustment=True, random_state=seed
    ),
}


def _tools() -> dict[str, Callable[[Any, int, int, int], Any]]:
    found = dict(TOOLS)
    if all(importlib.util.find_spec(name) for name in ("torch", "gpytorch", "botorch")):
        found["shapiq ShaplEIG"] = lambda s, n, _, seed: s.ShaplEIG(n, random_state=seed, show_progress=False)
    return found


def _versions() -> dict[str, str]:
    found = {}
    for name in ("shapiq", "lightgbm", "xgboost", "torch", "gpytorch", "botorch"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _explain(shapiq: Any, request: tuple[str, int, int, int], ask: Callable[[Any], Any]) -> tuple[Any, ...]:
    name, n, budget, seed = request
    started = time.process_time()
    try:
        answer = _tools()[name](shapiq, n, budget, seed).approximate(budget, ask)
    except Exception as error:  # noqa: BLE001 (a tool that cannot do it is a line in the table)
        return ("failed", f"{type(error).__name__}: {error}")
    return ("done", [float(answer[(i,)]) for i in range(n)], time.process_time() - started)


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    shapiq = importlib.import_module("shapiq")

    def send(message: tuple[Any, ...]) -> None:
        pickle.dump(message, answers)
        answers.flush()

    def ask(coalitions: Any) -> Any:
        rows = np.asarray(coalitions, dtype=bool)
        send(("ask", len(rows), np.packbits(rows, axis=1).tobytes()))
        return np.frombuffer(pickle.load(requests), dtype=np.float64).copy()

    send(("ready", _versions(), list(_tools())))
    while True:
        try:
            request = pickle.load(requests)
        except EOFError:
            return
        send(_explain(shapiq, request, ask))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as channel:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what the packages print must not get between the messages
        _serve(sys.stdin.buffer, channel)

"""Tensors of the Open Inference Protocol (V2) in JSON: ``data`` and ``shape`` of one of the ``outputs``."""

from __future__ import annotations

import math
from typing import Any

from adapters.errors import ResponseError
from adapters.show import excerpt, shown
from adapters.spec_scores import Tensor

_DEEPEST = 8
_LARGEST = 2**31
_HINT = (
    "ask for the probabilities: outputs: [{name: predict_proba}] in the request and "
    "scores: {tensor: {output: predict_proba}}"
)


class TensorRows:
    """The rows of one output. ``named``: the endpoint's description names the labels.

    The first size is the batch and the second the labels; sizes of 1 behind them (pictures' classifiers) are dropped.
    """

    def __init__(self, endpoint: str, tensor: Tensor, *, named: bool) -> None:
        self._endpoint = endpoint
        self._name = tensor.output
        self._named = named

    def find(self, data: Any, n: int, body: bytes) -> list[Any]:
        """``n`` rows: lists of numbers, or numbers if the output has one size. Raises :class:`ResponseError`."""
        try:
            return self._rows(self._output(data), n)
        except _NotATensor as error:
            raise ResponseError(f"endpoint {self._endpoint!r}: {error}; the answer begins {excerpt(body)}") from None

    def _output(self, data: Any) -> dict[str, Any]:
        listed = data.get("outputs") if isinstance(data, dict) else None
        outputs: list[dict[str, Any]] = listed if isinstance(listed, list) else []
        if not outputs or not all(isinstance(output, dict) for output in outputs):
            raise _NotATensor("the answer has no list of outputs, so it is not of the Open Inference Protocol (V2)")
        names = [output.get("name") for output in outputs]
        if self._name is None:
            if len(outputs) == 1:
                return outputs[0]
            raise _NotATensor(f"the answer has the outputs {shown(names)}: write scores: {{tensor: {{output: NAME}}}}")
        found = [output for output in outputs if output.get("name") == self._name]
        if len(found) != 1:
            seen = "twice" if found else "not among the outputs"
            raise _NotATensor(f"output {self._name!r} is {seen}: {shown(names)}")
        return found[0]

    def _rows(self, output: dict[str, Any], n: int) -> list[Any]:
        where = f"output {shown(output.get('name'))}"
        shape = _sizes(output.get("shape"), where)
        self._check_type(output, shape, where)
        data = output.get("data")
        if not isinstance(data, list):
            raise _NotATensor(f"{where}: data is {shown(data)}, not a list")
        flat: list[Any] = data
        if any(isinstance(value, list) for value in data):
            flat = []
            _flatten(data, shape, flat, where)
        if len(flat) != math.prod(shape):
            raise _NotATensor(f"{where}: {len(flat)} numbers do not fill the shape {shape}")
        if shape[0] != n:
            raise _NotATensor(f"{where}: the shape {shape} has {shape[0]} rows for {n} inputs")
        if len(shape) == 1:
            return flat
        wide = shape[1]
        return [flat[row * wide : (row + 1) * wide] for row in range(n)]

    def _check_type(self, output: dict[str, Any], shape: list[int], where: str) -> None:
        kind, data = output.get("datatype"), output.get("data")
        parameters = output.get("parameters")
        if isinstance(parameters, dict) and "binary_data_size" in parameters:
            raise _NotATensor(f"{where} comes as binary data, which is not read: {_NO_BINARY}")
        if kind == "BYTES":
            raise _NotATensor(f"{where} holds texts ({shown(data)}), which are labels without scores: {_HINT}")
        whole = isinstance(kind, str) and (kind.startswith(("INT", "UINT")) or kind == "BOOL")
        if whole and not self._named and math.prod(shape[1:]) == 1:
            raise _NotATensor(
                f"{where} holds one {kind} per input ({shown(data)}), probably the number of a class and not a score: "
                f"{_HINT}; if it is a score, name it by labels: [NAME]"
            )


class _NotATensor(Exception):
    pass


_NO_BINARY = (
    "ask for numbers in JSON, without binary_data_output or with parameters: {binary_data: false} in the output"
)


def binary_answer(body: bytes) -> str | None:
    """What is wrong with a body that is not JSON, if it is one of the binary data extension."""
    if body.lstrip()[:1] == b"{" and b'"binary_data_size"' in body[:65536]:
        return f"the outputs come as binary data, which is not read: {_NO_BINARY}"
    return None


def _sizes(shape: Any, where: str) -> list[int]:
    fits = isinstance(shape, list) and shape and len(shape) <= _DEEPEST
    if not fits or not all(type(size) is int and 0 <= size < _LARGEST for size in shape):
        raise _NotATensor(f"{where}: shape is {shown(shape)}, not a list of sizes")
    kept = list(shape)
    while len(kept) > 2 and kept[-1] == 1:
        kept.pop()
    if len(kept) > 2:
        raise _NotATensor(f"{where}: the shape {shape} is not one row of scores per input")
    return kept


def _flatten(data: list[Any], shape: list[int], into: list[Any], where: str) -> None:
    """Nested lists, in order. Raises :class:`_NotATensor` unless their lengths are those of ``shape``."""
    rows = [row if isinstance(row, list) else [row] for row in data]
    for row in rows:
        values = [_innermost(value, where) for value in row]
        if len(shape) == 2 and len(values) != shape[1]:
            raise _NotATensor(f"{where}: a row of {len(values)} numbers does not fit the shape {shape}")
        into.extend(values)


def _innermost(value: Any, where: str) -> Any:
    for _ in range(_DEEPEST):
        if not isinstance(value, list):
            return value
        if len(value) != 1:
            break
        value = value[0]
    raise _NotATensor(f"{where}: data is nested deeper than its shape: {shown(value)}")

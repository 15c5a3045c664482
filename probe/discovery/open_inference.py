"""Servers that speak the Open Inference Protocol V2: MLServer, KServe, Triton, Seldon. They publish names, types and shapes
of tensors, but not what the columns of an output mean."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from probe.discovery.base import (
    BATCH,
    MOST_DRAFTS,
    MOST_LABELS,
    Ask,
    Draft,
    Found,
    Reading,
    Seen,
    endpoint_name,
    in_url,
    is_name,
    literal,
    place,
    placeholders,
    told,
)

_SCORES = re.compile(r"prob|score|softmax|logit|confidence", re.IGNORECASE)
_MOST_COLUMNS = 1000
_GUESSED = 4  #: columns, where the metadata does not say how many
_PIXELS = 3  #: colours of a picture's last dimension


@dataclass(frozen=True, slots=True)
class _Tensor:
    """One input or output as the metadata describes it; -1 stands for any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    content_type: str | None = None  #: what MLServer decodes it as

    @property
    def batched(self) -> bool:
        return self.shape[:1] == (-1,)

    @property
    def row(self) -> tuple[int, ...]:
        """The shape of one input's part."""
        return self.shape[1:] if self.shape[:1] in {(-1,), (1,)} else self.shape

    @property
    def single(self) -> bool:
        """One element per input."""
        return self.row in {(), (1,)}


class _Unusable(Exception):
    """Why a model cannot be drafted."""


def open_inference(base: str, model: str | None) -> Reading:
    """``/v2``, the index of models, and each one's metadata."""
    server = (yield Ask("GET", "/v2")).mapping
    if not is_name(server.get("name")):
        return Found()
    by = f"{told(server['name'])} {told(server.get('version') or '')}".strip()
    names = [model] if model is not None else (yield from _index())
    drafts: list[Draft] = []
    remarks = [f"{len(names)} models; the first {MOST_DRAFTS} are drafted"] if len(names) > MOST_DRAFTS else []
    for name in names[:MOST_DRAFTS]:
        ask = Ask("GET", f"/v2/models/{in_url(name)}")
        metadata = (yield ask).mapping
        try:
            texts = "str" if server["name"] == "mlserver" else None
            drafts.append(_draft(base, name, metadata, f"found by {ask} of {by}", texts=texts))
        except _Unusable as reason:
            remarks.append(f"V2 model {told(name)}: {reason}")
    return Found(tuple(drafts), tuple(remarks))


def _index() -> Generator[Ask, Seen, list[str]]:
    """Names of the models: MLServer and Triton keep an index, KServe a list."""
    rows = (yield Ask("POST", "/v2/repository/index", b"{}")).rows
    found = [row.get("name") for row in rows if isinstance(row, Mapping) and row.get("state", "READY") == "READY"]
    if not found:
        listed = (yield Ask("GET", "/v2/models")).mapping.get("models")
        found = listed if isinstance(listed, list) else []
    return list(dict.fromkeys(name for name in found if is_name(name)))


def _draft(base: str, name: str, metadata: Mapping[str, Any], by: str, *, texts: str | None) -> Draft:
    """``texts``: the content type of texts that have none of their own."""
    inputs, outputs = _tensors(metadata.get("inputs"), texts=texts), _tensors(metadata.get("outputs"))
    if not inputs:
        return _guess(base, name, by, of_mlserver=texts is not None)
    batched = all(tensor.batched for tensor in inputs)
    sent, kind, example = _inputs(inputs)
    output = _best(outputs)
    notes: dict[str, tuple[str, ...]] = {"url": (by,)}
    body: dict[str, Any] = {"inputs": sent}
    if output is not None:
        body["outputs"] = [{"name": output.name}]
        notes["json"] = (f"asks for the output {told(output.name)} of {_listed(outputs)}",)
    entry: dict[str, Any] = {"url": f"{base}/v2/models/{in_url(name)}/infer", "json": body}
    entry |= _reading(output, notes)
    if batched:
        entry["batch"] = BATCH
        notes["batch"] = ("the first dimension is open; how many it may be, the metadata does not say",)
    return Draft(endpoint_name(name), entry, kind, example, notes, complete=output is not None)


def _guess(base: str, name: str, by: str, *, of_mlserver: bool) -> Draft:
    """A model whose metadata names no inputs: what such servers call them by default, and a width that stands in."""
    body: dict[str, Any] = {
        "inputs": [
            {
                "name": "input-0",
                "shape": ["{{ n }}", _GUESSED],
                "datatype": "FP64",
                "data": [{"$each": "{{ x | list }}"}],
            }
        ]
    }
    output: dict[str, Any] = {}
    notes = {
        "url": (by,),
        "json": (
            "TODO inputs: the metadata names none, so name, datatype and width are guesses",
            f"rows of a table, {_GUESSED} columns wide",
        ),
        "labels": ("TODO labels: [first, second, …]; without, they are 0, 1, …",),
    }
    if of_mlserver:  # which otherwise answers with labels only
        body["outputs"] = [{"name": "predict_proba"}]
        output = {"output": "predict_proba"}
    entry = {
        "url": f"{base}/v2/models/{in_url(name)}/infer",
        "json": body,
        "scores": {"tensor": output},
        "batch": BATCH,
    }
    row = {f"x{number}": 1.0 for number in range(_GUESSED)}
    return Draft(endpoint_name(name), entry, "tabular", row, notes, complete=False)


def _tensors(value: Any, *, texts: str | None = None) -> list[_Tensor]:
    """What of ``value`` describes tensors, all or nothing."""
    found = []
    for each in value if isinstance(value, list) else ():
        shape = each.get("shape") if isinstance(each, Mapping) else None
        if not isinstance(shape, list) or not is_name(each.get("name")):
            return []
        sizes = [-1 if isinstance(size, bool) or not isinstance(size, int) else size for size in shape[:8]]
        parameters = each.get("parameters")
        content = parameters.get("content_type") if isinstance(parameters, Mapping) else None
        datatype = str(each.get("datatype", ""))[:20].upper()
        default = texts if datatype == "BYTES" else None
        found.append(_Tensor(each["name"], datatype, tuple(sizes), content if is_name(content) else default))
    return found


def _inputs(tensors: Sequence[_Tensor]) -> tuple[list[Any], Any, Any]:
    """The request's inputs, the kind of what goes in, and an example of it."""
    if len(tensors) == 1:
        return _one_input(tensors[0])
    if len(tensors) > _MOST_COLUMNS:
        raise _Unusable(f"it takes {len(tensors)} tensors, which are too many to be columns")
    if not all(tensor.single for tensor in tensors):
        raise _Unusable(f"it takes {len(tensors)} tensors, not all of one value an input: write json by hand")
    columns, example = [], {}
    for tensor in tensors:
        column = place(tensor.name)
        if column is None:
            raise _Unusable(f"the input {told(tensor.name)} has a name that no expression can hold")
        columns.append(_input(tensor, column))
        example[tensor.name] = "a" if tensor.datatype == "BYTES" else 1
    return columns, "tabular", example


def _one_input(tensor: _Tensor) -> tuple[list[Any], Any, Any]:
    if tensor.datatype == "BYTES":
        if not tensor.single:
            raise _Unusable(f"it takes several texts at once {list(tensor.shape)}: write json by hand")
        return [_input(tensor, "{{ x }}")], "text", "This is an example."
    if tensor.row and tensor.row[-1] == _PIXELS and len(tensor.row) == 3:
        return [_input(tensor, "{{ x | list }}")], "image", None
    if len(tensor.row) > 1:
        raise _Unusable(f"its input {list(tensor.shape)} is neither rows nor pictures (height, width, 3)")
    width = tensor.row[0] if tensor.row else 1
    if width < 1:
        raise _Unusable(f"its input {list(tensor.shape)} does not say how wide a row is")
    row = "{{ x | list }}"
    return [_input(tensor, row)], "tabular", {f"x{number}": 1.0 for number in range(min(width, _MOST_COLUMNS))}


def _input(tensor: _Tensor, value: str) -> dict[str, Any]:
    """One tensor of the request: a part for each input of the batch, or what the metadata fixes."""
    sent: dict[str, Any]
    typed = {} if tensor.content_type is None else {"parameters": {"content_type": tensor.content_type}}
    if not tensor.batched:
        data: Any = value if tensor.shape == tensor.row and value.endswith("| list }}") else [value]
        sent = {"name": tensor.name, "shape": list(tensor.shape), "datatype": tensor.datatype}
        return sent | typed | {"data": data}
    sent = {"name": tensor.name, "shape": ["{{ n }}", *tensor.row], "datatype": tensor.datatype}
    return sent | typed | {"data": [{"$each": value}]}


def _best(outputs: Sequence[_Tensor]) -> _Tensor | None:
    """The output that holds scores, if one does: by its name, else numbers rather than texts, wide rather than narrow."""

    def rank(tensor: _Tensor) -> tuple[bool, bool, bool]:
        is_float = tensor.datatype.startswith(("FP", "BF"))
        return (bool(_SCORES.search(tensor.name)) and is_float, is_float, not tensor.single)

    return max(outputs, key=rank, default=None)


def _reading(output: _Tensor | None, notes: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """Where the scores are."""
    if output is None:
        notes["scores"] = ("TODO output: the metadata names none; take the one that holds the scores",)
        return {"scores": {"tensor": {"output": "output-0"}}}
    data = f"outputs[?name=={literal(output.name)}].data | [0]"
    if output.datatype == "BYTES":
        notes["scores"] = ("labels without scores: each answered label counts 1, all others 0",)
        return {"items": data, "scores": {"pairs": {"at": "[{label: @, score: `1`}]"}}, "missing": 0}
    read: dict[str, Any] = {"scores": {"tensor": {"output": output.name}}}
    if output.single:
        if not output.datatype.startswith(("FP", "BF")):
            notes["scores"] = ("whole numbers: a count or a level, or the number of a class, which is no score",)
        return {**read, "labels": ["value"]}
    width = output.row[-1]
    if 1 < width <= MOST_LABELS:
        notes["labels"] = (f"TODO labels: there are {width}, but their names are not published",)
        read["labels"] = placeholders(width)
    else:
        notes["labels"] = ("TODO labels: their names are not published; without, they are 0, 1, …",)
    return read


def _listed(tensors: Sequence[_Tensor]) -> str:
    names = [told(tensor.name) for tensor in tensors[:6]]
    return ", ".join(names) + (", …" if len(tensors) > 6 else "")

"""An explanation computed again from the raw answers, by the code that computed it, to be compared with what is stored."""

from __future__ import annotations

import dataclasses
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adapters import Adapter, AdapterError, CallableAdapter, HttpResponse, Instance, Prediction, endpoint_from_config
from probe.config import parse_config
from probe.engine.answers import Answers, Unexplained
from probe.engine.bills import Bill
from probe.engine.explained import probe_record
from probe.engine.recorded import Recorded
from probe.engine.tasks import ProbeTask, Remote
from probe.errors import ConfigError
from probe.inputs import Item
from probe.maskers.base import Feature, Kind
from probe.methods import build_method
from probe.methods.stopping import StopRule
from probe.targets import TargetSpec
from storage import records

#: Relative; other machines add up floats in another order.
TOLERANCE = 1e-9
_NUMBERS = ("base_value", "full_value", "exact", "evaluations", "top_feature", "target")


@dataclass(frozen=True, slots=True)
class StoredMasker:
    """What methods and trust cards ask of a masker, as far as it is stored; it cannot render."""

    kind: Kind
    instance: Instance
    features: tuple[Feature, ...]
    settings: Mapping[str, Any]
    segments: NDArray[np.int32] | None
    copies: int

    @property
    def n(self) -> int:
        """Number of features."""
        return len(self.features)

    def render(self, coalition: NDArray[np.bool_], copy: int = 0) -> NoReturn:  # noqa: ARG002 - a masker's
        """Raises ``ValueError``: nothing is rendered here."""
        raise ValueError("a stored masker cannot render")


@dataclass(frozen=True, slots=True)
class Sources:
    """Everything that an explanation was made from."""

    run: records.Run
    probe: records.Probe
    instance: records.Instance
    endpoint: records.Endpoint
    recorded: Recorded
    segments: NDArray[np.int32] | None
    bodies: Mapping[bytes, bytes]  #: by SHA-256, as far as they are kept


class Differs(Exception):
    """What is stored is not what comes out; the message names the first number."""


def differences(sources: Sources) -> str | None:
    """The first number that is not what the raw answers give, in words; ``None`` if all are."""
    probe = sources.probe
    try:
        instance = instance_of(sources.instance)
        if Item(sources.instance.name, sources.instance.kind, instance).id != sources.instance.id:
            return f"the input {sources.instance.name!r} does not have the hash that it is stored under"
        predictions = _predictions(sources)
        again = _explained(sources, instance, predictions)
    except Differs as difference:
        return str(difference)
    where = f"probe {probe.id} ({probe.name}, {sources.instance.name}, {probe.method})"
    for name in _NUMBERS:
        if not _same(getattr(probe, name), getattr(again, name)):
            return f"{where}: {name} is {getattr(probe, name)!r}, recomputed {getattr(again, name)!r}"
    for stored, fresh in zip(probe.attributions, again.attributions, strict=False):
        for name in ("feature", "value", "std_error"):
            if not _same(getattr(stored, name), getattr(fresh, name)):
                return (
                    f"{where}: {name} of {stored.feature!r} is {getattr(stored, name)!r}, "
                    f"recomputed {getattr(fresh, name)!r}"
                )
    if len(probe.attributions) != len(again.attributions):
        return f"{where}: {len(probe.attributions)} attributions, recomputed {len(again.attributions)}"
    for name in ("trust", "details"):
        if place := next(_unequal(getattr(probe, name), getattr(again, name), name), None):
            return f"{where}: {place}"
    return None


def instance_of(stored: records.Instance) -> Instance:
    """The input as maskers have it. Raises :class:`Differs` if it cannot be read."""
    try:
        if stored.kind == "text":
            return stored.content.decode("utf-8", "surrogatepass")
        if stored.kind == "image":
            with Image.open(io.BytesIO(stored.content), formats=("PNG",)) as image:
                return np.array(image, dtype=np.uint8)
        row: Any = json.loads(stored.content)
    except Exception as error:  # whatever a decoder of altered bytes raises
        raise Differs(f"the input {stored.name!r} cannot be read: {error}") from error
    found: Instance = row
    return found


def adapter_of(run: records.Run, endpoint: records.Endpoint) -> Adapter | None:
    """The adapter that read the answers, without its function or secrets; ``None`` if the config does not describe it."""
    try:
        identity = json.loads(endpoint.identity)
    except ValueError:
        identity = None
    if isinstance(identity, Mapping) and identity.get("adapter") == "callable":
        return CallableAdapter(endpoint.name, _nothing, reference="", labels=identity.get("labels"))
    try:
        spec = parse_config(run.config).endpoints.get(endpoint.name)
        if spec is None or spec.get("adapter") == "callable":
            return None
        from pathlib import Path

        adapter = endpoint_from_config(endpoint.name, spec, environment={}, base=Path())
    except (ConfigError, AdapterError, ValueError):
        return None
    return adapter if adapter.identity == endpoint.identity else None


def _nothing(batch: Sequence[Any]) -> Any:  # noqa: ARG001 - a model's
    raise ValueError("nothing is asked here")


def _predictions(sources: Sources) -> dict[bytes, Prediction]:
    """By key what each answer says: read from its body where that is kept, and the same as the scores beside it."""
    adapter = adapter_of(sources.run, sources.endpoint)
    found: dict[bytes, Prediction] = {}
    parsed: dict[tuple[bytes, int], Any] = {}
    for row in sources.recorded.entries:
        for entry in row:
            if entry is None or entry.state != "answered" or entry.key in found:
                continue
            scores = None if entry.scores is None else Prediction(entry.scores, entry.floor, entry.censored)
            body = sources.bodies.get(entry.body_sha) if entry.body_sha is not None else None
            if adapter is None or body is None or adapter.parser != entry.parser:
                if scores is not None:
                    found[entry.key] = scores
                continue
            place = (entry.body_sha or b"", entry.items)
            if place not in parsed:
                headers = (("content-type", entry.content_type or ""),)
                try:
                    parsed[place] = adapter.predictions(
                        HttpResponse(entry.http_status or 200, headers, body), entry.items
                    )
                except AdapterError as error:
                    raise Differs(f"evaluation {entry.key.hex()}: its response cannot be read: {error}") from error
            read = parsed[place][entry.item]
            if not isinstance(read, Prediction) or (scores is not None and dict(read.scores) != dict(scores.scores)):
                raise Differs(
                    f"evaluation {entry.key.hex()}: its scores are {_short(entry.scores)}, its response says "
                    f"{_short(getattr(read, 'scores', read))}"
                )
            found[entry.key] = read
    return found


def _short(value: Any) -> str:
    return str(value)[:120]


def _explained(sources: Sources, instance: Instance, predictions: Mapping[bytes, Prediction]) -> records.Probe:
    probe, params = sources.probe, sources.probe.params
    asked = params["target"]
    item = Item(sources.instance.name, sources.instance.kind, instance)
    repeats = int(params["repeats"])
    masker = StoredMasker(
        kind=item.kind,
        instance=instance,
        features=tuple(Feature(**feature) for feature in probe.features),
        settings=params["masker"],
        segments=sources.segments,
        copies=max(1, sources.recorded.width // repeats),
    )
    adapter = CallableAdapter(sources.endpoint.name, _nothing, reference="")
    task = ProbeTask(
        probe=probe.name,
        item=item,
        remote=Remote(adapter, sources.endpoint),
        method=build_method(probe.method, params["method"]),
        masker=masker,
        target=TargetSpec(asked["name"], tuple(asked["labels"])),
        budget=int(params["budget"]),
        repeats=repeats,
        fresh=timedelta.max,
        seed=int(params["seed"]),
        stop=None if "stop" not in params else StopRule(**params["stop"]),
    )
    state = Answers(Bill.of([task]))
    state.extend(sources.recorded.coalitions, list(sources.recorded.keys))
    whole = [bool(row.all()) for row in sources.recorded.coalitions]
    for first in (True, False):
        for row, entries in enumerate(sources.recorded.entries):
            for column, entry in enumerate(entries if whole[row] == first else ()):
                if entry is not None and entry.key in predictions:
                    state.put(row, column, predictions[entry.key])
        state.settle()
    try:
        explanation: Any = state.explain(task)
    except Unexplained as reason:
        explanation = reason
    record, _ = probe_record(
        task, state, explanation, id_=probe.id, run=sources.run, started=probe.started, finished=probe.finished
    )
    return dataclasses.replace(record, details=json.loads(json.dumps(record.details)))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool) or not isinstance(one, int | float):
        return bool(one == other)
    if not isinstance(other, int | float):
        return False
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def _unequal(one: Any, other: Any, path: str) -> Iterator[str]:
    """Where two JSON values differ, in words."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted({*one, *other}):
            if key not in one or key not in other:
                yield f"{path}.{key} is only {'recomputed' if key not in one else 'stored'}"
            else:
                yield from _unequal(one[key], other[key], f"{path}.{key}")
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple):
        if len(one) != len(other):
            yield f"{path} has {len(one)} entries, recomputed {len(other)}"
        for place, pair in enumerate(zip(one, other, strict=False)):
            yield from _unequal(*pair, f"{path}[{place}]")
    elif not _same(one, other):
        yield f"{path} is {_short(one)}, recomputed {_short(other)}"

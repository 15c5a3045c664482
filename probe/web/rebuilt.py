"""The requests behind an explanation, made again from what is stored, to be looked at and sent by hand.

The ledger keeps the key of what was asked and the answer. The input is rendered again from the stored instance, coalition
and config; it is shown only if it has the ledger's key, so that what is shown is what was sent.
"""

from __future__ import annotations

import io
import json
import re
import shlex
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from adapters import Adapter, AdapterError, HttpRequest
from adapters import Instance as Input
from probe.config import parse_config
from probe.engine.keys import evaluation_key
from probe.errors import ProbeError
from probe.inputs import Item
from probe.maskers.base import Masker
from probe.methods.base import Bools
from probe.setup import Project, make_masker, method_choice
from storage.pack import KEY_BYTES
from storage.records import Instance, Probe, Run

_MOST_PIXELS: Final = 64_000_000
_REFERENCE: Final = re.compile(r"(\$\{[A-Za-z_][A-Za-z0-9_]*\})")
_SPECIAL: Final = re.compile(r'[\\"`$]')  #: within double quotes
_CALLED: Final = "a function in the same process was called, so there is no request"
_FAILURES: Final = (ProbeError, AdapterError, ValueError, TypeError, OSError, LookupError)
_MOST_SHOWN: Final = 200_000  #: characters of a request's body


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What was sent for one evaluation. ``request`` ``None``: the endpoint is no remote one, or ``why`` says more."""

    input: Input | None
    request: HttpRequest | None
    curl: str
    why: str = ""  #: there is no request to show


class Rebuilder:
    """Makes the inputs of one probe again. ``folder``: where files that the config names are."""

    def __init__(self, run: Run, probe: Probe, instance: Instance, endpoint: str, *, folder: Path) -> None:
        self._run, self._probe, self._instance = run, probe, instance
        self._repeats = max(1, int(probe.params.get("repeats", 1)))
        self.adapter: Adapter | None = None  #: the endpoint as the run's config describes it
        self.why = ""  #: nothing can be made again
        try:
            self._project = Project(folder / Path(run.name).name, parse_config(run.config), run.config, {})
            self.adapter = _adapter(self._project, endpoint)
        except _FAILURES as error:
            self.why = str(error)

    def rebuilt(self, coalition: Bools, column: int, key: bytes) -> Rebuilt:
        """What evaluation ``column`` of ``coalition`` sent; ``key``: the ledger's."""
        if self.adapter is None:
            return Rebuilt(None, None, "", self.why)
        try:
            masker = _masker(self._project, self._run, self._probe, self._instance)
            made = masker.render(coalition, column // self._repeats)
        except _FAILURES as error:
            return Rebuilt(None, None, "", str(error))
        found = evaluation_key(self.adapter.identity, made, column % self._repeats)
        if found[:KEY_BYTES] != key[:KEY_BYTES]:
            return Rebuilt(
                None, None, "", "made again it is not what was sent: the config or its files have changed since"
            )
        try:
            request = self.adapter.request([made])
        except AdapterError as error:
            return Rebuilt(made, None, "", str(error))
        if not isinstance(request, HttpRequest):
            return Rebuilt(made, None, "", _CALLED)
        return Rebuilt(made, request, curl(request, getattr(self.adapter, "spec", None)))


def _masker(project: Project, run: Run, probe: Probe, instance: Instance) -> Masker:
    spec = project.config.probes.get(probe.name)
    if spec is None:
        raise ValueError(f"the config has no probe {probe.name!r}")
    where = f"probes.{probe.name}"
    item = Item(instance.name, spec.kind, read_instance(instance))
    choices = [method_choice(entry, kind=spec.kind, where=where) for entry in spec.methods]
    choice = next((each for each in choices if each.method.name == probe.method), None)
    if choice is None:
        raise ValueError(f"{where} has no method {probe.method!r}")
    settings = {
        **project.with_rows(spec.masker, spec.kind, [item]),
        **project.with_rows(choice.masker, spec.kind, [item]),
    }
    return make_masker(item, choice.view, settings, seed=int(probe.params.get("seed", run.seed)), where=where)


def _adapter(project: Project, endpoint: str) -> Adapter:
    if str(project.config.endpoints.get(endpoint, {}).get("adapter", "http")) == "callable":
        # making one imports the module that the config names, and a stored config is data
        raise ValueError(_CALLED)
    return project.remote(endpoint).adapter


def read_instance(instance: Instance) -> Input:
    """A stored input as methods see it. Raises ``ValueError`` or ``OSError`` for one that cannot be read."""
    if instance.kind == "text":
        return instance.content.decode("utf-8", "surrogatepass")
    if instance.kind == "tabular":
        row: Input = json.loads(instance.content)
        return row
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            image = Image.open(io.BytesIO(instance.content), formats=("PNG",))
            if image.width * image.height > _MOST_PIXELS:
                raise ValueError("the stored picture is too large")
            return np.asarray(image)
        except (Image.DecompressionBombError, Warning, SyntaxError) as error:
            raise ValueError("the stored picture cannot be read") from error


def curl(request: HttpRequest, spec: Any) -> str:
    """``request`` as a line for a shell, its secrets as ``${NAME}`` for the shell to fill in.

    ``spec``: the endpoint's description, whose ``auth`` says what the transport adds.
    """
    url, added = request.url, []
    auth = getattr(spec, "auth", None)
    if auth is not None:
        if auth.bearer:
            added.append(("authorization", f"Bearer {auth.bearer}"))
        if auth.header:
            added.append((auth.header.name, auth.header.value))
        if auth.query:
            url += f"{'&' if '?' in url else '?'}{auth.query.name}={auth.query.value}"
    parts = ["curl", "-sS", "-X", request.method, _quoted(url)]
    for name, value in (*request.headers, *added):
        parts += ["-H", _quoted(f"{name}: {value}")]
    if auth is not None and auth.basic:
        parts += ["-u", _quoted(f"{auth.basic.username}:{auth.basic.password}")]
    if request.body:
        text = _as_text(request.body)
        parts += ["--data-raw", shlex.quote(text)] if text is not None else ["--data-binary", "@body.bin"]
    return " ".join(parts)


def _quoted(text: str) -> str:
    """For a shell that fills in ``${NAME}`` and nothing else."""
    if _REFERENCE.search(text) is None:
        return shlex.quote(text)
    parts = [part if _REFERENCE.fullmatch(part) else _SPECIAL.sub(r"\\\g<0>", part) for part in _REFERENCE.split(text)]
    return f'"{"".join(parts)}"'


def _as_text(body: bytes) -> str | None:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text or len(text) > _MOST_SHOWN else text


def off(coalition: Sequence[bool] | Bools, features: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of the features that a coalition switches off."""
    names = [str(feature.get("name", place)) for place, feature in enumerate(features)]
    return [names[place] if place < len(names) else str(place) for place, kept in enumerate(coalition) if not kept]

"""From an entry under ``endpoints`` of the config to an adapter.

``adapter`` names a kind of ``KINDS``, a preset (:mod:`adapters.presets`), or what another installed distribution registers in
the entry point group :data:`PLUG_INS`: a :data:`Builder`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Final, TypeAlias

from adapters.base import Adapter
from adapters.callable import callable_from_spec
from adapters.checks import nearest
from adapters.errors import AdapterError, SpecError
from adapters.http import HttpAdapter
from adapters.presets import Preset, presets
from adapters.ratelimit import Now
from adapters.show import printable
from adapters.spec import CallableSpec, EndpointSpec, parse_spec


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a kind of endpoint may need besides its config."""

    environment: Mapping[str, str] = field(repr=False)
    base: Path  #: what relative paths are relative to
    now: Now | None = None


#: what makes the adapter of one entry: its name, the entry, what surrounds it. Raises :class:`SpecError`
Builder: TypeAlias = Callable[[str, Mapping[str, Any], Surroundings], Adapter]


def _http(name: str, config: Mapping[str, Any], around: Surroundings) -> Adapter:
    return HttpAdapter(name, parse_spec(EndpointSpec, name, config), now=around.now)


def _callable(name: str, config: Mapping[str, Any], around: Surroundings) -> Adapter:
    return callable_from_spec(name, parse_spec(CallableSpec, name, config), base=around.base)


#: the entry point group in which other distributions register a :data:`Builder` under the value of ``adapter``
PLUG_INS: Final = "probe.adapters"

#: by the value of ``adapter``
KINDS: Final[dict[str, Builder]] = {"http": _http, "callable": _callable}


def endpoint_from_config(
    name: str,
    config: Mapping[str, Any],
    *,
    environment: Mapping[str, str],
    base: Path,
    now: Now | None = None,
) -> Adapter:
    """The adapter that ``config`` (one entry under ``endpoints``) describes. Nothing is sent and no secret is looked up.

    Raises :class:`SpecError`: one line that starts with the path of the key and, for an unknown key, names the nearest one.
    """
    if not isinstance(config, Mapping):
        raise SpecError(f"endpoints.{name}: must be a mapping with url, json and scores, got {type(config).__name__}")
    kind = config.get("adapter", "http")
    where = f"endpoints.{name}.adapter"
    around = Surroundings(environment, base, now)
    if not isinstance(kind, str):
        raise SpecError(f"{where}: must be a name, got {kind!r}")
    if kind in KINDS:
        return KINDS[kind](name, config, around)
    if kind in presets():
        return _http(name, _expanded(presets()[kind], name, config), around)
    plug_ins = entry_points(group=PLUG_INS)
    found = list(plug_ins.select(name=kind))
    if not found:
        known = (*KINDS, *presets(), *sorted(plug_ins.names))
        raise SpecError(f"{where}: unknown adapter {kind!r}{nearest(kind, known)}")
    if len(found) > 1:
        raise SpecError(f"{where}: {' and '.join(map(_origin, found))} both provide {kind!r}: uninstall one of them")
    return _plugged_in(found[0], where, name, config, around)


def _expanded(preset: Preset, name: str, config: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"adapter": preset.name, **preset.expand(name, config)}


def _plugged_in(point: EntryPoint, where: str, name: str, config: Mapping[str, Any], around: Surroundings) -> Adapter:
    """What a plug-in makes; whatever is wrong with it is one line."""
    start = f"{where}: the plug-in {point.name!r} of {_origin(point)}"
    try:
        adapter = point.load()(name, config, around)
    except AdapterError:
        raise
    except (Exception, SystemExit) as error:  # the code is not ours: it may raise anything
        raise SpecError(f"{start} fails with {type(error).__name__}: {printable(error)}") from error
    if not isinstance(adapter, Adapter):
        wanted = [each for each in _ADAPTER if not hasattr(adapter, each)]
        raise SpecError(f"{start} made no adapter but {type(adapter).__name__!r}: it lacks {', '.join(wanted)}")
    return adapter


#: what :class:`Adapter` promises
_ADAPTER: Final = tuple(each for each in (*Adapter.__annotations__, *vars(Adapter)) if not each.startswith("_"))


def _origin(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else point.value

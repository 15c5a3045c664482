"""From an entry under ``endpoints`` of the config to an adapter. A new kind of endpoint is one entry of ``KINDS``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from adapters.base import Adapter
from adapters.callable import callable_from_spec
from adapters.checks import nearest
from adapters.errors import SpecError
from adapters.http import HttpAdapter
from adapters.ratelimit import Now
from adapters.spec import CallableSpec, EndpointSpec, parse_spec


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a kind of endpoint may need besides its config."""

    environment: Mapping[str, str] = field(repr=False)
    base: Path  #: what relative paths are relative to
    now: Now | None = None


Builder: TypeAlias = Callable[[str, Mapping[str, Any], Surroundings], Adapter]


def _http(name: str, config: Mapping[str, Any], around: Surroundings) -> Adapter:
    return HttpAdapter(name, parse_spec(EndpointSpec, name, config), now=around.now)


def _callable(name: str, config: Mapping[str, Any], around: Surroundings) -> Adapter:
    return callable_from_spec(name, parse_spec(CallableSpec, name, config), base=around.base)


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
    builder = KINDS.get(kind) if isinstance(kind, str) else None
    if builder is None:
        raise SpecError(f"endpoints.{name}.adapter: unknown adapter {kind!r}{nearest(str(kind), tuple(KINDS))}")
    return builder(name, config, Surroundings(environment, base, now))

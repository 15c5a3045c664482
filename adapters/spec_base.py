"""What all parts of an endpoint's description share: strictness, and the words for what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from adapters.checks import JmesPath, Scale, fault, nearest


class Strict(BaseModel):
    """A part of the config that names the nearest known key for one it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            known = [field.alias or name for name, field in cls.model_fields.items()]
            for key in data:
                if key not in known:
                    raise fault(f"unknown key {str(key)!r}{nearest(str(key), known)}")
        return data


class At(Strict):
    """Where a value is: a JMESPath, or ``{at: …, scale: …}``."""

    at: JmesPath = "@"
    scale: Scale = 1.0  #: the score is the number times this (0.01 for percent)

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        return {"at": data} if isinstance(data, str) else data


def exactly_one(spec: Strict, names: tuple[str, ...]) -> None:
    """A fault unless one of the keys ``names`` was given, and no other."""
    aliases = {name: type(spec).model_fields[name].alias or name for name in names}
    given = [aliases[name] for name in names if name in spec.model_fields_set]
    if len(given) != 1:
        seen = f"got {' and '.join(given)}" if given else "got none"
        raise fault(f"exactly one of {', '.join(aliases.values())} is needed, {seen}")


def as_tuple(value: Any) -> Any:
    """One thing where several may stand."""
    return value if isinstance(value, list | tuple) else (value,)

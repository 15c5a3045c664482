"""Well-known providers by name: each preset is data, an entry for ``endpoints`` with parameters in it.

``adapter: NAME`` takes the preset of that name. The user's keys are its parameters, or they override what it says, key by
key. A file of this package holds the presets of one provider::

    NAME:
      about: {provider: …, input: …, auth: …, batch: …, labels: …, price: …, verified: …}     # the row of the table
      parameters:
        model: {like: '[\\w.-]+', what: the name of a model, default: …}
      endpoint: {url: 'https://host/<model>', …}        # <model> is where the parameter goes

``<model>`` as a whole string is the value itself, inside a longer one its text. A parameter without ``default`` has to be
given if it is still used once the user's keys have replaced what they replace. ``like``: a regular expression (Python's) that
the whole text must match; everything that goes into a URL has one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final, TypeAlias

import yaml

from adapters.errors import SpecError
from adapters.show import shown

#: what the table in the documentation says of each preset, in the order of its columns
COLUMNS: Final = ("provider", "input", "auth", "batch", "labels", "price", "verified")

Tree: TypeAlias = Any

_PLACE = re.compile(r"<([a-z_]+)>")
#: places where one key excludes its neighbours: another one from the user replaces the preset's
_EXCLUSIVE: Final[Mapping[tuple[str, ...], frozenset[str] | None]] = {
    (): frozenset({"json", "multipart", "body"}),
    ("auth",): None,  # all of them
    ("scores",): None,
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One thing that a preset asks for."""

    name: str
    what: str  #: what it is, for messages: "the name of a model, as in …"
    like: re.Pattern[str] | None = None
    required: bool = True
    default: Tree = None

    def checked(self, value: Any, where: str) -> Any:
        """``value``, if it is as ``like`` wants it. Raises :class:`SpecError`."""
        if self.like is None:
            return value
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if not isinstance(text, str) or not self.like.fullmatch(text):
            raise SpecError(f"{where}.{self.name}: {shown(value)} is not {self.what}")
        return text


@dataclass(frozen=True, slots=True)
class Preset:
    """One well-known endpoint."""

    name: str
    about: Mapping[str, str]  #: by :data:`COLUMNS`
    parameters: Mapping[str, Parameter]
    endpoint: Mapping[str, Tree]

    def expand(self, endpoint: str, config: Mapping[str, Any]) -> dict[str, Any]:
        """``config`` (the user's entry) as one for ``adapter: http``. Raises :class:`SpecError`."""
        where = f"endpoints.{endpoint}"
        given = {
            name: parameter.checked(config[name], where)
            for name, parameter in self.parameters.items()
            if name in config
        }
        own = {key: value for key, value in config.items() if key not in self.parameters and key != "adapter"}
        filled = _Filling(self, given, where)
        return _laid_over(self.endpoint, own, (), filled)


class _Filling:
    """Puts the parameters into a tree of the preset."""

    def __init__(self, preset: Preset, given: Mapping[str, Any], where: str) -> None:
        self._preset = preset
        self._given = given
        self._where = where

    def __call__(self, tree: Tree) -> Tree:
        if isinstance(tree, Mapping):
            return {self(key): self(value) for key, value in tree.items()}
        if isinstance(tree, list):
            return [self(value) for value in tree]
        if not isinstance(tree, str):
            return tree
        whole = _PLACE.fullmatch(tree)
        return self._value(whole[1]) if whole else self._text(tree)

    def _text(self, text: str) -> str:
        return _PLACE.sub(lambda found: _as_text(self._value(found[1])), text)

    def _value(self, name: str) -> Any:
        parameter = self._preset.parameters[name]
        if name in self._given:
            return self._given[name]
        if parameter.required:
            raise SpecError(f"{self._where}.{name}: the preset {self._preset.name!r} needs {parameter.what}")
        return self(parameter.default)


def _as_text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple | Mapping) else str(value)


def _laid_over(
    preset: Mapping[str, Tree], own: Mapping[str, Any], path: tuple[str, ...], fill: _Filling
) -> dict[str, Any]:
    """``own`` over the filled ``preset``; what is replaced is not filled, so its parameters need not be given."""
    rivals = _EXCLUSIVE[path] if path in _EXCLUSIVE else frozenset[str]()
    group = frozenset(preset) | frozenset(own) if rivals is None else rivals
    replaced = group if (group & own.keys()) - preset.keys() else frozenset[str]()
    out: dict[str, Any] = {}
    for key, value in preset.items():
        if key not in own:
            if key not in replaced:
                out |= fill({key: value})
        elif isinstance(value, Mapping) and isinstance(mine := _written_out(key, own[key], path), Mapping):
            out[key] = _laid_over(value, mine, (*path, key), fill)
        else:
            out[key] = own[key]
    return out | {key: value for key, value in own.items() if key not in preset}


def _written_out(key: str, value: Any, path: tuple[str, ...]) -> Any:
    """``batch: 8`` changes how many, and leaves how many bytes."""
    return {"max_items": value} if key == "batch" and not path and type(value) is int else value


@cache
def presets() -> Mapping[str, Preset]:
    """All of them, by name."""
    return {preset.name: preset for preset in _read()}


def _read() -> Iterator[Preset]:
    for file in sorted(files(__name__).iterdir(), key=lambda each: each.name):
        if file.name.endswith(".yaml"):
            for name, entry in yaml.safe_load(file.read_text("utf-8")).items():
                parameters = {key: _parameter(key, **rules) for key, rules in entry.get("parameters", {}).items()}
                yield Preset(name, entry["about"], parameters, entry["endpoint"])


def _parameter(name: str, *, what: str, like: str | None = None, **rest: Any) -> Parameter:
    pattern = None if like is None else re.compile(like, re.ASCII)
    return Parameter(name, what, pattern, "default" not in rest, rest.get("default"))

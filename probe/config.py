"""``probe.yaml``: what it may say, and one clear line when it says something else.

Nothing here touches the network or the inputs; see ``inputs.py`` for reading those and ``setup.py`` for putting a run together.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, model_validator

from probe.config_sections import (
    REFERENCE,
    AlertConfig,
    BaselineConfig,
    Duration,
    Files,
    Group,
    Inline,
    ProbeConfig,
    Section,
    Stop,
    SurveyConfig,
    Table,
    shape_of_inputs,
)
from probe.errors import ConfigError

_MOST_NODES = 200_000  #: keys and values in a config, those that aliases repeat included
_LARGEST = 2**63 - 1  #: what a database keeps as an integer


class Config(Section):
    """The whole file."""

    storage: str = "sqlite:///probe.db"
    seed: int = Field(default=1, ge=0, le=_LARGEST)
    budget: str | None = Field(default=None, description="for the whole run: 500req, 2usd")
    retain: Duration | None = Field(
        default=None,
        description="how long response bodies are kept: 180d; `probe db prune` drops older ones, never numbers",
    )
    redact: list[str] = Field(
        default_factory=list, description="fields of answers that are never stored: user.email, items[].ssn, *.token"
    )
    endpoints: dict[str, dict[str, Any]] = Field(min_length=1)
    probes: dict[str, ProbeConfig] = Field(default_factory=dict)
    surveys: dict[str, SurveyConfig] = Field(default_factory=dict)
    alerts: dict[str, AlertConfig] = Field(default_factory=dict)
    baselines: dict[str, BaselineConfig] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _something_to_do(self) -> Config:
        if not self.probes and not self.surveys and not self.baselines:
            raise ValueError("'probes' is missing; write probes, surveys or baselines")
        return self

    @model_validator(mode="after")
    def _endpoints_exist(self) -> Config:
        wanted = [(f"probes.{name}.endpoints", probe.endpoints) for name, probe in self.probes.items()]
        wanted += [(f"surveys.{name}.endpoints", survey.endpoints) for name, survey in self.surveys.items()]
        wanted += [(f"baselines.{name}.endpoint", [baseline.endpoint]) for name, baseline in self.baselines.items()]
        for place, endpoints in wanted:
            for endpoint in endpoints:
                if endpoint not in self.endpoints:
                    raise ValueError(f"{place}: there is no endpoint {endpoint!r}{_nearest(endpoint, self.endpoints)}")
        return self


_SECTIONS: dict[str, type[Section]] = {
    "probes": ProbeConfig,
    "surveys": SurveyConfig,
    "baselines": BaselineConfig,
    "alerts": AlertConfig,
}


class _Loader(yaml.SafeLoader):
    """Safe, and strict where YAML is lax: no duplicate keys, no storm of aliases, nothing that contains itself."""

    nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        sizes: dict[int, int] = self.__dict__.setdefault("sizes", {})
        alias: Any = self.peek_event() if self.check_event(yaml.AliasEvent) else None  # type: ignore[no-untyped-call]
        before = self.nodes
        node = super().compose_node(parent, index)
        if alias is None:
            self.nodes += 1
            sizes[id(node)] = self.nodes - before
        elif id(node) not in sizes:
            raise yaml.composer.ComposerError(None, None, "the alias is inside of what it stands for", alias.start_mark)
        else:
            self.nodes += sizes[id(node)]
        if self.nodes > _MOST_NODES:
            raise yaml.YAMLError(f"with its aliases written out it has more than {_MOST_NODES:,} keys and values")
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:  # here, before merge keys are written out
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if (key.tag, key.value) in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} is there twice", key.start_mark
                    )
                seen.add((key.tag, key.value))
        return node


def load_config(path: Path) -> tuple[Config, str]:
    """The validated config and its text.

    Raises:
        ConfigError: one line that names the file, the key and what to do.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file; `probe init` writes one") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {_line(error)}") from error
    return parse_config(text, where=str(path)), text


def parse_config(text: str, *, where: str = "probe.yaml") -> Config:
    """The config in ``text``; see :func:`load_config`."""
    try:
        data = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark is not None else ""
        raise ConfigError(f"{where}{place}: not valid YAML: {_line(error.problem or error.context)}") from error
    except RecursionError as error:
        raise ConfigError(f"{where}: not valid YAML: nested too deeply") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # the last two from dates and numbers that are none
        raise ConfigError(f"{where}: not valid YAML: {_line(error)}") from error
    if data is None:
        raise ConfigError(f"{where}: the file is empty; `probe init` writes an example")
    if not isinstance(data, Mapping):
        raise ConfigError(f"{where}: expected a mapping with endpoints and probes, found {type(data).__name__}")
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{where}: {_words(error, data)}") from error


def expand(text: str, environment: Mapping[str, str], *, where: str) -> str:
    """``text`` with ``${NAME}`` replaced from ``environment``.

    Raises:
        ConfigError: naming the variable that is not set.
    """

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in environment:
            raise ConfigError(f"{where}: the environment variable {name} is not set; export it and run again")
        return environment[name]

    return REFERENCE.sub(value, text)


def _words(error: ValidationError, data: Any) -> str:
    """The first problem as one line: key path, what was seen, what to do."""
    first = min(error.errors(), key=lambda found: (found["type"] != "extra_forbidden", len(found["loc"])))
    place = _place(first["loc"])
    path = ".".join(str(part)[:80] for part in place)
    if first["type"] == "extra_forbidden":
        return f"unknown key {path!r}{_nearest(str(place[-1]), _known_keys(place[:-1], data))}"
    if first["type"] == "missing":
        return f"{path!r} is missing"
    message = str(first["msg"]).removeprefix("Value error, ")
    if not path:
        return message
    return f"{path}: {message[0].lower()}{message[1:]}, found {_excerpt(first.get('input'))}"


def _place(loc: tuple[int | str, ...]) -> list[int | str]:
    """``loc`` without the marks that pydantic leaves for the tried type: those are ours, not the user's."""
    kept: list[int | str] = []
    for depth, part in enumerate(loc):
        ours = depth > 2 and loc[0] in _SECTIONS and str(part).startswith("<")
        key_mark = depth == len(loc) - 1 and part == "[key]"
        types = depth > 6 and depth == len(loc) - 1 and part in {"str", "bool", "int", "float", "none"}
        if not (ours or key_mark or types):
            kept.append(part)
    return kept


def _known_keys(path: list[str | int], data: Any) -> list[str]:
    if not path:
        return list(Config.model_fields)
    if path[0] not in _SECTIONS or len(path) < 2:
        return []
    if len(path) == 2:
        return list(_SECTIONS[str(path[0])].model_fields)
    if path[2] == "inputs":
        shapes: dict[str, type[Section]] = {"<inline>": Inline, "<table>": Table}
        shape = shapes.get(shape_of_inputs(data[path[0]][path[1]]["inputs"]))
        return list(shape.model_fields) if shape else [*Files.model_fields, "csv", "parquet", "inline"]
    shapes_of: dict[str | int, type[Section]] = {"target": Group, "stop": Stop}
    return list(shapes_of[path[2]].model_fields) if path[2] in shapes_of else []


def _excerpt(value: Any) -> str:
    """What was found, short: a mapping may be large, and aliases in it larger."""
    if isinstance(value, (Mapping, list)):
        return f"a {'mapping' if isinstance(value, Mapping) else 'list'} of {len(value)}"
    if isinstance(value, int) and value.bit_length() > 200:
        return "a very large number"
    shown = repr(str(value)[:80])
    return shown if isinstance(value, str) or value is None else f"{shown} ({type(value).__name__})"


def _line(error: object) -> str:
    return " ".join(str(error).split())[:200]


def _nearest(name: str, known: Mapping[str, Any] | list[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else (f"; there are {', '.join(known)}" if known else "")

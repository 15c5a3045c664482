"""``probe.yaml``: what it may say, and one clear line when it says something else.

Nothing here touches the network or the inputs; see ``inputs.py`` for reading those and ``setup.py`` for putting a run together.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Hashable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from probe.errors import ConfigError

_MOST_ALIASES = 100
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_duration(value: Any) -> timedelta:
    """``24h``, ``30m``, ``7d``, ``0`` as a timedelta."""
    if isinstance(value, timedelta):
        return value
    if value in (0, "0"):
        return timedelta(0)
    match = _DURATION.fullmatch(str(value).strip())
    if not match:
        raise ValueError(f"{value!r} is not a duration; write 30m, 24h or 7d")
    return timedelta(seconds=float(match.group(1)) * _SECONDS[match.group(2)])


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Files(_Model):
    """Files by path or glob, relative to the config."""

    files: list[str]
    max_side: int | None = Field(
        default=None, ge=8, description="images: shrink so that the longer side has this many pixels"
    )


class Table(_Model):
    """Rows of a CSV or Parquet file."""

    csv: str | None = None
    parquet: str | None = None
    rows: list[int] | str | None = Field(default=None, description="row numbers from 0, or a range like 0:5")
    text: str | None = Field(default=None, description="kind text: the column that holds the text")
    columns: list[str] | None = Field(default=None, description="kind tabular: the columns the endpoint gets, in order")
    id: str | None = Field(default=None, description="the column that names a row")

    @model_validator(mode="after")
    def _one_source(self) -> Table:
        if (self.csv is None) == (self.parquet is None):
            raise ValueError("name one of csv and parquet")
        return self


class Inline(_Model):
    """Inputs written in the config: texts, or rows as mappings."""

    inline: list[str] | list[dict[str, Any]]


class Group(_Model):
    """Several labels explained as one; their scores are added."""

    group: list[str] = Field(min_length=1)
    name: str


class ProbeConfig(_Model):
    """One entry of ``probes``: instances × endpoints × methods."""

    kind: Literal["image", "text", "tabular"]
    inputs: str | list[str] | Files | Table | Inline
    endpoints: list[str] = Field(min_length=1)
    methods: list[str | dict[str, dict[str, Any] | None]] = Field(min_length=1)
    target: str | Group = "top1"
    budget: int = Field(default=300, ge=2, description="most evaluations per instance, endpoint and method")
    masker: dict[str, Any] = Field(default_factory=dict)
    repeats: int = Field(default=1, ge=1, le=100)
    fresh: Duration = timedelta(hours=24)


class Config(_Model):
    """The whole file."""

    storage: str = "sqlite:///probe.db"
    seed: int = Field(default=1, ge=0)
    budget: str | None = Field(default=None, description="for the whole run: 500req, 2usd")
    endpoints: dict[str, dict[str, Any]] = Field(min_length=1)
    probes: dict[str, ProbeConfig] = Field(min_length=1)

    @model_validator(mode="after")
    def _endpoints_exist(self) -> Config:
        for name, probe in self.probes.items():
            for endpoint in probe.endpoints:
                if endpoint not in self.endpoints:
                    raise ValueError(
                        f"probes.{name}.endpoints: there is no endpoint {endpoint!r}{_nearest(endpoint, self.endpoints)}"
                    )
        return self


class _Loader(yaml.SafeLoader):
    """Safe, and strict where YAML is lax: no duplicate keys, no storm of aliases."""

    aliases = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            self.aliases += 1
            if self.aliases > _MOST_ALIASES:
                raise yaml.YAMLError(f"more than {_MOST_ALIASES} aliases")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is there twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


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
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    return parse_config(text, where=str(path)), text


def parse_config(text: str, *, where: str = "probe.yaml") -> Config:
    """The config in ``text``; see :func:`load_config`."""
    try:
        data = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark is not None else ""
        raise ConfigError(f"{where}{place}: not valid YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{where}: not valid YAML: {error}") from error
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

    return _REFERENCE.sub(value, text)


def _words(error: ValidationError, data: Any) -> str:
    """The first problem as one line: key path, what was seen, what to do."""
    first = min(error.errors(), key=lambda found: (found["type"] != "extra_forbidden", len(found["loc"])))
    # Positions inside a union carry the tried model's name; those are ours, not the user's.
    place = [part for part in first["loc"] if not (isinstance(part, str) and _is_variant(part))]
    path = ".".join(map(str, place))
    if first["type"] == "extra_forbidden":
        return f"unknown key {path!r}{_nearest(str(place[-1]), _known_keys(place[:-1]))}"
    if first["type"] == "missing":
        return f"{path!r} is missing"
    message = str(first["msg"]).removeprefix("Value error, ")
    if not path:
        return message
    seen = first.get("input", data)
    return f"{path}: {message[0].lower()}{message[1:]}, found {str(seen)[:80]!r}"


def _is_variant(part: str) -> bool:
    return part in {"Files", "Table", "Inline", "Group", "str", "list[str]"} or "[" in part


def _known_keys(path: list[str | int]) -> list[str]:
    if not path:
        return list(Config.model_fields)
    if path[0] == "probes" and len(path) == 2:
        return list(ProbeConfig.model_fields)
    if path[0] == "probes" and len(path) > 2 and path[2] == "inputs":
        return [*Files.model_fields, *Table.model_fields, *Inline.model_fields]
    if path[0] == "probes" and len(path) > 2 and path[2] == "target":
        return list(Group.model_fields)
    return []


def _nearest(name: str, known: Mapping[str, Any] | list[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else (f"; there are {', '.join(known)}" if known else "")

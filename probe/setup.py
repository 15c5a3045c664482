"""From a config to tasks that the engine can carry out. Reads inputs and secrets' names; sends nothing."""

from __future__ import annotations

import difflib
import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from adapters import Adapter, SpecError, Transport, endpoint_from_config, open_transport
from probe.config import Config, load_config
from probe.config_sections import Group, ProbeConfig, Stop, parse_duration
from probe.database import configured_url
from probe.engine.budget import Budget
from probe.engine.run import RunSettings
from probe.engine.tasks import ProbeTask, Remote
from probe.errors import ConfigError
from probe.inputs import Item, load_items, read_rows
from probe.lexicon import Lexicon
from probe.maskers import build_masker
from probe.maskers.base import Kind, Masker
from probe.maskers.factory import known_settings
from probe.methods import METHODS, build_method
from probe.methods.base import Method, View
from probe.methods.stopping import StopRule
from probe.redaction import RedactingTransport
from probe.targets import TargetSpec
from storage import records

_ROW_FILES = ("background", "reference")  #: masker settings that may name a file of rows


@dataclass(frozen=True, slots=True)
class Project:
    """A config that was read and checked, with what surrounds it."""

    path: Path
    config: Config
    text: str
    environment: Mapping[str, str]
    rate: str | None = None  #: instead of every endpoint's own

    @classmethod
    def load(cls, path: Path, *, environment: Mapping[str, str], rate: str | None = None) -> Project:
        """Raises :class:`ConfigError`."""
        config, text = load_config(path)
        return cls(path, config, text, environment, rate)

    @property
    def base(self) -> Path:
        """What relative paths in the config are relative to."""
        return self.path.parent

    @property
    def storage_url(self) -> str:
        """The database, with secrets filled in. Raises :class:`ConfigError` if one is not set."""
        return configured_url(self.config, environment=self.environment, base=self.base)

    def remote(self, name: str) -> Remote:
        """The endpoint ``name``.

        Raises:
            ConfigError: no such endpoint, or it is described wrongly.
        """
        if name not in self.config.endpoints:
            raise ConfigError(f"{self.path}: there is no endpoint {name!r}; {_hint(name, self.config.endpoints)}")
        spec = dict(self.config.endpoints[name])
        if self.rate is not None:
            spec["limits"] = {**(spec.get("limits") or {}), "rate": self.rate}
        try:
            adapter = endpoint_from_config(name, spec, environment=self.environment, base=self.base)
        except SpecError as error:
            if self.rate is not None and str(error).startswith(place := f"endpoints.{name}.limits.rate"):
                said = str(error).removeprefix(place).removeprefix(".requests").removeprefix(": ")
                raise ConfigError(f"rate {self.rate!r}: {said}") from error
            raise ConfigError(f"{self.path}: {error}") from error
        return remote_of(
            adapter,
            provider=str(spec.get("adapter", "http")),
            url=str(spec.get("url") or spec.get("function") or getattr(adapter, "url", "")),
            model=str(spec.get("model", "")),
        )

    def tasks(self, *, only: Sequence[str] = (), seed: int | None = None) -> list[ProbeTask]:
        """Every instance × endpoint × method, in the config's order.

        Raises:
            ConfigError: anything wrong with inputs, endpoints, methods, maskers or targets.
        """
        if not self.config.probes:
            raise ConfigError(f"{self.path}: it has no probes; `probe survey` carries out its surveys")
        for name in only:
            if name not in self.config.probes:
                raise ConfigError(f"{self.path}: there is no probe {name!r}; {_hint(name, self.config.probes)}")
        remotes = cache(self.remote)
        chosen = {name: spec for name, spec in self.config.probes.items() if not only or name in only}
        used_seed = self.config.seed if seed is None else seed
        return [task for name, spec in chosen.items() for task in self._tasks(name, spec, remotes, used_seed)]

    def settings(
        self, *, budget: str | None = None, max_time: str | None = None, seed: int | None = None
    ) -> RunSettings:
        """What shapes a run of this project besides its tasks.

        Raises:
            ConfigError: budget or time are written wrongly.
        """
        return RunSettings(
            name=str(self.path),
            config=self.text,
            seed=self.config.seed if seed is None else seed,
            code_version=code_version(),
            budget=Budget.parse(budget or self.config.budget),
            max_time=None if max_time is None else _time(max_time),
        )

    def open_transport(self, adapter: Adapter) -> Transport:
        """A way to reach ``adapter``'s endpoint.

        Raises:
            ConfigError: a secret that it refers to is not set, or ``redact`` is written wrongly.
        """
        transport = transport_for(adapter, self.environment)
        return RedactingTransport(transport, self.config.redact) if self.config.redact else transport

    def _tasks(self, name: str, spec: ProbeConfig, remotes: Callable[[str], Remote], seed: int) -> list[ProbeTask]:
        where = f"{self.path}: probes.{name}"
        items = load_items(spec.inputs, kind=spec.kind, base=self.base, where=f"{where}.inputs")
        target = target_spec(spec.target)
        choices = [method_choice(entry, kind=spec.kind, where=f"{where}.methods") for entry in spec.methods]
        shared = self.with_rows(spec.masker, spec.kind, items)
        stop = stop_rule(spec.stop)
        tasks = []
        for item in items:
            maskers: dict[str, Masker] = {}
            for endpoint in spec.endpoints:
                remote = remotes(endpoint)
                target.check(remote.adapter.labels, where=f"{where}.target")
                for choice in choices:
                    own = self.with_rows(choice.masker, spec.kind, items)
                    key = json.dumps([choice.view, own], sort_keys=True, default=str)
                    if key not in maskers:
                        maskers[key] = make_masker(item, choice.view, {**shared, **own}, seed=seed, where=where)
                    tasks.append(
                        ProbeTask(
                            probe=name,
                            item=item,
                            remote=remote,
                            method=choice.method,
                            masker=maskers[key],
                            target=target,
                            budget=spec.budget,
                            repeats=spec.repeats,
                            fresh=spec.fresh,
                            seed=seed,
                            stop=stop,
                        )
                    )
        return tasks

    def with_rows(self, settings: Mapping[str, Any], kind: Kind, items: Sequence[Item]) -> dict[str, Any]:
        """Masker settings with files of rows read in, cut to the columns that the instances have."""
        filled = dict(settings)
        columns = list(items[0].instance) if items and isinstance(items[0].instance, Mapping) else []
        for key in _ROW_FILES:
            if kind != "tabular" or not isinstance(filled.get(key), str) or filled[key] in {"median", "sample"}:
                continue
            path = self.base / filled[key]
            rows = read_rows(path)
            missing = [column for column in columns if rows and column not in rows[0]]
            if missing or not rows:
                raise ConfigError(f"{path}: " + (f"no column {missing[0]!r}" if missing else "no rows"))
            filled[key] = [{column: row[column] for column in columns} for row in rows]
        return filled


def _time(text: str) -> timedelta:
    try:
        time = parse_duration(text)
    except ValueError as error:
        raise ConfigError(f"max-time: {error}") from error
    if time <= timedelta(0):
        raise ConfigError(f"max-time: {text!r} leaves no time to send anything; write 90s, 30m or 2h")
    return time


def _hint(name: str, known: Iterable[str]) -> str:
    """What to write in place of ``name``."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"


@dataclass(frozen=True, slots=True)
class MethodChoice:
    """A method as the config names it: built, with the masker settings written beside its own."""

    method: Method
    masker: Mapping[str, Any]

    @property
    def view(self) -> View:
        """What the method wants its features to be."""
        return self.method.view


def method_choice(entry: str | Mapping[str, Mapping[str, Any] | None], *, kind: Kind, where: str) -> MethodChoice:
    """``lime`` or ``{lime: {kernel_width: 0.5, segments: 80}}``.

    Raises:
        ConfigError: no such method, unknown setting, or the method does not fit the kind of input.
    """
    given: dict[str, Any] = {}
    if isinstance(entry, str):
        name = entry
    elif len(entry) == 1:
        name, given = next((key, dict(value or {})) for key, value in entry.items())
    else:
        raise ConfigError(f"{where}: write one method per list entry, not {', '.join(entry)} together")
    own = {each.name for each in fields(METHODS[name])} if name in METHODS else set()  # type: ignore[arg-type]
    try:
        method = build_method(name, {key: value for key, value in given.items() if key in own})
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{where}: {error}") from error
    for key in given:
        if key not in own and key not in known_settings(kind):
            hint = _hint(key, sorted({*own, *known_settings(kind)}))
            raise ConfigError(f"{where}: neither {name} nor a masker of {kind} inputs has a setting {key!r}; {hint}")
    if kind not in method.kinds:
        raise ConfigError(f"{where}: {name} works on {', '.join(sorted(method.kinds))}, not on {kind} inputs")
    return MethodChoice(method, {key: value for key, value in given.items() if key not in own})


def make_masker(item: Item, view: View, settings: Mapping[str, Any], *, seed: int, where: str) -> Masker:
    """The masker of ``item`` for ``view``; settings that only other views use are passed over.

    Raises:
        ConfigError: a setting is wrong, or the input has nothing to switch.
    """
    lexicon = Lexicon.load() if view == "substitutions" else None
    try:
        return build_masker(item.kind, view, item.instance, settings, lexicon=lexicon, rng_seed=seed)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{where}: {item.name}: {error}") from error


def target_spec(target: str | Group) -> TargetSpec:
    """What the config's ``target`` asks for."""
    if isinstance(target, Group):
        return TargetSpec(target.name, tuple(target.group))
    return TargetSpec() if target == "top1" else TargetSpec(target, (target,))


def stop_rule(stop: Stop | Mapping[str, Any] | None) -> StopRule | None:
    """When fewer evaluations than the budget will do.

    Raises:
        ConfigError: it says neither ``half_width`` nor ``top``, or something else.
    """
    if stop is None:
        return None
    try:
        given = stop if isinstance(stop, Stop) else Stop.model_validate(dict(stop))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(["stop", *map(str, first["loc"])])
        raise ConfigError(
            f"{place}: {first['msg'].removeprefix('Value error, ')}; {{half_width: 0.03, top: 5}}"
        ) from error
    return StopRule(half_width=given.half_width, top_k=given.top)


def remote_of(adapter: Adapter, *, provider: str, url: str, model: str) -> Remote:
    """An adapter with the row that describes it."""
    identity = hashlib.sha256(adapter.identity.encode()).hexdigest()[:32]
    return Remote(adapter, records.Endpoint(identity, adapter.name, provider, url, model, adapter.identity))


def transport_for(adapter: Adapter, environment: Mapping[str, str]) -> Transport:
    """Raises :class:`ConfigError` if a secret is not set."""
    try:
        return open_transport(adapter, environment=environment)
    except SpecError as error:
        raise ConfigError(str(error)) from error


def code_version() -> str:
    """Version of the installed distribution; ``0+source`` for a source tree that was not installed."""
    try:
        return importlib.metadata.version("blackbox-probe")
    except importlib.metadata.PackageNotFoundError:
        return "0+source"

"""What ``probe check-endpoint`` asks about, and what it makes of the answers. Sends nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from adapters import Instance, announced
from probe.config import Config
from probe.config_sections import SurveyConfig
from probe.discovery.checks import Replies, findings
from probe.engine.checkup import CheckUp
from probe.engine.keys import canonical
from probe.engine.mass import low_mass
from probe.engine.plan import PlannedEndpoint, make_plan
from probe.engine.tasks import ProbeTask, Remote
from probe.errors import ConfigError
from probe.inputs import Item, as_item, load_items
from probe.maskers.base import Kind, Masker
from probe.methods.base import Finding
from probe.setup import Project, code_version, make_masker, method_choice
from probe.targets import TargetSpec
from storage import Store

_PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"}
_TABLES = {".csv", ".parquet"}
_METHOD = "shapley"  #: of the probe whose cost is foreseen where the config has none
_BUDGET = 300  #: the config's default


@dataclass(frozen=True, slots=True)
class Subject:
    """What the check asks about. ``other``: a different input, ``None`` if there is none. ``tasks``: the probes whose cost is
    foreseen: those of the config, else one with defaults (``configured`` says which)."""

    item: Item
    other: Instance | None
    tasks: tuple[ProbeTask, ...]
    configured: bool

    @property
    def methods(self) -> str:
        """The names of the probes' methods."""
        return ", ".join(dict.fromkeys(task.method.name for task in self.tasks))


def subject(project: Project, remote: Remote, given: Sequence[str]) -> Subject:
    """The inputs in ``given``, else those that the config's probes and surveys have for this endpoint.

    Raises:
        ConfigError: there is none, or it cannot be read.
    """
    name = remote.adapter.name
    items = [_given(text) for text in given] or _configured(project, name)
    if not items:
        raise ConfigError(
            f"{project.path}: no probe or survey has an input for endpoint {name!r}; give one with --input TEXT, "
            "JSON or FILE"
        )
    item = items[0]
    try:
        tasks = _tasks(project, name)
    except ConfigError:  # of the probes, not of the endpoint: `probe plan` words it
        tasks = []
    configured = bool(tasks)
    tasks = tasks or _default_tasks(item, remote)
    others = [other.instance for other in items[1:] if canonical(other.instance) != canonical(item.instance)]
    altered = [task.masker for task in tasks if task.item.id == item.id and (configured or item.kind != "tabular")]
    other = others[0] if others else _altered(item, altered)
    return Subject(item, other, tuple(tasks), configured)


def findings_of(remote: Remote, about: Subject, outcome: CheckUp, *, now: datetime) -> list[Finding]:
    """What the answers say about the endpoint; nothing if the first request brought none."""
    answers = {each.step.what: each.predictions for each in outcome.exchanges if each.answered}
    response = outcome.exchanges[0].response if outcome.exchanges else None
    one = answers.get("one input", [None])[0]
    if one is None or response is None:
        return []
    batch = answers.get("a batch", [None, None])
    replies = Replies(
        one,
        again=answers.get("the same input again", [None])[0],
        batched=batch[-1],
        other=answers.get("another input", batch)[0],
        differ=about.other is not None,
    )
    said = announced(response.headers, now=now)
    masses = [each.mass for some in answers.values() for each in some if each is not None and each.mass is not None]
    return [*low_mass(masses), *findings(replies, response, limits=remote.adapter.limits, announced=said)]


def foreseen(about: Subject, store: Store, *, now: datetime) -> PlannedEndpoint | None:
    """What the subject's probes will send and cost, given what is in the ledger by now; ``None`` if that cannot be said."""
    if not about.tasks:
        return None
    with suppress(ConfigError):  # a budget too small, say: `probe plan` words it
        return make_plan(about.tasks, store, now=now, code_version=code_version()).endpoints[0]
    return None


def _given(text: str) -> Item:
    """An input as it is written on a command line: a file's name, JSON, or a text."""
    path = Path(text)
    try:
        is_file = path.is_file()
    except (OSError, ValueError):  # too long, or with a NUL: no file's name
        is_file = False
    if is_file:
        return _from_file(path)
    if text.lstrip()[:1] in {"{", "["}:
        try:
            value = json.loads(text)
        except ValueError as error:
            raise ConfigError(
                f"--input begins like JSON and is none ({error}); a text that begins so goes into a file"
            ) from error
        return as_item(value, name="--input")
    return as_item(text, name="--input")


def _from_file(path: Path) -> Item:
    suffix = path.suffix.lower()
    if suffix == ".json":
        try:
            return as_item(json.loads(path.read_text(encoding="utf-8")), name=path.name)
        except ValueError as error:
            raise ConfigError(f"{path}: not JSON: {error}") from error
    kind: Kind = "image" if suffix in _PICTURES else "tabular" if suffix in _TABLES else "text"
    return load_items(str(path), kind=kind, base=Path(), where="--input")[0]


def _configured(project: Project, name: str) -> list[Item]:
    """The inputs that the config has for the endpoint, of one probe or survey."""
    config: Config = project.config
    for section, entries in (("probes", config.probes), ("surveys", config.surveys)):
        for key, entry in entries.items():
            if name not in entry.endpoints:
                continue
            where = f"{project.path}: {section}.{key}.inputs"
            items = load_items(entry.inputs, kind=entry.kind, base=project.base, where=where)
            truth = entry.labels if isinstance(entry, SurveyConfig) else None
            return [_without(item, truth) for item in items[:100]]
    return []


def _without(item: Item, column: str | None) -> Item:
    """``item`` without the column that holds the truth, which the endpoint does not get."""
    if column is None or not isinstance(item.instance, dict):
        return item
    return Item(item.name, item.kind, {key: value for key, value in item.instance.items() if key != column})


def _tasks(project: Project, name: str) -> list[ProbeTask]:
    only = [key for key, entry in project.config.probes.items() if name in entry.endpoints]
    if not only:
        return []
    return [task for task in project.tasks(only=only) if task.remote.adapter.name == name]


def _default_tasks(item: Item, remote: Remote) -> list[ProbeTask]:
    """One probe with default settings, to say what such a thing costs."""
    choice = method_choice(_METHOD, kind=item.kind, where="check")
    settings: dict[str, Any] = {}
    if isinstance(item.instance, dict):  # any other values do, as nothing of it is sent
        settings["background"] = [{column: _unlike(value) for column, value in item.instance.items()}]
    try:
        masker = make_masker(item, choice.view, settings, seed=1, where="check")
    except ConfigError:  # nothing to switch in it: a probe of it costs nothing, as there can be none
        return []
    return [
        ProbeTask(
            probe="a probe",
            item=item,
            remote=remote,
            method=choice.method,
            masker=masker,
            target=TargetSpec(),
            budget=_BUDGET,
            repeats=1,
            fresh=timedelta(hours=24),
            seed=1,
        )
    ]


def _unlike(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int | float) else f"not {value}"


def _altered(item: Item, maskers: Sequence[Masker]) -> Instance | None:
    """``item`` with all features switched off, or every second one if that leaves nothing of a text, as a probe would alter
    it; ``None`` if that changes nothing."""
    for masker in maskers:
        for kept in (np.zeros(masker.n, dtype=bool), np.arange(masker.n) % 2 == 0):
            instance = masker.render(kept)
            blank = isinstance(instance, str) and not instance.strip()
            if not blank and canonical(instance) != canonical(item.instance):
                return instance
    return None

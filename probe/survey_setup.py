"""From the ``surveys`` of a config, or the arguments of :func:`probe.survey`, to tasks. Reads inputs; sends nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np

from adapters import Scalar
from probe.config_sections import Files, Inline, SurveyConfig, Table
from probe.engine.survey_tasks import InputSet, SurveyTask
from probe.engine.tasks import ProbeTask, Remote
from probe.errors import ConfigError
from probe.inputs import Item, load_items
from probe.maskers.base import Kind, Masker
from probe.maskers.checks import whole
from probe.maskers.naming import nearest
from probe.setup import MethodChoice, Project, make_masker, method_choice, target_spec
from probe.surveys import BEESWARM, SurveyMethod, build_survey_method
from probe.surveys.beeswarm import Beeswarm
from probe.targets import TargetSpec

Entry = str | Mapping[str, Mapping[str, Any] | None]

_LOCAL_BUDGET = 100  #: evaluations for each single input that a beeswarm explains, unless its settings say otherwise


@dataclass(frozen=True, slots=True)
class SurveyPlan:
    """Everything that shapes a survey besides its inputs and endpoints."""

    name: str
    methods: Sequence[Entry]
    target: TargetSpec
    budget: int  #: most evaluations for each endpoint
    masker: Mapping[str, Any]
    fresh: timedelta
    seed: int
    where: str  #: how messages name it


def project_surveys(project: Project, *, only: Sequence[str] = (), seed: int | None = None) -> list[SurveyTask]:
    """The tasks of the surveys in a config, in its order.

    Raises:
        ConfigError: anything wrong with inputs, endpoints, methods or targets.
    """
    surveys = project.config.surveys
    if not surveys:
        raise ConfigError(f"{project.path}: it has no surveys; write some under surveys:, or use `probe run`")
    for name in only:
        if name not in surveys:
            raise ConfigError(
                f"{project.path}: there is no survey {name!r}{nearest(name, surveys)}; it has {', '.join(surveys)}"
            )
    used = project.config.seed if seed is None else seed
    tasks = []
    for name, spec in surveys.items():
        if only and name not in only:
            continue
        where = f"{project.path}: surveys.{name}"
        inputs = _load(name, spec, project, seed=used, where=where)
        plan = SurveyPlan(
            name=name,
            methods=spec.methods,
            target=target_spec(spec.target),
            budget=spec.budget,
            masker=project.with_rows(spec.masker, spec.kind, inputs.items),
            fresh=spec.fresh,
            seed=used,
            where=where,
        )
        tasks += survey_tasks(plan, inputs, [project.remote(endpoint) for endpoint in spec.endpoints])
    return tasks


def survey_tasks(plan: SurveyPlan, inputs: InputSet, remotes: Sequence[Remote]) -> list[SurveyTask]:
    """Every endpoint × method.

    Raises:
        ConfigError: a method, setting or target is wrong, the set does not allow a method, or the budget is too small.
    """
    chosen = [_chosen(entry, plan, inputs) for entry in plan.methods]
    tasks = []
    for remote in remotes:
        plan.target.check(remote.adapter.labels, where=f"{plan.where}: target")
        own = [
            SurveyTask(
                probe=plan.name,
                inputs=inputs,
                remote=remote,
                method=each.method,
                target=plan.target,
                fresh=plan.fresh,
                seed=plan.seed,
                locals_=each.explanations(plan, inputs, remote),
            )
            for each in chosen
        ]
        _check_budget(own, plan, remote)
        tasks += own
    return tasks


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A method of surveys; of a beeswarm also the method of single inputs and a masker for each."""

    method: SurveyMethod | Beeswarm
    local: MethodChoice | None = None
    maskers: tuple[Masker, ...] = ()
    budget: int = 0
    repeats: int = 1

    def explanations(self, plan: SurveyPlan, inputs: InputSet, remote: Remote) -> tuple[ProbeTask, ...]:
        """One for each input."""
        local = self.local
        if local is None:
            return ()
        return tuple(
            ProbeTask(
                probe=plan.name,
                item=item,
                remote=remote,
                method=local.method,
                masker=masker,
                target=plan.target,
                budget=self.budget,
                repeats=self.repeats,
                fresh=plan.fresh,
                seed=plan.seed,
            )
            for item, masker in zip(inputs.items, self.maskers, strict=True)
        )


def _chosen(entry: Entry, plan: SurveyPlan, inputs: InputSet) -> _Chosen:
    given: dict[str, Any] = {}
    if isinstance(entry, str):
        name = entry
    elif len(entry) == 1:
        name, given = next((key, dict(value or {})) for key, value in entry.items())
    else:
        raise ConfigError(f"{plan.where}: write one method per list entry, not {', '.join(entry)} together")
    try:
        if name == BEESWARM:
            return _beeswarm(given, plan, inputs)
        method = build_survey_method(name, given)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{plan.where}: {error}") from error
    if inputs.kind != "tabular":
        raise ConfigError(f"{plan.where}: {name} surveys table rows, not {inputs.kind} inputs; use beeswarm")
    return _Chosen(method)


def _beeswarm(given: dict[str, Any], plan: SurveyPlan, inputs: InputSet) -> _Chosen:
    """Settings of the beeswarm itself, of the explanations it gathers (``budget`` and ``repeats`` of each), and ``of``: their
    method, with its settings if need be. Raises ``ValueError`` and ``ConfigError``."""
    known = ("of", "most", "points", "budget", "repeats")
    for key in given:
        if key not in known:
            raise ValueError(f"beeswarm: setting {key!r} is unknown{nearest(key, known)}. Known: {', '.join(known)}")
    local = method_choice(given.pop("of", "shapley"), kind=inputs.kind, where=plan.where)
    if local.view not in ("parts", "windows"):
        raise ValueError(f"beeswarm: {local.method.name} changes single values, which are not the same in every input")
    budget = whole(given.pop("budget", _LOCAL_BUDGET), "budget", least=2)
    repeats = whole(given.pop("repeats", 1), "repeats", least=1)
    settings = {**plan.masker, **local.masker}
    if inputs.kind == "tabular" and "background" not in settings:
        settings["background"] = [item.instance for item in inputs.items]
    maskers = tuple(make_masker(item, local.view, settings, seed=plan.seed, where=plan.where) for item in inputs.items)
    return _Chosen(Beeswarm(of=local.method.name, **given), local, maskers, budget, repeats)


def _check_budget(tasks: Sequence[SurveyTask], plan: SurveyPlan, remote: Remote) -> None:
    """Refuse what would need more evaluations than the budget allows, before anything is sent."""
    needed = len({query for task in tasks for query in task.queries})
    for task in tasks:
        needed += sum(min(each.budget, 2**each.masker.n * each.width) for each in task.locals_)
    if needed > plan.budget:
        raise ConfigError(
            f"{plan.where}: {remote.adapter.name}: the methods need up to {needed:,} evaluations and the budget is "
            f"{plan.budget:,}; raise it, or ask less: sample fewer inputs, fewer points, repeats or columns"
        )


def _load(name: str, spec: SurveyConfig, project: Project, *, seed: int, where: str) -> InputSet:
    inputs = spec.inputs
    if spec.labels is not None and isinstance(inputs, Table) and inputs.columns and spec.labels not in inputs.columns:
        inputs = inputs.model_copy(update={"columns": [*inputs.columns, spec.labels]})
    items = load_items(inputs, kind=spec.kind, base=project.base, where=f"{where}.inputs")
    items, truth = (items, None) if spec.labels is None else split_truth(items, spec.labels, where=f"{where}.labels")
    return sampled(InputSet(_named(name, spec), spec.kind, tuple(items), truth), spec.sample, seed)


def _named(name: str, spec: SurveyConfig) -> str:
    """What the set is called: its file if it has one."""
    if isinstance(spec.inputs, Table):
        return str(spec.inputs.csv or spec.inputs.parquet)
    if isinstance(spec.inputs, (Files, Inline)):
        return name
    return spec.inputs if isinstance(spec.inputs, str) else name


def split_truth(items: Sequence[Item], column: str, *, where: str) -> tuple[list[Item], tuple[Scalar, ...]]:
    """Rows without ``column``, and what it holds.

    Raises:
        ConfigError: a row does not have it, or nothing else.
    """
    rows, truth = [], []
    for item in items:
        row = item.instance
        if not isinstance(row, Mapping) or column not in row:
            seen = nearest(column, row) if isinstance(row, Mapping) else ""
            raise ConfigError(f"{where}: {item.name}: no column {column!r}{seen}")
        rest = {key: value for key, value in row.items() if key != column}
        if not rest:
            raise ConfigError(f"{where}: {item.name}: there is no column besides {column!r}")
        rows.append(Item(item.name, item.kind, rest))
        truth.append(row[column])
    return rows, tuple(truth)


def sampled(inputs: InputSet, count: int | None, seed: int) -> InputSet:
    """``count`` of the inputs drawn with ``seed``, in their order; all if there are no more."""
    if count is None or count >= len(inputs.items):
        return inputs
    drawn = np.sort(np.random.default_rng([seed, count]).choice(len(inputs.items), count, replace=False)).tolist()
    truth = None if inputs.truth is None else tuple(inputs.truth[k] for k in drawn)
    return replace(inputs, items=tuple(inputs.items[k] for k in drawn), truth=truth)


def as_input_set(inputs: Sequence[Any], kind: Kind, truth: Sequence[Scalar] | None, *, name: str) -> InputSet:
    """What a Python caller passes, one by one. Raises :class:`ConfigError` if it is no set of one kind."""
    from probe.inputs import as_item

    items = tuple(as_item(each, kind=kind, name=f"{name}:{number}") for number, each in enumerate(inputs))
    if truth is not None and len(truth) != len(items):
        raise ConfigError(f"labels: {len(truth)} of them for {len(items)} inputs")
    return InputSet(name, kind, items, None if truth is None else tuple(truth))

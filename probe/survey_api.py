"""Surveys from Python: what a model does over a set of inputs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from probe.api import Model, local_remote, opened_store, results_of
from probe.clock import Clock
from probe.database import open_store, storage_errors, storage_url
from probe.engine.arrays import as_instances
from probe.engine.budget import Budget
from probe.engine.events import Listener, silent
from probe.engine.keys import plain
from probe.engine.run import RunSettings
from probe.engine.session import run_sync
from probe.engine.survey_run import SurveyRunner
from probe.errors import ConfigError, EndpointDown
from probe.maskers.base import Kind
from probe.report.gathered import gathered
from probe.results import Result, Results
from probe.setup import Project, code_version, target_spec, transport_for
from probe.survey_setup import (
    Entry,
    SurveyPlan,
    as_input_set,
    project_surveys,
    sampled,
    split_truth,
    survey_tasks,
)

METHODS: tuple[Entry, ...] = ("permutation", "pdp", "ale", "surrogate")


async def asurvey(
    model: Model,
    inputs: Any,
    *,
    methods: Sequence[Entry] = METHODS,
    target: str = "top1",
    labels: str | Sequence[Any] | None = None,
    sample: int | None = None,
    budget: int = 20_000,
    spend: str | None = None,
    masker: Mapping[str, Any] | None = None,
    columns: Sequence[str] | None = None,
    seed: int = 1,
    config: str | Path = "probe.yaml",
    storage: str | None = None,
    on_event: Listener = silent,
) -> Results:
    """Find out what ``model`` does over a set of inputs.

    Args:
        model: a function, an adapter, or the name of an endpoint in ``config``; as for :func:`probe.explain`.
        inputs: a DataFrame, a list of rows (mappings), an (m, n) array, or a list of texts.
        methods: names, or ``{name: settings}``: permutation, pdp, ale, surrogate (tables); beeswarm (tables and texts). They
            share evaluations.
        target: a label, or ``top1``: the label that is best for most inputs.
        labels: the truth: the name of a column (the model does not get it), or one value for each input.
        sample: take this many of the inputs, drawn with ``seed``.
        budget: most evaluations; a survey that would need more is refused before anything is sent.
        spend: most requests or money, ``500req`` or ``2usd``; reached, the results are partial.
        masker: masker settings for the explanations that a beeswarm gathers; a table's background is the set itself.
        columns: names for the columns of an array.
        storage: database URL, by default as for :func:`probe.explain`.

    Returns:
        One result a method. Its ``values`` are a figure for each column (or word): the importance, how far a curve is from
        flat, the mean absolute share; ``probe.details`` has the curves, rules and dots.

    Raises:
        ConfigError: the request is wrong; nothing was sent.
        EndpointDown: there was no answer at all.
        StorageError: the database failed; what was answered before is kept.
    """
    instances = as_instances(inputs, columns=columns)
    kind: Kind = "text" if instances and isinstance(instances[0], str) else "tabular"
    truth = None if labels is None or isinstance(labels, str) else [plain(value) for value in labels]
    given = as_input_set(instances, kind, truth, name="inputs")
    if isinstance(labels, str):
        items, values = split_truth(given.items, labels, where="labels")
        given = type(given)(given.name, kind, tuple(items), values)
    project = Project.load(Path(config), environment=os.environ) if isinstance(model, str) else None
    remote = project.remote(str(model)) if project is not None else local_remote(model)
    plan = SurveyPlan(
        name="survey",
        methods=methods,
        target=target_spec(target),
        budget=budget,
        masker=masker or {},
        fresh=timedelta(hours=24),
        seed=seed,
        where="survey",
    )
    tasks = survey_tasks(plan, sampled(given, sample, seed), [remote])
    url = storage or (project.storage_url if project is not None else None)
    with storage_errors(), opened_store(url) as store:
        settings = RunSettings(
            name="survey", config="", seed=seed, code_version=code_version(), budget=Budget.parse(spend)
        )
        environment = os.environ if project is None else project.environment
        runner = SurveyRunner(
            tasks,
            store,
            settings=settings,
            open_transport=lambda adapter: transport_for(adapter, environment),
            emit=on_event,
        )
        results = results_of(store, await runner.run())
    if all(result.probe.status == "failed" for result in results):
        error = ConfigError if results.exit_code == 2 else EndpointDown
        raise error((results.reasons or (results[0].probe.error or "no answer",))[0])
    return results


def survey(model: Model, inputs: Any, **options: Any) -> Results:
    """:func:`asurvey`, from ordinary code or a notebook."""
    return run_sync(asurvey(model, inputs, **options))


def beeswarm(results: Results, *, fewest: int = 2) -> list[Result]:
    """The explanations of a run gathered: a result for every probe × endpoint × method × target with ``fewest`` inputs or
    more, with the mean |φ| of each column or word as its ``values``. Nothing is asked and nothing is stored."""
    return [Result(shown) for shown in gathered(results.shown, fewest=fewest)]


async def arun_surveys(
    config: str | Path = "probe.yaml",
    *,
    only: Sequence[str] = (),
    budget: str | None = None,
    max_time: str | None = None,
    rate: str | None = None,
    seed: int | None = None,
    storage: str | None = None,
    environment: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    on_event: Listener = silent,
    on_runner: Callable[[SurveyRunner], None] | None = None,
) -> Results:
    """Carry out the surveys of ``config``; arguments and errors as for :func:`probe.arun`."""
    project = Project.load(Path(config), environment=os.environ if environment is None else environment, rate=rate)
    tasks = project_surveys(project, only=only, seed=seed)
    url = storage_url(storage, base=Path()) if storage is not None else project.storage_url
    settings = project.settings(budget=budget, max_time=max_time, seed=seed)
    with storage_errors(), open_store(url) as store:
        runner = SurveyRunner(
            tasks, store, settings=settings, open_transport=project.open_transport, clock=clock, emit=on_event
        )
        if on_runner is not None:
            on_runner(runner)
        return results_of(store, await runner.run())

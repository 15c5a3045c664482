"""The Python API: the same engine, ledger and limits as the command line, from code and notebooks."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from adapters import Adapter, CallableAdapter
from probe.clock import Clock
from probe.database import open_store, storage_errors, storage_url
from probe.engine.budget import Budget
from probe.engine.events import Listener, silent
from probe.engine.offline import nowhere
from probe.engine.run import OpenTransport, Runner, RunResult, RunSettings
from probe.engine.session import Predictor, run_sync
from probe.engine.tasks import ProbeTask, Remote
from probe.errors import ConfigError, EndpointDown
from probe.inputs import as_item
from probe.maskers.base import Kind
from probe.results import Result, Results, load_results
from probe.setup import (
    Project,
    code_version,
    make_masker,
    method_choice,
    remote_of,
    stop_rule,
    target_spec,
    transport_for,
)
from storage import Store

Model = str | Adapter | Callable[[Sequence[Any]], Any]
MethodEntry = str | Mapping[str, Mapping[str, Any]]


async def arun(
    config: str | Path = "probe.yaml",
    *,
    only: Sequence[str] = (),
    budget: str | None = None,
    rate: str | None = None,
    max_time: str | None = None,
    seed: int | None = None,
    storage: str | None = None,
    offline: bool = False,
    environment: Mapping[str, str] | None = None,
    clock: Clock | None = None,
    on_event: Listener = silent,
    on_runner: Callable[[Runner], None] | None = None,
) -> Results:
    """Carry out the probes of ``config`` and return their explanations.

    Args:
        only: names of probes; all of them if empty.
        budget: ``500req`` or ``2usd``, for the whole run.
        rate: ``5/s``, instead of the endpoints' own limits.
        max_time: ``90s``, ``30m``; nothing is sent after that.
        storage: database URL, instead of the config's.
        offline: the ledger answers, however old its answers are; nothing is sent, and what is missing is named.
        on_event: hears everything that happens (``probe.engine.events``).
        on_runner: gets the runner before it starts, to be able to interrupt it.

    Raises:
        ConfigError: config, inputs or options are wrong; nothing was sent.
        StorageError: the database failed; what was answered before is kept.
    """
    project = Project.load(Path(config), environment=os.environ if environment is None else environment, rate=rate)
    tasks = project.tasks(only=only, seed=seed)
    url = storage_url(storage, base=Path()) if storage is not None else project.storage_url
    settings = replace(project.settings(budget=budget, max_time=max_time, seed=seed), offline=offline)
    open_transport = nowhere if offline else project.open_transport
    with storage_errors(), open_store(url) as store:
        runner = Runner(tasks, store, settings=settings, open_transport=open_transport, clock=clock, emit=on_event)
        if on_runner is not None:
            on_runner(runner)
        return results_of(store, await runner.run())


def run(config: str | Path = "probe.yaml", **options: Any) -> Results:
    """:func:`arun`, from ordinary code or a notebook."""
    return run_sync(arun(config, **options))


async def aexplain(
    model: Model,
    instance: Any,
    *,
    method: MethodEntry = "shapley",
    kind: Kind | None = None,
    target: str = "top1",
    budget: int = 300,
    stop: Mapping[str, Any] | None = None,
    masker: Mapping[str, Any] | None = None,
    repeats: int = 1,
    seed: int = 1,
    config: str | Path = "probe.yaml",
    storage: str | None = None,
) -> Result:
    """Explain one answer of ``model``.

    Args:
        model: a function from a list of inputs to scores ((m,) or (m, k) array, or a list of ``{label: score}``), an
            adapter, or the name of an endpoint in ``config``.
        instance: a text, an (H, W, 3) or (H, W) uint8 picture, or a table row (mapping by column name).
        method: a name, or ``{name: settings}``.
        masker: masker settings; tables need ``background`` (a row or a list of rows).
        budget: most evaluations.
        stop: ``{"half_width": 0.03}``, ``{"top": 5}`` or both: fewer evaluations, if every 95 % interval is as narrow or the
            order of so many features is settled.
        repeats: how often each input is asked, to measure the endpoint's noise.
        storage: database URL whose ledger is used and filled; by default the config's for an endpoint given by name, and a
            temporary one otherwise.

    Raises:
        ConfigError: the request is wrong; nothing was sent.
        EndpointDown: there was no answer to explain.
        StorageError: the database failed; what was answered before is kept.
    """
    results = await aexplain_all(
        model,
        instance,
        methods=(method,),
        kind=kind,
        target=target,
        budget=budget,
        stop=stop,
        masker=masker,
        repeats=repeats,
        seed=seed,
        config=config,
        storage=storage,
    )
    return results[0]


def explain(model: Model, instance: Any, **options: Any) -> Result:
    """:func:`aexplain`, from ordinary code or a notebook."""
    return run_sync(aexplain(model, instance, **options))


async def aexplain_all(
    model: Model,
    instance: Any,
    *,
    methods: Sequence[MethodEntry],
    kind: Kind | None = None,
    target: str = "top1",
    budget: int = 300,
    stop: Mapping[str, Any] | None = None,
    masker: Mapping[str, Any] | None = None,
    repeats: int = 1,
    seed: int = 1,
    config: str | Path = "probe.yaml",
    storage: str | None = None,
) -> Results:
    """Explain one answer of ``model`` by several ``methods``, in their order, on one bill.

    Methods that look at the same features share one set of evaluations within ``budget``. Arguments and errors are those of
    :func:`aexplain`.
    """
    item = as_item(instance, kind=kind)
    project = Project.load(Path(config), environment=os.environ) if isinstance(model, str) else None
    remote = project.remote(str(model)) if project is not None else local_remote(model)
    wanted, rule = target_spec(target), stop_rule(stop)
    wanted.check(remote.adapter.labels, where="target")
    given = _rows_as_lists(masker or {})
    tasks = []
    for entry in methods:
        choice = method_choice(entry if isinstance(entry, str) else dict(entry), kind=item.kind, where="method")
        tasks.append(
            ProbeTask(
                probe="explain",
                item=item,
                remote=remote,
                method=choice.method,
                masker=make_masker(item, choice.view, {**given, **choice.masker}, seed=seed, where="masker"),
                target=wanted,
                budget=budget,
                repeats=repeats,
                fresh=timedelta(hours=24),
                seed=seed,
                stop=rule,
            )
        )
    url = storage or (project.storage_url if project is not None else None)
    with storage_errors(), opened_store(url) as store:
        settings = RunSettings(name="explain", config="", seed=seed, code_version=code_version())
        runner = Runner(tasks, store, settings=settings, open_transport=_opening(project))
        results = results_of(store, await runner.run())
    for result in results:
        if result.probe.status == "failed":
            kind_of_error = ConfigError if results.exit_code == 2 else EndpointDown
            raise kind_of_error((results.reasons or (result.probe.error or "no explanation",))[0])
    return results


def explain_all(model: Model, instance: Any, **options: Any) -> Results:
    """:func:`aexplain_all`, from ordinary code or a notebook."""
    return run_sync(aexplain_all(model, instance, **options))


def predict_fn(
    endpoint: Model,
    *,
    config: str | Path = "probe.yaml",
    outputs: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    budget: str | None = None,
    rate: str | None = None,
    storage: str | None = None,
    fresh: timedelta = timedelta(hours=24),
) -> Predictor:
    """An endpoint as ``predict(inputs) -> (m, outputs) array`` for shap, lime, captum or scikit-learn.

    Args:
        endpoint: the name of an endpoint in ``config``, an adapter, or a function.
        outputs: labels that become the columns of the result, in order; see :class:`Predictor`.
        columns: names for the columns of rows that come as bare arrays.
        budget: ``500req`` or ``2usd`` for the lifetime of the returned function.
        storage: database URL, instead of the config's. By default ``probe.db`` here for an adapter, and a temporary one for
            a function, of which nobody can tell whether it is still the same tomorrow.

    Raises:
        ConfigError: no such endpoint, or a secret is not set.
        StorageError: the database cannot be opened.
    """
    environment = os.environ
    project = Project.load(Path(config), environment=environment, rate=rate) if isinstance(endpoint, str) else None
    remote = project.remote(str(endpoint)) if project is not None else local_remote(endpoint)
    limit = Budget.parse(budget)
    scratch = None
    if storage is not None:
        url = storage_url(storage, base=Path())
    elif project is not None:
        url = project.storage_url
    elif isinstance(endpoint, Adapter):
        url = storage_url("sqlite:///probe.db", base=Path())
    else:
        scratch = Path(tempfile.mkdtemp(prefix="probe-"))
        url = f"sqlite:///{scratch}/probe.db"
    with storage_errors():
        return Predictor(
            remote,
            open_store(url),
            open_transport=lambda: _opening(project)(remote.adapter),
            outputs=outputs,
            columns=columns,
            budget=limit,
            fresh=fresh,
            code_version=code_version(),
            scratch=scratch,
        )


def _opening(project: Project | None) -> OpenTransport:
    """How endpoints are reached: as the project says, if there is one."""
    return project.open_transport if project is not None else lambda adapter: transport_for(adapter, os.environ)


def local_remote(model: Model) -> Remote:
    """A function or an adapter as an endpoint. Raises :class:`ConfigError` if it is neither."""
    if isinstance(model, Adapter):
        return remote_of(model, provider=type(model).__name__, url="", model="")
    if not callable(model):
        raise ConfigError(f"a model is a function, an adapter or an endpoint's name, not {type(model).__name__}")
    name = getattr(model, "__name__", type(model).__name__)
    return remote_of(CallableAdapter(name, model), provider="callable", url=name, model="")


def results_of(store: Store, outcome: RunResult) -> Results:
    """What a run came to, from the database, in the order of its tasks."""
    loaded = load_results(store, outcome.run.id)
    order = {probe.id: position for position, probe in enumerate(outcome.probes)}
    items = tuple(sorted(loaded.items, key=lambda result: order.get(result.probe.id, len(order))))
    stops = tuple(_why_stopped(name, stop.kind, stop.reason) for name, stop in outcome.stops.items())
    failures = tuple(probe.error for probe in outcome.probes if probe.error is not None and not stops)
    return Results(outcome.run, items, outcome.exit_code, tuple(dict.fromkeys(stops + failures)))


#: what to do about an endpoint that was given up, by the kind of its end; the others say it themselves
_ADVICE = {
    "auth": "check the secret that its auth names, then run the same command",
    "broken": "check its url, items and scores against what it answers, then run the same command",
    "quota": "run the same command when it is renewed",
    "down": "see that it is up and its url is right, then run the same command",
}


def _why_stopped(endpoint: str, kind: str, reason: str) -> str:
    """One line: who, what was seen, what to do. Budget and interruption are the whole run's; adapters name the endpoint."""
    who = "" if kind in {"budget", "interrupted"} or repr(endpoint) in reason else f"endpoint {endpoint!r}: "
    advice = "" if "same command" in reason else _ADVICE.get(kind, "")
    return f"{who}{reason}; {advice}" if advice else f"{who}{reason}"


@contextmanager
def opened_store(url: str | None) -> Iterator[Store]:
    """The database at ``url``, or a temporary one."""
    if url is not None:
        with open_store(storage_url(url, base=Path())) as store:
            yield store
        return
    with (
        tempfile.TemporaryDirectory(prefix="probe-") as folder,
        open_store(f"sqlite:///{folder}/probe.db") as store,
    ):
        yield store


def _rows_as_lists(settings: Mapping[str, Any]) -> dict[str, Any]:
    """DataFrames and single mappings given as background, as the lists of rows that maskers take."""
    plain = dict(settings)
    for key in ("background", "reference"):
        value = plain.get(key)
        if value is not None and hasattr(value, "to_dict"):
            plain[key] = value.to_dict(orient="records")
        elif isinstance(value, Mapping):
            plain[key] = [dict(value)]
    return plain

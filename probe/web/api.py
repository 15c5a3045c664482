"""The JSON API, under ``/api/v1``; ``/api/v1/openapi.json`` describes it."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, HTTPException, Query, Response
from fastapi import Path as InPath
from fastapi.responses import FileResponse, StreamingResponse
from starlette.background import BackgroundTask

from probe.compared import compare, sides
from probe.exported import export
from probe.report import differences
from probe.report.as_json import probe_json, results_json
from probe.report.listing import plain
from probe.report.queried import COLUMNS
from probe.results import load_results, load_shown
from probe.web import answers, models
from probe.web.access import Caller, needs
from probe.web.service import Here
from storage import browse
from storage import jobs as queue
from storage.browse import RunFilter
from storage.questions import Filter
from storage.readonly import select

Id = Annotated[str, InPath(min_length=1, max_length=100, description="An id, or of a run its beginning")]
Asked = Annotated[str | None, Query(max_length=500)]
Limit = Annotated[int, Query(ge=1, le=1000)]
Runner = Annotated[Caller, Depends(needs("run"))]

SQL_SECONDS: Final = 5.0
MEDIA: Final = {
    "csv": "text/csv",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "npz": "application/zip",
    "shap": "application/zip",
}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": models.Problem, "description": "What was asked makes no sense"},
    401: {"model": models.Problem, "description": "Nobody knows who asks"},
    403: {"model": models.Problem, "description": "The token's scope does not allow it"},
    404: {"model": models.Problem, "description": "There is no such thing"},
    422: {"model": models.Problem, "description": "A value is not of the kind that is needed"},
    429: {"model": models.Problem, "description": "Too many wrong tokens"},
    503: {"model": models.Problem, "description": "The database does not answer"},
}
_read = [Depends(needs("read"))]
router = APIRouter(prefix="/api/v1", responses=_PROBLEMS)


@router.get("/runs", dependencies=_read, tags=["results"])
def list_runs(
    here: Here,
    text: Asked = None,
    status: Asked = None,
    config: Asked = None,
    endpoint: Asked = None,
    method: Asked = None,
    kind: Asked = None,
    before: Annotated[str | None, Query(max_length=200, description="The value of `next`")] = None,
    limit: Limit = 50,
) -> models.RunList:
    """Runs, newest first. ``text``: somewhere in an id, config, probe, input or target."""
    wanted = RunFilter(text, status, config, endpoint, method, kind)
    found = browse.run_lines(here.store, wanted, limit=limit + 1, before=answers.read_cursor(before))
    more = answers.cursor(found[limit - 1]) if len(found) > limit else None
    return models.RunList(runs=[answers.run_line(line) for line in found[:limit]], next=more)


@router.get("/runs/{run_id}", dependencies=_read, tags=["results"])
def show_run(here: Here, run_id: Id) -> models.Run:
    """A run with all its explanations."""
    results = load_results(here.store, run_id)
    return models.Run(**results_json(results.run, results.shown))


@router.get("/runs/{run_id}/probes", dependencies=_read, tags=["results"])
def list_probes(
    here: Here, run_id: Id, after: Annotated[int, Query(ge=0, le=2**62)] = 0, limit: Limit = 100
) -> models.ProbeList:
    """The explanations of a run, without their details; ``after``: the value of ``next``."""
    run = here.store.run(run_id)
    found = browse.probe_lines(here.store, run.id, after=after, limit=limit + 1)
    more = found[limit - 1].number if len(found) > limit else None
    return models.ProbeList(probes=[answers.probe_line(line) for line in found[:limit]], next=more)


@router.get(
    "/runs/{run_id}/export",
    dependencies=_read,
    tags=["results"],
    response_class=Response,
    responses={200: {"content": {media: {} for media in dict.fromkeys(MEDIA.values())}}},
)
def export_run(
    here: Here,
    run_id: Id,
    format: Literal["csv", "jsonl", "parquet", "npz", "shap"] = "csv",  # noqa: A002 - its name in the URL
    evaluations: bool = False,
) -> Response:
    """A run for other programs: its attributions, or every evaluation and its scores."""
    return exported(here, run_id, format, evaluations=evaluations)


def exported(here: Here, run_id: str, kind: str, *, evaluations: bool) -> Response:
    """The file that ``probe export`` writes."""
    if evaluations and kind in {"npz", "shap"}:
        raise HTTPException(400, "evaluations are given as csv, jsonl or parquet")
    run = here.store.run(run_id)
    folder = tempfile.TemporaryDirectory(prefix="probe-export-")
    ending = "npz" if kind == "shap" else kind
    path = Path(folder.name) / f"run-{run.id}{'-evaluations' if evaluations else ''}.{ending}"
    try:
        export(here.store, run.id, path, kind=kind, evaluations=evaluations)
    except BaseException:
        folder.cleanup()
        raise
    return FileResponse(path, media_type=MEDIA[kind], filename=path.name, background=BackgroundTask(folder.cleanup))


@router.get("/probes/{probe_id}", dependencies=_read, tags=["results"])
def show_probe(here: Here, probe_id: Id) -> dict[str, Any]:
    """One explanation with its trust card."""
    return probe_json(load_shown(here.store, [browse.one_probe(here.store, probe_id)])[0])


@router.get("/probes/{probe_id}/evaluations", dependencies=_read, tags=["results"])
def list_evaluations(
    here: Here, probe_id: Id, after: Annotated[int, Query(ge=0, le=2**31)] = 0, limit: Limit = 100
) -> models.EvaluationList:
    """The evaluations behind an explanation, from number ``after`` on."""
    asked = answers.Asked(here, browse.one_probe(here.store, probe_id))
    found = [each.line() for each in asked.slice(after, limit)]
    more = after + limit if after + limit < len(asked) else None
    return models.EvaluationList(evaluations=found, total=len(asked), next=more)


@router.get("/probes/{probe_id}/evaluations/{number}", dependencies=_read, tags=["results"])
def show_evaluation(here: Here, probe_id: Id, number: Annotated[int, InPath(ge=0, le=2**31)]) -> models.Evaluation:
    """One evaluation: what was sent, as a line for a shell with secrets by name, and what came back."""
    asked = answers.Asked(here, browse.one_probe(here.store, probe_id))
    return answers.evaluation(here, asked, number)


@router.get("/probes/{probe_id}/history", dependencies=_read, tags=["results"])
def show_history(here: Here, probe_id: Id, limit: Limit = 200) -> models.History:
    """This probe and those before and after it: of the same name, input, endpoint and method."""
    probe = browse.one_probe(here.store, probe_id)
    points = answers.history_of(here.store, probe, limit=limit)
    return models.History(
        probe=probe.name,
        instance=here.store.instance(probe.instance_id).name,
        endpoint=here.store.endpoint(probe.endpoint_id).name,
        method=probe.method,
        points=[
            models.HistoryPoint(
                id=each.id,
                run=each.run,
                finished=each.finished,
                target=each.target,
                status=each.status,
                full_value=each.full_value,
                shares=dict(each.shares),
            )
            for each in points
        ],
    )


@router.get("/query", dependencies=_read, tags=["results"])
def query(
    here: Here,
    run: Asked = None,
    probe: Asked = None,
    endpoint: Asked = None,
    provider: Asked = None,
    model: Asked = None,
    instance: Asked = None,
    feature: Asked = None,
    label: Asked = None,
    method: Asked = None,
    since: Annotated[str | None, Query(max_length=100, description="2026-03-01 or 2026-03-01T12:00")] = None,
    until: Asked = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> models.Rows:
    """Attributions, the newest first. ``*`` in a text stands for anything; times without a zone are UTC."""
    wanted = Filter(
        run=None if run is None else here.store.run(run).id,
        probe=probe,
        endpoint=endpoint,
        provider=provider,
        model=model,
        instance=instance,
        feature=feature,
        label=label,
        method=method,
        since=answers.read_moment(since, "since"),
        until=answers.read_moment(until, "until"),
    )
    rows, more = answers.attribution_rows(here.store, wanted, limit=limit)
    return models.Rows(columns=list(COLUMNS), rows=[[plain(value) for value in row] for row in rows], more=more)


@router.get("/diff", dependencies=_read, tags=["results"])
def diff(
    here: Here,
    a: Annotated[str, Query(min_length=1, max_length=200)],
    b: Annotated[str, Query(min_length=1, max_length=200)],
    run: Asked = None,
    level: Annotated[float, Query(gt=0, lt=1)] = 0.05,
) -> dict[str, Any]:
    """What moved from ``a`` to ``b``: runs, days, or endpoints of one run (``run``, or the newest that has both)."""
    one, two = sides(here.store, a, b, run=run)
    return differences.as_json(compare(here.store, one, two, level=level))


@router.get("/configs", dependencies=_read, tags=["runs"])
def list_configs(here: Here) -> models.Configs:
    """The configs that a run can be submitted from."""
    return models.Configs(configs=here.jobs.configs())


@router.get("/jobs", dependencies=_read, tags=["runs"])
def list_jobs(
    here: Here,
    status: Literal["queued", "running", "finished", "failed", "cancelled"] | None = None,
    limit: Limit = 100,
) -> models.JobList:
    """Runs that the service was asked for."""
    found = queue.listed(here.store, status=status, limit=limit)
    return models.JobList(jobs=[answers.job_answer(here, job) for job in found])


@router.post("/jobs", status_code=202, tags=["runs"])
def submit(here: Here, caller: Runner, asked: models.Submit) -> models.Job:
    """Ask for a run. It goes on where one of the same config and seed was left; nothing is paid for twice."""
    job = here.jobs.submit(asked.config, asked.model_dump(exclude={"config"}), by=caller.id)
    return answers.job_answer(here, job)


@router.get("/jobs/{job_id}", dependencies=_read, tags=["runs"])
def show_job(here: Here, job_id: Id) -> models.Job:
    """A job and how it goes."""
    return answers.job_answer(here, queue.get(here.store, job_id))


@router.post("/jobs/{job_id}/cancel", dependencies=[Depends(needs("run"))], tags=["runs"])
def cancel(here: Here, job_id: Id) -> models.Job:
    """Take a job out of the queue, or let its run end; what is in flight is answered and kept."""
    return answers.job_answer(here, here.jobs.cancel(job_id))


@router.get(
    "/jobs/{job_id}/events",
    dependencies=_read,
    tags=["runs"],
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def watch(here: Here, job_id: Id) -> Response:
    """The engine's events of a job that works here, as server-sent events; and ``progress`` whenever it changed."""
    await asyncio.to_thread(queue.get, here.store, job_id)
    return StreamingResponse(_events(here, job_id), media_type="text/event-stream")


async def _events(here: Here, job_id: str) -> AsyncIterator[str]:
    seen = -1
    while not here.jobs.draining:
        live = here.jobs.live(job_id)
        if live is None:
            job = await asyncio.to_thread(queue.get, here.store, job_id)
            if job.status not in {"queued", "running"}:
                break
        else:
            state = live.state()
            for told in live.since(seen):
                yield f"id: {told.seq}\nevent: {type(told.event).__name__}\ndata: {json.dumps(told.event.as_json())}\n\n"
            if state.seq != seen:
                yield f"event: progress\ndata: {json.dumps(state.as_json())}\n\n"
            seen = state.seq
            if state.over:
                break
        await asyncio.sleep(0.25)
    yield "event: end\ndata: {}\n\n"


@router.post("/sql", dependencies=[Depends(needs("admin"))], tags=["results"])
def sql(here: Here, asked: models.Statement) -> models.Rows:
    """The rows of one ``SELECT``, which can read and nothing else, for a few seconds."""
    answer = select(here.store.database, asked.sql, limit=asked.limit, seconds=SQL_SECONDS)
    rows = [[plain(value) for value in row] for row in answer.rows]
    return models.Rows(columns=list(answer.columns), rows=rows, more=answer.more)

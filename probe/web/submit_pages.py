"""The page of runs that the service was asked for, and the form that asks for one."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import ValidationError

from probe.errors import ConfigError
from probe.web import answers, models
from probe.web.access import Caller, needs
from probe.web.forms import first, read_form
from probe.web.render import page, table
from probe.web.service import Here
from storage import jobs as queue

router = APIRouter(include_in_schema=False)

Reader = Annotated[Caller, Depends(needs("read"))]
Runner = Annotated[Caller, Depends(needs("run"))]
_COLUMNS = ("id", "config", "status", "run_id", "by", "submitted", "started", "finished", "exit_code", "error")


@router.get("/queue")
def show(request: Request, here: Here, caller: Reader) -> Response:
    """What waits, what works, what came of it; and the form."""
    return _page(request, here, caller)


@router.get("/queue.{kind}")
def show_as(here: Here, caller: Reader, kind: str) -> Response:  # noqa: ARG001 - the caller must be known
    """The same as JSON or CSV."""
    found = queue.listed(here.store)
    if kind == "json":
        return JSONResponse([answers.job_answer(here, job).model_dump(mode="json") for job in found])
    if kind != "csv":
        raise HTTPException(404, "there are .json and .csv")
    return table(kind, _COLUMNS, [[getattr(job, name) for name in _COLUMNS] for job in found], name="queue")


@router.post("/queue")
async def submit(request: Request, here: Here, caller: Runner) -> Response:
    """Ask for a run."""
    fields = await read_form(request, caller)
    seed = first(fields, "seed")
    given = {name: first(fields, name) or None for name in ("budget", "rate", "max_time")}
    try:
        asked = models.Submit.model_validate(
            {
                "config": first(fields, "config"),
                "only": first(fields, "only").split(),
                "seed": int(seed) if seed.isdecimal() else seed or None,
                "surveys": first(fields, "what") == "surveys",
                **given,
            }
        )
        options = asked.model_dump(exclude={"config"})
        await asyncio.to_thread(here.jobs.submit, asked.config, options, by=caller.id)
    except ValidationError as error:
        wrong = error.errors()[0]
        return await asyncio.to_thread(_page, request, here, caller, f"{wrong['loc'][0]}: {wrong['msg']}", fields)
    except ConfigError as error:
        return await asyncio.to_thread(_page, request, here, caller, str(error), fields)
    return RedirectResponse("/queue", 303)


@router.post("/queue/{job_id}/cancel")
async def cancel(request: Request, here: Here, caller: Runner, job_id: str) -> Response:
    """Take it out of the queue, or let its run end."""
    await read_form(request, caller)
    await asyncio.to_thread(here.jobs.cancel, job_id)
    return RedirectResponse("/queue", 303)


def _page(
    request: Request, here: Here, caller: Caller, wrong: str = "", fields: dict[str, list[str]] | None = None
) -> Response:
    jobs = [answers.job_answer(here, job) for job in queue.listed(here.store)]
    given = {name: values[0] for name, values in (fields or {}).items()}
    return page(
        request,
        "queue.html.j2",
        status=400 if wrong else 200,
        caller=caller,
        jobs=jobs,
        configs=here.jobs.configs(),
        wrong=wrong,
        given=given,
        folder=str(here.folder),
    )

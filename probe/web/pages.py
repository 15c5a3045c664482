"""The pages: each has a permalink, and the same as ``.json`` and ``.csv`` beside it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, Final

import numpy as np
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from PIL import Image

from probe.errors import ProbeError
from probe.report.as_json import probe_json, results_json
from probe.report.pictures import read_picture
from probe.report.queried import COLUMNS
from probe.report.totals import run_totals
from probe.report.view import view
from probe.results import load_results, load_shown
from probe.web import answers, api
from probe.web.access import Caller, needs
from probe.web.charts import lines_over_time
from probe.web.live import Live
from probe.web.rebuilt import read_instance
from probe.web.render import fragment, page, split, table, url
from probe.web.service import Here, Service
from storage import StorageError, browse
from storage.browse import FACETS, ProbeLine, RunFilter
from storage.questions import Filter
from storage.records import Run

router = APIRouter(include_in_schema=False)

Reader = Annotated[Caller, Depends(needs("read"))]

_RUNS: Final = 50  #: on one page
_PROBES: Final = 100
_REQUESTS: Final = 50
_SCORES: Final = 20
_MOST_ROWS: Final = 10_000  #: of a table as JSON or CSV
_THUMBNAIL: Final = 96
_RUN_COLUMNS: Final = (
    "id",
    "config",
    "status",
    "seed",
    "started",
    "finished",
    "probes",
    "sent",
    "from_ledger",
    "cost_micro",
)


@router.get("/")
def home(caller: Reader) -> Response:  # noqa: ARG001 - the caller must be known
    """The runs."""
    return RedirectResponse("/runs", 307)


# -- runs ------------------------------------------------------------------------------------------------------------------


@router.get("/runs")
@router.get("/runs.json")
@router.get("/runs.csv")
def runs(request: Request, here: Here, caller: Reader, text: str = "", before: str = "") -> Response:
    """Runs with facets and search."""
    kind = split(request.url.path)[1]
    chosen = {name: request.query_params.get(name, "") for name in FACETS}
    wanted = RunFilter(text.strip() or None, **{name: value or None for name, value in chosen.items()})
    limit = _RUNS if kind == "html" else _MOST_ROWS
    found = browse.run_lines(here.store, wanted, limit=limit + 1, before=answers.read_cursor(before))
    if kind == "json":
        return JSONResponse([answers.run_line(line).model_dump(mode="json") for line in found[:limit]])
    if kind == "csv":
        rows = [
            [getattr(line, name, None) or line.totals.get(name, 0) for name in _RUN_COLUMNS] for line in found[:limit]
        ]
        return table(kind, _RUN_COLUMNS, rows, name="runs")
    given = {"text": text, **chosen}
    return page(
        request,
        "runs.html.j2",
        caller=caller,
        lines=found[:limit],
        facets=here.facets(),
        chosen=chosen,
        given=given,
        text=text,
        more=url("/runs", given, before=answers.cursor(found[limit - 1])) if len(found) > limit else "",
        first=not before,
    )


@router.get("/runs/{name}")
def run(request: Request, here: Here, caller: Reader, name: str, after: int = 0) -> Response:
    """A run with its instances and explanations; while it works, how it goes."""
    run_id, kind = split(name)
    found = here.store.run(run_id)
    if kind == "json":
        results = load_results(here.store, found.id)
        return JSONResponse(results_json(found, results.shown))
    if kind == "csv":
        rows, _ = answers.attribution_rows(here.store, Filter(run=found.id), limit=1_000_000)
        return table(kind, COLUMNS, rows, name=f"run-{found.id}")
    lines = browse.probe_lines(here.store, found.id, after=min(max(after, 0), 2**62), limit=_PROBES + 1)
    others = [
        each for each in browse.run_lines(here.store, RunFilter(config=found.name), limit=20) if each.id != found.id
    ]
    return page(
        request,
        "run.html.j2",
        caller=caller,
        run=found,
        totals=run_totals(found, currency="USD"),
        sections=_sections(lines[:_PROBES]),
        more=url(f"/runs/{found.id}", after=lines[_PROBES - 1].number) if len(lines) > _PROBES else "",
        others=others,
        first=after == 0,
        progress=_progress(here, found) if found.status == "running" else "",
    )


def _sections(lines: list[ProbeLine]) -> list[tuple[str, list[ProbeLine]]]:
    grouped: dict[str, list[ProbeLine]] = {}
    for line in lines:
        grouped.setdefault(line.probe, []).append(line)
    return list(grouped.items())


@router.get("/runs/{run_id}/report")
def report(here: Here, caller: Reader, run_id: str) -> Response:  # noqa: ARG001 - the caller must be known
    """The report file, as ``probe report`` writes it."""
    results = load_results(here.store, run_id)
    saved = {"content-disposition": f'attachment; filename="probe-report-{results.run.id}.html"'}
    return HTMLResponse(results.html(), headers=saved)


@router.get("/runs/{run_id}/export")
def export(
    here: Here,
    caller: Reader,  # noqa: ARG001 - the caller must be known
    run_id: str,
    format: str = "csv",  # noqa: A002 - its name in the URL
    evaluations: bool = False,
) -> Response:
    """The files that ``probe export`` writes."""
    if format not in api.MEDIA:
        raise HTTPException(400, f"there are {', '.join(api.MEDIA)}")
    return api.exported(here, run_id, format, evaluations=evaluations)


@router.get("/runs/{run_id}/live")
async def live(here: Here, caller: Reader, run_id: str) -> Response:  # noqa: ARG001 - the caller must be known
    """How a run goes, as server-sent events with the part of the page that shows it."""
    found = await asyncio.to_thread(here.store.run, run_id)
    return StreamingResponse(_stream(here, found.id), media_type="text/event-stream")


async def _stream(here: Service, run_id: str) -> AsyncIterator[str]:
    seen, told = -1, ""
    live: Live | None = None
    while not here.jobs.draining:
        live = live or here.jobs.live_of_run(run_id)
        seq = -1 if live is None else live.state().seq
        if live is None or seq != seen:
            seen = seq
            found = await asyncio.to_thread(here.store.run, run_id)
            html = await asyncio.to_thread(_progress, here, found, live)
            if html != told:
                told = html
                yield "event: progress\n" + "".join(f"data: {line}\n" for line in html.splitlines()) + "\n"
            if live.state().over if live is not None else found.status != "running":
                break
        # another process tells nothing: its results are looked at instead
        await asyncio.sleep(0.25 if live is not None else 1.0)
    yield "event: over\ndata: over\n\n"


def _progress(here: Service, found: Run, live: Live | None = None) -> str:
    live = live or here.jobs.live_of_run(found.id)
    state = None if live is None else live.state()
    sent, cost = (0, 0) if state is not None else here.store.spent(found.id)
    recent = browse.probe_lines(here.store, found.id, limit=1000)
    return fragment(
        "live.html.j2", run=found, state=state, sent=sent, cost=cost, explained=len(recent), recent=recent[-5:]
    )


# -- one explanation -------------------------------------------------------------------------------------------------------


@router.get("/probes/{name}")
def probe(request: Request, here: Here, caller: Reader, name: str, after: int = 0) -> Response:
    """One explanation with its trust card, its picture and every request."""
    probe_id, kind = split(name)
    stored = browse.one_probe(here.store, probe_id)
    shown = load_shown(here.store, [stored])[0]
    if kind == "json":
        return JSONResponse(probe_json(shown))
    if kind == "csv":
        rows = [[share.feature, share.value, share.std_error] for share in stored.attributions]
        return table(kind, ("feature", "value", "std_error"), rows, name=f"probe-{stored.id}")
    picture = read_picture(shown.instance.content) if shown.instance.kind == "image" else None
    drawn = view(shown, anchor="e1", picture=picture, picture_name="i1", currency="USD")
    start = min(max(after, 0), 2**31)
    asked, unread = _asked(here, stored)
    history = answers.history_of(here.store, stored, limit=2)
    return page(
        request,
        "probe.html.j2",
        caller=caller,
        view=drawn,
        run=here.store.run(stored.run_id),
        asked=asked.slice(start, _REQUESTS) if asked is not None else [],
        total=0 if asked is None else len(asked),
        unread=unread,
        features=len(stored.attributions),
        start=start,
        earlier=url(f"/probes/{stored.id}", after=max(0, start - _REQUESTS) or None) if start else "",
        later=url(f"/probes/{stored.id}", after=start + _REQUESTS) if asked and start + _REQUESTS < len(asked) else "",
        has_history=len(history) > 1,
        currency="USD",
    )


def _asked(here: Service, stored: Any) -> tuple[answers.Asked | None, str]:
    """The evaluations, or why there are none to list: the numbers stand without them."""
    try:
        return answers.Asked(here, stored), ""
    except (StorageError, ProbeError, ValueError) as error:
        return None, str(error)


@router.get("/probes/{probe_id}/requests/{name}")
def evaluation(request: Request, here: Here, caller: Reader, probe_id: str, name: str) -> Response:
    """One request: what was switched off, what was sent as a line for a shell, what came back."""
    text, kind = split(name)
    stored = browse.one_probe(here.store, probe_id)
    asked = answers.Asked(here, stored)
    number = int(text) if text.isdecimal() and len(text) < 10 else -1
    if kind != "html":
        told = answers.evaluation(here, asked, number)
        if kind == "json":
            return JSONResponse(told.model_dump(mode="json"))
        return table(kind, ("label", "score"), list((told.scores or {}).items()), name=f"{probe_id}-{number}")
    one = asked.one(number)
    rebuilt = asked.rebuild(number)
    return page(
        request,
        "request.html.j2",
        caller=caller,
        probe=stored,
        instance=here.store.instance(stored.instance_id),
        endpoint=here.store.endpoint(stored.endpoint_id),
        one=one,
        total=len(asked),
        rebuilt=rebuilt,
        sent=_sent(rebuilt.input),
        response=answers.response_text(here.store, one.entry),
        scores=sorted(one.prediction.scores.items(), key=lambda each: -each[1])[:_SCORES] if one.prediction else [],
        features=len(stored.attributions),
    )


def _sent(made: Any) -> dict[str, Any]:
    """The input as it was sent: a text, a row of a table, or a picture."""
    return {
        "text": made if isinstance(made, str) else None,
        "picture": read_picture(_png(made)) if isinstance(made, np.ndarray) else None,
        "row": list(made.items()) if isinstance(made, Mapping) else [],
    }


def _png(pixels: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


@router.get("/probes/{probe_id}/history")
@router.get("/probes/{probe_id}/history.json")
@router.get("/probes/{probe_id}/history.csv")
def history(request: Request, here: Here, caller: Reader, probe_id: str) -> Response:
    """One probe over time: its score and its strongest features."""
    kind = split(request.url.path)[1]
    stored = browse.one_probe(here.store, probe_id)
    points = answers.history_of(here.store, stored)
    if kind != "html":
        columns = ("finished", "run", "probe", "target", "full_value", "feature", "value", "std_error")
        rows = [
            [each.finished, each.run, each.id, each.target, each.full_value, name, *share]
            for each in points
            for name, share in each.shares.items()
        ]
        return table(kind, columns, rows, name=f"history-{probe_id}")
    features = answers.features_over(points, 6)
    return page(
        request,
        "history.html.j2",
        caller=caller,
        probe=stored,
        instance=here.store.instance(stored.instance_id),
        endpoint=here.store.endpoint(stored.endpoint_id),
        points=points,
        features=features,
        score=lines_over_time("Score", [(each.finished, each.full_value, None, each.run) for each in points]),
        charts=[
            lines_over_time(name, [(each.finished, *each.shares.get(name, (None, None)), each.run) for each in points])
            for name in features
        ],
    )


@router.get("/instances/{instance_id}/thumbnail")
def thumbnail(here: Here, caller: Reader, instance_id: str) -> Response:  # noqa: ARG001 - the caller must be known
    """A picture under study, small, drawn anew: nothing of the stored file is passed on."""
    instance = here.store.instance(instance_id)
    if instance.kind != "image":
        raise HTTPException(404, "this input is no picture")
    try:
        pixels = Image.fromarray(np.asarray(read_instance(instance)))
    except (ValueError, OSError, TypeError) as error:
        raise HTTPException(404, "the stored picture cannot be shown") from error
    larger = _THUMBNAIL // max(pixels.size)
    if larger > 1:
        pixels = pixels.resize((pixels.width * larger, pixels.height * larger), Image.Resampling.NEAREST)
    else:
        pixels.thumbnail((_THUMBNAIL, _THUMBNAIL))
    buffer = io.BytesIO()
    pixels.save(buffer, format="PNG")
    return Response(buffer.getvalue(), media_type="image/png", headers={"cache-control": "private, max-age=86400"})

"""Pages that answer questions: what moved, which attributions there are, somebody's own SQL, what the API has."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import JSONResponse, Response

from probe.compared import compare, sides
from probe.errors import ProbeError
from probe.report import differences
from probe.report.queried import COLUMNS
from probe.web import answers, api, models
from probe.web.access import Caller, needs
from probe.web.render import page, split, table
from probe.web.service import Here
from storage import Damaged, NotFound, StorageError, browse
from storage.browse import RunFilter
from storage.questions import Filter
from storage.readonly import select

router = APIRouter(include_in_schema=False)

Reader = Annotated[Caller, Depends(needs("read"))]
Admin = Annotated[Caller, Depends(needs("admin"))]

_MOST_ROWS: Final = 10_000  #: of a table as JSON or CSV
_SEARCH: Final = ("run", "probe", "endpoint", "provider", "model", "instance", "feature", "label", "method")


@router.get("/diff")
@router.get("/diff.json")
@router.get("/diff.csv")
def diff(
    request: Request, here: Here, caller: Reader, a: str = "", b: str = "", run: str = "", level: float = 0.05
) -> Response:
    """What moved between two runs, two days or two endpoints."""
    kind = split(request.url.path)[1]
    found, wrong = None, ""
    if not 0 < level < 1:
        raise HTTPException(400, "level: a share between 0 and 1, such as 0.05")
    if a and b:
        try:
            one, two = sides(here.store, a, b, run=run or None)
            found = compare(here.store, one, two, level=level)
        except (NotFound, Damaged, ProbeError) as error:
            if kind != "html":
                raise
            wrong = str(error)
    elif kind != "html":
        raise HTTPException(400, "write ?a=RUN&b=RUN")
    if found is not None and kind == "json":
        return JSONResponse(differences.as_json(found))
    if found is not None and kind == "csv":
        return table(kind, _DIFF_COLUMNS, _diff_rows(differences.as_json(found)), name="diff")
    return page(
        request,
        "diff.html.j2",
        caller=caller,
        status=404 if wrong else 200,
        found=found,
        told=None if found is None else differences.as_json(found),
        wrong=wrong,
        given={"a": a, "b": b, "run": run, "level": level},
        lines=browse.run_lines(here.store, RunFilter(), limit=30),
    )


_DIFF_COLUMNS: Final = (
    *("probe", "instance", "endpoint", "method", "target", "feature"),
    *("before", "after", "change", "std_error", "p", "q", "moved"),
)


def _diff_rows(told: dict[str, Any]) -> list[list[Any]]:
    return [
        [*(each[name] for name in _DIFF_COLUMNS[:5]), *(feature[name] for name in _DIFF_COLUMNS[5:])]
        for each in told["probes"]
        for feature in each["features"]
    ]


@router.get("/search")
@router.get("/search.json")
@router.get("/search.csv")
def search(request: Request, here: Here, caller: Reader) -> Response:
    """Stored attributions by anything that describes them."""
    kind = split(request.url.path)[1]
    given = {name: request.query_params.get(name, "").strip() for name in _SEARCH}
    asked = any(given.values()) or kind != "html"
    texts: dict[str, Any] = {name: value or None for name, value in given.items()}
    wanted = Filter(**texts)
    wrong, more = "", False
    rows: list[list[Any]] = []
    if asked:
        try:
            if given["run"]:
                wanted = replace(wanted, run=here.store.run(given["run"]).id)
            rows, more = answers.attribution_rows(here.store, wanted, limit=200 if kind == "html" else _MOST_ROWS)
        except NotFound as error:
            if kind != "html":
                raise
            wrong = str(error)
    if kind != "html":
        return table(kind, COLUMNS, rows, name="attributions")
    found = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    return page(
        request,
        "search.html.j2",
        caller=caller,
        status=404 if wrong else 200,
        given=given,
        asked=asked,
        found=found,
        more=more,
        wrong=wrong,
    )


@router.get("/sql")
@router.get("/sql.json")
@router.get("/sql.csv")
def sql(request: Request, here: Here, caller: Admin, q: str = "") -> Response:
    """One ``SELECT`` of somebody's own, which can read and nothing else."""
    kind = split(request.url.path)[1]
    statement = models.Statement(sql=q[:20_000] or "SELECT 1")
    answer, wrong = None, ""
    if q.strip():
        try:
            limit = 1000 if kind == "html" else _MOST_ROWS
            answer = select(here.store.database, statement.sql, limit=limit, seconds=api.SQL_SECONDS)
        except StorageError as error:
            if kind != "html":
                raise
            wrong = str(error).removeprefix("--sql: ")
    elif kind != "html":
        raise HTTPException(400, "write ?q=SELECT…")
    if answer is not None and kind != "html":
        return table(kind, answer.columns, answer.rows, name="rows")
    return page(request, "sql.html.j2", caller=caller, status=400 if wrong else 200, q=q, answer=answer, wrong=wrong)


@router.get("/api")
def about(request: Request, caller: Reader) -> Response:
    """What the API has, from its own description."""
    paths = request.app.openapi()["paths"]
    found = [
        (method.upper(), path, told.get("description", "").strip())
        for path, methods in paths.items()
        for method, told in methods.items()
    ]
    return page(request, "api.html.j2", caller=caller, routes=found)

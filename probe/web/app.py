"""The application: routes, what goes wrong in words, and the runs that work while it is up."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import anyio.to_thread
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from probe.errors import ConfigError, ProbeError
from probe.report.clean import safe_text
from probe.web import api, metrics, pages, questions, render, sign_in, submit_pages
from probe.web.access import needs
from probe.web.guard import Guard, Hosts
from probe.web.render import error_page, wants_html
from probe.web.service import Here, Service
from storage import Ambiguous, Damaged, NotFound, Refused, StorageError, Unstorable

_log = logging.getLogger("probe.web")
_THREADS = 8  #: that answer pages: they compute more than they wait, and a slow comparison must not stop the rest

_MOST_BYTES = 1 << 20  #: of a request's body


def create_app(service: Service, hosts: Hosts) -> Guard:
    """What a server serves: the application of ``service`` behind its guard."""
    app = FastAPI(
        title="probe",
        version=service.version,
        summary="Black-box probing of remote machine-learning APIs.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,  # FastAPI's pages load their scripts from elsewhere
        redoc_url=None,
        lifespan=_lifespan,
        max_body_size=_MOST_BYTES,
        telemetry={"auto_configure": False},
    )
    app.state.service = service
    for router in (
        api.router,
        _around,
        render.router,
        sign_in.router,
        submit_pages.router,
        pages.router,
        questions.router,
    ):
        app.include_router(router)
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)

    def heard(told: object) -> None:
        assert isinstance(told, dict)  # noqa: S101 - for the type checker: it is ours
        service.requests.hear(told)
        seconds = round(told.pop("seconds"), 4)
        told["path"] = safe_text(told["path"], one_line=True, limit=300)
        _log.info("request", extra=told | {"seconds": seconds})

    return Guard(app, hosts=hosts, heard=heard)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
    working = asyncio.create_task(service.jobs.work())
    try:
        yield
    finally:
        await service.jobs.drain()
        await working


# -- around it all ---------------------------------------------------------------------------------------------------------

_around = APIRouter(include_in_schema=False)


@_around.get("/healthz")
def healthz() -> PlainTextResponse:
    """The process is up."""
    return PlainTextResponse("ok\n")


@_around.get("/readyz")
def readyz(here: Here) -> PlainTextResponse:
    """It takes requests, and its database answers."""
    if here.jobs.draining:
        return PlainTextResponse("stopping\n", 503)
    try:
        here.store.runs(1)
    except StorageError as error:
        return PlainTextResponse(f"{safe_text(error, one_line=True)}\n", 503)
    return PlainTextResponse("ok\n")


@_around.get("/metrics", dependencies=[Depends(needs("read"))])
def prometheus(here: Here) -> Response:
    """Figures for Prometheus."""
    text = metrics.exposition(here.store, here.jobs, here.requests)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


# -- what goes wrong -------------------------------------------------------------------------------------------------------


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for this
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers |= _allowed(request)
    return _said(request, error.status_code, str(error.detail), headers)


def _allowed(request: Request) -> dict[str, str]:
    """What the API's description allows there: the routes of one path are several, and each knows itself only."""
    for path, methods in request.app.openapi()["paths"].items():
        if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)), request.url.path):
            return {"allow": ", ".join(sorted(method.upper() for method in methods))}
    return {}


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - it is registered for this
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    return _said(request, 422, f"{place}: {str(first['msg']).removeprefix('Value error, ')}")


async def _ours(request: Request, error: Exception) -> Response:
    statuses: dict[type[Exception], int] = {
        Damaged: 500,
        NotFound: 404,
        Ambiguous: 404,
        Refused: 400,
        Unstorable: 400,
        ConfigError: 400,
        ProbeError: 400,
    }
    status = next((code for kind, code in statuses.items() if isinstance(error, kind)), 503)
    if status >= 500:
        _log.error("storage", extra={"error": str(error)})
    return _said(request, status, str(error))


async def _gone(request: Request, _error: Exception) -> Response:
    return _said(request, 413, "the request is longer than it may be, or was cut short")


def _said(request: Request, status: int, words: str, headers: dict[str, str] | None = None) -> Response:
    secrets = request.app.state.service.secrets
    text = safe_text(secrets.redact(words), one_line=True, limit=1000) or HTTPStatus(status).phrase
    if wants_html(request):
        return error_page(request, status, text, headers or {})
    return JSONResponse({"error": text}, status, headers)


_HANDLERS = {
    HTTPException: _http,
    RequestValidationError: _invalid,
    ProbeError: _ours,
    StorageError: _ours,
    ClientDisconnect: _gone,
}

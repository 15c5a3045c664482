"""Pages from templates, tables as JSON or CSV, and the few files that pages load."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from probe.report import listing
from probe.report.figures import Decimals
from probe.report.html import environment
from probe.report.palette import shade_name
from probe.web.access import Caller

_HERE: Final = Path(__file__).parent
_SCRIPT, _SHEET, _DRAWING = "text/javascript", "text/css", "image/svg+xml"
_ICON: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="3" fill="#0b5cad"/>'
    '<path d="M3 11h2V5H3zm4 0h2V3H7zm4 0h2V8h-2z" fill="#fff"/></svg>'
)

router = APIRouter(include_in_schema=False)


@cache
def _templates() -> Any:
    found = environment(_HERE / "templates")
    found.filters["share"] = lambda value, decimals: decimals.signed(value)
    found.filters["inpath"] = lambda text: quote(str(text), safe="")
    found.filters["cell"] = listing.cell
    found.globals.update(shade=shade_name, decimals=Decimals.for_values, url=url, asset=asset)
    return found


@cache
def _files() -> dict[str, tuple[str, bytes]]:
    sheet = _templates().get_template("site.css.j2").render()
    return {
        "site.css": (_SHEET, sheet.encode()),
        "icon.svg": (_DRAWING, _ICON.encode()),
        **{name: (_SCRIPT, (_HERE / "static" / name).read_bytes()) for name in ("htmx.min.js", "htmx-sse.min.js")},
    }


@cache
def asset(name: str) -> str:
    """Where pages find a file: another address whenever it changes."""
    return f"/static/{hashlib.sha256(_files()[name][1]).hexdigest()[:12]}/{name}"


@router.get("/static/{version}/{name}")
def static(version: str, name: str) -> Response:
    """A file that pages load. There is nothing secret in them."""
    if name not in _files() or asset(name) != f"/static/{version}/{name}":
        raise HTTPException(404, f"there is no file {name!r}")
    media, content = _files()[name]
    return Response(content, media_type=media, headers={"cache-control": "public, max-age=31536000, immutable"})


def url(path: str, given: Mapping[str, Any] | None = None, **changes: Any) -> str:
    """``path`` with ``given`` and ``changes`` as its query; empty ones are left out."""
    query = {name: value for name, value in {**(given or {}), **changes}.items() if value not in (None, "")}
    return f"{path}?{urlencode(query)}" if query else path


def page(
    request: Request, template: str, *, caller: Caller | None = None, status: int = 200, **context: Any
) -> HTMLResponse:
    """A page. Templates know ``caller``, ``form_key`` for forms, ``path`` and ``signed_in``."""
    access = request.app.state.service.access
    html = (
        _templates()
        .get_template(template)
        .render(
            caller=caller,
            form_key="" if caller is None else access.form_key(caller),
            signed_in=caller is not None and bool(caller.session),
            path=request.url.path,
            here=str(request.url.path) + (f"?{request.url.query}" if request.url.query else ""),
            **context,
        )
    )
    return HTMLResponse(html, status)


def fragment(template: str, **context: Any) -> str:
    """A part of a page."""
    text: str = _templates().get_template(template).render(**context)
    return text


def wants_html(request: Request) -> bool:
    """Whether a person asks."""
    path = request.url.path
    if path.startswith("/api/") or path.endswith((".json", ".csv")):
        return False
    return "text/html" in request.headers.get("accept", "")


def error_page(request: Request, status: int, words: str, headers: Mapping[str, str]) -> Response:
    """What went wrong, for a person; whoever is not known is asked who they are."""
    if status == 401 and request.method == "GET" and request.url.path != "/login":
        asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(url("/login", next=asked), 303)
    answer = page(request, "error.html.j2", status=status, words=words, phrase=HTTPStatus(status).phrase)
    answer.headers.update(headers)
    return answer


def split(name: str) -> tuple[str, str]:
    """``7f3a.json`` as ``7f3a`` and ``json``; without an ending the second is ``html``."""
    stem, dot, ending = name.rpartition(".")
    return (stem, ending) if dot and ending in {"json", "csv"} else (name, "html")


def table(kind: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, name: str) -> Response:
    """Rows as a JSON list of objects, or as CSV that no spreadsheet takes for formulas."""
    if kind == "csv":
        text = listing.as_csv(columns, rows).encode("utf-8", "replace")
        saved = {"content-disposition": f'attachment; filename="{name}.csv"'}
        return Response(text, media_type="text/csv; charset=utf-8", headers=saved)
    return JSONResponse([dict(zip(columns, map(listing.plain, row), strict=True)) for row in rows])

"""Signing in and out with a token, for browsers."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from probe.web.access import COOKIE, SESSION_SECONDS, Caller, needs
from probe.web.forms import first, read_form
from probe.web.render import page
from probe.web.service import Here

router = APIRouter(include_in_schema=False)


@router.get("/login")
def ask(request: Request, next: str = "/runs") -> Response:  # noqa: A002 - its name in the URL
    """The form that asks for a token."""
    return page(request, "login.html.j2", next=_inside(next), wrong="")


@router.post("/login")
async def sign_in(request: Request, here: Here) -> Response:
    """Start a session, in a cookie that scripts cannot read and other sites cannot send."""
    fields = await read_form(request)
    after = _inside(first(fields, "next"))
    address = request.client.host if request.client is not None else ""
    try:
        session = await asyncio.to_thread(here.access.sign_in, first(fields, "token"), address)
    except HTTPException as error:
        answer: Response = page(request, "login.html.j2", status=error.status_code, next=after, wrong=error.detail)
        answer.headers.update(error.headers or {})
        return answer
    answer = RedirectResponse(after, 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, session, max_age=SESSION_SECONDS, httponly=True, samesite="strict", secure=secure)
    return answer


@router.post("/logout")
async def sign_out(request: Request, here: Here, caller: Annotated[Caller, Depends(needs("read"))]) -> Response:
    """End the session."""
    await read_form(request, caller)
    here.access.sign_out(caller.session)
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


def _inside(path: str) -> str:
    """``path`` if it is one of this service, and no other site in disguise."""
    usual = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if usual else "/runs"

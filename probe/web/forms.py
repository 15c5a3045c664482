"""Forms of pages: read, and known to come from a page of ours."""

from __future__ import annotations

from urllib.parse import parse_qs

from fastapi import HTTPException, Request

from probe.web.access import Caller
from probe.web.service import of


async def read_form(request: Request, caller: Caller | None = None) -> dict[str, list[str]]:
    """The fields of a form. With ``caller``: raises :class:`HTTPException` unless it carries the caller's key."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise HTTPException(415, "a form is application/x-www-form-urlencoded")
    body = (await request.body()).decode("utf-8", "replace")
    try:
        fields = parse_qs(body, keep_blank_values=True, max_num_fields=200)
    except ValueError as error:
        raise HTTPException(400, "the form has more fields than it may have") from error
    if caller is not None:
        of(request).access.check_form(caller, first(fields, "form_key"))
    return fields


def first(fields: dict[str, list[str]], name: str) -> str:
    """The value of a field, without the white space around it; empty if there is none."""
    return fields.get(name, [""])[0].strip()

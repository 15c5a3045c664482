"""Drafts as the user wants them: under their names, with access to the server, and only those that make an endpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from adapters import SpecError, endpoint_from_config
from probe.discovery.base import Draft


def fitted(drafts: Sequence[Draft], access: Mapping[str, Any], *, name: str | None) -> tuple[list[Draft], list[str]]:
    """``drafts`` with ``access`` (``auth``, ``headers`` of a config), and why others were left out: what a document says may
    be anything, and not all of it can be an endpoint.

    ``name``: what to call the only one, or the beginning of the names of several.
    """
    usable: dict[str, Draft] = {}
    reasons: list[str] = []
    for draft in drafts:
        wanted = draft.name if name is None else name if len(drafts) == 1 else f"{name}-{draft.name}"
        own = next(
            each for number in count(1) if (each := wanted if number == 1 else f"{wanted}-{number}") not in usable
        )
        entry = _with_access(draft.entry, access)
        try:
            endpoint_from_config(own, entry, environment={}, base=Path())
        except SpecError as error:
            reasons.append(str(error))
        else:
            usable[own] = replace(draft, name=own, entry=entry)
    return list(usable.values()), reasons


def _with_access(entry: Mapping[str, Any], access: Mapping[str, Any]) -> dict[str, Any]:
    """``entry`` with ``auth`` and ``headers`` right below its URL; its own headers count more."""
    headers = {**access.get("headers", {}), **entry.get("headers", {})}
    return {"url": entry["url"], **access, **entry, **({"headers": headers} if headers else {})}

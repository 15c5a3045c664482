"""What is asked in which order, until something publishes what can be drafted."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Final

from probe.discovery.base import Ask, Draft, Found, Reading, Seen
from probe.discovery.gradio import gradio
from probe.discovery.model_lists import model_lists
from probe.discovery.model_servers import mlflow, torchserve
from probe.discovery.open_inference import open_inference
from probe.discovery.openapi import openapi

#: by what they are called, the most telling first
READERS: Final[tuple[tuple[str, Callable[[str, str | None], Reading]], ...]] = (
    ("Open Inference Protocol V2", open_inference),
    ("model list", model_lists),
    ("Gradio", gradio),
    ("BentoML", openapi("/docs.json")),
    ("OpenAPI", openapi("/openapi.json")),
    ("MLflow", mlflow),
    ("TorchServe", torchserve),
)

#: what people paste instead of the server's own URL
_TAIL = re.compile(
    r"/(v[12](/(models|repository|chat|completions|health)(/.*)?)?"
    r"|docs|redoc|docs\.json|openapi\.json|gradio_api(/.*)?|invocations|ping|predictions(/.*)?)$",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Explored:
    """What came of it. ``source``: which reader drafted; empty if none could."""

    source: str
    drafts: tuple[Draft, ...]
    remarks: tuple[str, ...]


def base_url(url: str) -> str:
    """The URL that paths are put behind: without a trailing slash, and without a route of a model or a document."""
    return _TAIL.sub("", url.partition("?")[0].rstrip("/"))


def explore(base: str, *, model: str | None = None) -> Generator[Ask, Seen, Explored]:
    """Ask each reader in turn; the first that leaves nothing but labels open ends it, else the first that drafts anything.

    ``model``: draft only this one (a model's name, a route, a function), and ask for it where nothing lists it.
    """
    partial = Explored("", (), ())
    remarks: list[str] = []
    for name, reader in READERS:
        found: Found = yield from reader(base, model)
        remarks += found.remarks
        complete = tuple(draft for draft in found.drafts if draft.complete)
        if complete:
            return Explored(name, found.drafts, found.remarks)
        if found.drafts and not partial.drafts:
            partial = Explored(name, found.drafts, found.remarks)
    return partial if partial.drafts else Explored("", (), tuple(remarks))

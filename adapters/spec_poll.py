"""Answers that do not come at once: results to be fetched later, and streams of events."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from adapters.checks import JmesPath, PlainText, fault
from adapters.spec_base import Strict, as_tuple

_SECONDS = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m)\s*")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}
_HOST = r"^[A-Za-z0-9.-]+(:\d{1,5})?$"


def _seconds(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    found = _SECONDS.fullmatch(value)
    if not found:
        raise fault(f"not a time: {value!r}; write 500ms, 1s or 10m")
    return float(found[1]) * _UNITS[found[2]]


Seconds = Annotated[float, BeforeValidator(_seconds), Field(gt=0, le=86400, allow_inf_nan=False)]


class Poll(Strict):
    """The request only starts the work; its result is fetched from a URL that the answer names.

    An answer that is ready at once (``until`` holds already) is not asked for again. Credentials go to the host of the
    endpoint's ``url`` only; another one that is named is asked without them, and only if it is listed in ``hosts``.
    """

    url: JmesPath  #: in the answer to the start: the URL to ask, absolute or relative to the endpoint's
    until: JmesPath | None = None  #: in what it answers: truthy once the result is there; without it, at once
    failed: JmesPath | None = None  #: truthy if there will be no result
    every: Seconds = 1.0
    timeout: Seconds = 600.0  #: from the answer to the start; one call is bounded by ``limits.timeout``
    result: JmesPath | None = None  #: in the last answer: the URL of the result, if it is not the answer itself
    hosts: Annotated[tuple[Annotated[str, Field(pattern=_HOST)], ...], BeforeValidator(as_tuple)] = ()


class Sse(Strict):
    """The answer is a stream of events (``text/event-stream``), read to its end: the data of the last one is the document."""

    event: PlainText | None = None  #: … of the last one with this name
    error: PlainText = "error"  #: an event with this name is a failure

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        if data == "last":
            return {}
        if not isinstance(data, Mapping):
            raise fault("write last, or {event: NAME}")
        return data

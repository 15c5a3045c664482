"""The JSON of an answer, strictly read, and expressions that find things in it. Only typed errors leave this module."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from adapters.errors import NotJson, ResponseError
from adapters.show import excerpt, printable, shown

_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(!doctype html|html|head|body|\?xml|[A-Za-z!?])", re.IGNORECASE)
_QUERY_FAULTS = (
    JMESPathError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


class Query:
    """A compiled JMESPath whose faults come out as :class:`QueryFault`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._search: Callable[[Any], Any]
        if path == "@":
            self._search = _itself
        elif _NAME.fullmatch(path):  # the common case, and ten times as fast
            self._search = lambda value: value.get(path) if isinstance(value, dict) else None
        else:
            self._search = jmespath.compile(path).search

    def __call__(self, value: Any) -> Any:
        try:
            return self._search(value)
        except _QUERY_FAULTS as error:
            raise QueryFault(f"the expression {self.path!r} fails on {shown(value)}: {printable(error)}") from None


class QueryFault(ResponseError):
    """An expression that does not apply to an answer. It does not know the endpoint; see :func:`naming`."""


@contextmanager
def naming(endpoint: str) -> Iterator[None]:
    """Say whose answer it was when an expression fails."""
    try:
        yield
    except QueryFault as error:
        raise ResponseError(f"endpoint {endpoint!r}: {error}") from None


def truthy(value: Any) -> bool:
    """JMESPath's notion: everything but null, false and what is empty. 0 is true."""
    return not (value is None or value is False or value in ("", [], {}))


def parse_json(body: bytes, endpoint: str) -> Any:
    """``body`` as strict JSON; objects with a repeated key come as ``OrderedDict``. Raises :class:`NotJson`."""
    try:
        return json.loads(body, parse_constant=_no_constant, object_pairs_hook=_object)
    except _Constant as error:
        raise NotJson(
            f"endpoint {endpoint!r}: the answer holds {error}, which is not a number in JSON: {excerpt(body)}",
            kind="number",
        ) from None
    except RecursionError:
        raise NotJson(
            f"endpoint {endpoint!r}: the answer is nested too deeply: {excerpt(body, 80)}", kind="page"
        ) from None
    except ValueError as error:
        raise _not_json(body, endpoint, error) from None


class _Constant(Exception):
    pass


def _no_constant(name: str) -> Any:
    raise _Constant(name)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else OrderedDict(pairs)  # marks the repeated key, see _labelled


def _not_json(body: bytes, endpoint: str, error: ValueError) -> NotJson:
    start = f"endpoint {endpoint!r}: "
    page = _PAGE.match(body)
    if not body.strip():
        return NotJson(f"{start}the answer is empty", kind="cut")
    if page:
        what = "an XML document" if page[1].lower() == b"?xml" else "an HTML or XML page"
        return NotJson(f"{start}{what} instead of JSON: {excerpt(body)}; is the url right?", kind="page")
    if isinstance(error, json.JSONDecodeError):
        cut = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string")
        if cut and body.lstrip()[:1] in (b"{", b"[", b'"'):
            return NotJson(f"{start}the answer is cut off after {len(body)} bytes: …{excerpt(body[-80:])}", kind="cut")
        where = f"{error.msg} at line {error.lineno} column {error.colno}"
        return NotJson(f"{start}the answer is not JSON ({where}): {excerpt(body)}", kind="page")
    return NotJson(f"{start}the answer is not JSON ({printable(error, 80)}): {excerpt(body)}", kind="page")


def _itself(value: Any) -> Any:
    return value

"""Tokens: what a request will probably count as, and what its answer says it did. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from adapters.base import HttpRequest, HttpResponse, Request, Usage
from adapters.documents import Documents
from adapters.errors import ResponseError
from adapters.read_json import Query
from adapters.spec_limits import UsageSpec

_BYTES_PER_TOKEN: Final = 4
#: keys under which request bodies cap the answer's length
_CAPS: Final = frozenset(
    {"max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens", "max_new_tokens"}
)


class TokenCounter:
    """Estimates and reads the tokens of one endpoint's requests by its ``usage`` rules.

    The estimate is a quarter of the body's bytes, and for the answer ``output_tokens``, else the cap in the request's own
    tree (``max_tokens`` and its like), else nothing. It is only held until the answer says what it really was.
    """

    def __init__(self, documents: Documents, spec: UsageSpec | None, tree: Any) -> None:
        self._documents = documents
        configured = spec.output_tokens if spec is not None else None
        self._output = configured if configured is not None else _cap(tree)
        self._paths = None if spec is None else (_query(spec.input), _query(spec.output))

    def estimate(self, request: Request) -> Usage:
        """Of ``request`` before it is sent."""
        if not isinstance(request, HttpRequest):
            return Usage(0, self._output)
        return Usage(math.ceil(len(request.body) / _BYTES_PER_TOKEN), self._output, request.units)

    def reported(self, response: HttpResponse) -> Usage | None:
        """What ``response`` says; ``None`` if it does not, or the endpoint's description does not say where."""
        if self._paths is None:
            return None
        try:
            data = self._documents.parse(response.body)
            found = [0 if path is None else _count(path(data)) for path in self._paths]
        except ResponseError:
            return None
        first, second = found
        return None if first is None or second is None else Usage(first, second)


def _query(path: str | None) -> Query | None:
    return None if path is None else Query(path)


def _count(value: Any) -> int | None:
    whole = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53
    return math.ceil(value) if whole else None


def _cap(tree: Any) -> int:
    """The largest cap on the answer's length anywhere in a request's tree; 0 if there is none."""
    if isinstance(tree, Mapping):
        own = [value for key, value in tree.items() if key in _CAPS and type(value) is int and value > 0]
        return max([*own, *map(_cap, tree.values())], default=0)
    if isinstance(tree, list | tuple):
        return max(map(_cap, tree), default=0)
    return 0

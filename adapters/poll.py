"""From the answer to a start to its result: which URL to ask next, and where it may be. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import SplitResult, urljoin, urlsplit

from pydantic_core import PydanticCustomError

from adapters.base import HttpRequest, HttpResponse, Step
from adapters.checks import check_url
from adapters.documents import Documents
from adapters.errors import NotJson, ResponseError
from adapters.read_json import Query, naming, parse_json, truthy
from adapters.show import printable, shown
from adapters.spec_poll import Poll

_PORTS = {"http": 80, "https": 443}


class Poller:
    """The ``poll`` rules of one endpoint. ``headers``: of its requests, as they are stored."""

    def __init__(
        self,
        endpoint: str,
        rules: Poll,
        *,
        url: str,
        headers: Sequence[tuple[str, str]],
        documents: Documents,
        sse: bool,
    ) -> None:
        self._endpoint = endpoint
        self._rules = rules
        self._home = urlsplit(url)
        self._base = url
        self._headers = tuple((name, value) for name, value in headers if name not in ("content-type", "accept"))
        self._accept = "text/event-stream" if sse else "application/json"
        self._documents = documents
        self._streams = sse
        self._url = Query(rules.url)
        self._until = Query(rules.until) if rules.until else None
        self._failed = Query(rules.failed) if rules.failed else None
        self._result = Query(rules.result) if rules.result else None

    @property
    def timeout(self) -> float:
        """Seconds from the answer to the start until the result must be there."""
        return self._rules.timeout

    def follow(self, response: HttpResponse, step: Step | None) -> Step | None:
        """What to ask after ``response``, which answered ``step`` (``None``: the start); ``None`` if it is the result, or
        says that there will be none. Raises :class:`ResponseError`."""
        with naming(self._endpoint):
            return self._next(response, step)

    def _next(self, response: HttpResponse, step: Step | None) -> Step | None:
        if step is not None and step.last:
            return None
        start = step is None
        document = None
        if start and self._streams:
            document = parse_json(response.body, self._endpoint)  # what it starts is a stream, the start is not
        elif self._documents.refusal(response.body) is None:
            document = self._parsed(response.body, start=start)
        if document is None or (self._failed is not None and truthy(self._failed(document))):
            return None
        ready = not start if self._until is None else truthy(self._until(document))
        if ready and not (start and self._streams):
            return self._fetch(self._result, document, wait=0.0, last=True) if self._result is not None else None
        if step is not None:
            return step
        return self._fetch(self._url, document, wait=0.0 if self._until is None else self._rules.every, last=False)

    def _parsed(self, body: bytes, *, start: bool) -> object:
        try:
            return self._documents.parse(body)
        except NotJson:
            # a last answer that is read otherwise than as a document will say so itself
            if start or self._until is not None or self._result is not None:
                raise
            return {}

    def _fetch(self, query: Query, document: object, *, wait: float, last: bool) -> Step:
        found = query(document)
        if not isinstance(found, str) or not found:
            raise ResponseError(
                f"endpoint {self._endpoint!r}: poll: {query.path!r} finds {shown(found)} instead of a URL in {shown(document)}"
            )
        try:
            url = urljoin(self._base, found)
            parts = urlsplit(url)
            check_url(url)
            port = parts.port
        except (ValueError, PydanticCustomError) as error:
            raise ResponseError(
                f"endpoint {self._endpoint!r}: poll: {query.path!r} finds {printable(found, 80)!r}, "
                f"which cannot be asked ({printable(error)})"
            ) from None
        home = (parts.scheme, parts.hostname, port or _PORTS[parts.scheme]) == _origin(self._home)
        if not home and not self._allowed(parts):
            raise ResponseError(
                f"endpoint {self._endpoint!r}: poll: {query.path!r} names {parts.scheme}://{printable(parts.netloc)}, but "
                f"the endpoint is at {self._home.scheme}://{self._home.netloc}: it is not asked unless poll.hosts lists it"
            )
        headers = (*(self._headers if home else ()), ("accept", self._accept))
        return Step(HttpRequest("GET", url, headers, b"", anonymous=not home), wait, last)

    def _allowed(self, parts: SplitResult) -> bool:
        if parts.scheme != "https" and self._home.scheme == "https":
            return False
        return any(host in (parts.netloc, parts.hostname) for host in self._rules.hosts)


def _origin(parts: SplitResult) -> tuple[str, str | None, int]:
    return parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme]

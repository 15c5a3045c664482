"""The adapter of a declarative endpoint: a request tree in, scores out, no I/O."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

import numpy as np

from adapters.auth import full_url, secret_names
from adapters.base import HttpRequest, HttpResponse, Instance, ItemError, Prediction, Request, Step, Usage, Verdict
from adapters.classify import Classifier
from adapters.documents import Documents
from adapters.errors import AdapterError, InputTooLarge, RequestTooLarge, SpecError
from adapters.multipart import Multipart
from adapters.poll import Poller
from adapters.ratelimit import Announcement, Now, announced
from adapters.scores import VERSION, LabelSpace, ScoreReader
from adapters.spec import EndpointSpec
from adapters.template import Binary, Template, as_body, dump_json, size_of
from adapters.usage import TokenCounter

_FIRST_KINDS: Final = ("map", "pairs", "vector", "value")


class HttpAdapter:
    """An :class:`~adapters.base.Adapter` for any model that takes a request and answers in JSON.

    ``now`` gives an aware datetime; it is asked only to read a ``Retry-After`` date in an answer without a ``Date``.
    Raises :class:`SpecError` if the request tree of ``spec`` is wrong.
    """

    def __init__(self, name: str, spec: EndpointSpec, *, now: Now | None = None) -> None:
        self.name = name
        self.spec = spec
        self._now = now
        self.limits = spec.limits.limits()
        self.price = spec.price.price()
        self.max_batch = spec.batch.max_items
        self.labels = spec.label_names
        self.url = full_url(spec)
        self.secret_names = secret_names(spec)
        self.identity = _identity(spec)
        self.parser = _parser(spec)
        self._kind, self._template = _request_template(f"endpoints.{name}", spec)
        self._headers = tuple((key.lower(), value) for key, value in spec.headers.items())
        documents = Documents(name, spec.sse)
        self._reader = ScoreReader(
            name,
            scores=spec.scores,
            items=spec.rows,
            space=LabelSpace(spec.labels, spec.missing, spec.below, _renaming(spec)),
            documents=documents,
        )
        self._tokens = TokenCounter(documents, spec.usage, spec.json_body)
        self._classifier = Classifier(
            name,
            urlsplit(spec.url).netloc,
            retry=spec.retry,
            error=spec.error,
            failed=spec.poll.failed if spec.poll else None,
            documents=documents,
            now=now,
        )
        self._poller = None
        if spec.poll is not None:
            self._poller = Poller(
                name, spec.poll, url=spec.url, headers=self._headers, documents=documents, sse=spec.sse is not None
            )
        self.result_timeout = spec.poll.timeout if spec.poll is not None else None

    def request(self, batch: Sequence[Instance]) -> HttpRequest:
        if not 1 <= len(batch) <= self.max_batch:
            raise SpecError(
                f"endpoint {self.name!r}: {len(batch)} inputs in one request, batch allows 1 to {self.max_batch}"
            )
        body = self._body(batch)
        fits = self._fits(batch, len(body.content))
        headers = self._headers
        if all(name != "content-type" for name, _ in headers):
            headers = (("content-type", body.media_type), *headers)
        if all(name != "accept" for name, _ in headers):
            streams = self.spec.sse is not None and self._poller is None
            headers = (*headers, ("accept", "text/event-stream" if streams else "application/json"))
        return HttpRequest(
            self.spec.method,
            self.url,
            headers,
            body.content,
            self.spec.idempotency,
            units=self.price.units(batch),
            fits=fits,
        )

    def predictions(self, response: HttpResponse, n: int) -> list[Prediction | ItemError]:
        return self._reader.read(response.body, n)

    def classify(self, outcome: HttpResponse | AdapterError) -> Verdict:
        return self._classifier.classify(outcome)

    def estimate(self, request: Request) -> Usage:
        return self._tokens.estimate(request)

    def usage(self, response: HttpResponse) -> Usage | None:
        return self._tokens.reported(response)

    def follow(self, response: HttpResponse, step: Step | None) -> Step | None:
        return None if self._poller is None else self._poller.follow(response, step)

    def announced(self, response: HttpResponse, *, now: datetime | None = None) -> tuple[Announcement, ...]:
        """The limits that ``response`` announces in its headers; ``now`` (aware, default this adapter's clock) is what dates
        count from if it has no ``Date``."""
        if now is None and self._now is not None:
            now = self._now()
        return announced(response.headers, now=now)

    def _fits(self, batch: Sequence[Instance], size: int) -> int | None:
        """How many inputs like these a request can carry. Raises :class:`InputTooLarge`, :class:`RequestTooLarge`."""
        most, largest = self.spec.batch.max_bytes, self.spec.batch.max_input_bytes
        for x in batch if largest is not None else ():
            length = size if len(batch) == 1 and isinstance(x, np.ndarray) else size_of(x)
            if largest is not None and length > largest:
                raise InputTooLarge(
                    f"endpoint {self.name!r}: the input has {length} bytes, more than batch.max_input_bytes ({largest}): "
                    "it is not sent"
                )
        if most is None:
            return None
        fits = max(1, len(batch) * most // max(size, 1))
        if size > most and len(batch) > 1:
            raise RequestTooLarge(
                f"endpoint {self.name!r}: {len(batch)} inputs make a body of {size} bytes, more than batch.max_bytes ({most})",
                fits=min(fits, len(batch) - 1),
            )
        return fits

    def _body(self, batch: Sequence[Instance]) -> Binary:
        where = f"endpoints.{self.name}.{self._kind}"
        value = self._template.render(batch)
        if self._kind == "json":
            return Binary(dump_json(value, where).encode(), "application/json")
        return as_body(value, where)


def _request_template(where: str, spec: EndpointSpec) -> tuple[str, Template | Multipart]:
    """The parsed request, checked to carry the input and as many inputs as ``batch`` says."""
    kind: str
    template: Template | Multipart
    if spec.multipart is not None:
        kind, template = "multipart", Multipart(spec.multipart, f"{where}.multipart")
    else:
        kind = "json" if spec.body is None else "body"
        template = Template(spec.json_body if spec.body is None else spec.body, f"{where}.{kind}")
    if not template.uses_input:
        raise SpecError(f"{where}.{kind}: no {{{{ x }}}} anywhere, so every input would send the same request")
    if spec.batch.max_items > 1 and not template.each:
        raise SpecError(
            f"{where}.batch: {spec.batch.max_items} inputs in one request need a list with {{$each: …}} in {kind}"
        )
    return kind, template


def _identity(spec: EndpointSpec) -> str:
    """Canonical JSON of all that shapes a request; references stay references, so it holds no secret."""
    request: Any = {"multipart": spec.multipart} if spec.multipart is not None else {"json": spec.json_body}
    if spec.body is not None:
        request = {"body": spec.body}
    headers = sorted((name.lower(), value) for name, value in spec.headers.items())
    shape = {
        "adapter": "http",
        "url": spec.url,
        "method": spec.method,
        "query": list(spec.query.items()),
        "headers": headers,
        "request": request,
        "model": spec.model,
    }
    if spec.poll is not None:  # which answer is the stored one
        shape["poll"] = spec.poll.model_dump(mode="json", include={"url", "until", "failed", "result"})
    return _canonical(shape)


def _parser(spec: EndpointSpec) -> str:
    """SHA-256 of the rules that read an answer. Rules that an older release did not have are in it only if they are given,
    so that its answers need not be read again."""
    rules = spec.model_dump(mode="json", include={"labels", "missing", "below", "error"})
    scores = spec.scores.model_dump(mode="json")
    if spec.scores.map is not None and spec.scores.map.score is None:
        del scores["map"]["score"]
    rules["scores"] = {kind: rule for kind, rule in scores.items() if kind in _FIRST_KINDS or rule is not None}
    rules["items"] = spec.rows.model_dump(mode="json", exclude={"errors"}) if spec.rows else None
    if spec.rows:
        errors = spec.rows.errors
        rules["items"]["errors"] = (
            None if errors is None else errors.model_dump(mode="json", exclude={"id"} if errors.id is None else None)
        )
    if spec.sse is not None:
        rules["sse"] = spec.sse.model_dump(mode="json")
    if spec.aliases:
        rules["aliases"] = {label: list(others) for label, others in spec.aliases.items()}
    return hashlib.sha256(_canonical({"version": VERSION, **rules}).encode()).hexdigest()


def _renaming(spec: EndpointSpec) -> dict[str, str]:
    return {other: label for label, others in spec.aliases.items() for other in others}


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)

"""Asking a server what it publishes: where the readers of ``probe.discovery`` meet the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters import (
    AdapterError,
    HttpAdapter,
    HttpRequest,
    HttpResponse,
    SpecError,
    endpoint_from_config,
    open_transport,
)
from adapters.scores import parse_json
from adapters.show import printable
from probe.discovery import Ask, Explored, Seen, explore
from probe.errors import ConfigError, EndpointDown

_TIMEOUT = 10.0  #: seconds for one document
_MOST_BYTES = 4 * 2**20  #: of one document, decompressed
_HEADERS = (("accept", "application/json, text/plain;q=0.5"),)

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the server's URL, and the ``auth`` and ``headers`` of an endpoint's config."""

    base: str
    access: Mapping[str, Any]
    environment: Mapping[str, str]

    def adapter(self, path: str = "") -> HttpAdapter:
        """An endpoint at ``path`` of the server. Raises :class:`ConfigError`."""
        limits = {"timeout": _TIMEOUT, "max_response_bytes": _MOST_BYTES}
        entry = {"url": self.base + path, "json": "{{ x }}", "scores": {"map": "@"}, "limits": limits, **self.access}
        try:
            adapter = endpoint_from_config("discover", entry, environment=self.environment, base=Path())
        except SpecError as error:
            raise ConfigError(
                str(error).removeprefix("endpoints.discover.").removeprefix("endpoints.discover: ")
            ) from error
        if not isinstance(adapter, HttpAdapter):
            raise TypeError("an entry without an adapter is one over HTTP")
        return adapter

    async def answer(self, ask: Ask) -> HttpResponse:
        """What the server says. No redirect is followed. Raises :class:`AdapterError`, :class:`ConfigError`."""
        adapter = self.adapter(ask.path)
        headers = (
            *(pair for pair in adapter.request(["x"]).headers if pair[0] not in {"content-type", "accept"}),
            *_HEADERS,
        )
        if ask.body:
            headers = (*headers, ("content-type", "application/json"))
        try:
            transport = open_transport(adapter, environment=self.environment)
        except SpecError as error:
            raise ConfigError(str(error)) from error
        try:
            return await transport.send(HttpRequest(ask.method, adapter.url, headers, ask.body))
        finally:
            await transport.aclose()


async def explored(caller: Caller, *, model: str | None, tell: Tell) -> Explored:
    """Ask in turn until something can be drafted; each question and what came goes to ``tell`` as one line.

    Raises:
        ConfigError: the URL, ``auth`` or a header is wrong, or a secret is not set.
        EndpointDown: the server cannot be reached, wants credentials, or publishes nothing that is known here.
    """
    steps = explore(caller.base, model=model)
    statuses: list[int] = []
    moved = ""
    try:
        ask = next(steps)
        while True:
            try:
                response = await caller.answer(ask)
            except AdapterError as error:
                reason = str(error).removeprefix("endpoint 'discover': ")
                if not statuses:
                    raise EndpointDown(f"{caller.base}: {reason}; is the URL right?") from error
                tell(f"{printable(ask)}: {reason}")
                statuses.append(0)
                ask = steps.send(Seen(0))
                continue
            statuses.append(response.status)
            moved = moved or (response.header("location") or "") if 300 <= response.status < 400 else moved
            tell(_line(ask, response))
            ask = steps.send(_seen(response))
    except StopIteration as end:
        found: Explored = end.value
    if not found.drafts:
        raise EndpointDown(_nothing(caller.base, statuses, moved, found.remarks))
    return found


def _seen(response: HttpResponse) -> Seen:
    data = None
    if response.status == 200:
        try:
            data = parse_json(response.body, "discover")
        except AdapterError:
            data = None
    return Seen(response.status, data, response.body[:200].decode("utf-8", "replace"))


def _line(ask: Ask, response: HttpResponse) -> str:
    kind = printable(response.header("content-type") or "no content type", 60)
    what = f"{kind}, {len(response.body):,} bytes" if response.status == 200 else ""
    where = (
        f"to {printable(response.header('location') or '?', 120)}, not followed" if 300 <= response.status < 400 else ""
    )
    return f"{printable(ask)}: {' '.join(filter(None, (str(response.status), what, where)))}"


def _nothing(base: str, statuses: list[int], moved: str, remarks: tuple[str, ...]) -> str:
    """Why there is no draft, and what to do."""
    if refused := {401, 403} & set(statuses):
        by_reference = "--auth '{bearer: \"${NAME}\"}'"
        return f"{base}: it wants credentials (HTTP {min(refused)}); name them by reference: {by_reference}"
    if moved and all(300 <= status < 400 for status in statuses):
        return (
            f"{base}: it redirects to {printable(moved, 120)}, which is not followed; if that is right, give that URL"
        )
    if remarks:
        return f"{base}: nothing can be drafted: {remarks[0]}"
    known = "V2, model lists, Gradio, OpenAPI, MLflow, TorchServe"
    return f"{base}: it publishes nothing that is known ({known}); write the endpoint by hand, as `probe init` shows"

"""What every request passes before anything looks at it, and what every answer carries.

A page on another site can make a browser send requests here. So the name in ``Host`` must be ours (a foreign name that was
pointed at this address is refused), and what changes something must come from a page of ours.
"""

from __future__ import annotations

import ipaddress
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SAFE: Final = {"GET", "HEAD", "OPTIONS"}
_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
        # the axes of bars are placed by a style attribute; there is no style element and no sheet but ours
        "style-src 'self'; style-src-attr 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # with none, browsers send forms of our own pages with `Origin: null`
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cache-control": "no-store",
}

#: hears of every answer: method, path, status, seconds
Heard = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Hosts:
    """The names under which the service answers. ``addresses``: under any IP address too, which nobody can point elsewhere."""

    names: frozenset[str]
    addresses: bool = False

    @classmethod
    def of(cls, bound: str, names: tuple[str, ...] = ()) -> Hosts:
        """For a server that listens on the address ``bound`` and is also called ``names``."""
        local = {"localhost", "127.0.0.1", "::1"} if is_loopback(bound) else set()
        return cls(frozenset({bound.lower(), *local, *(name.lower() for name in names)}), not is_loopback(bound))

    def allow(self, header: str) -> bool:
        """Whether ``header``, the value of ``Host``, is one of them, at whatever port."""
        name = _name(header)
        return name in self.names or (self.addresses and _is_address(name))


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches ``address``."""
    if address == "localhost":
        return True
    return _is_address(address) and ipaddress.ip_address(address).is_loopback


class Guard:
    """The outermost layer."""

    def __init__(self, app: ASGIApp, *, hosts: Hosts, heard: Heard) -> None:
        self._app = app
        self._hosts = hosts
        self._heard = heard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        began = time.monotonic()
        status = 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refused = self._refusal(scope)
        try:
            if refused is not None:
                await _say(answer, *refused)
            else:
                await self._app(scope, receive, answer)
        finally:
            told = {"method": scope["method"], "path": scope["path"], "status": status}
            route = scope.get("route")
            self._heard(told | {"route": getattr(route, "path", ""), "seconds": time.monotonic() - began})

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._hosts.allow(hosts[0]):
            return 421, "this name is not one of this service's; start it with --name to allow it"
        if scope["method"] in _SAFE:
            return None
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != hosts[0].lower():
            return 403, "the request comes from a page of another site"
        if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            return 403, "the request comes from a page of another site"
        return None


async def _say(send: Send, status: int, words: str) -> None:
    body = json.dumps({"error": words}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _name(header: str) -> str:
    """The host in ``name``, ``name:port``, ``1.2.3.4:port`` or ``[::1]:port``."""
    text = header.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0].rstrip(".")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True

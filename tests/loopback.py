"""An HTTP server on loopback whose answers a test writes as a function, for what the demo server does not do."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it arrived; names of headers in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered; ``body`` is written as JSON unless it is bytes."""

    body: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


Handler: TypeAlias = Callable[[Received], Reply]


class Loopback:
    """A running server. ``url`` has no trailing slash; ``requests`` are in order of arrival."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[Received] = []

    def paths(self) -> list[str]:
        """Method and path of every request."""
        return [f"{each.method} {each.path}" for each in self.requests]


@contextmanager
def answering(handler: Handler) -> Iterator[Loopback]:
    """Serve ``handler``, one thread a connection, until the end of the block."""

    class Serve(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            length = int(self.headers.get("content-length", 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Received(self.command, self.path, headers, self.rfile.read(length))
            with lock:
                server.requests.append(request)
                reply = handler(request)
            body = reply.encoded()
            self.send_response(reply.status)
            for name, value in {"content-type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = handle_any  # noqa: N815 - names that http.server looks for

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
            """Say nothing."""

    lock = threading.Lock()
    with ThreadingHTTPServer(("127.0.0.1", 0), Serve) as real:
        real.daemon_threads = True
        server = Loopback(f"http://127.0.0.1:{real.server_address[1]}")
        thread = threading.Thread(target=real.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            real.shutdown()
            thread.join()

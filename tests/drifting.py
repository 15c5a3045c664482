"""A real HTTP endpoint whose model can be exchanged while it serves, for tests and benchmarks of regression checks."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: inputs → one {label: score} each
Model = Callable[[Sequence[Any]], Sequence[Mapping[str, float]]]


class DriftingServer:
    """``POST /`` answers ``{"inputs": […]}`` with ``{"request": 7, "predictions": [{"scores": {…}}]}``.

    ``model`` may be replaced at any time. ``fault``: given the number of a request, an HTTP status to refuse it with.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.fault: Callable[[int], int | None] = lambda _number: None
        self.served = 0  #: requests that were answered
        self.inputs = 0  #: inputs in them
        self.keys: list[str] = []  #: the idempotency keys that came
        self._requests = 0
        self._gate = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def endpoint(self, **options: Any) -> dict[str, Any]:
        """As an entry of ``endpoints`` in a config."""
        return {
            "adapter": "http",
            "url": self.url,
            "json": {"inputs": [{"$each": "{{ x }}"}]},
            "items": "predictions",
            "scores": {"map": "scores"},
            "idempotency": "Idempotency-Key",
            **options,
        }

    def _answer(self, body: bytes, key: str | None) -> tuple[int, bytes]:
        with self._gate:
            number = self._requests
            self._requests += 1
            if (status := self.fault(number)) is not None:
                return status, b'{"error": "not now"}'
            inputs = json.loads(body)["inputs"]
            found = self.model(inputs)
            self.served += 1
            self.inputs += len(inputs)
            if key is not None:
                self.keys.append(key)
        answer = {"request": number, "predictions": [{"scores": dict(each)} for each in found]}
        return 200, json.dumps(answer).encode()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, content = server._answer(body, self.headers.get("Idempotency-Key"))
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's
                pass

        return Handler


@contextmanager
def drifting_server(model: Model) -> Iterator[DriftingServer]:
    """The server, up; stopped at the end."""
    server = DriftingServer(model)
    try:
        yield server
    finally:
        server.close()

"""From a database to a server that answers, and back to silence."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import Final, TextIO

import uvicorn

from adapters import Secrets
from probe.clock import Clock
from probe.errors import ConfigError
from probe.setup import code_version
from probe.web.access import Access
from probe.web.app import create_app
from probe.web.guard import Hosts, is_loopback
from probe.web.jobs import Jobs
from probe.web.logs import write_to
from probe.web.service import Service
from storage import Store, tokens

_SWITCH: Final = 0.0005  #: seconds between turns of threads: pages take many short ones, runs few long ones
_DRAIN_SECONDS: Final = 80  #: for answers to requests that came before the end; below the grace period of containers


def serve(
    store: Store,
    *,
    url: str,
    folder: Path,
    host: str,
    port: int,
    names: tuple[str, ...],
    tokens_needed: bool,
    most_jobs: int,
    environment: Mapping[str, str],
    started: Callable[[str], None],
    log: TextIO,
) -> None:
    """Serve until SIGINT or SIGTERM. ``started`` hears the address.

    Raises:
        ConfigError: others than this machine could come in, and there are no tokens; or the address is taken.
    """
    needed = tokens_needed or not is_loopback(host)
    if needed and not tokens.listed(store):
        raise ConfigError(
            f"{host} is not the loopback interface; make a key first: probe serve token add NAME"
            if not is_loopback(host)
            else "there are no tokens; make one first: probe serve token add NAME"
        )
    sys.setswitchinterval(_SWITCH)
    clock = Clock()
    secrets = _secrets(environment)
    write_to(log, secrets)
    jobs = Jobs(store, url=url, folder=folder, environment=environment, secrets=secrets, clock=clock, most=most_jobs)
    service = Service(
        store=store,
        folder=folder,
        access=Access(store, needed=needed, clock=clock),
        jobs=jobs,
        clock=clock,
        version=code_version(),
        secrets=secrets,
    )
    config = uvicorn.Config(
        create_app(service, Hosts.of(host, names)),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
        lifespan="on",
        ws="none",
        proxy_headers=False,
    )
    with closing(_listening(host, port)) as listener:
        server = _Server(config, jobs, lambda: started(_address(listener)))
        asyncio.run(server.serve(sockets=[listener]))


class _Server(uvicorn.Server):
    """Tells the runs that work when the end comes, before it waits for answers: those who watch a run wait for its end."""

    def __init__(self, config: uvicorn.Config, jobs: Jobs, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._jobs = jobs
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of handlers
        logging.getLogger("probe.web").info("stopping", extra={"signal": signal.Signals(sig).name})
        self._jobs.stop()
        # as uvicorn does, without raising the signal again in the end: this is how the service is meant to stop
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns off Nagle's algorithm, which costs 40 ms an answer, only where the protocol is named
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"{host}:{port}: cannot listen there: {os.strerror(error.errno or 0)}; choose another --port"
        ) from error
    return listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def _secrets(environment: Mapping[str, str]) -> Secrets:
    marks = ("KEY", "TOKEN", "SECRET", "PASSWORD")
    return Secrets(
        tuple(
            value
            for name, value in environment.items()
            if len(value) >= 8 and any(mark in name.upper() for mark in marks)
        )
    )

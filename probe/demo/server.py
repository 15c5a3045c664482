"""The demo endpoint: real models behind HTTP, as obliging or as strict as it is told to be.

    GET  /models                                 name, kind, labels and columns of every model
    POST /v1/{model}/{route}                     see routes.py
    GET, POST /_control/strict                   the settings in force; new settings (strict.py), whole, as JSON:
                                                 limits and attempts start anew, the account goes on
    GET  /_control/counts, /_control/arrivals    what was seen and would be billed (billing.py)
    POST /_control/reset                         new account; limits and attempts start anew

It is a server for demonstrations and tests: anyone who reaches it can use the control routes, which have no
authentication. It listens on loopback unless told otherwise. It must not be used in production.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web
from pydantic import ValidationError

from probe.demo import announce
from probe.demo.billing import Billing, Visit
from probe.demo.models.base import DemoModel, InputError
from probe.demo.registry import Factory, Models
from probe.demo.routes import (
    JSON_ROUTES,
    ROUTES,
    Answer,
    Item,
    Refused,
    check_label,
    read_json,
    read_raw,
    render,
    request_digest,
)
from probe.demo.simple import EchoLength, Sum
from probe.demo.strict import FaultKind, Strict, retry_headers, tokens_of
from probe.demo.wire import (
    GATEWAY_PAGE,
    IdleConnections,
    as_json,
    authorise,
    cut,
    dripped,
    end_connection,
    errors_as_json,
    form_field,
    from_aiohttp,
    refusal,
    reset_connection,
    truncated,
    worded,
)

MAX_BODY = 32 * 2**20
_WORKERS = 2
_BACKLOG = 1024
_CHEAPER_THAN_A_THREAD = (EchoLength, Sum)

T = TypeVar("T")


class DemoServer:
    """One account, one set of models, one set of rules. ``clock``: monotonic seconds; ``wall``: Unix time."""

    def __init__(
        self,
        factories: Mapping[str, Factory],
        *,
        cache: Path,
        strict: Strict | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="model")
        self._models = Models(factories, cache, self._workers)
        self._clock = clock
        self._wall = wall
        self._billing = Billing()
        self._latest = float("-inf")  # arrival that the limits were asked about
        self._idle = IdleConnections()
        self._renewed = asyncio.Event()
        self._use(strict or Strict())

    def _use(self, strict: Strict) -> None:
        self._strict = strict
        self._since = self._clock()
        self._renewed.set()
        self._limiters = [rate.limiter() for rate in strict.rate]
        self._counts_tokens = any(rate.unit == "tokens" for rate in strict.rate)
        self._attempts: Counter[bytes] = Counter()

    def app(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(client_max_size=MAX_BODY, middlewares=[errors_as_json])
        app.router.add_route("*", "/v1/{model}/{route}", self._serve)
        app.router.add_get("/models", self._list)
        app.router.add_get("/_control/strict", self._get_strict)
        app.router.add_post("/_control/strict", self._set_strict)
        app.router.add_get("/_control/counts", self._counts)
        app.router.add_get("/_control/arrivals", self._arrivals)
        app.router.add_post("/_control/reset", self._reset)
        app.on_cleanup.append(self._close)
        return app

    def refusing(self) -> tuple[bool, float | None]:
        """Whether connections are to be refused now, and the seconds until that changes; ``None``: not by itself."""
        spell = self._strict.refuse
        if spell is None:
            return False, None
        elapsed = self._clock() - self._since
        left = spell.left(elapsed)
        return left > 0, left or (spell.start - elapsed if elapsed < spell.start else None)

    async def renewed(self, *, within: float | None) -> None:
        """Wait for other rules or a reset, at most ``within`` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._renewed.wait()
        self._renewed.clear()

    async def preload(self) -> None:
        """Load every model now."""
        for name in self._models.names:
            await self._models.get(name)

    async def _close(self, _app: web.Application) -> None:
        self._workers.shutdown(wait=False, cancel_futures=True)

    async def _in_worker(self, function: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._workers, function, *args)

    # --- control

    async def _list(self, _request: web.Request) -> web.Response:
        models: list[dict[str, Any]] = []
        for name in self._models.names:
            try:
                model = await self._models.get(name)
            except Refused as refused:
                models.append({"name": name, "error": str(refused)})
                continue
            models.append(
                {"name": name, "kind": model.kind, "labels": list(model.labels), "columns": list(model.columns)}
            )
        return as_json({"models": models})

    async def _get_strict(self, _request: web.Request) -> web.Response:
        return as_json(self._strict.model_dump(mode="json", by_alias=True))

    async def _set_strict(self, request: web.Request) -> web.Response:
        try:
            self._use(Strict.model_validate_json(await request.read()))
        except ValidationError as error:
            raise Refused(400, worded(error)) from error
        return await self._get_strict(request)

    async def _counts(self, _request: web.Request) -> web.Response:
        return as_json(self._billing.counts())

    async def _arrivals(self, _request: web.Request) -> web.Response:
        return as_json({"arrivals": self._billing.arrivals()})

    async def _reset(self, _request: web.Request) -> web.Response:
        self._billing = Billing()  # requests in flight stay on the account they arrived at
        self._use(self._strict)
        return as_json({})

    # --- the endpoint

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        now = self._clock()
        self._idle.used(request)
        billing = self._billing
        visit = billing.arrive(now)
        response: web.StreamResponse | None = None
        try:
            response = await self._answer(request, visit, billing)
        except Refused as refused:
            response = refusal(refused)
        except web.HTTPException as error:
            response = refusal(from_aiohttp(error))
        except (ConnectionError, web.RequestPayloadError):
            pass  # the client went away in the middle: there is nobody to answer
        except Exception:  # noqa: BLE001  a model's own failure is an answer too, and shown on stderr
            traceback.print_exc()
            response = refusal(Refused(500, "the model failed; see the server's standard error"))
        finally:
            transport = request.transport
            whole = transport is not None and not transport.is_closing()
            status = response.status if response is not None else None
            billing.leave(visit, self._clock(), status=status, whole=whole or visit.fault == "truncate")
        if response is None:
            (end_connection if visit.fault == "close" else reset_connection)(request)
            return web.Response()  # never sent
        if not response.prepared:
            response.headers.update(visit.announced)
        if self._strict.idle_close is not None and whole:
            await self._idle.answer(request, response, seconds=self._strict.idle_close)
        return response

    async def _answer(self, request: web.Request, visit: Visit, billing: Billing) -> web.StreamResponse | None:
        """The response, or ``None`` if the connection is to end without one."""
        await asyncio.sleep(0)  # whatever arrived with this request gets its time before work starts
        strict = self._strict
        authorise(request, strict.api_key)
        self._weather(visit, billing)
        if strict.concurrency is not None and billing.in_flight > strict.concurrency:
            raise Refused(429, f"more than {strict.concurrency} requests at once")
        usage = tokens_of(await request.read()) if self._counts_tokens else {}
        self._admit(visit, usage)
        route = request.match_info["route"]
        if request.method != "POST" or route not in ROUTES:
            raise Refused(404 if route not in ROUTES else 405, f"POST to /v1/{{model}}/{{{' | '.join(ROUTES)}}}")
        model = await self._models.get(request.match_info["model"])
        visit.model = model.name
        label = request.query.get("label", "") if route == "value" else ""
        if route == "value":
            check_label(model, label, strict)
        items = await self._read(request, model, route, label)
        visit.items = len(items)
        if strict.max_batch is not None and len(items) > strict.max_batch:
            raise Refused(strict.max_batch_status, f"{len(items)} inputs; at most {strict.max_batch} in one request")

        digest = request_digest(items)
        visit.digest = digest
        self._attempts[digest] += 1
        attempt = self._attempts[digest]
        ready_at = visit.at + strict.latency.of(digest, attempt)
        fault = strict.faults.draw(digest, attempt)
        if any(strict.faults.poisons(item.wording, item.digest) for item in items):
            fault = "poison"
        if fault in {"drop_before", "html", "status500", "poison"}:
            billing.fault(visit, fault)
            return await self._unprocessed(fault, ready_at)

        answer = Answer(model, await self._predict(model, items), label)
        billing.bill([item.digest for item in items])
        if strict.faults.nan:
            billing.fault(visit, "nan")
        if strict.faults.fewer_rows and route in JSON_ROUTES:
            billing.fault(visit, "fewer_rows")
        rendered = render(route, answer, strict)
        if usage and route in JSON_ROUTES:
            rendered["usage"] = usage
        response = as_json(rendered, headers=dict(visit.announced))
        if fault is not None:
            billing.fault(visit, fault)
        await self._pause_until(ready_at + (strict.faults.hang.seconds if fault == "hang" else 0.0))
        return await self._processed(fault, request, response)

    def _weather(self, visit: Visit, billing: Billing) -> None:
        storm = self._strict.storm
        left = storm.left(visit.at - self._since) if storm is not None else 0.0
        if storm is not None and left:
            billing.fault(visit, "storm")
            for limiter in self._limiters:
                limiter.wait(visit.at)
            self._tell(visit)
            raise Refused(storm.status, "overloaded", retry_headers(storm.retry_after, left, wall=self._wall()))

    def _admit(self, visit: Visit, usage: Mapping[str, int]) -> None:
        visit.tokens = usage.get("total_tokens", 0)
        self._latest = at = max(self._latest, visit.at)  # reading a body may have taken longer than the next one's
        units = {"requests": 1, "tokens": visit.tokens}
        waits = [(limiter.wait(at, units[limiter.rate.unit]), limiter) for limiter in self._limiters]
        wait, strictest = max(waits, key=lambda pair: pair[0], default=(0.0, None))
        for limiter in self._limiters:
            limiter.take(admitted=wait == 0.0)
        self._tell(visit)
        if wait and strictest is not None:
            rate = strictest.rate
            message = f"rate limit: {rate.limit} {rate.unit} in {rate.window:g} s"
            raise Refused(429, message, retry_headers(rate.retry_after, wait, wall=self._wall()))

    def _tell(self, visit: Visit) -> None:
        visit.announced = announce.headers(self._strict.announce, self._limiters, wall=self._wall())

    async def _read(self, request: web.Request, model: DemoModel, route: str, label: str) -> list[Item]:
        if route == "multipart":
            body = await form_field(request, "image")
            if model.kind != "image":
                raise Refused(400, f"{model.name} takes {model.kind} input; multipart is for pictures")
            return await self._in_worker(partial(read_raw, model, where="field image"), body)
        body = await request.read()
        read = partial(read_raw, model) if route == "raw" else partial(read_json, model, label=label)
        if model.kind == "image":  # decoding takes milliseconds, in which arrivals must go on being timed
            return await self._in_worker(read, body)
        return read(body)

    async def _predict(self, model: DemoModel, items: list[Item]) -> Any:
        inputs = [item.value for item in items]
        try:
            if isinstance(model, _CHEAPER_THAN_A_THREAD):
                return model.predict(inputs)
            return await self._in_worker(model.predict, inputs)
        except InputError as error:
            raise Refused(400, str(error)) from error

    async def _unprocessed(self, fault: FaultKind, ready_at: float) -> web.Response | None:
        if fault == "drop_before":
            return None
        await self._pause_until(ready_at)
        if fault == "html":
            return web.Response(text=GATEWAY_PAGE, content_type="text/html")
        raise Refused(500, "internal error")

    async def _processed(
        self, fault: FaultKind | None, request: web.Request, response: web.Response
    ) -> web.StreamResponse | None:
        match fault:
            case "drop_after" | "close":
                return None
            case "truncate":
                return await truncated(request, response)
            case "drip":
                return await dripped(request, response, seconds=self._strict.faults.drip.seconds)
            case "cut":
                return cut(response)
        return response

    async def _pause_until(self, when: float) -> None:
        left = when - self._clock()
        if left > 0:
            await asyncio.sleep(left)


async def serve(server: DemoServer, *, host: str, port: int, preload: bool = False) -> None:
    """Listen until cancelled; prints ``listening http://HOST:PORT`` once requests are answered. Port 0: any free one."""
    runner = web.AppRunner(server.app(), access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        if preload:
            await server.preload()
        door: web.TCPSite | None = await _listen(runner, host, port)
        port = runner.addresses[0][1]
        shown = f"[{host}]" if ":" in host else host
        sys.stdout.write(f"listening http://{shown}:{port}\n")
        sys.stdout.flush()
        while True:
            shut, seconds = server.refusing()
            if shut and door is not None:
                await door.stop()
                door = None
            elif not shut and door is None:
                door = await _listen(runner, host, port)
            await server.renewed(within=seconds)
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, host: str, port: int) -> web.TCPSite:
    site = web.TCPSite(runner, host, port, backlog=_BACKLOG)
    await site.start()
    return site

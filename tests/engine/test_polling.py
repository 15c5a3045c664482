"""Starts whose results are fetched: over real HTTP, under the limits, paid once, and safe against being killed."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from typing import Any

import pytest

from adapters import Adapter, HttpAdapter, SpecError
from probe.engine.budget import Budget
from storage import Store
from tests.adapters.test_scores import endpoint
from tests.engine.harness import Sending, text, until
from tests.loopback import Loopback, Received, Reply, answering

POLL = {
    "url": "urls.get",
    "until": "status == 'succeeded'",
    "failed": "status == 'failed' || status == 'canceled'",
    "every": "10ms",
}


class Predictions:
    """Work that is started by POST and looked for by GET, as Replicate has it: ready at the ``ready``-th look."""

    def __init__(self, *, ready: int = 2, ends: str = "succeeded", host: str | None = None) -> None:
        self.ready = ready
        self.ends = ends
        self.host = host
        self.looks: Counter[str] = Counter()
        self.replies: dict[int, Reply] = {}  # instead of the usual, by the number of the look at anything
        self.texts: dict[str, str] = {}
        self.url = ""

    def __call__(self, request: Received) -> Reply:
        if request.method == "POST":
            number = str(len(self.texts))
            self.texts[number] = request.json["input"]["text"]
            return Reply(self.prediction(number, "starting"), 201)
        number = request.path.rsplit("/", 1)[-1]
        self.looks[number] += 1
        if special := self.replies.get(self.looks.total()):
            return special
        return Reply(self.prediction(number, self.ends if self.looks[number] >= self.ready else "processing"))

    def prediction(self, number: str, status: str) -> dict[str, Any]:
        done = status == "succeeded"
        return {
            "id": number,
            "status": status,
            "output": {"long": len(self.texts[number]) / 100} if done else None,
            "error": "CUDA out of memory" if status == "failed" else None,
            "urls": {"get": f"{self.host or self.url}/v1/predictions/{number}"},
        }


def adapter_of(server: Loopback, poll: dict[str, Any] | None = None, **config: Any) -> Adapter:
    given = {"url": f"{server.url}/v1/predictions", "json": {"input": {"text": "{{ x }}"}}, "scores": {"map": "output"}}
    return endpoint(**given | {"poll": POLL | (poll or {})} | config)


class TestResults:
    def test_a_start_is_followed_to_its_result(self, store: Store) -> None:
        model = Predictions()
        with answering(model) as server:
            model.url = server.url
            budget = Budget.parse("10usd")
            sending = Sending(adapter_of(server, price={"request": 0.01}), store)
            dispatcher = sending.run([text(1), text(2)], budget=budget)
            assert sorted(server.paths()) == sorted(
                ["POST /v1/predictions"] * 2 + ["GET /v1/predictions/0"] * 2 + ["GET /v1/predictions/1"] * 2
            )
        assert [answer.prediction.scores for answer in sending.answers if answer.prediction] == [{"long": 0.1}] * 2
        assert (dispatcher.stats.sent, dispatcher.stats.cost_micro, budget.spent_micro) == (2, 20_000, 20_000)
        assert [entry.attempts for entry in sending.stored([text(1), text(2)]) if entry] == [1, 1]

    def test_what_is_ready_at_once_is_not_asked_for_again(self, store: Store) -> None:
        model = Predictions()
        with answering(
            lambda request: Reply(model(request).body | {"status": "succeeded", "output": {"a": 1}}, 201)
        ) as server:
            model.url = server.url
            sending = Sending(adapter_of(server), store)
            sending.run([text(1)])
            assert server.paths() == ["POST /v1/predictions"]
        assert sending.by_state() == {"answered": 1}

    def test_the_result_may_have_a_url_of_its_own(self, store: Store) -> None:
        model = Predictions(ready=1)

        def handler(request: Received) -> Reply:
            return Reply({"output": {"a": 0.5}}) if request.path == "/results/0" else model(request)

        with answering(handler) as server:
            model.url = server.url
            sending = Sending(adapter_of(server, {"result": "join('', ['../results/', id])"}), store)
            sending.run([text(1)])
            assert server.paths() == ["POST /v1/predictions", "GET /v1/predictions/0", "GET /results/0"]
        assert [answer.prediction.scores for answer in sending.answers if answer.prediction] == [{"a": 0.5}]

    def test_a_stream_as_gradio_has_it(self, store: Store) -> None:
        stream = (
            b'event: heartbeat\ndata: null\n\nevent: complete\ndata: [{"confidences": {"cat": 0.75, "dog": 0.25}}]\n\n'
        )

        def handler(request: Received) -> Reply:
            if request.method == "POST":
                return Reply({"event_id": "e1"})
            return Reply(stream, headers={"content-type": "text/event-stream"})

        with answering(handler) as server:
            config = {"json": {"data": ["{{ x }}"]}, "scores": {"map": "[0].confidences"}, "sse": {"event": "complete"}}
            config |= {
                "url": f"{server.url}/gradio_api/call/predict",
                "poll": {"url": "join('', ['predict/', event_id])"},
            }
            sending = Sending(endpoint(**config), store)
            sending.run([text(1)])
            assert server.paths() == ["POST /gradio_api/call/predict", "GET /gradio_api/call/predict/e1"]
            assert server.requests[1].headers["accept"] == "text/event-stream"
        assert [answer.prediction.scores for answer in sending.answers if answer.prediction] == [
            {"cat": 0.75, "dog": 0.25}
        ]

    def test_an_error_event_is_a_refusal(self, store: Store) -> None:
        def handler(request: Received) -> Reply:
            return Reply({"event_id": "e1"} if request.method == "POST" else b'event: error\ndata: "bad image"\n\n')

        with answering(handler) as server:
            config = {"json": {"data": ["{{ x }}"]}, "scores": {"map": "@"}, "sse": {"event": "complete"}}
            config |= {"url": f"{server.url}/call", "poll": {"url": "join('', ['call/', event_id])"}}
            sending = Sending(endpoint(**config), store)
            sending.run([text(1)])
        [entry] = sending.stored([text(1)])
        assert entry is not None
        assert entry.state == "rejected"
        assert "that reports an error in its stream: {'error': 'bad image'}" in (entry.error or "")


class TestFailures:
    def test_work_that_failed_is_a_refusal_that_may_have_been_billed(self, store: Store) -> None:
        model = Predictions(ends="failed")
        with answering(model) as server:
            model.url = server.url
            sending = Sending(adapter_of(server, {"failed": "error"}, price={"request": 0.01}), store)
            dispatcher = sending.run([text(1)])
        [entry] = sending.stored([text(1)])
        assert entry is not None
        assert (entry.state, entry.maybe_billed, dispatcher.stats.cost_micro) == ("rejected", 1, 10_000)
        assert "that reports an error (error): 'CUDA out of memory'" in (entry.error or "")

    def test_a_look_that_fails_is_repeated_and_the_start_is_not(self, store: Store) -> None:
        model = Predictions()
        model.replies = {
            1: Reply({"detail": "busy"}, 503),
            2: Reply({"detail": "slow down"}, 429, {"retry-after": "0"}),
        }
        with answering(model) as server:
            model.url = server.url
            sending = Sending(adapter_of(server), store)
            dispatcher = sending.run([text(1)])
            assert server.paths() == ["POST /v1/predictions"] + ["GET /v1/predictions/0"] * 3
        assert (sending.by_state(), dispatcher.stats.retried) == ({"answered": 1}, 0)

    def test_one_that_hangs_is_given_up_after_the_timeout_of_a_request(self, store: Store) -> None:
        model = Predictions()
        hung = threading.Event()

        def handler(request: Received) -> Reply:
            if request.method == "GET" and not hung.is_set():
                hung.set()
                time.sleep(0.4)
            return model(request)

        with answering(handler) as server:
            model.url = server.url
            sending = Sending(adapter_of(server, limits={"timeout": 0.2}), store)
            dispatcher = sending.run([text(1)])
            assert server.paths().count("POST /v1/predictions") == 1
        assert (sending.by_state(), dispatcher.stats.maybe_billed) == ({"answered": 1}, 0)

    def test_a_result_that_does_not_come_in_time_may_have_been_billed(self, store: Store) -> None:
        model = Predictions(ready=10**9)
        with answering(model) as server:
            model.url = server.url
            sending = Sending(adapter_of(server, {"timeout": "100ms"}, price={"request": 0.01}), store)
            dispatcher = sending.run([text(1)])
            starts = server.paths().count("POST /v1/predictions")
        [entry] = sending.stored([text(1)])
        assert entry is not None
        assert entry.state == "failed"
        assert "the work was started, but no result within 0.1 s; it may have been counted" in (entry.error or "")
        assert starts == entry.attempts == entry.maybe_billed == 5
        assert dispatcher.stats.cost_micro == 50_000

    def test_a_result_that_is_gone_stops_the_endpoint(self, store: Store) -> None:
        model = Predictions()
        model.replies = {1: Reply({"detail": "not found"}, 404)}
        with answering(model) as server:
            model.url = server.url
            sending = Sending(adapter_of(server), store)
            dispatcher = sending.run([text(1)])
            assert server.paths() == ["POST /v1/predictions", "GET /v1/predictions/0"]
        assert dispatcher.stopped is not None
        assert dispatcher.stopped.kind == "broken"
        assert dispatcher.stats.maybe_billed == 1

    @pytest.mark.parametrize(
        ("found", "seen"),
        [
            (None, "poll: 'urls.get' finds None instead of a URL"),
            ("http://ho st/", "which cannot be asked (url must look like https://host/path"),
            ("http://user:secret@127.0.0.1/", "which cannot be asked (url holds a user name or password"),
            ("http://127.0.0.1:99999/", "which cannot be asked"),
            ("ftp://127.0.0.1/", "which cannot be asked (url must look like"),
            ("//elsewhere.example/x", "names http://elsewhere.example, but the endpoint is at http://127.0.0.1:"),
            ("http://127.0.0.1:1/x", "it is not asked unless poll.hosts lists it"),
        ],
    )
    def test_a_url_that_must_not_be_asked_is_not(self, store: Store, found: Any, seen: str) -> None:
        with answering(lambda _: Reply({"status": "starting", "urls": {"get": found}}, 201)) as server:
            sending = Sending(adapter_of(server), store)
            dispatcher = sending.run([text(1)])
            assert server.paths() == ["POST /v1/predictions"]
        assert dispatcher.stopped is not None
        assert dispatcher.stopped.kind == "broken"
        assert seen in dispatcher.stopped.reason


class TestCredentials:
    SECRET = "Bearer r8_secret-of-ours"

    def test_go_to_the_host_of_the_endpoint(self, store: Store) -> None:
        model = Predictions(ready=1)
        with answering(model) as server:
            model.url = server.url
            adapter = adapter_of(server, auth={"bearer": "${KEY}"}, headers={"X-Version": "7"})
            Sending(adapter, store, environment={"KEY": "r8_secret-of-ours"}).run([text(1)])
            assert [each.headers["authorization"] for each in server.requests] == [self.SECRET] * 2
            assert [each.headers["x-version"] for each in server.requests] == ["7", "7"]
            assert "content-type" not in server.requests[1].headers

    def test_never_go_to_another_one(self, store: Store) -> None:
        model = Predictions(ready=1)
        with answering(model) as other, answering(model) as server:
            model.host, model.url = other.url, server.url
            hosts = {"hosts": other.url.removeprefix("http://")}
            adapter = adapter_of(server, hosts, auth={"bearer": "${KEY}"}, headers={"X-Token": "${KEY}"})
            sending = Sending(adapter, store, environment={"KEY": "r8_secret-of-ours"})
            sending.run([text(1)])
            [look] = other.requests
        assert sending.by_state() == {"answered": 1}
        assert "r8_secret-of-ours" not in str(look)
        assert {"authorization", "x-token"} & set(look.headers) == set()

    def test_cannot_be_in_the_query(self) -> None:
        with pytest.raises(SpecError, match=r"poll does not go with auth\.query"):
            endpoint(
                json="{{ x }}", scores={"map": "@"}, poll={"url": "u"}, auth={"query": {"name": "k", "value": "${K}"}}
            )


def test_looks_obey_the_rate(store: Store) -> None:
    """Ten requests in all at 20 a second take nine gaps of 50 ms, though it is looked every 10 ms."""
    model = Predictions(ready=9)
    with answering(model) as server:
        model.url = server.url
        sending = Sending(adapter_of(server, limits={"rate": "20/s"}), store)
        loop_time: list[float] = []

        async def timed() -> None:
            clock = asyncio.get_running_loop().time
            began = clock()
            await sending.send(sending.jobs([text(1)]))
            loop_time.append(clock() - began)

        asyncio.run(timed())
        assert len(server.requests) == 10
    assert loop_time[0] >= 9 * 0.05 * 0.99


def test_killed_between_start_and_result_it_stays_intended_and_is_asked_once_more(store: Store) -> None:
    model = Predictions(ready=10**9)
    with answering(model) as server:
        model.url = server.url
        adapter = adapter_of(server, price={"request": 0.01})
        killed = Sending(adapter, store)

        async def kill() -> None:
            work = asyncio.create_task(killed.send(killed.jobs([text(1)])))
            await until(lambda: len(server.requests) > 2)
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

        asyncio.run(kill())
        [entry] = killed.stored([text(1)])
        assert entry is not None
        assert (entry.state, entry.attempts) == ("intended", 1)  # which a plan counts as unsure
        model.ready = 1
        resumed = Sending(adapter, store)
        jobs = [type(job).of(job.key, job.render, entry, heavy=False) for job in resumed.jobs([text(1)])]
        asyncio.run(resumed.send(jobs))
    [entry] = resumed.stored([text(1)])
    assert entry is not None
    assert (entry.state, entry.attempts) == ("answered", 2)


def test_what_is_followed_is_part_of_the_identity() -> None:
    plain = endpoint(json="{{ x }}", scores={"map": "@"})
    polled = endpoint(json="{{ x }}", scores={"map": "@"}, poll={"url": "u"})
    slower = endpoint(json="{{ x }}", scores={"map": "@"}, poll={"url": "u", "every": "2s", "timeout": "1m"})
    other = endpoint(json="{{ x }}", scores={"map": "@"}, poll={"url": "u", "result": "r"})
    assert isinstance(plain, HttpAdapter)
    assert plain.result_timeout is None
    assert polled.identity == slower.identity
    assert len({plain.identity, polled.identity, other.identity}) == 3


@pytest.mark.parametrize(
    ("poll", "seen"),
    [
        ({"url": "u", "every": "soon"}, "not a time: 'soon'; write 500ms, 1s or 10m"),
        ({"url": "u", "every": 0}, "input should be greater than 0"),
        ({"url": "u["}, "not a JMESPath expression"),
        ({"untl": "u"}, "unknown key 'untl', did you mean 'until'?"),
        ({"url": "u", "hosts": ["http://h/"]}, "string should match pattern"),
    ],
)
def test_mistakes_in_the_description(poll: Any, seen: str) -> None:
    with pytest.raises(SpecError, match=r"^endpoints\.v\.poll") as caught:
        endpoint(json="{{ x }}", scores={"map": "@"}, poll=poll)
    assert seen in str(caught.value)

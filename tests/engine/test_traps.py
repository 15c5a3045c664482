"""What real servers do that an engine must not fall for, over real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from adapters import Adapter
from probe.targets import TargetSpec
from storage import Store
from tests.adapters.test_scores import endpoint
from tests.engine.harness import Sending
from tests.engine.runs import SENTENCE, plan, run, task
from tests.loopback import Loopback, Received, Reply, answering

ONE = {"json": {"text": "{{ x }}"}, "scores": {"map": "@"}}
MANY = {"json": {"texts": [{"$each": "{{ x }}"}]}, "items": "rows", "scores": {"map": "@"}, "batch": 4}
TEXTS = ["one", "two", "bad", "four"]


def score(text: str) -> dict[str, float]:
    return {"long": len(text) / 100}


def single(bad: Callable[[Received], Reply]) -> Callable[[Received], Reply]:
    """A model of one text a request that answers "bad" in its own way."""
    return lambda request: bad(request) if request.json["text"] == "bad" else Reply(score(request.json["text"]))


def sent(server: Loopback, text: str = "bad") -> int:
    """How often ``text`` went out alone."""
    return sum(request.json in ({"text": text}, {"texts": [text]}) for request in server.requests)


def sending(server: Loopback, store: Store, config: dict[str, Any], **changes: Any) -> Sending:
    return Sending(endpoint(**{"url": server.url, **config, **changes}), store)


class TestBadInputAnsweredWith500:
    @pytest.mark.parametrize(("allowed", "times"), [(None, 2), (0, 1), (1, 2), (3, 4)])
    def test_is_believed_when_it_comes_again(self, store: Store, allowed: int | None, times: int) -> None:
        rules = {} if allowed is None else {"retry": {"same_5xx_max": allowed}}
        with answering(
            single(lambda _: Reply(b"Internal Server Error", 500, {"content-type": "text/plain"}))
        ) as server:
            work = sending(server, store, ONE, **rules)
            dispatcher = work.run(TEXTS)
            assert sent(server) == times
        assert work.states(TEXTS) == ["answered", "answered", "failed", "answered"]
        assert dispatcher.stopped is None

    def test_is_recognised_under_another_request_id(self, store: Store) -> None:
        seen: list[Received] = []

        def bad(request: Received) -> Reply:
            seen.append(request)
            return Reply({"error": "X has 2 features", "id": f"9b2d3c1e-0000-4000-8000-{len(seen):012d}"}, 500)

        with answering(single(bad)) as server:
            sending(server, store, ONE).run(TEXTS)
        assert len(seen) == 2

    def test_one_that_says_something_else_each_time_is_tried_like_any_failure(self, store: Store) -> None:
        words = iter(["alpha", "beta", "gamma", "delta", "epsilon"])
        with answering(single(lambda _: Reply(next(words).encode(), 500))) as server:
            sending(server, store, ONE).run(TEXTS)
            assert sent(server) == 5

    def test_does_not_take_its_neighbours_down(self, store: Store) -> None:
        def handler(request: Received) -> Reply:
            texts = request.json["texts"]
            return Reply(b"error", 500) if "bad" in texts else Reply({"rows": [score(text) for text in texts]})

        with answering(handler) as server:
            work = sending(server, store, MANY)
            work.run(["first"])  # so that the four go together
            work.run(TEXTS)
            assert (sent(server), sent(server, "one")) == (2, 1)
        assert work.states(TEXTS) == ["answered", "answered", "failed", "answered"]


def test_throttling_told_as_400_is_waited_out(store: Store) -> None:
    replies = [
        Reply({"__type": "ThrottlingException", "message": "Rate exceeded"}, 400, {"content-type": "text/html"}),
        Reply({"__type": "com.amazonaws#ProvisionedThroughputExceededException"}, 400),
    ]
    with answering(single(lambda request: replies.pop(0) if replies else Reply(score("bad")))) as server:
        rules = {"when": "contains(__type, 'Throttl') || contains(__type, 'Throughput')"}
        work = sending(server, store, ONE, retry=rules)
        dispatcher = work.run(TEXTS)
        assert sent(server) == 3
    assert work.states(TEXTS) == ["answered"] * 4
    assert (dispatcher.stats.throttled, dispatcher.stopped) == (2, None)


def test_any_other_400_is_not_sent_again(store: Store) -> None:
    with answering(single(lambda _: Reply({"__type": "ValidationException", "message": "too long"}, 400))) as server:
        work = sending(server, store, ONE, retry={"when": "contains(__type, 'Throttl')"})
        work.run(TEXTS)
        assert sent(server) == 1
    assert work.states(TEXTS) == ["answered", "answered", "rejected", "answered"]


@pytest.mark.parametrize(
    ("body", "seen"),
    [
        ({"error": {"code": 3, "message": "Bad image data."}}, "that reports an error (error): {'code': 3"),
        (b'{"long": NaN}', "the answer holds NaN, which is not a number in JSON"),
        ({"long": None}, "the score of 'long' is None, not a number"),
        (b'{"long": 0.5, "long": 0.6}', "a label stands twice in {'long': 0.6}"),
        (b"<html><body>Sign in</body></html>", "with a page instead of JSON: '<html><body>Sign in"),
        (b"<?xml version='1.0'?><Error/>", "with a page instead of JSON"),
        (b'{"long": 0.5', "the answer is cut off"),
        (b"", "the answer is empty"),
        ({}, "no label at all"),
    ],
)
def test_what_is_no_answer_though_it_says_200_is_an_error_of_that_input(store: Store, body: Any, seen: str) -> None:
    with answering(single(lambda _: Reply(body))) as server:
        work = sending(server, store, ONE, error="error")
        dispatcher = work.run(TEXTS)
    entries = work.stored(TEXTS)
    assert [entry.state for entry in entries if entry and entry.state == "answered"] == ["answered"] * 3
    assert entries[2] is not None
    assert entries[2].state in {"rejected", "failed"}
    assert seen in (entries[2].error or "")
    assert dispatcher.stopped is None


@pytest.mark.parametrize("body", [b"<html><body>Sign in</body></html>", b"<?xml version='1.0'?><Error/>"])
def test_a_page_from_the_start_is_not_the_described_api(store: Store, body: bytes) -> None:
    with answering(lambda _: Reply(body, headers={"content-type": "text/html"})) as server:
        dispatcher = sending(server, store, ONE).run(TEXTS)
        assert len(server.requests) == 1
    assert dispatcher.stopped is not None
    assert dispatcher.stopped.kind == "broken"
    assert "with a page instead of JSON" in dispatcher.stopped.reason


def test_the_content_type_is_not_insisted_on(store: Store) -> None:
    with answering(lambda request: Reply(score(request.json["text"]), headers={"content-type": "text/html"})) as server:
        work = sending(server, store, ONE)
        work.run(TEXTS)
    assert work.states(TEXTS) == ["answered"] * 4


@pytest.mark.parametrize("shorter", [True, False])
def test_a_batch_answered_with_another_number_of_rows_is_no_answer(store: Store, shorter: bool) -> None:
    def handler(request: Received) -> Reply:
        rows = [score(text) for text in request.json["texts"]]
        return Reply({"rows": (rows[:-1] if shorter else [*rows, rows[0]]) if len(rows) > 1 else rows})

    with answering(handler) as server:
        work = sending(server, store, MANY)
        work.run(["first"])
        work.run(TEXTS)
    entries = [entry for entry in work.stored(TEXTS) if entry is not None]
    assert {entry.state for entry in entries} == {"failed"}
    assert f"items 'rows' finds {3 if shorter else 5} rows for 4 inputs" in (entries[0].error or "")


def test_rows_out_of_order_and_refused_ones_find_their_inputs(store: Store) -> None:
    def handler(request: Received) -> Reply:
        documents = request.json["documents"]
        good = [{"id": each["id"], "scores": score(each["text"])} for each in documents if each["text"] != "bad"]
        bad = [{"id": each["id"], "error": {"message": "Invalid text."}} for each in documents if each["text"] == "bad"]
        return Reply({"results": {"documents": good[::-1], "errors": bad}})

    errors = {"at": "results.errors", "id": "id", "message": "error.message"}
    config = {
        "json": {"documents": [{"$each": {"id": "{{ i | str }}", "text": "{{ x }}"}}]},
        "items": {"at": "results.documents", "id": "id", "errors": errors},
        "scores": {"map": "scores"},
        "batch": 4,
    }
    with answering(handler) as server:
        work = sending(server, store, config)
        work.run(TEXTS)
    assert work.states(TEXTS) == ["answered", "answered", "rejected", "answered"]
    assert [entry.scores for entry in work.stored(TEXTS) if entry and entry.scores] == [
        score(text) for text in TEXTS if text != "bad"
    ]


def test_a_label_that_dropped_out_of_the_best_is_censored_and_the_explanation_says_so(store: Store) -> None:
    """The model returns its two best labels; without "refund" the explained one is not among them."""

    def handler(request: Received) -> Reply:
        about = 0.8 if "refund" in request.json["text"] else 0.1
        ranked = sorted([("refund", about), ("spam", 0.5), ("praise", 0.3)], key=lambda pair: -pair[1])[:2]
        return Reply([{"label": label, "score": value} for label, value in ranked])

    with answering(handler) as server:
        scores = {"pairs": {"at": "@", "missing": "censored"}}
        adapter = endpoint(url=server.url, json={"text": "{{ x }}"}, scores=scores)
        target = TargetSpec("refund", ("refund",))
        [probe] = run([task(adapter, instance=SENTENCE, target=target)], store).probes
    [said] = [finding["message"] for finding in probe.findings if finding["code"] == "P103"]
    assert said.startswith("the target was cut off by the provider in 1 of 7 answers")
    effects = {word: share.value for word, share in zip(SENTENCE.split(), probe.attributions, strict=True)}
    assert effects["refund"] == pytest.approx(0.8 - 0.3)  # the bound: it scored at most 0.3


class TestBytes:
    """Requests of at most 400 bytes."""

    CONFIG = MANY | {"batch": {"max_items": 16, "max_bytes": 400}}

    def handler(self, request: Received) -> Reply:
        return Reply({"rows": [score(text) for text in request.json["texts"]]})

    def test_no_request_is_larger_and_few_are_split(self, store: Store) -> None:
        texts = [f"{number:03d} " + "x" * (20 + number % 20) for number in range(60)]
        with answering(self.handler) as server:
            work = sending(server, store, self.CONFIG)
            work.run(texts)
            sizes = [len(request.body) for request in server.requests]
            inputs = [len(request.json["texts"]) for request in server.requests]
        assert work.states(texts) == ["answered"] * 60
        assert max(sizes) <= 400
        assert sum(inputs) == 60
        assert len(sizes) <= 13  # eight or nine of up to 44 bytes fit; the first request is sixteen that do not

    def test_one_place_is_enough_to_split_a_request(self, store: Store) -> None:
        """The request that was too large must not keep the place that its parts need."""
        texts = [f"{number:03d} " + "x" * (350 * (number == 40)) for number in range(48)]
        with answering(self.handler) as server:
            work = sending(server, store, self.CONFIG, limits={"concurrency": 1})
            asyncio.run(asyncio.wait_for(work.send(work.jobs(texts)), 30))
        assert work.states(texts) == ["answered"] * 48

    def test_an_input_that_is_larger_by_itself_goes_alone(self, store: Store) -> None:
        texts = ["a", "b" * 500, "c", "d"]
        with answering(self.handler) as server:
            work = sending(server, store, self.CONFIG)
            work.run(texts)
            over = [request.json["texts"] for request in server.requests if len(request.body) > 400]
        assert over == [["b" * 500]]
        assert work.states(texts) == ["answered"] * 4

    def test_one_that_is_larger_than_the_endpoint_takes_is_refused_unsent(self, store: Store) -> None:
        texts = ["a", "é" * 100, "c"]
        config = MANY | {"batch": {"max_items": 16, "max_bytes": 400, "max_input_bytes": 199}}
        with answering(self.handler) as server:
            work = sending(server, store, config)
            dispatcher = work.run(texts)
            assert all("é" not in json.dumps(request.json, ensure_ascii=False) for request in server.requests)
        assert work.states(texts) == ["answered", "rejected", "answered"]
        [_, refused, _] = work.stored(texts)
        assert refused is not None
        assert "the input has 200 bytes, more than batch.max_input_bytes (199): it is not sent" in (refused.error or "")
        assert (refused.attempts, dispatcher.stopped) == (0, None)

    def test_a_plan_counts_requests_by_bytes(self, store: Store) -> None:
        adapter: Adapter = endpoint(**MANY | {"batch": {"max_items": 16, "max_bytes": 60}, "url": "http://127.0.0.1:1"})
        [planned] = plan([task(adapter, instance=SENTENCE)], store).endpoints
        assert planned.evaluations == 7
        assert planned.requests == 7

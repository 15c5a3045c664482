"""Python functions as endpoints."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters import (
    Adapter,
    CallableAdapter,
    HttpResponse,
    ItemError,
    Limits,
    MaybeBilled,
    Prediction,
    Price,
    ResponseError,
    SpecError,
    Usage,
    endpoint_from_config,
    open_transport,
)


def ask(adapter: Adapter, *batch: Any) -> HttpResponse:
    async def go() -> HttpResponse:
        transport = open_transport(adapter, environment={})
        try:
            return await transport.send(adapter.request(batch))
        finally:
            await transport.aclose()

    return asyncio.run(go())


def predictions(adapter: Adapter, *batch: Any) -> list[Prediction | ItemError]:
    answer = ask(adapter, *batch)
    assert adapter.classify(answer).kind == "ok", answer.body
    return adapter.predictions(answer, len(batch))


def lengths(texts: Sequence[str]) -> Any:
    return np.array([len(text) for text in texts], dtype=np.int64)


@pytest.mark.parametrize(
    ("function", "labels", "expected"),
    [
        (lengths, None, {"value": 3.0}),
        (lengths, ["chars"], {"chars": 3.0}),
        (lambda texts: [[0.25, 0.75] for _ in texts], None, {"0": 0.25, "1": 0.75}),
        (lambda texts: np.array([[0.25, 0.75]], dtype=np.float32), ["neg", "pos"], {"neg": 0.25, "pos": 0.75}),
        (lambda texts: [{"neg": 0.25, "pos": np.float32(0.75)} for _ in texts], None, {"neg": 0.25, "pos": 0.75}),
    ],
)
def test_every_kind_of_result(
    function: Callable[..., Any], labels: list[str] | None, expected: dict[str, float]
) -> None:
    adapter = CallableAdapter("f", function, labels=labels)
    assert isinstance(adapter, Adapter)
    assert predictions(adapter, "abc") == [Prediction(expected)]


def test_a_batch_keeps_its_order_and_the_body_can_be_read_again() -> None:
    adapter = CallableAdapter("f", lengths)
    answer = ask(adapter, "a", "bb", "ccc")
    assert answer.body == b'[{"value":1.0},{"value":2.0},{"value":3.0}]'
    assert adapter.predictions(answer, 3) == [Prediction({"value": float(k)}) for k in (1, 2, 3)]


def test_what_is_not_finite_is_that_input_s_trouble() -> None:
    adapter = CallableAdapter("f", lambda texts: np.array([1.0, np.nan, np.inf]))
    first, second, third = predictions(adapter, "a", "b", "c")
    assert first == Prediction({"value": 1.0})
    assert second == ItemError("endpoint 'f', item 1: the score of 'value' is 'NaN', not a number")
    assert isinstance(third, ItemError)


@pytest.mark.parametrize(
    ("function", "seen"),
    [
        (lambda texts: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda texts: [[0.5, 0.5]], "it returned 1 rows for 2 inputs"),
        (lambda texts: None, "it must return an array of shape (m,) or (m, k) or a list of mappings, got None"),
        (lambda texts: "abc", "it must return an array"),
        (lambda texts: np.zeros((2, 2, 2)), "it must return an array"),
        (lambda texts: [{"a": "x"}, {"a": 1}], "ValueError: could not convert string to float"),
        (lambda texts: np.zeros((2, 3)), "it returned 3 scores an input for 2 labels"),
    ],
)
def test_a_failing_function_is_rejected_with_its_own_words(function: Callable[..., Any], seen: str) -> None:
    adapter = CallableAdapter("f", function, labels=["a", "b"])
    answer = ask(adapter, "a", "b")
    verdict = adapter.classify(answer)
    assert (answer.status, verdict.kind) == (500, "reject")
    assert seen in verdict.reason


def test_a_declared_label_must_come() -> None:
    adapter = CallableAdapter("f", lambda texts: [{"a": 1.0}], labels=["a", "b"])
    with pytest.raises(ResponseError, match="label 'b' is missing"):
        predictions(adapter, "a")


def test_the_function_runs_beside_the_event_loop() -> None:
    seen: list[bool] = []

    def function(texts: Sequence[str]) -> list[float]:
        seen.append(threading.current_thread() is threading.main_thread())
        return [0.0]

    predictions(CallableAdapter("f", function), "a")
    assert seen == [False]


def test_a_function_that_hangs_is_given_up() -> None:
    release = threading.Event()

    def function(texts: Sequence[str]) -> list[float]:
        release.wait(5)
        return [0.0]

    adapter = CallableAdapter("f", function, limits=Limits(timeout=0.05))

    async def go() -> None:
        started = time.perf_counter()
        with pytest.raises(MaybeBilled, match=r"the function did not return within 0\.05 s") as caught:
            await open_transport(adapter, environment={}).send(adapter.request(["a"]))
        assert time.perf_counter() - started < 2
        assert adapter.classify(caught.value).maybe_billed
        release.set()

    asyncio.run(go())


def test_a_price_by_the_character_counts_its_texts() -> None:
    price = Price(unit_micro=100, unit_characters=10, least_units=2)
    adapter = CallableAdapter("f", lambda texts: [len(text) for text in texts], price=price)
    estimate = adapter.estimate(adapter.request(["a", "b" * 21]))
    assert (estimate, price.of(2, estimate)) == (Usage(units=2 + 3), 500)


def test_identities_tell_functions_apart() -> None:
    adapters = [
        CallableAdapter("f", lengths),
        CallableAdapter("f", lengths, version="2"),
        CallableAdapter("f", lengths, labels=["n"]),
        CallableAdapter("f", lambda texts: texts[0]),
        CallableAdapter("f", lambda texts: len(texts)),
        CallableAdapter("g", lambda texts: len(texts)),
    ]
    assert len({adapter.identity for adapter in adapters}) == len(adapters)
    assert CallableAdapter("other", lengths).identity == adapters[0].identity


class TestFromConfig:
    FILE = """
def score(inputs):
    return [{"n": float(len(text))} for text in inputs]

class M:
    predict = staticmethod(score)
"""

    def endpoint(self, base: Path, **config: Any) -> Adapter:
        return endpoint_from_config("local", {"adapter": "callable", **config}, environment={}, base=base)

    def test_a_file_relative_to_the_config(self, tmp_path: Path) -> None:
        (tmp_path / "models").mkdir()
        (tmp_path / "models" / "mine.py").write_text(self.FILE)
        adapter = self.endpoint(tmp_path, function="models/mine.py:score", labels=["n"], batch=4, price={"item": 0.1})
        assert predictions(adapter, "ab", "c") == [Prediction({"n": 2.0}), Prediction({"n": 1.0})]
        assert (adapter.max_batch, adapter.price.item_micro, adapter.limits.concurrency) == (4, 100_000, 1)
        assert str(tmp_path) not in adapter.identity
        assert predictions(self.endpoint(tmp_path, function="models/mine.py:M.predict"), "ab") == [
            Prediction({"n": 2.0})
        ]

    def test_a_module(self, tmp_path: Path) -> None:
        adapter = self.endpoint(tmp_path, function="numpy:asarray")
        assert predictions(adapter, [0.25, 0.75]) == [Prediction({"0": 0.25, "1": 0.75})]

    @pytest.mark.parametrize(
        ("function", "message"),
        [
            ("absent.py:f", "endpoints.local.function: cannot load 'absent.py': FileNotFoundError"),
            (
                "no_such_module_here:f",
                "endpoints.local.function: cannot load 'no_such_module_here': ModuleNotFoundError",
            ),
            ("broken.py:f", "endpoints.local.function: cannot load 'broken.py': RuntimeError: at import"),
            ("math:pi", "endpoints.local.function: 'math' has no function 'pi'"),
            ("math:nope.deeper", "endpoints.local.function: 'math' has no function 'nope.deeper'"),
            ("math", "endpoints.local.function: string should match pattern"),
        ],
    )
    def test_what_cannot_be_loaded(self, tmp_path: Path, function: str, message: str) -> None:
        (tmp_path / "broken.py").write_text("raise RuntimeError('at import')")
        with pytest.raises(SpecError) as caught:
            self.endpoint(tmp_path, function=function)
        assert str(caught.value).startswith(message)

    def test_keys_of_remote_endpoints_do_not_apply(self, tmp_path: Path) -> None:
        with pytest.raises(SpecError, match="unknown key 'url'"):
            self.endpoint(tmp_path, function="math:sqrt", url="http://h/")

    def test_bytes_are_no_limit_of_a_function(self, tmp_path: Path) -> None:
        config = {"adapter": "callable", "function": "math:sqrt", "batch": {"max_items": 2, "max_bytes": 10}}
        with pytest.raises(SpecError, match=r"^endpoints\.f: batch: a function gets its inputs as they are"):
            endpoint_from_config("f", config, environment={}, base=tmp_path)

"""An endpoint as a function, against the demo server."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest

from adapters import Adapter, endpoint_from_config, open_transport
from probe.engine.budget import Budget
from probe.engine.loops import LoopThread, run_sync
from probe.engine.session import Predictor
from probe.errors import BudgetReached, ConfigError, EndpointDown
from storage import Store
from tests.engine.harness import remote, row_adapter, text, text_adapter
from tests.servers import RunningServer

TEXTS = [text(number) for number in range(12)]


@contextmanager
def predictor(adapter: Adapter, folder: Path, **options: Any) -> Iterator[Predictor]:
    with make(adapter, folder, **options) as made:
        yield made


def make(adapter: Adapter, folder: Path, **options: Any) -> Predictor:
    store = Store.open(f"sqlite:///{folder / 'probe.db'}")
    return Predictor(remote(adapter), store, open_transport=lambda: open_transport(adapter, environment={}), **options)


def pictures(url: str) -> Adapter:
    config = {
        "url": f"{url}/v1/brightness/predict",
        "json": {"inputs": [{"$each": "{{ x | png | b64 }}"}]},
        "items": "predictions",
        "scores": {"map": "scores"},
        "batch": 4,
    }
    return endpoint_from_config("brightness", config, environment={}, base=Path())


def test_texts_and_a_second_call(server: RunningServer, tmp_path: Path) -> None:
    with predictor(text_adapter(server.url, batch=5), tmp_path) as predict:
        first = predict([*TEXTS, TEXTS[0]])
        assert first.shape == (13, 2)
        assert predict.outputs == ("long", "short")
        assert np.allclose(first.sum(axis=1), 1)
        assert np.array_equal(first[0], first[12])
        assert (predict.sent, server.counts()["billed_items"], predict.from_ledger) == (3, 12, 0)
        assert np.array_equal(predict(tuple(TEXTS)), first[:12])
        assert (predict.sent, predict.from_ledger) == (3, 12)
        assert predict(TEXTS[0]).shape == (1, 2)
        assert predict([]).shape == (0, 2)
        assert np.array_equal(predict(np.array(TEXTS[:2])), first[:2])
    with predictor(text_adapter(server.url, batch=5), tmp_path, outputs=["short"]) as predict:
        assert np.array_equal(predict(TEXTS)[:, 0], first[:12, 1])
        assert predict.sent == 0


def test_rows_in_every_shape(server: RunningServer, tmp_path: Path) -> None:
    table = np.array([[1.0, 0.5, 0.25, -1.0], [0.0, 0.0, 0.0, 0.0]])
    columns = ["a", "b", "c", "d"]
    with predictor(row_adapter(server.url), tmp_path, columns=columns) as predict:
        scores = predict(table)
        assert scores[1] == pytest.approx([0.5, 0.5])
        for same in (
            table.tolist(),
            pd.DataFrame(table, columns=columns),
            [dict(zip(columns, row, strict=True)) for row in table],
        ):
            assert np.array_equal(predict(same), scores)
        assert server.counts()["billed_items"] == 2
    with predictor(row_adapter(server.url, json={"inputs": [{"$each": "{{ x | list }}"}]}), tmp_path) as predict:
        assert np.array_equal(predict(table), scores)


def test_pictures_as_bytes_and_as_floats(server: RunningServer, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    with predictor(pictures(server.url), tmp_path) as predict:
        scores = predict(images)
        assert scores.shape == (5, 4)
        assert np.array_equal(predict(images.astype(np.float64) + 0.2), scores)
        assert np.array_equal(predict(list(images)), scores)
        assert predict(images[..., 0]).shape == (5, 4)
        with pytest.raises(ConfigError, match="multiply by 255"):
            predict(images / 255)


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        (np.zeros(3), "not a text, a row or a picture"),
        (np.float64(3), "put a single one in a list"),
        (3, "put a single one in a list"),
        ({"a": 1}, "put a single one in a list"),
        ([[1.0, 2.0]], "2 cells for 4 columns"),
        ([b"bytes"], "not a text, a row or a picture"),
        ([np.full((2, 2), np.nan)], "not a picture"),
    ],
)
def test_what_is_no_input_is_said(server: RunningServer, tmp_path: Path, inputs: Any, says: str) -> None:
    with predictor(row_adapter(server.url), tmp_path, columns=["a", "b", "c", "d"]) as predict:
        with pytest.raises(ConfigError, match=says):
            predict(inputs)
        assert predict.sent == 0


def test_an_output_that_is_not_there(server: RunningServer, tmp_path: Path) -> None:
    says = "label 'lang' is not in the answer; it has 'long', 'short'"
    with (
        predictor(text_adapter(server.url), tmp_path, outputs=["lang"]) as predict,
        pytest.raises(ConfigError, match=says),
    ):
        predict(TEXTS[:1])
    with pytest.raises(ConfigError, match="did you mean 'long'"):
        make(text_adapter(server.url, labels=["long", "short"]), tmp_path, outputs=["lang"])


def test_a_row_that_json_cannot_say(server: RunningServer, tmp_path: Path) -> None:
    with predictor(row_adapter(server.url), tmp_path) as predict:
        with pytest.raises(ConfigError, match="holds NaN"):
            predict([{"a": float("nan"), "b": 0.0, "c": 0.0, "d": 0.0}])
        assert predict([{"a": 1.0, "b": 0.0, "c": 0.0, "d": 0.0}]).shape == (1, 2)
        assert predict.sent == 1


def test_a_budget_holds_over_calls(server: RunningServer, tmp_path: Path) -> None:
    with predictor(text_adapter(server.url), tmp_path, budget=Budget.parse("10req")) as predict:
        predict(TEXTS[:6])
        with pytest.raises(BudgetReached, match="10 requests is used up"):
            predict(TEXTS)
        assert server.counts()["requests"] == 10
        assert predict(TEXTS[:10]).shape == (10, 2)
        with pytest.raises(BudgetReached):
            predict(TEXTS)
        assert server.counts()["requests"] == 10


def test_an_endpoint_that_is_down_may_come_back(server: RunningServer, tmp_path: Path) -> None:
    server.set_strict({"api_key": "secret"})
    with predictor(text_adapter(server.url), tmp_path) as predict:
        with pytest.raises(EndpointDown, match="credentials are refused"):
            predict(TEXTS)
        server.set_strict({})
        assert predict(TEXTS).shape == (12, 2)


def test_refused_inputs_are_not_asked_again(server: RunningServer, tmp_path: Path) -> None:
    server.set_strict({"faults": {"poison": [TEXTS[3]]}})
    with predictor(text_adapter(server.url, retry={"never": [500]}), tmp_path) as predict:
        for _ in range(2):
            with pytest.raises(EndpointDown, match="HTTP 500"):
                predict(TEXTS)
        assert server.counts()["requests"] == 12


def test_answers_of_its_own_are_always_fresh(server: RunningServer, tmp_path: Path) -> None:
    for _ in range(2):
        with predictor(text_adapter(server.url), tmp_path, fresh=timedelta(0)) as predict:
            predict(TEXTS)
            predict(TEXTS)
            assert predict.sent == 12


def test_closing_finishes_the_run(server: RunningServer, tmp_path: Path) -> None:
    predict = make(text_adapter(server.url), tmp_path)
    predict(TEXTS)
    predict.close()
    predict.close()
    with pytest.raises(ConfigError, match="was closed"):
        predict(TEXTS)
    with Store.open(f"sqlite:///{tmp_path / 'probe.db'}") as store:
        (run,) = store.runs()
    assert (run.status, run.totals["sent"], run.name) == ("finished", 12, "predict_fn:echo")


def test_dropping_it_closes_it(server: RunningServer, tmp_path: Path) -> None:
    before = threading.active_count()
    predict = make(text_adapter(server.url), tmp_path)
    predict(TEXTS)
    del predict
    gc.collect()
    assert threading.active_count() == before
    with Store.open(f"sqlite:///{tmp_path / 'probe.db'}") as store:
        assert store.runs()[0].status == "finished"


def test_a_transport_that_cannot_be_opened_leaves_nothing_behind(server: RunningServer, tmp_path: Path) -> None:
    def refuse() -> Any:
        raise ConfigError("the environment variable KEY is not set")

    before = threading.active_count()
    store = Store.open(f"sqlite:///{tmp_path / 'probe.db'}")
    with pytest.raises(ConfigError, match="KEY is not set"):
        Predictor(remote(text_adapter(server.url)), store, open_transport=refuse)
    assert threading.active_count() == before


def test_inside_a_running_event_loop(server: RunningServer, tmp_path: Path) -> None:
    async def notebook() -> Any:
        with predictor(text_adapter(server.url), tmp_path) as predict:
            return predict(TEXTS)

    assert asyncio.run(notebook()).shape == (12, 2)


def test_two_threads_at_once(server: RunningServer, tmp_path: Path) -> None:
    with predictor(text_adapter(server.url), tmp_path) as predict, ThreadPoolExecutor(2) as pool:
        one, two = pool.map(predict, [TEXTS, TEXTS])
        assert np.array_equal(one, two)
    assert server.counts()["billed_items"] == 12


def test_money_without_a_price_is_refused(server: RunningServer, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no endpoint has a price"):
        make(text_adapter(server.url), tmp_path, budget=Budget.parse("2usd"))


def test_run_sync_with_and_without_a_loop() -> None:
    async def answer() -> int:
        await asyncio.sleep(0)
        return 42

    async def inside() -> int:
        return run_sync(answer())

    assert run_sync(answer()) == asyncio.run(inside()) == 42


def test_a_loop_thread_ends_what_it_left() -> None:
    ended: list[str] = []

    async def long() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("cancelled")

    async def last() -> None:
        ended.append("last")

    async def start() -> asyncio.Task[None]:
        task = asyncio.create_task(long())
        await asyncio.sleep(0)
        return task

    loop = LoopThread()
    task = loop.call(start())
    started = time.monotonic()
    loop.close(last)
    loop.close()
    assert ended == ["cancelled", "last"]
    assert task.cancelled()
    assert time.monotonic() - started < 5
    with pytest.raises(RuntimeError, match="is closed"):
        loop.call(last())

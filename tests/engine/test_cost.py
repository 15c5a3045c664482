"""What tokens cost: estimated, booked, and settled with what the answers report."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters import Price, Usage
from probe.engine.budget import Budget
from probe.errors import ConfigError
from storage import Store
from tests.cli.program import here, texts_config, write
from tests.engine.harness import Sending, text_adapter
from tests.servers import RunningServer

USAGE = {"input": "usage.prompt_tokens", "output": "usage.completion_tokens"}
PRICE = {"per_million_input": 100, "per_million_output": 300}  # 0.0001 and 0.0003 a token
TEXTS = [f"{number:03d} " + "word " * (3 + number % 9) for number in range(30)]
COUNTING = {"rate": {"limit": 100_000, "window": 1.0, "unit": "tokens"}}


@pytest.mark.parametrize(
    ("price", "usage", "micro"),
    [
        (Price(), Usage(10, 10), 0),
        (Price(2000, 10), Usage(10, 10), 2020),
        (Price(million_input_micro=150_000), Usage(1, 5), 1),
        (Price(million_input_micro=150_000), Usage(1000, 5), 150),
        (Price(7, 0, "EUR", 3_000_000, 15_000_000), Usage(100, 10), 7 + 300 + 150),
        (Price(7, 0, "EUR", 3_000_000, 15_000_000), None, 7),
    ],
)
def test_prices_by_the_million(price: Price, usage: Usage | None, micro: int) -> None:
    assert price.of(2, usage) == micro


@pytest.mark.parametrize(
    ("lengths", "units", "micro"),
    [([1], 3, 300), ([300], 3, 300), ([301], 4, 400), ([1, 300, 950], 16, 1600), ([0], 3, 300)],
)
def test_prices_by_the_character(lengths: list[int], units: int, micro: int) -> None:
    """100 characters a unit, three units at least, each input rounded up by itself (Amazon Comprehend)."""
    price = Price(unit_micro=100, unit_characters=100, least_units=3)
    assert price.units(["x" * length for length in lengths]) == units
    assert price.of(len(lengths), Usage(units=units)) == micro
    assert price.of(len(lengths)) == 300 * len(lengths)  # before it is known how long they are
    assert not price.is_free


def test_the_characters_of_rows_are_those_of_their_texts() -> None:
    price = Price(unit_micro=1, unit_characters=10, least_units=0)
    assert price.units([{"a": "x" * 11, "b": 4.5, "c": None}, ["é" * 10, 1], np.zeros((4, 4), np.uint8)]) == 2 + 1 + 0
    assert Price(2000).units(["text"]) == 0


def test_a_price_by_the_token_makes_a_budget_in_money_a_limit() -> None:
    Budget.parse("2usd").check({"a": Price(million_output_micro=1)})
    with pytest.raises(ConfigError, match="no endpoint has a price"):
        Budget.parse("2usd").check({"a": Price()})


@pytest.mark.parametrize("options", [{}, {"batch": 4, "json": {"inputs": [{"$each": "{{ x }}"}], "max_tokens": 50}}])
def test_the_bill_is_what_the_answers_report(server: RunningServer, store: Store, options: dict[str, Any]) -> None:
    server.set_strict(COUNTING)
    budget = Budget.parse("5usd")
    sending = Sending(text_adapter(server.url, usage=USAGE, price=PRICE, **options), store)
    dispatcher = sending.run(TEXTS, budget=budget)
    arrivals = server.arrivals()
    billed = sum(100 * (arrival["tokens"] - 1) + 300 for arrival in arrivals)
    assert dispatcher.stats.cost_micro == budget.spent_micro == billed
    assert sum(entry.cost_micro for entry in sending.stored(TEXTS) if entry is not None) == billed


BY_LENGTH = {"characters": {"per": 10, "unit": 0.0001, "minimum": 3}, "request": 0.001}


@pytest.mark.parametrize("usage", [None, USAGE])
def test_characters_are_booked_as_they_are_sent(server: RunningServer, store: Store, usage: Any) -> None:
    server.set_strict(COUNTING)
    budget = Budget.parse("5usd")
    options = {"usage": usage} if usage else {}
    sending = Sending(text_adapter(server.url, price=BY_LENGTH, batch=4, **options), store)
    dispatcher = sending.run(TEXTS, budget=budget)
    billed = 1000 * dispatcher.stats.sent + 100 * sum(max(3, math.ceil(len(each) / 10)) for each in TEXTS)
    assert dispatcher.stats.cost_micro == budget.spent_micro == billed
    assert sum(entry.cost_micro for entry in sending.stored(TEXTS) if entry is not None) == billed


def test_a_budget_in_money_ends_where_the_characters_do(server: RunningServer, store: Store) -> None:
    sending = Sending(text_adapter(server.url, price={"characters": {"per": 1000, "unit": 0.01}}, batch=1), store)
    dispatcher = sending.run(TEXTS, budget=Budget.parse("0.05usd"))
    assert dispatcher.stopped is not None
    assert dispatcher.stopped.kind == "budget"
    assert (server.counts()["requests"], dispatcher.stats.cost_micro) == (5, 50_000)


def test_a_plan_estimates_units_from_the_texts(server: RunningServer, tmp_path: Path) -> None:
    price = {"characters": {"per": 1, "unit": 0.01, "minimum": 10}}
    write(tmp_path, texts_config(server.url, endpoint={"price": price}))
    planned = here("plan", "--json", cwd=tmp_path).json["endpoints"][0]
    assert planned["tokens"] == 0
    assert planned["cost_micro"] == planned["units"] * 10_000
    assert f"about {planned['units']} units of characters · about " in here("plan", cwd=tmp_path).out
    ran = here("run", "--json", cwd=tmp_path).json
    assert planned["cost_micro"] == pytest.approx(ran["totals"]["cost_micro"], rel=0.1)


def test_without_a_report_the_estimate_is_paid(server: RunningServer, store: Store) -> None:
    adapter = text_adapter(server.url, usage=USAGE, price=PRICE)
    sending = Sending(adapter, store)
    dispatcher = sending.run(TEXTS[:3])
    bodies = [adapter.request([text]) for text in TEXTS[:3]]
    assert dispatcher.stats.cost_micro == sum(100 * adapter.estimate(body).input for body in bodies) > 0


def test_a_budget_reserves_the_estimate(server: RunningServer, store: Store) -> None:
    """Each request may cost 0.0015 or so and 0.03 for an answer as long as allowed; only the first is small enough."""
    server.set_strict(COUNTING)
    options: dict[str, Any] = {"json": {"inputs": ["{{ x }}"], "max_tokens": 100}, "batch": 1}
    sending = Sending(text_adapter(server.url, usage=USAGE, price=PRICE, **options), store)
    dispatcher = sending.run(TEXTS, budget=Budget.parse("0.033usd"))
    assert dispatcher.stopped is not None
    assert dispatcher.stopped.kind == "budget"
    assert 1 <= server.counts()["requests"] < 5
    assert dispatcher.stats.cost_micro < 33_000


def test_a_plan_says_that_it_estimates(server: RunningServer, tmp_path: Path) -> None:
    write(
        tmp_path,
        texts_config(server.url, endpoint={"price": PRICE, "usage": {**USAGE, "output_tokens": 5}, "batch": 1}),
    )
    planned = here("plan", "--json", cwd=tmp_path).json["endpoints"][0]
    # eight requests of about 50 bytes, and five tokens for each answer
    assert planned["requests"] == 8
    assert planned["tokens"] == pytest.approx(8 * (55 / 4 + 5), rel=0.15)
    assert planned["cost_micro"] == pytest.approx((planned["tokens"] - 40) * 100 + 40 * 300, abs=1)
    said = here("plan", cwd=tmp_path).out
    assert f"about {planned['tokens']} tokens, estimated from the size of the requests · about 0.0" in said
    assert server.counts()["requests"] == 0

from __future__ import annotations

import pytest

from adapters import Price
from probe.engine.budget import Budget, money
from probe.errors import BudgetReached, ConfigError


@pytest.mark.parametrize(
    ("text", "requests", "micro", "currency"),
    [
        (None, None, None, "USD"),
        ("", None, None, "USD"),
        ("500req", 500, None, "USD"),
        (" 500 Requests ", 500, None, "USD"),
        ("0req", 0, None, "USD"),
        ("2usd", None, 2_000_000, "USD"),
        ("$2", None, 2_000_000, "USD"),
        ("2$", None, 2_000_000, "USD"),
        ("0.000001eur", None, 1, "EUR"),
        ("500req, 2.50 GBP", 500, 2_500_000, "GBP"),
    ],
)
def test_forms(text: str | None, requests: int | None, micro: int | None, currency: str) -> None:
    budget = Budget.parse(text)
    assert (budget.requests, budget.micro, budget.currency) == (requests, micro, currency)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("500", "needs a unit; write 500req or 500usd"),
        ("2.5req", "not a whole number of requests"),
        ("-1usd", "neither requests nor money"),
        ("many", "neither requests nor money"),
        ("$2usd", "neither requests nor money"),
        ("1e9req", "neither requests nor money"),
        ("2btc", "the unit of '2btc' is not known; write req, usd, eur or gbp"),
        ("9" * 5000 + "req", "neither requests nor money"),
        ("2usd,3eur", "a second amount of money"),
        ("2req,3req", "a second number of requests"),
        ("٢usd", "neither requests nor money"),
    ],
)
def test_errors_are_one_short_line(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=r"^budget: ") as caught:
        Budget.parse(text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_requests_stop_hard() -> None:
    budget = Budget.parse("2req")
    budget.take(0)
    budget.take(0)
    with pytest.raises(BudgetReached, match="2 requests is used up"):
        budget.take(0)
    budget.give_back(0)
    budget.take(0)
    assert budget.spent_requests == 2


def test_money_stops_before_it_is_overspent() -> None:
    budget = Budget.parse("0.01usd")
    budget.take(6000)
    with pytest.raises(
        BudgetReached, match=r"the next request \(0\.006\) would exceed the budget of 0\.01 \(0\.006 spent\)"
    ):
        budget.take(6000)
    budget.take(4000)
    assert budget.spent_micro == 10_000


def test_a_refused_request_costs_no_money_but_counts() -> None:
    budget = Budget.parse("2req,0.01usd")
    budget.take(10_000)
    budget.refund(10_000)
    budget.take(10_000)
    assert (budget.spent_requests, budget.spent_micro) == (2, 10_000)
    with pytest.raises(BudgetReached):
        budget.take(0)


def test_a_limit_in_money_needs_a_price_in_that_currency() -> None:
    paid, free, foreign = Price(2000), Price(), Price(1000, currency="EUR")
    Budget.parse("2usd").check({"a": paid, "b": free})
    Budget.parse("500req").check({"b": free, "c": foreign})
    Budget.parse("2usd").check({})
    with pytest.raises(ConfigError, match=r"2\.00 USD is no limit, because no endpoint has a price \(b\)"):
        Budget.parse("2usd").check({"b": free})
    with pytest.raises(ConfigError, match="endpoint 'c' is paid in EUR"):
        Budget.parse("2usd").check({"a": paid, "c": foreign})


@pytest.mark.parametrize(("micro", "text"), [(0, "0.00"), (2000, "0.002"), (1_500_000, "1.50"), (1, "0.000001")])
def test_money(micro: int, text: str) -> None:
    assert money(micro) == text

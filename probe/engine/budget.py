"""The run's budget: a hard stop in requests and in money, checked before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from adapters import Price
from probe.errors import BudgetReached, ConfigError

_FORM = re.compile(r"(\$?)\s*([0-9]{1,12}(?:\.[0-9]{1,12})?)\s*([a-z$]*)", re.IGNORECASE)
_REQUESTS = {"req", "request", "requests"}
_CURRENCIES = {"usd": "USD", "eur": "EUR", "gbp": "GBP", "$": "USD"}


@dataclass(slots=True)
class Budget:
    """Counts what was sent; :meth:`take` refuses what would go over.

    ``None`` means no limit of that kind. Money is in micro-units.
    """

    requests: int | None = None
    micro: int | None = None
    currency: str = "USD"
    spent_requests: int = field(default=0, init=False)
    spent_micro: int = field(default=0, init=False)

    @classmethod
    def parse(cls, text: str | None) -> Budget:
        """From ``500req``, ``2usd``, ``$2`` or one of each, separated by a comma.

        Raises:
            ConfigError: if it is none of these.
        """
        budget = cls()
        for part in filter(None, map(str.strip, (text or "").split(","))):
            match = _FORM.fullmatch(part)
            if not match or (match[1] and match[3]):
                raise ConfigError(f"budget: {_shown(part)} is neither requests nor money; write 500req or 2usd")
            budget._set(part, match[2], (match[1] or match[3]).lower())
        return budget

    def _set(self, part: str, amount: str, unit: str) -> None:
        if not unit:
            raise ConfigError(f"budget: {part!r} needs a unit; write {amount}req or {amount}usd")
        if unit in _REQUESTS:
            if "." in amount:
                raise ConfigError(f"budget: {part!r} is not a whole number of requests")
            if self.requests is not None:
                raise ConfigError(f"budget: {part!r} is a second number of requests; write one")
            self.requests = int(amount)
        elif unit in _CURRENCIES:
            if self.micro is not None:
                raise ConfigError(f"budget: {part!r} is a second amount of money; write one")
            self.micro, self.currency = int(Decimal(amount) * 1_000_000), _CURRENCIES[unit]
        else:
            known = "req, usd, eur or gbp"
            raise ConfigError(f"budget: the unit of {_shown(part)} is not known; write {known}")

    def check(self, prices: Mapping[str, Price]) -> None:
        """Refuse a budget in money that could never stop anything. ``prices`` by endpoint name.

        Raises:
            ConfigError: no endpoint has a price, or one has it in another currency.
        """
        priced = {name: price for name, price in prices.items() if not price.is_free}
        if self.micro is None or not prices:
            return
        if not priced:
            raise ConfigError(
                f"budget: {money(self.micro)} {self.currency} is no limit, because no endpoint has a price "
                f"({', '.join(prices)}); write price: {{request: …}} there, or the budget as 500req"
            )
        for name, price in priced.items():
            if price.currency != self.currency:
                raise ConfigError(
                    f"budget: it is in {self.currency}, but endpoint {name!r} is paid in {price.currency}; "
                    "use one currency, or write the budget as 500req"
                )

    @property
    def is_limit(self) -> bool:
        """Whether it can stop anything."""
        return self.requests is not None or self.micro is not None

    async def secure(self, micro: int) -> None:
        """See that the next :meth:`take` can be decided without waiting. Nothing to do: all of this budget is ours."""

    def take(self, micro: int) -> None:
        """Book one request that costs ``micro``.

        Raises:
            BudgetReached: if that would exceed the budget; nothing is booked then.
        """
        if self.requests is not None and self.spent_requests + 1 > self.requests:
            raise BudgetReached(
                f"the budget of {self.requests} requests is used up; raise --budget and run the same command"
            )
        if self.micro is not None and self.spent_micro + micro > self.micro:
            raise BudgetReached(
                f"the next request ({money(micro)}) would exceed the budget of {money(self.micro)} "
                f"({money(self.spent_micro)} spent); raise --budget and run the same command"
            )
        self.spent_requests += 1
        self.spent_micro += micro

    def give_back(self, micro: int) -> None:
        """Undo one :meth:`take`, for a request of which nothing left this machine."""
        self.spent_requests -= 1
        self.spent_micro -= micro

    def refund(self, micro: int) -> None:
        """Give back the money of a request that was sent and refused; it stays counted as a request."""
        self.spent_micro -= micro


def _shown(part: str) -> str:
    return repr(part if len(part) <= 40 else part[:40] + "…")


def money(micro: int) -> str:
    """Micro-units as people write money: at least two decimals, no more than needed."""
    text = f"{micro / 1_000_000:.6f}".rstrip("0")
    whole, _, cents = text.partition(".")
    return f"{whole}.{cents.ljust(2, '0')}"

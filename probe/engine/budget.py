"""The run's budget: a hard stop in requests and in money, checked before anything is sent."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from probe.errors import BudgetReached, ConfigError

_FORM = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(req|requests|usd|eur|gbp|\$)?\s*", re.IGNORECASE)


@dataclass(slots=True)
class Budget:
    """Counts what was sent; :meth:`take` refuses what would go over.

    ``None`` means no limit of that kind. Money is in micro-units.
    """

    requests: int | None = None
    micro: int | None = None
    spent_requests: int = field(default=0, init=False)
    spent_micro: int = field(default=0, init=False)

    @classmethod
    def parse(cls, text: str | None) -> Budget:
        """From ``500req``, ``2usd``, ``$2``-like text, several separated by commas.

        Raises:
            ConfigError: if it is none of these.
        """
        budget = cls()
        for part in (text or "").split(","):
            if not part.strip():
                continue
            match = _FORM.fullmatch(part.strip().removeprefix("$") + ("usd" if part.strip().startswith("$") else ""))
            if not match:
                raise ConfigError(f"budget: {part.strip()!r} is neither requests nor money; write 500req or 2usd")
            amount, unit = match.group(1), (match.group(2) or "").lower()
            if unit in {"req", "requests"} and "." not in amount:
                budget.requests = int(amount)
            elif unit and unit not in {"req", "requests"}:
                budget.micro = _micro(amount)
            else:
                raise ConfigError(f"budget: {part.strip()!r} needs a unit; write {amount}req or {amount}usd")
        return budget

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


def _micro(amount: str) -> int:
    try:
        return int((Decimal(amount) * 1_000_000).to_integral_value())
    except InvalidOperation as error:
        raise ConfigError(f"budget: {amount!r} is not a number") from error


def money(micro: int) -> str:
    """Micro-units as people write money: at least two decimals, no more than needed."""
    text = f"{micro / 1_000_000:.6f}".rstrip("0")
    whole, _, cents = text.partition(".")
    return f"{whole}.{cents.ljust(2, '0')}"

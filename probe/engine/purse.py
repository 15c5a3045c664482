"""A budget that all processes working on the same run spend together, kept in the results database.

A few requests' worth is taken from it at a time and what is left is given back at the end, so that not every request costs a
transaction. A process that is killed leaves what it had taken unspent: the budget may end a little early, never late.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from probe.engine.budget import Budget, money
from probe.errors import BudgetReached
from storage import Purse, Store

_AT_A_TIME = 8  #: requests


class SharedBudget(Budget):
    """``budget`` for everybody who names ``name``; what was spent under that name before counts.

    :meth:`secure` comes before :meth:`take`, with nothing awaited in between, and raises :class:`storage.StorageError`.
    """

    __slots__ = ("_gate", "_micro", "_name", "_purse", "_requests", "_said")

    def __init__(self, budget: Budget, purse: Purse, name: str) -> None:
        super().__init__(budget.requests, budget.micro, budget.currency)
        self._purse = purse
        self._name = name
        self._gate = asyncio.Lock()
        self._requests = self._micro = 0  # taken from the purse and not spent
        self._said = ""  # why it gave no more

    async def secure(self, micro: int) -> None:
        async with self._gate:
            if not self._covers(micro):
                await asyncio.to_thread(self._fill, micro)

    def take(self, micro: int) -> None:
        if not self._covers(micro):
            raise BudgetReached(self._said)
        self._requests -= 1
        self._micro -= micro
        self.spent_requests += 1
        self.spent_micro += micro

    def give_back(self, micro: int) -> None:
        super().give_back(micro)
        self._requests += 1
        self._micro += micro

    def refund(self, micro: int) -> None:
        super().refund(micro)
        self._micro += micro

    async def aclose(self) -> None:
        """Give back what was taken and not spent; a reported price above the estimate is made up for."""
        requests, micro = self._requests, self._micro
        self._requests = self._micro = 0
        if requests or micro > 0:
            await asyncio.to_thread(self._purse.give_back, self._name, requests=requests, micro=max(micro, 0))
        if micro < 0:
            await asyncio.to_thread(self._take, 0, -micro, limited=False)

    def _covers(self, micro: int) -> bool:
        return self._requests >= 1 and (self.micro is None or self._micro >= micro)

    def _fill(self, micro: int) -> None:
        """Take enough for a few requests like this one, or at least for it; else note why there is no more."""
        for count in (_AT_A_TIME, 1):
            requests, amount = max(count - self._requests, 0), max(count * micro - self._micro, 0)
            if self._take(requests, amount, limited=True):
                self._requests += requests
                self._micro += amount
                return
        spent = self._purse.spent(self._name)
        if self.requests is not None and spent.requests - self._requests + 1 > self.requests:
            seen = f"the budget of {self.requests} requests is used up"
        else:
            seen = (
                f"the next request ({money(micro)}) would exceed the budget of {money(self.micro or 0)} "
                f"({money(spent.micro - self._micro)} spent)"
            )
        self._said = f"{seen}; raise --budget and run the same command"

    def _take(self, requests: int, micro: int, *, limited: bool) -> bool:
        most_requests, most_micro = (self.requests, self.micro) if limited else (None, None)
        return self._purse.take(
            self._name, requests=requests, micro=micro, most_requests=most_requests, most_micro=most_micro
        )


async def shared_budget(budget: Budget, store: Store, run_id: str, stack: AsyncExitStack) -> Budget:
    """``budget`` for every process that works on the run, now or before; closed with ``stack``. One without limits, or one
    that is shared already, is returned as it is."""
    if not budget.is_limit or isinstance(budget, SharedBudget):
        return budget
    purse, name = Purse(store), f"run {run_id}"
    requests, micro = await asyncio.to_thread(store.spent, run_id)
    await asyncio.to_thread(purse.open, name, requests=requests, micro=micro)
    shared = SharedBudget(budget, purse, name)
    stack.push_async_callback(shared.aclose)
    return shared

"""Expiring credentials: fetched once for all who wait, off the event loop, renewed before their end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from adapters import NoCredentials, NotSent, Secrets, TransportError
from adapters.auth_renewal import Lease, Renewed
from tests.adapters.auth_issuers import Clock


class Issuer:
    """Hands out ``token-1``, ``token-2`` …, each for ``life`` seconds; refuses while ``refusing`` is set."""

    def __init__(self, clock: Clock, life: float) -> None:
        self._clock = clock
        self._life = life
        self.times: list[float] = []
        self.threads: set[int] = set()
        self.refusing: TransportError | None = None

    def __call__(self) -> Lease[str]:
        self.times.append(self._clock.now)
        self.threads.add(threading.get_ident())
        if self.refusing is not None:
            raise self.refusing
        token = f"token-{len(self.times):04}"
        return Lease(token, (token,), self._clock.now + self._life)


def renewed(clock: Clock, life: float) -> tuple[Renewed[str], Issuer]:
    issuer = Issuer(clock, life)
    return Renewed(issuer, clock=clock, secrets=Secrets(("fixed-secret",))), issuer


@pytest.mark.parametrize(
    ("life", "due"),
    [
        (3600.0, 3300.0),  # five minutes before the end
        (300.0, 150.0),  # what lives shortly, after half of its life
        (2.0, 1.0),
    ],
)
def test_a_lease_is_renewed_before_its_end(life: float, due: float) -> None:
    async def go() -> None:
        clock = Clock(1000.0)
        source, issuer = renewed(clock, life)
        for after, wanted in [(0.0, "token-0001"), (due - 0.25, "token-0001"), (due, "token-0002")]:
            clock.now = 1000.0 + after
            assert await source.get() == wanted
        assert issuer.times == [1000.0, 1000.0 + due]

    asyncio.run(go())


def test_all_who_wait_share_one_fetch_in_another_thread() -> None:
    async def go() -> tuple[set[str], Issuer]:
        source, issuer = renewed(Clock(0.0), 3600.0)
        return set(await asyncio.gather(*(source.get() for _ in range(50)))), issuer

    tokens, issuer = asyncio.run(go())
    assert tokens == {"token-0001"}
    assert issuer.times == [0.0]
    assert threading.get_ident() not in issuer.threads


def test_one_that_gives_up_waiting_leaves_the_fetch_to_the_others() -> None:
    go_on = threading.Event()

    def slow() -> Lease[str]:
        go_on.wait(10)
        return Lease("late")

    async def go() -> str:
        source = Renewed(slow, clock=Clock(0.0), secrets=Secrets())
        patient = asyncio.create_task(source.get())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(source.get(), 0.01)
        go_on.set()
        return await patient

    assert asyncio.run(go()) == "late"


def test_a_refusal_reaches_everyone_and_the_next_one_asks_again() -> None:
    async def go() -> Issuer:
        source, issuer = renewed(Clock(0.0), 3600.0)
        issuer.refusing = NoCredentials("no")
        ends = await asyncio.gather(*(source.get() for _ in range(3)), return_exceptions=True)
        assert [(type(end), str(end)) for end in ends] == [(NoCredentials, "no")] * 3
        issuer.refusing = None
        assert await source.get() == "token-0002"
        return issuer

    assert len(asyncio.run(go()).times) == 2


def test_what_still_holds_is_used_while_renewing_fails() -> None:
    async def go() -> None:
        clock = Clock(0.0)
        source, issuer = renewed(clock, 3600.0)
        assert await source.get() == "token-0001"
        issuer.refusing = NotSent("the issuer is away")
        for clock.now in (3300.0, 3301.0, 3309.0):
            assert await source.get() == "token-0001"
        assert issuer.times == [0.0, 3300.0]  # not again with every request
        clock.now = 3310.0
        assert await source.get() == "token-0001"
        clock.now = 3600.0
        with pytest.raises(NotSent, match="the issuer is away"):
            await source.get()
        issuer.refusing = None
        assert await source.get() == f"token-{len(issuer.times):04}"

    asyncio.run(go())


def test_a_clock_that_is_ahead_does_not_ask_with_every_request() -> None:
    async def go() -> list[float]:
        clock = Clock(0.0)
        source, issuer = renewed(clock, -3600.0)
        for clock.now in (0.0, 5.0, 9.0, 10.0):
            await source.get()
        return issuer.times

    assert asyncio.run(go()) == [0.0, 10.0]


@pytest.mark.parametrize("text", ["fixed-secret", "token-0001", "token-0002"])
def test_every_value_that_may_be_under_way_is_redacted(text: str) -> None:
    async def go() -> Callable[[str], str]:
        clock = Clock(0.0)
        source, _ = renewed(clock, 3600.0)
        await source.get()
        clock.now = 3400.0
        await source.get()
        return source.secrets.redact

    assert asyncio.run(go())(f"({text})") == "([redacted])"

"""When the next request may leave, and how many may be under way: every limit of one endpoint, and what answers say of them.

What holds requests back: limits on requests and on tokens, a hold that the server asked for, a number in flight, and a
circuit breaker. The dispatcher asks here before it sends, and tells what came of it.
"""

from __future__ import annotations

import asyncio
import math

from asyncio_throttle.throttler import Throttler

from adapters import Adapter, AdapterError, HttpResponse, Usage, Verdict, announced
from probe.clock import Clock
from probe.engine.adaptive import Places, cap_of, is_too_much
from probe.engine.binding import Binding
from probe.engine.breaker import Breaker, is_outage
from probe.engine.events import CircuitClosed, CircuitOpened, Listener, Standing
from probe.engine.shared import SharedThrottler
from probe.engine.shipment import Shipment
from probe.engine.throttle import PacedThrottler, Send, Unlimited
from probe.engine.tokens import TokenLimiter

_JOURNAL_SECONDS = 0.05  #: a slow commit; so much of the rate may be on its way through the journal


class Flow:
    """The limits of ``adapter``'s endpoint. ``throttler``: any asyncio-throttle ``Throttler`` instead of our own.

    ``patience``: seconds without an answer after which the circuit breaker calls the endpoint hopeless.
    """

    def __init__(
        self, adapter: Adapter, *, throttler: Throttler | None, patience: float, clock: Clock, emit: Listener
    ) -> None:
        self._adapter = adapter
        self._clock = clock
        self._emit = emit
        limits = adapter.limits
        if throttler is not None:
            self._throttler = throttler
        elif limits.rate is not None:
            self._throttler = PacedThrottler(limits.rate, limits.period, more=limits.more, clock=clock)
        else:
            self._throttler = Unlimited(clock=clock)
        self._tokens = TokenLimiter(limits.tokens, clock=clock)
        # Between intent and sending there is one request at the limiter and, at high rates, a few more being journalled.
        gate = 2 + math.ceil((limits.rate or 1000.0) / limits.period * _JOURNAL_SECONDS)
        self._cap = cap_of(limits, monotonic=clock.monotonic, spare=gate)
        self.gate = asyncio.Semaphore(gate)
        self.in_flight = Places(self._cap)  #: evaluations, from rendering to the end
        self.places = Places(self._cap)  #: attempts, which end earlier and begin again
        self.breaker = Breaker(clock.monotonic, patience)
        self.under_way = 0  #: requests that the server may not have counted yet

    async def turn(self, shipment: Shipment) -> None:
        """Wait until every limit admits the shipment's request, one after the other. Raises :class:`LimitFar`."""
        shipment.grant = await self._tokens.acquire(shipment.estimate, self._throttler)

    async def look(self) -> None:
        """Wait until the limit on requests admits one that only looks for a result. Raises :class:`LimitFar`."""
        async with self._throttler:
            pass

    @property
    def last_send(self) -> Send | None:
        """Whoever asks right after :meth:`turn` gets the log entry of its own send; ``None`` if there is no such log."""
        return self._throttler.last if isinstance(self._throttler, PacedThrottler) else None

    def heed(self, shipment: Shipment, response: HttpResponse, send: Send | None, *, first: bool) -> None:
        """What an answer says beyond itself: when its request left, and which limits the server announces. ``first``: until
        now the endpoint had not answered, so that its request went alone."""
        throttler = self._throttler
        if first and isinstance(throttler, (PacedThrottler, SharedThrottler)):
            throttler.landed(response.elapsed)
        if shipment.grant is not None:
            self._tokens.landed(shipment.grant, response.elapsed)
        said = announced(response.headers, now=self._clock.now())
        if isinstance(throttler, PacedThrottler):
            if send is not None:
                throttler.left(send, response.elapsed)
            if said:
                throttler.announce(said, in_flight=self.under_way)
        self._tokens.announce(said)

    def settle(self, shipment: Shipment, verdict: Verdict, reported: Usage | None, *, sent: bool) -> None:
        """Tokens that were reserved and not used are free again."""
        grant, shipment.grant = shipment.grant, None
        if grant is None:
            return
        if sent and not verdict.throttled:
            self._tokens.settle(grant, reported)
        else:
            self._tokens.refund(grant)

    def adapt(self, verdict: Verdict, outcome: HttpResponse | AdapterError, began: float) -> None:
        """How many may be under way from now on."""
        if is_too_much(verdict, outcome):
            self._cap.refused(began)
        elif isinstance(outcome, HttpResponse):
            self._cap.answered(outcome.elapsed, full=self.places.full)
            self.places.admit()
            self.in_flight.admit()

    def watch(self, verdict: Verdict, outcome: HttpResponse | AdapterError, *, answers: bool) -> bool:
        """Whether the endpoint, which once answered (``answers``), has been out for so long that it is hopeless."""
        if not is_outage(outcome, verdict):
            if self.breaker.succeeded():
                self._emit(CircuitClosed(self._adapter.name))
        elif answers and (pause := self.breaker.failed()) is not None:
            if self.breaker.is_hopeless:
                return True
            self._emit(CircuitOpened(self._adapter.name, pause, verdict.reason))
        return False

    def hold(self, seconds: float) -> None:
        """The server said "too fast": send nothing for so long, and go slower then."""
        self._tokens.hold()
        hold = getattr(self._throttler, "hold", None)  # a plain asyncio-throttle Throttler has none
        if hold is not None:
            hold(seconds)

    def standing(self, left: int, *, sent: int, cost_micro: int) -> Standing:
        """How it goes, with ``left`` evaluations to come, ``sent`` requests sent and ``cost_micro`` spent."""
        binding = Binding("out", "", self.breaker.next_trial) if self.breaker.is_open else None
        binding = binding or self._tokens.binding() or getattr(self._throttler, "binding", lambda: None)()
        if binding is None and self.places.full:
            binding = Binding("in flight", f"{self.places.taken} of {self._cap.limit}")
        least = getattr(self._throttler, "least_seconds", None)
        return Standing(
            self._adapter.name,
            left=left,
            sent=sent,
            in_flight=self.under_way,
            cost_micro=cost_micro,
            currency=self._adapter.price.currency,
            binding=None if binding is None else binding.kind,
            limit="" if binding is None else binding.limit,
            wait=None if binding is None else binding.wait,
            least_seconds=None if least is None else least(math.ceil(left / self._adapter.max_batch)),
        )

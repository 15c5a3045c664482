"""What requests will be like, from a few of them that are rendered and not sent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from adapters import Adapter, AdapterError, HttpRequest, Request, RequestTooLarge, Usage
from probe.engine.packing import Packing
from probe.engine.shipment import Job

_SAMPLE = 20  #: requests rendered to estimate the tokens and units of all


class Renderable(Protocol):
    """Something that will be sent."""

    def job(self) -> Job:
        """The evaluation, ready to be sent."""


def expected_size(adapter: Adapter, needs: Sequence[Renderable]) -> int:
    """How many of ``needs`` will go into one request."""
    packing = Packing(adapter.max_batch)
    try:
        alone = _rendered(adapter, needs[:1]) if needs and adapter.max_batch > 1 else None
        if isinstance(alone, HttpRequest) and alone.fits is not None:
            packing.heed(_rendered(adapter, needs[: min(adapter.max_batch, alone.fits)]))
    except RequestTooLarge as error:
        packing.heed(error)
    except AdapterError:  # the run will say what is wrong with it
        pass
    return packing.size


def expected_usage(
    adapter: Adapter, needs: Sequence[Renderable], *, evaluations: int, requests: int, size: int
) -> Usage:
    """Tokens and units of ``requests`` that carry ``evaluations``, of which ``needs`` are known; ``size``: in a request.

    Nothing if neither the price nor a limit of ``adapter`` counts them.
    """
    if not needs or not (adapter.price.counts_length or adapter.limits.tokens):
        return Usage()
    batches = [needs[start : start + size] for start in range(0, len(needs), size)]
    sample = batches[:: max(1, len(batches) // _SAMPLE)]
    try:
        found = [adapter.estimate(_rendered(adapter, batch)) for batch in sample]
    except AdapterError:  # the run will say what is wrong with it
        return Usage()
    counts_tokens = adapter.price.counts_tokens or adapter.limits.tokens
    of_request, of_input = requests / len(found), evaluations / sum(map(len, sample))
    return Usage(
        math.ceil(of_request * sum(each.input for each in found)) if counts_tokens else 0,
        math.ceil(of_request * sum(each.output for each in found)) if counts_tokens else 0,
        math.ceil(of_input * sum(each.units for each in found)),
    )


def price_of(adapter: Adapter, usage: Usage, *, evaluations: int, requests: int) -> int:
    """What all of them cost, in micro-units; parts of one are rounded up once."""
    price = adapter.price
    if not requests:
        return 0
    return price.request_micro * (requests - 1) + price.item_micro * evaluations + price.of(0, usage)


def _rendered(adapter: Adapter, needs: Sequence[Renderable]) -> Request:
    return adapter.request([need.job().render() for need in needs])

"""What an endpoint allows, what it charges, and what is worth trying again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from adapters.base import Limits, Price
from adapters.checks import JmesPath, Status, fault
from adapters.spec_base import Strict, as_tuple

RETRY_ON = (408, 409, 425, 429, 500, 502, 503, 504, 529)
RETRY_NEVER = (400, 401, 403, 404, 405, 413, 415, 422)

_PERIODS = {"s": 1.0, "sec": 1.0, "second": 1.0, "m": 60.0, "min": 60.0, "minute": 60.0}
_PERIODS |= {"h": 3600.0, "hour": 3600.0, "d": 86400.0, "day": 86400.0}


class Rate(Strict):
    """Requests per period; written ``5/s``, ``300/min``, ``10000/day`` or a number per second."""

    requests: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    period: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        if isinstance(data, int | float) and not isinstance(data, bool):
            return {"requests": data}
        if isinstance(data, str):
            found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*/\s*([a-z]+)\s*", data)
            if not found or found[2] not in _PERIODS:
                raise fault(f"not a rate: {data!r}; write 5/s, 300/min, 1000/h, 10000/day or a number per second")
            return {"requests": float(found[1]), "period": _PERIODS[found[2]]}
        return data


class LimitsSpec(Strict):
    """What the endpoint allows."""

    rate: Rate | None = None
    also: Annotated[tuple[Rate, ...], Field(max_length=8)] = ()
    #: one or several, in tokens per period
    tokens: Annotated[tuple[Rate, ...], BeforeValidator(as_tuple), Field(max_length=8)] = ()
    shared: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")] | None = None
    concurrency: Annotated[int, Field(ge=1)] | None = None
    timeout: Annotated[float, Field(gt=0, le=86400)] = 60.0
    max_response_bytes: Annotated[int, Field(ge=1)] = 32 * 2**20

    @model_validator(mode="after")
    def _shared_needs_a_rate(self) -> LimitsSpec:
        if self.also and self.rate is None:
            raise fault("also: write the first limit as rate, and the others here")
        if self.shared and (self.rate is None or self.also):
            raise fault("shared needs one rate: what all who share the limit may send together")
        if self.shared and self.tokens:
            raise fault("shared is about requests; tokens would be counted by every process for itself")
        return self

    def limits(self) -> Limits:
        given = (*([self.rate] if self.rate is not None else []), *self.also)
        rates = [(rate.requests, rate.period) for rate in sorted(given, key=lambda rate: rate.period)]
        return Limits(
            rate=rates[0][0] if rates else None,
            period=rates[0][1] if rates else 1.0,
            more=tuple(rates[1:]),
            tokens=tuple((rate.requests, rate.period) for rate in self.tokens),
            shared=self.shared,
            concurrency=self.concurrency,
            timeout=self.timeout,
            max_response_bytes=self.max_response_bytes,
        )


Amount = Annotated[Decimal, Field(ge=0, le=1_000_000, allow_inf_nan=False)]


class CharacterPrice(Strict):
    """A price by the length of a text: every input counts as its characters divided by ``per``, rounded up."""

    per: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    unit: Amount  #: for one unit of so many characters
    minimum: Annotated[int, Field(ge=0, le=1_000_000)] = 1  #: units that every input counts as at least


class PriceSpec(Strict):
    """What the provider charges; parts of a micro-unit are rounded up, so that a budget is never exceeded."""

    request: Amount = Decimal(0)
    item: Amount = Decimal(0)
    per_million_input: Amount = Decimal(0)  #: tokens, as providers publish it
    per_million_output: Amount = Decimal(0)
    characters: CharacterPrice | None = None
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"

    def price(self) -> Price:
        return Price(
            request_micro=_micro(self.request),
            item_micro=_micro(self.item),
            currency=self.currency,
            million_input_micro=_micro(self.per_million_input),
            million_output_micro=_micro(self.per_million_output),
            unit_micro=_micro(self.characters.unit) if self.characters else 0,
            unit_characters=self.characters.per if self.characters else 1000,
            least_units=self.characters.minimum if self.characters else 1,
        )


class UsageSpec(Strict):
    """Where an answer says how many tokens it took; both parts are added up."""

    input: JmesPath | None = None
    output: JmesPath | None = None
    output_tokens: Annotated[int, Field(ge=0, le=10_000_000)] | None = (
        None  #: to reckon with before the answer is there
    )

    @model_validator(mode="after")
    def _somewhere(self) -> UsageSpec:
        if self.input is None and self.output is None:
            raise fault("say where the answer reports its tokens: {input: usage.prompt_tokens, output: …}")
        return self


class Batch(Strict):
    """How much one request may carry."""

    max_items: Annotated[int, Field(ge=1, le=100_000)] = 1
    max_bytes: Annotated[int, Field(ge=1)] | None = None  #: of the body; a larger input goes alone
    max_input_bytes: Annotated[int, Field(ge=1)] | None = None  #: a larger input is refused without being sent

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        return {"max_items": data} if isinstance(data, int) and not isinstance(data, bool) else data


class Retry(Strict):
    """Statuses that are tried again, statuses that never are, and a condition on the body of a failure."""

    on: tuple[Status, ...] = RETRY_ON
    never: tuple[Status, ...] = RETRY_NEVER
    when: JmesPath | None = None  #: truthy: tried again whatever the status (throttling reported as 400)
    same_5xx_max: Annotated[int, Field(ge=0, le=100)] = 1  #: repeats after which the same server error is believed

    @model_validator(mode="before")
    @classmethod
    def _yaml_on(cls, data: Any) -> Any:
        """YAML 1.1 reads a bare ``on`` as true."""
        if isinstance(data, Mapping) and True in data and "on" not in data:
            return {"on" if key is True else key: value for key, value in data.items()}
        return data

    @model_validator(mode="after")
    def _apart(self) -> Retry:
        both = sorted(set(self.on) & set(self.never)) if {"on", "never"} <= self.model_fields_set else []
        if both:
            raise fault(f"{', '.join(map(str, both))} stands in both on and never")
        return self


def _micro(amount: Decimal) -> int:
    return int((amount * 1_000_000).to_integral_value(rounding=ROUND_CEILING))

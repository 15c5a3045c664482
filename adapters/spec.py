"""The declarative endpoint: what may stand under ``endpoints.<name>`` of the config, and nothing else.

The models only check and normalise; :mod:`adapters.http` and :mod:`adapters.callable` turn them into adapters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, Decimal
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from adapters.base import Limits, Price
from adapters.checks import (
    JmesPath,
    Label,
    PlainText,
    ReferenceText,
    Scale,
    SecretText,
    Status,
    check_headers,
    check_idempotency,
    check_url,
    fault,
    nearest,
)
from adapters.errors import SpecError

RETRY_ON = (408, 409, 425, 429, 500, 502, 503, 504, 529)
RETRY_NEVER = (400, 401, 403, 404, 405, 413, 415, 422)

_PERIODS = {"s": 1.0, "sec": 1.0, "second": 1.0, "m": 60.0, "min": 60.0, "minute": 60.0}
_PERIODS |= {"h": 3600.0, "hour": 3600.0, "d": 86400.0, "day": 86400.0}


class Strict(BaseModel):
    """A part of the config that names the nearest known key for one it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            known = [field.alias or name for name, field in cls.model_fields.items()]
            for key in data:
                if key not in known:
                    raise fault(f"unknown key {str(key)!r}{nearest(str(key), known)}")
        return data


class At(Strict):
    """Where a value is: a JMESPath, or ``{at: …, scale: …}``."""

    at: JmesPath = "@"
    scale: Scale = 1.0  #: the score is the number times this (0.01 for percent)

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        return {"at": data} if isinstance(data, str) else data


class Value(At):
    """One number per input (a regression), under the name ``label``."""

    label: Label = "value"


class Pairs(Strict):
    """A list of objects, each with a label and a score."""

    at: JmesPath
    label: JmesPath = "label"
    score: JmesPath = "score"
    scale: Scale = 1.0


class Scores(Strict):
    """Where the scores of one input are: exactly one of the four shapes."""

    map: At | None = None  #: an object {label: score}
    pairs: Pairs | None = None
    vector: At | None = None  #: a list of scores in the order of ``labels``
    value: Value | None = None

    @model_validator(mode="after")
    def _one(self) -> Scores:
        _exactly_one(self, ("map", "pairs", "vector", "value"))
        return self


class ItemErrors(Strict):
    """A list beside the items that holds the refused ones (``ErrorList`` of some batch APIs)."""

    at: JmesPath
    index: JmesPath
    message: JmesPath = "@"


class Items(Strict):
    """Where the rows of a batch answer are, and how a row says which input it belongs to."""

    at: JmesPath = "@"
    index: JmesPath | None = None  #: in a row: position of its input, from 0
    id: JmesPath | None = None  #: in a row: the text of ``{{ i }}`` that was sent as its id
    error: JmesPath | None = None  #: in a row: truthy if this input was refused
    errors: ItemErrors | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        return {"at": data} if isinstance(data, str) else data

    @model_validator(mode="after")
    def _consistent(self) -> Items:
        if self.index is not None and self.id is not None:
            raise fault("index and id exclude each other")
        if self.errors is not None and self.index is None and self.id is None:
            raise fault("errors needs index or id, or the order of the rows would be a guess")
        return self


class NameValue(Strict):
    """A named secret."""

    name: Annotated[str, Field(pattern=r"^[^\s{}$:=&?#]+$")]
    value: SecretText


class Basic(Strict):
    """User name and password."""

    username: ReferenceText
    password: SecretText


class AwsSigV4(Strict):
    """Requests signed for AWS, with the credentials that the AWS command line would use."""

    service: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")]  #: the name it signs by: comprehend, sagemaker
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,32}$")]
    profile: PlainText | None = None


class Google(Strict):
    """Access tokens of Google: application default credentials, or a service account's key file."""

    scopes: Annotated[tuple[PlainText, ...], Field(min_length=1)] = ("https://www.googleapis.com/auth/cloud-platform",)
    file: SecretText | None = None  #: ${NAME}, where NAME holds the path of the key file


class Azure(Strict):
    """Access tokens of Microsoft Entra, with the credentials that the Azure command line would use."""

    scope: PlainText


class Auth(Strict):
    """How the endpoint knows us: ``none`` or exactly one of these."""

    bearer: SecretText | None = None
    header: NameValue | None = None
    query: NameValue | None = None
    basic: Basic | None = None
    aws_sigv4: AwsSigV4 | None = None
    google: Google | None = None
    azure: Azure | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        if data in (None, "none"):
            return {}
        if isinstance(data, str):
            raise fault(f"write none, or one of {', '.join(f'{{{kind}: …}}' for kind in cls.model_fields)}")
        if isinstance(data, Mapping):
            data = dict(data)
            if "google" in data and data["google"] is None:  # nothing has to be said about it
                data["google"] = {}
            for place in ("header", "query"):
                if isinstance(data.get(place), str):
                    data[place] = {"name": data[place], "value": data.pop("value", None)}
        return data

    @model_validator(mode="after")
    def _one(self) -> Auth:
        if self.model_fields_set:
            _exactly_one(self, tuple(type(self).model_fields))
        return self


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


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else (value,)


class LimitsSpec(Strict):
    """What the endpoint allows."""

    rate: Rate | None = None
    also: Annotated[tuple[Rate, ...], Field(max_length=8)] = ()
    #: one or several, in tokens per period
    tokens: Annotated[tuple[Rate, ...], BeforeValidator(_as_list), Field(max_length=8)] = ()
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


class PriceSpec(Strict):
    """What the provider charges; parts of a micro-unit are rounded up, so that a budget is never exceeded."""

    request: Amount = Decimal(0)
    item: Amount = Decimal(0)
    per_million_input: Amount = Decimal(0)  #: tokens, as providers publish it
    per_million_output: Amount = Decimal(0)
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"

    def price(self) -> Price:
        return Price(
            request_micro=_micro(self.request),
            item_micro=_micro(self.item),
            currency=self.currency,
            million_input_micro=_micro(self.per_million_input),
            million_output_micro=_micro(self.per_million_output),
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
    """How many inputs one request may carry."""

    max_items: Annotated[int, Field(ge=1, le=100_000)] = 1

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        return {"max_items": data} if isinstance(data, int) and not isinstance(data, bool) else data


class Retry(Strict):
    """Statuses that are tried again, statuses that never are, and a condition on the body of a failure."""

    on: tuple[Status, ...] = RETRY_ON
    never: tuple[Status, ...] = RETRY_NEVER
    when: JmesPath | None = None  #: truthy: tried again whatever the status (throttling reported as 400)

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


class Common(Strict):
    """What every kind of endpoint has."""

    adapter: str = "http"
    limits: LimitsSpec = LimitsSpec()
    price: PriceSpec = PriceSpec()
    batch: Batch = Batch()
    labels: Annotated[tuple[Label, ...], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _unique(self) -> Common:
        twice = sorted({label for label in self.labels or () if (self.labels or ()).count(label) > 1})
        if twice:
            raise fault(f"label {twice[0]!r} is listed twice in labels")
        return self


class CallableSpec(Common):
    """``adapter: callable``: a Python function in this process."""

    function: Annotated[str, Field(pattern=r"^[^:]+:[A-Za-z_][\w.]*$")]
    version: Label = ""
    batch: Batch = Batch(max_items=32)


class EndpointSpec(Common):
    """``adapter: http``: any model that takes a request and answers in JSON."""

    url: str
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    query: Mapping[PlainText, ReferenceText] = {}
    headers: Mapping[str, ReferenceText] = {}
    auth: Auth = Auth()
    usage: UsageSpec | None = None
    idempotency: PlainText | None = None  #: name of the header that makes a repeat free, where the API honours one
    json_body: Any = Field(default=None, alias="json")
    multipart: Mapping[PlainText, Any] | None = None
    body: str | None = None
    model: Label | None = None
    items: Items | None = None  #: default: the answer itself is the list of rows if ``batch`` is above 1
    scores: Scores
    missing: Literal["censored", 0] | None = None
    below: Annotated[float, Field(allow_inf_nan=False)] | None = None
    error: JmesPath | None = None
    retry: Retry = Retry()

    @model_validator(mode="before")
    @classmethod
    def _hoist(cls, data: Any) -> Any:
        """Let ``labels`` stand in ``vector`` and ``missing``, ``below`` in ``pairs`` and ``map``, where one looks for them."""
        scores = data.get("scores") if isinstance(data, Mapping) else None
        if not isinstance(scores, Mapping):
            return data
        data, scores = dict(data), dict(scores)
        for kind, keys in {"vector": ("labels",), "pairs": ("missing", "below"), "map": ("missing", "below")}.items():
            part: Any = scores.get(kind)
            if not isinstance(part, Mapping):
                continue
            for key in keys:
                if key in part and key in data:
                    raise fault(f"{key} is given twice: beside scores and in scores.{kind}")
                if key in part:
                    data[key] = part[key]
            scores[kind] = {key: value for key, value in part.items() if key not in keys}
        return data | {"scores": scores}

    @model_validator(mode="after")
    def _consistent(self) -> EndpointSpec:
        _exactly_one(self, ("json_body", "multipart", "body"))
        check_url(self.url)
        check_headers(self.headers)
        if self.idempotency is not None:
            taken = [*self.headers, *([self.auth.header.name] if self.auth.header else [])]
            check_idempotency(self.idempotency, taken)
        if self.missing is not None and self.scores.map is None and self.scores.pairs is None:
            raise fault("missing only makes sense with scores.map or scores.pairs")
        if self.below is not None and self.missing != "censored":
            raise fault("below is the provider's cut-off and needs missing: censored")
        if self.scores.value is not None and self.labels is not None:
            raise fault("labels does not go with scores.value; name the one output with scores: {value: {at, label}}")
        return self

    @property
    def rows(self) -> Items | None:
        """``items`` with its default; ``None``: the whole answer is about the one input."""
        return self.items or (Items() if self.batch.max_items > 1 else None)


Spec = TypeVar("Spec", bound=Strict)


def parse_spec(kind: type[Spec], name: str, config: Mapping[str, Any]) -> Spec:
    """``config`` checked as a ``kind``. Raises :class:`SpecError`, one line that starts with the path of the key."""
    try:
        return kind.model_validate(dict(config))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise SpecError(f"{_where(name, first['loc'])}: {_plain_message(first)}") from None


def _where(name: str, loc: Sequence[int | str]) -> str:
    keys = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc if part != "[key]")
    return f"endpoints.{name}" + "".join(keys)


def _plain_message(error: Any) -> str:
    if error["type"] == "missing":
        return "this key is required"
    message: str = error["msg"]
    return message[0].lower() + message[1:]


def _exactly_one(spec: Strict, names: tuple[str, ...]) -> None:
    aliases = {name: type(spec).model_fields[name].alias or name for name in names}
    given = [aliases[name] for name in names if name in spec.model_fields_set]
    if len(given) != 1:
        seen = f"got {' and '.join(given)}" if given else "got none"
        raise fault(f"exactly one of {', '.join(aliases.values())} is needed, {seen}")


def _micro(amount: Decimal) -> int:
    return int((amount * 1_000_000).to_integral_value(rounding=ROUND_CEILING))

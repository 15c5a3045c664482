"""The contract between an endpoint's description and whoever drives it.

An adapter is pure: it turns a batch of inputs into a request and a response into one result per input, and it says what
an answer or a failure means. Sending is the transport's job (``transport.py``), deciding when is the engine's.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, Protocol, TypeAlias, runtime_checkable
from urllib.parse import quote, quote_plus
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from adapters.errors import AdapterError

REDACTED: Final = "[redacted]"

Scalar: TypeAlias = str | int | float | bool | None
#: One input of a remote model: text, an (H, W, 3) or (H, W) uint8 picture, a table row by column name, or a bare row.
Instance: TypeAlias = str | NDArray[np.uint8] | Mapping[str, Scalar] | Sequence[Scalar]


@dataclass(frozen=True, slots=True)
class Limits:
    """What the endpoint allows. ``None`` means no limit of that kind is known."""

    rate: float | None = None  #: requests allowed per ``period``
    period: float = 1.0  #: seconds
    more: tuple[tuple[float, float], ...] = ()  #: further limits that hold at once: (requests, seconds)
    tokens: tuple[tuple[float, float], ...] = ()  #: limits on tokens, input and output together: (tokens, seconds)
    shared: str | None = None  #: name under which all processes that use the same database share ``rate``
    concurrency: int | None = None  #: requests in flight
    timeout: float = 60.0  #: seconds for one request, connect and read together
    max_response_bytes: int = 32 * 2**20  #: after decompression


@dataclass(frozen=True, slots=True)
class Usage:
    """What one request and its answer come to, as far as it is not the same for all of them: tokens, as language models
    count and bill them, and units of so many characters, as others bill texts."""

    input: int = 0
    output: int = 0
    units: int = 0

    @property
    def total(self) -> int:
        """What limits on tokens count."""
        return self.input + self.output


@dataclass(frozen=True, slots=True)
class Price:
    """What the provider charges, in micro-units of its currency (2000 = 0.002)."""

    request_micro: int = 0  #: per HTTP request
    item_micro: int = 0  #: per input inside a request
    currency: str = "USD"
    million_input_micro: int = 0  #: per 1,000,000 input tokens
    million_output_micro: int = 0
    unit_micro: int = 0  #: per ``unit_characters`` characters of an input
    unit_characters: int = 1000
    least_units: int = 1  #: that an input is counted as

    def of(self, items: int, usage: Usage | None = None) -> int:
        """Price of one request with ``items`` inputs that takes ``usage``, in micro-units; parts of one are rounded up."""
        price = self.request_micro + self.item_micro * items
        if usage is not None and self.counts_tokens:
            price -= -(usage.input * self.million_input_micro + usage.output * self.million_output_micro) // 1_000_000
        if self.unit_micro:
            price += self.unit_micro * (self.least_units * items if usage is None else usage.units)
        return price

    def units(self, batch: Sequence[Instance]) -> int:
        """Units of characters that the inputs of ``batch`` are charged as, each rounded up by itself; 0 if none are counted.

        Characters are those of a text, or of the texts in a row; a picture has none and is charged the least.
        """
        if not self.unit_micro:
            return 0
        return sum(max(self.least_units, -(-_characters(x) // self.unit_characters)) for x in batch)

    @property
    def counts_tokens(self) -> bool:
        """Whether a request's price depends on its tokens."""
        return bool(self.million_input_micro or self.million_output_micro)

    @property
    def counts_length(self) -> bool:
        """Whether a request's price depends on how long its inputs are, so that it is known only once it is rendered."""
        return self.counts_tokens or bool(self.unit_micro)

    @property
    def is_free(self) -> bool:
        """Whether nothing is charged."""
        return not (self.request_micro or self.item_micro or self.counts_length)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A rendered request. ``body`` holds no secret; authentication is added by the transport at the last moment."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    #: header by which the API knows a repeated request, if the endpoint's config names one
    idempotency: str | None = None
    #: units of characters that its inputs are charged as
    units: int = 0
    #: sent without the endpoint's credentials, as it goes to another host
    anonymous: bool = False
    #: how many inputs of this size one request could carry, if there is a limit on its bytes
    fits: int | None = None

    def keyed(self, material: str) -> HttpRequest:
        """This request with a key in its idempotency header, the same for the same ``material`` (what makes it one logical
        request: endpoint, inputs, repeat index); unchanged if the endpoint has no such header.

        The key looks like a random UUID, which every API takes: the first 128 bits of SHA-256, version and variant set.
        """
        if self.idempotency is None:
            return self
        key = UUID(bytes=hashlib.sha256(material.encode()).digest()[:16], version=4)
        return replace(self, headers=(*self.headers, (self.idempotency, str(key))), idempotency=None)


@dataclass(frozen=True, slots=True)
class LocalCall:
    """A request to a Python function in this process (``callable.py``)."""

    function: Callable[[Sequence[Any]], Any]
    batch: tuple[Any, ...]

    def keyed(self, material: str) -> LocalCall:  # noqa: ARG002 - as HttpRequest, so that the engine need not ask
        """Unchanged: a function is called once."""
        return self


Request: TypeAlias = HttpRequest | LocalCall


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An answer as it came, decompressed."""

    status: int
    headers: tuple[tuple[str, str], ...]  #: names in lower case
    body: bytes
    elapsed: float = 0.0  #: seconds from sending to the last byte

    def header(self, name: str) -> str | None:
        """First value of the header ``name`` (any case), or ``None``."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key == wanted), None)


@dataclass(frozen=True, slots=True)
class Step:
    """One more look for the result of something that was started."""

    request: HttpRequest
    wait: float  #: seconds before it, and before it is repeated
    last: bool = False  #: what answers it is the result


@dataclass(frozen=True, slots=True)
class Prediction:
    """Every label the endpoint returned for one input, and its score."""

    scores: Mapping[str, float]
    #: ``None``: the label space is closed, a label not in ``scores`` is unknown to the model.
    #: A number: the space is open and a label not in ``scores`` scored at most this (0 if the API omits zeros).
    floor: float | None = None
    #: a missing label was cut off by the provider (top-k, threshold): its score is known only to be ≤ ``floor``
    censored: bool = False
    #: of a language model: probability of all the answers that mean one of the labels, before the scores were scaled to 1
    mass: float | None = None


@dataclass(frozen=True, slots=True)
class ItemError:
    """The endpoint refused this one input; the others of its batch may be fine."""

    message: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer or a failure means for what happens next.

    ``ok``: parse it. ``retry``: again, after ``after`` seconds if given. ``reject``: never again, the input is bad.
    ``auth``: stop the endpoint, the credentials are refused. ``quota``: stop, the allowance is used up.
    ``broken``: stop the endpoint, what answers is not the described API (an HTML page, a 404).
    """

    kind: Literal["ok", "retry", "reject", "auth", "quota", "broken"]
    reason: str = ""
    after: float | None = None  #: seconds the server asked us to wait
    throttled: bool = False  #: the server said "too fast": hold the whole endpoint
    maybe_billed: bool = False  #: the provider may have counted this attempt
    same_max: int = 1  #: repeats of one request after which the same server error is believed


@runtime_checkable
class Adapter(Protocol):
    """Everything the engine needs to know about one remote model."""

    name: str
    identity: str  #: what makes an answer this endpoint's: URL, model, request shape; never a secret. Part of every ledger key
    parser: str  #: digest of the rules that turn a response into scores; if it changes, stored bodies are parsed again
    limits: Limits
    price: Price
    max_batch: int
    labels: tuple[str, ...] | None  #: closed label space in order, or ``None`` if open or not declared

    def request(self, batch: Sequence[Instance]) -> Request:
        """Render ``batch`` (1 … ``max_batch`` inputs) into one request. Raises :class:`SpecError`, of which
        :class:`RequestTooLarge` asks for fewer inputs and :class:`InputTooLarge` refuses one."""

    def predictions(self, response: HttpResponse, n: int) -> list[Prediction | ItemError]:
        """The ``n`` results of a response that :meth:`classify` called ok. Raises :class:`ResponseError` if the answer as a
        whole is not as described (not JSON, fewer rows than items, NaN, a missing label)."""

    def classify(self, outcome: HttpResponse | AdapterError) -> Verdict:
        """What ``outcome`` means."""

    def estimate(self, request: Request) -> Usage:
        """What ``request`` will probably come to, in tokens and units; zero where nothing is counted in them."""

    def usage(self, response: HttpResponse) -> Usage | None:
        """The tokens that ``response`` reports; ``None`` if it does not."""


@runtime_checkable
class Starting(Protocol):
    """What an adapter has besides whose requests only start the work, if they do."""

    result_timeout: float | None  #: seconds that a result may take; ``None``: the first answer is the result

    def follow(self, response: HttpResponse, step: Step | None) -> Step | None:
        """What to ask after ``response``, which answered ``step`` (``None``: the start itself); ``None`` if it is the end.
        Raises :class:`ResponseError`."""


@runtime_checkable
class Transport(Protocol):
    """Sends requests. Opened once per endpoint, closed once."""

    async def send(self, request: Request) -> HttpResponse:
        """Raises :class:`NotSent` or :class:`MaybeBilled`."""

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Secrets:
    """Values that must never be stored, printed or logged; :meth:`redact` replaces them wherever they turn up."""

    values: tuple[str, ...] = field(default=(), repr=False)
    _forms: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        forms = {form for value in self.values if value for form in _forms_of(value)}
        # the longest first, or a secret that contains another one would leave its rest behind
        object.__setattr__(self, "_forms", tuple(sorted(forms, key=lambda form: (-len(form), form))))

    def redact(self, text: str) -> str:
        """``text`` with every secret (also URL-quoted, JSON-escaped and base64 forms of it) replaced by ``[redacted]``."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, REDACTED)
        return text

    def redact_bytes(self, body: bytes) -> bytes:
        """The same for an answer's body. Secrets below 8 characters are left: they are also parts of ordinary words."""
        for form in self._forms:
            raw = form.encode("utf-8", "surrogatepass")
            if len(form) >= 8 and raw in body:
                body = body.replace(raw, REDACTED.encode())
        return body


def _characters(instance: Instance) -> int:
    if isinstance(instance, str):
        return len(instance)
    cells = instance.values() if isinstance(instance, Mapping) else instance
    return 0 if isinstance(cells, np.ndarray) else sum(len(cell) for cell in cells if isinstance(cell, str))


def _forms_of(value: str) -> set[str]:
    raw = value.encode("utf-8", "surrogatepass")
    forms = {value, quote(raw, safe=""), quote(raw), quote_plus(raw), json.dumps(value)[1:-1]}
    forms.add(json.dumps(value, ensure_ascii=False)[1:-1])
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        forms |= {encode(raw).decode(), encode(raw).decode().rstrip("=")}
        for shift in (1, 2):  # inside a longer base64 text the same bytes look different at each of three offsets
            whole = encode(b"\0" * shift + raw)
            first, end = -(-8 * shift // 6), 8 * (shift + len(raw)) // 6
            forms.add(whole[first:end].decode())
        forms.add(encode(raw)[: 8 * len(raw) // 6].decode())
    return {form for form in forms if form == value or len(form) >= 6}

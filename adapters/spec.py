"""The declarative endpoint: what may stand under ``endpoints.<name>`` of the config, and nothing else.

The models only check and normalise; :mod:`adapters.http` and :mod:`adapters.callable` turn them into adapters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import Field, ValidationError, model_validator

from adapters.checks import (
    JmesPath,
    Label,
    PlainText,
    ReferenceText,
    check_headers,
    check_idempotency,
    check_url,
    fault,
)
from adapters.errors import SpecError
from adapters.spec_auth import Auth
from adapters.spec_base import Strict, exactly_one
from adapters.spec_limits import Batch, LimitsSpec, PriceSpec, Retry, UsageSpec
from adapters.spec_poll import Poll, Sse
from adapters.spec_scores import Items, Scores, Words, check_aliases

#: what may also stand inside of a kind of scores, where one looks for it
_INSIDE: Final = {
    "vector": ("labels",),
    "tensor": ("labels",),
    "map": ("missing", "below"),
    "pairs": ("missing", "below"),
    "ordinal": ("missing", "below"),
}
_OPEN: Final = ("map", "pairs", "ordinal")  #: kinds whose answers say which labels they are about


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

    @model_validator(mode="after")
    def _no_bytes(self) -> CallableSpec:
        if self.batch.max_bytes is not None or self.batch.max_input_bytes is not None:
            raise fault(
                "batch: a function gets its inputs as they are, so max_bytes and max_input_bytes mean nothing here"
            )
        return self


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
    aliases: Mapping[Label, Words] = {}  #: label → others under which the same thing comes; the higher score counts
    error: JmesPath | None = None
    retry: Retry = Retry()
    poll: Poll | None = None
    sse: Sse | None = None

    @model_validator(mode="before")
    @classmethod
    def _hoist(cls, data: Any) -> Any:
        """Let ``labels``, ``missing`` and ``below`` stand in a kind of scores, where one looks for them."""
        scores = data.get("scores") if isinstance(data, Mapping) else None
        if not isinstance(scores, Mapping):
            return data
        data, scores = dict(data), dict(scores)
        for kind, keys in _INSIDE.items():
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
        exactly_one(self, ("json_body", "multipart", "body"))
        check_url(self.url)
        check_headers(self.headers)
        if self.idempotency is not None:
            taken = [*self.headers, *([self.auth.header.name] if self.auth.header else [])]
            check_idempotency(self.idempotency, taken)
        self._check_labels(self.scores.kind)
        if self.poll is not None and self.auth.query is not None:
            raise fault(
                "poll does not go with auth.query, as the URL to ask comes from the answer: use auth.header or bearer"
            )
        return self

    def _check_labels(self, kind: str) -> None:
        if self.missing is not None and kind not in _OPEN:
            raise fault("missing only makes sense with scores.map, scores.pairs or scores.ordinal")
        if self.below is not None and self.missing != "censored":
            raise fault("below is the provider's cut-off and needs missing: censored")
        if kind == "value" and self.labels is not None:
            raise fault("labels does not go with scores.value; name the one output with scores: {value: {at, label}}")
        if self.scores.own_labels is not None and self.labels is not None:
            raise fault(f"labels is given twice: beside scores and in scores.{kind}")
        if kind == "tensor" and self.items is not None:
            raise fault("items does not go with scores.tensor, whose shape says what the rows are: remove it")
        if self.aliases and kind not in _OPEN:
            raise fault("aliases only makes sense with scores.map, scores.pairs or scores.ordinal")
        check_aliases(self.aliases, self.labels)

    @property
    def rows(self) -> Items | None:
        """``items`` with its default; ``None``: the whole answer is about the one input."""
        if self.scores.tensor is not None:
            return None
        return self.items or (Items() if self.batch.max_items > 1 else None)

    @property
    def label_names(self) -> tuple[str, ...] | None:
        """The labels, if they are declared: beside or inside of ``scores``."""
        return self.scores.own_labels or self.labels


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

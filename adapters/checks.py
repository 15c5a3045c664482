"""The small checks behind :mod:`adapters.spec`, each with the sentence that a wrong value is told."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import jmespath
from jmespath.exceptions import JMESPathError
from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from adapters.show import printable

#: ``${NAME}``: a secret, looked up in the environment
REFERENCE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
#: set by the transport from the request itself
_OWN_HEADERS = {"host", "content-length", "transfer-encoding", "connection", "accept-encoding", "te", "upgrade"}
_SECRET_HEADERS = {
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-api-key",
    "api-key",
    "ocp-apim-subscription-key",
}


def nearest(word: str, known: Sequence[str]) -> str:
    """``, did you mean 'x'?`` for the entry of ``known`` that looks most like ``word``, else the list of them."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f", did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"


def fault(message: str) -> PydanticCustomError:
    """What a validator raises."""
    return PydanticCustomError("spec", message)


def _check_path(text: str) -> str:
    try:
        jmespath.compile(text)
    except (JMESPathError, ValueError, IndexError) as error:
        reason = printable(str(error).split("\n", maxsplit=1)[0].removesuffix(", for expression:"))
        raise fault(f"not a JMESPath expression: {text!r} ({reason})") from None
    return text


def _check_plain(text: str) -> str:
    if not text.isprintable():
        raise fault("holds a line break or another control character")
    return text


def _check_secret(text: str) -> str:
    _check_references(text)
    if not REFERENCE.search(text):
        raise fault("a secret is never written into the config: write ${NAME} and set NAME in the environment")
    return text


def _check_references(text: str) -> str:
    _check_plain(text)
    _no_template(text)
    if "${" in REFERENCE.sub("", text):
        raise fault("not a reference: write ${NAME} with letters, digits and underscores")
    return text


def _no_template(text: str) -> str:
    if "{{" in text:
        raise fault("is fixed: an input may only enter json, multipart or body, not {{ … }} here")
    return text


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _as_label(value: Any) -> Any:
    if isinstance(value, bool):
        raise fault(f"label {value} is a truth value, not text: put it in quotes")
    return _as_text(value)


JmesPath = Annotated[str, AfterValidator(_check_path)]
SecretText = Annotated[str, AfterValidator(_check_secret)]
ReferenceText = Annotated[str, BeforeValidator(_as_text), AfterValidator(_check_references)]
PlainText = Annotated[str, AfterValidator(_check_plain), AfterValidator(_no_template)]
Label = Annotated[str, BeforeValidator(_as_label)]
Status = Annotated[int, Field(ge=300, le=599)]
Scale = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def check_url(url: str) -> None:
    """A fixed http(s) URL without credentials, or a fault."""
    _check_plain(url)
    if "${" in url or "{{" in url:
        raise fault("url is fixed: secrets go into auth, inputs into json, multipart or body")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise fault(f"url is not a URL: {url!r} ({error})") from None
    if parts.scheme not in ("http", "https") or not host or " " in url or "\\" in url:
        raise fault(f"url must look like https://host/path, got {url!r}")
    if "@" in parts.netloc:
        raise fault("url holds a user name or password: use auth: {basic: {username: …, password: ${NAME}}}")
    if parts.fragment:
        raise fault("url has a #fragment, which is never sent: remove it")


def check_headers(headers: Mapping[str, str]) -> None:
    """Names and values that can stand in a request, and no secret written out, or a fault."""
    seen: set[str] = set()
    for name, value in headers.items():
        lower = name.lower()
        if not _TOKEN.fullmatch(name):
            raise fault(f"headers: {name!r} is not a header name")
        if lower in seen:
            raise fault(f"headers: {name!r} is given twice")
        if lower in _OWN_HEADERS:
            raise fault(f"headers: {name!r} is set for you and cannot be given")
        if not value.isascii():
            raise fault(f"headers: the value of {name!r} is not ASCII")
        if lower in _SECRET_HEADERS and not REFERENCE.search(value):
            raise fault(f"headers: {name!r} carries a secret: use auth, or write ${{NAME}} as its value")
        seen.add(lower)


def check_idempotency(name: str, taken: Sequence[str]) -> None:
    """A header's name that is not among ``taken`` and that nothing else sets, or a fault."""
    lower = name.lower()
    if not _TOKEN.fullmatch(name):
        raise fault(f"idempotency: {name!r} is not a header name: write Idempotency-Key, or what the API calls it")
    if lower in _OWN_HEADERS | _SECRET_HEADERS or lower in {each.lower() for each in taken}:
        raise fault(f"idempotency: the header {name!r} is set otherwise already: name the one the API reserves for it")

"""What can go wrong between us and a remote model.

    AdapterError
    ├── SpecError            the endpoint is described wrongly (config; exit code 2)
    │   ├── RequestTooLarge  these inputs are too many bytes for one request; ``fits`` of their size are not
    │   └── InputTooLarge    one of the inputs is larger than the endpoint takes; nothing was sent
    ├── SecretMissing        a ${NAME} it refers to is not set (config; exit code 2)
    ├── ResponseError        an answer came, but it is not what the endpoint's description promises
    │   └── NotJson          … because its body cannot be read as JSON; ``kind`` says how
    └── TransportError       no usable answer came
        ├── NotSent          not one byte of the request left: free to repeat
        │   └── NoCredentials    … because there are no credentials, or whoever issues them refuses (exit code 4)
        └── MaybeBilled      it left (in part or whole) and no answer came back: the provider may have counted it

Messages are shown to users as they are: each says what was seen, where, and what to do.
"""

from __future__ import annotations

from typing import Literal


class AdapterError(Exception):
    """Base of everything this package raises."""


class SpecError(AdapterError):
    """The description of an endpoint is wrong."""


class RequestTooLarge(SpecError):
    """Several inputs come to more bytes than one request may have."""

    def __init__(self, message: str, *, fits: int) -> None:
        super().__init__(message)
        self.fits = fits


class InputTooLarge(SpecError):
    """An input is larger than the endpoint takes."""


class SecretMissing(SpecError):
    """A secret that the endpoint refers to is not set in the environment."""


class ResponseError(AdapterError):
    """The endpoint answered with something its description does not promise."""


class NotJson(ResponseError):
    """The body of an answer cannot be read as JSON."""

    #: ``cut``: it ends too early. ``number``: a number JSON does not have (NaN, Infinity). ``page``: HTML, XML or noise.
    kind: Literal["cut", "number", "page"]

    def __init__(self, message: str, *, kind: Literal["cut", "number", "page"]) -> None:
        super().__init__(message)
        self.kind = kind


class TransportError(AdapterError):
    """No usable answer came."""


class NotSent(TransportError):
    """Nothing of the request left this machine, so it is free to repeat."""


class NoCredentials(NotSent):
    """No credentials were found, or whoever issues them refuses, so nothing can be sent to this endpoint."""


class MaybeBilled(TransportError):
    """The request left and no whole answer came back, so it may have been counted and billed."""

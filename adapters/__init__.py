"""Remote models as callables: a pure description of each endpoint, and the transport that speaks to it."""

from adapters.base import (
    REDACTED,
    Adapter,
    HttpRequest,
    HttpResponse,
    Instance,
    ItemError,
    Limits,
    LocalCall,
    Prediction,
    Price,
    Request,
    Scalar,
    Secrets,
    Transport,
    Usage,
    Verdict,
)
from adapters.callable import CallableAdapter
from adapters.errors import (
    AdapterError,
    MaybeBilled,
    NoCredentials,
    NotJson,
    NotSent,
    ResponseError,
    SecretMissing,
    SpecError,
    TransportError,
)
from adapters.http import HttpAdapter
from adapters.ratelimit import Announcement, announced
from adapters.registry import KINDS, endpoint_from_config
from adapters.spec import CallableSpec, EndpointSpec
from adapters.transport import HttpTransport, open_transport

__all__ = [
    "KINDS",
    "REDACTED",
    "Adapter",
    "AdapterError",
    "Announcement",
    "CallableAdapter",
    "CallableSpec",
    "EndpointSpec",
    "HttpAdapter",
    "HttpRequest",
    "HttpResponse",
    "HttpTransport",
    "Instance",
    "ItemError",
    "Limits",
    "LocalCall",
    "MaybeBilled",
    "NoCredentials",
    "NotJson",
    "NotSent",
    "Prediction",
    "Price",
    "Request",
    "ResponseError",
    "Scalar",
    "SecretMissing",
    "Secrets",
    "SpecError",
    "Transport",
    "TransportError",
    "Usage",
    "Verdict",
    "announced",
    "endpoint_from_config",
    "open_transport",
]

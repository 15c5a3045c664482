"""Credentials: looked up when a transport is opened, added to a request at the last moment, known to nobody else."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from adapters.auth_aws import AwsSigner
from adapters.auth_azure import AzureSigner
from adapters.auth_google import GoogleSigner
from adapters.auth_renewal import Signer
from adapters.base import HttpRequest, Secrets
from adapters.checks import REFERENCE
from adapters.errors import SecretMissing, SpecError
from adapters.spec import EndpointSpec
from adapters.spec_auth import Auth

_ENCODED_REFERENCE_SAFE = "${}"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What turns a stored request, which holds only ``${NAME}``, into the one that is sent."""

    secrets: Secrets = field(default_factory=Secrets)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)  #: added to every request
    urls: Mapping[str, str] = field(default_factory=dict, repr=False)  #: URL as stored → as sent
    values: Mapping[str, str] = field(default_factory=dict, repr=False)  #: header value as stored → as sent
    signer: Signer | None = field(default=None, repr=False)  #: what else is added, from the request as it will be sent

    def apply(self, request: HttpRequest) -> tuple[str, list[tuple[str, str]]]:
        """URL and headers to send."""
        headers = [(name, self.values.get(value, value)) for name, value in request.headers]
        return self.urls.get(request.url, request.url), [*headers, *self.headers]


def full_url(spec: EndpointSpec) -> str:
    """The URL with its query, ``${NAME}`` as it stands: what is stored."""
    query = "&".join(
        f"{quote(name, safe='')}={quote(value, safe=_ENCODED_REFERENCE_SAFE)}" for name, value in spec.query.items()
    )
    return _with_query(spec.url, query)


def secret_names(spec: EndpointSpec) -> tuple[str, ...]:
    """Names of the environment variables that the endpoint needs, in order of first use."""
    texts = [*_auth_texts(spec.auth), *spec.headers.values(), *spec.query.values()]
    return tuple(dict.fromkeys(name for text in texts for name in REFERENCE.findall(text)))


def resolve_credentials(endpoint: str, spec: EndpointSpec, *, environment: Mapping[str, str]) -> Credentials:
    """Look up every ``${NAME}``; tokens and signatures of cloud providers come later, when a request needs them.

    Raises :class:`SecretMissing` for one that is not set, :class:`SpecError` for one that cannot stand in a header or URL, or
    if the library of a provider is not installed.
    """
    looked_up = _Lookup(endpoint, environment)
    auth = spec.auth
    query = [(name, looked_up.fill(value)) for name, value in spec.query.items()]
    headers: list[tuple[str, str]] = []
    if auth.bearer:
        headers.append(("authorization", f"Bearer {looked_up.fill(auth.bearer)}"))
    if auth.header:
        headers.append((auth.header.name, looked_up.fill(auth.header.value)))
    if auth.query:
        query.append((auth.query.name, looked_up.fill(auth.query.value)))
    if auth.basic:
        pair = f"{looked_up.fill(auth.basic.username)}:{looked_up.fill(auth.basic.password)}"
        token = base64.b64encode(pair.encode()).decode()
        looked_up.used[f"{auth.basic.password}, encoded"] = token
        headers.append(("authorization", f"Basic {token}"))
    values = {value: looked_up.fill(value) for value in spec.headers.values() if REFERENCE.search(value)}
    for value in [*values.values(), *(value for _, value in headers)]:
        if not value.isascii():
            raise SpecError(f"endpoint {endpoint!r}: a secret that goes into a header holds a character outside ASCII")
    encoded = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query)
    file = looked_up.path(auth.google.file) if auth.google and auth.google.file else None
    secrets = Secrets(tuple(looked_up.used.values()))
    return Credentials(
        secrets=secrets,
        headers=tuple(headers),
        urls={full_url(spec): _with_query(spec.url, encoded)},
        values=values,
        signer=_signer(endpoint, auth, file=file, secrets=secrets),
    )


def _signer(endpoint: str, auth: Auth, *, file: str | None, secrets: Secrets) -> Signer | None:
    if auth.aws_sigv4:
        aws = auth.aws_sigv4
        return AwsSigner(endpoint, service=aws.service, region=aws.region, profile=aws.profile, secrets=secrets)
    if auth.google:
        return GoogleSigner(endpoint, scopes=auth.google.scopes, file=file, secrets=secrets)
    if auth.azure:
        return AzureSigner(endpoint, scope=auth.azure.scope, secrets=secrets)
    return None


class _Lookup:
    """Fills references and remembers what it took."""

    def __init__(self, endpoint: str, environment: Mapping[str, str]) -> None:
        self._endpoint = endpoint
        self._environment = environment
        self.used: dict[str, str] = {}

    def fill(self, text: str) -> str:
        return REFERENCE.sub(lambda found: self._value(found[1]), text)

    def path(self, text: str) -> str:
        """As :meth:`fill`, of what is no secret and may be shown."""
        return REFERENCE.sub(lambda found: self._plain(found[1]), text)

    def _value(self, name: str) -> str:
        value = self._plain(name)
        self.used[name] = value
        return value

    def _plain(self, name: str) -> str:
        value = self._environment.get(name, "")
        if not value:
            seen = "is empty" if name in self._environment else "is not set"
            raise SecretMissing(
                f"endpoint {self._endpoint!r} needs the environment variable {name}, which {seen}: export it and run again"
            )
        if any(ord(char) < 32 or ord(char) == 127 for char in value):
            raise SpecError(
                f"endpoint {self._endpoint!r}: the environment variable {name} holds a line break or another control "
                "character, which would change the request: set it without"
            )
        return value


def _auth_texts(auth: Auth) -> list[str]:
    texts = [auth.bearer, auth.header and auth.header.value, auth.query and auth.query.value]
    texts += [auth.basic.username, auth.basic.password] if auth.basic else []
    texts += [auth.google.file] if auth.google else []
    return [text for text in texts if text]


def _with_query(url: str, query: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{query}" if query else url

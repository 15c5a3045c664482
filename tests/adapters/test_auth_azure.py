"""Azure's tokens: the default chain finds a managed identity, whose issuer is on loopback."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from aiohttp import web
from azure.core.credentials import AccessToken
from azure.core.exceptions import ServiceRequestError

from adapters import HttpAdapter, HttpResponse, NoCredentials, NotSent, TransportError, open_transport
from adapters.auth_azure import AzureSigner
from tests.adapters.auth_issuers import Clock, Handler, Site, endpoint, site

SCOPE = "https://cognitiveservices.azure.com/.default"


@pytest.fixture(autouse=True)
def identity(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment in which no other credentials can be found."""
    for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
    monkeypatch.setenv("IDENTITY_HEADER", "who-we-are")
    return monkeypatch


def issuer(asked: list[dict[str, str]], *, status: int = 200) -> Handler:
    async def token(request: web.Request) -> web.Response:
        asked.append({**request.query, "identity": request.headers.get("X-IDENTITY-HEADER", "")})
        if status != 200:
            return web.json_response({"error": "invalid_scope", "error_description": "no\nsuch scope"}, status=status)
        end = str(int(time.time()) + 3600)
        return web.json_response(
            {"access_token": f"eyJ0.token-{len(asked)}", "expires_on": end, "resource": "r", "token_type": "Bearer"}
        )

    return token


async def send(adapter: HttpAdapter, times: int = 1) -> list[HttpResponse | TransportError]:
    transport = open_transport(adapter, environment={})
    request = adapter.request(["hi"])
    ends = await asyncio.gather(*(transport.send(request) for _ in range(times)), return_exceptions=True)
    await transport.aclose()
    assert all(isinstance(end, HttpResponse | TransportError) for end in ends), ends
    return [end for end in ends if isinstance(end, HttpResponse | TransportError)]


def test_the_default_chain_gets_one_token_for_all_requests(identity: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, str]] = []

    async def go() -> tuple[Site, list[HttpResponse | TransportError]]:
        async with site(issuer(asked)) as served:
            identity.setenv("IDENTITY_ENDPOINT", f"{served.url}/token")
            return served, await send(endpoint(f"{served.url}/p", auth={"azure": {"scope": SCOPE}}), times=10)

    served, answers = asyncio.run(go())
    assert [(each["resource"], each["identity"]) for each in asked] == [(SCOPE.removesuffix("/.default"), "who-we-are")]
    assert [seen["authorization"] for seen in served.seen] == ["Bearer eyJ0.token-1"] * 10
    bodies = [json.loads(answer.body) for answer in answers if isinstance(answer, HttpResponse)]
    assert bodies == [{"a": 1, "you": "Bearer [redacted]"}] * 10


def test_a_refusal_is_one_line_and_stops_the_endpoint(
    identity: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    async def go() -> tuple[HttpAdapter, HttpResponse | TransportError, Site]:
        async with site(issuer([], status=400)) as served:
            identity.setenv("IDENTITY_ENDPOINT", f"{served.url}/token")
            adapter = endpoint(f"{served.url}/p", auth={"azure": {"scope": SCOPE}})
            return adapter, (await send(adapter))[0], served

    adapter, error, served = asyncio.run(go())
    assert isinstance(error, NoCredentials), error
    assert str(error).startswith("endpoint 'v': Azure credentials: ")
    assert str(error).endswith(
        ": run `az login`, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET; nothing was sent"
    )
    assert str(error).isprintable()
    assert adapter.classify(error).kind == "auth"
    assert served.seen == []
    assert capfd.readouterr() == ("", "")


class Away:
    """An issuer that cannot be reached; a ``TokenCredential`` of azure-core."""

    def __init__(self) -> None:
        self.closed = False
        self.here: AccessToken | None = None

    def get_token(self, *scopes: str, **_: object) -> AccessToken:
        assert scopes == (SCOPE,)
        if self.here is None:
            raise ServiceRequestError("Name or service not known")
        return self.here

    def close(self) -> None:
        self.closed = True


def test_an_issuer_that_is_away_is_tried_again_and_let_go_in_the_end() -> None:
    source, clock = Away(), Clock(1000.0)

    async def go() -> list[str]:
        tokens = []
        signer = AzureSigner("v", scope=SCOPE, source=source, clock=clock)
        with pytest.raises(NotSent, match="Azure credentials: Name or service not known; nothing was sent"):
            await signer.sign("POST", "https://h/", (), b"")
        for clock.now, token in [(1000.0, "one"), (4000.0, "two"), (4300.0, "three")]:
            source.here = AccessToken(token, int(clock.now) + 3600)
            tokens.append(dict(await signer.sign("POST", "https://h/", (), b""))["authorization"])
        await signer.aclose()
        return tokens

    assert asyncio.run(go()) == ["Bearer one", "Bearer one", "Bearer three"]
    assert source.closed

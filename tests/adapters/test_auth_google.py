"""Google's tokens: a real key signs for one, an issuer on loopback checks the signature."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import jwt

from adapters import HttpAdapter, HttpResponse, NoCredentials, NotSent, SecretMissing, TransportError, open_transport
from adapters.auth_google import GoogleSigner
from tests.adapters.auth_issuers import Clock, Handler, Site, endpoint, site

EMAIL = "prober@example-project.iam.gserviceaccount.com"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
AUDIENCE = "https://oauth2.googleapis.com/token"  # what a key says it is for, wherever its issuer is


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def key_file(path: Path, key: rsa.RSAPrivateKey, url: str, **changes: str) -> Path:
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    account = {
        "type": "service_account",
        "project_id": "example-project",
        "private_key_id": "1",
        "private_key": pem,
        "client_email": EMAIL,
        "token_uri": f"{url}/token",
        **changes,
    }
    path.write_text(json.dumps(account))
    return path


def issuer(key: rsa.RSAPrivateKey, state: list[dict[str, Any]]) -> Handler:
    """Hands out ``ya29.token-N`` for an hour to who can sign."""
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    async def token(request: web.Request) -> web.Response:
        form = await request.post()
        decode: Any = jwt.decode
        claims = decode(str(form["assertion"]), certs=public, audience=AUDIENCE)
        state.append(claims)
        return web.json_response(
            {"access_token": f"ya29.token-{len(state)}", "expires_in": 3600, "token_type": "Bearer"}
        )

    return token


async def send(adapter: HttpAdapter, file: Path, times: int = 1) -> list[HttpResponse | TransportError]:
    transport = open_transport(adapter, environment={"KEY_FILE": str(file)})
    request = adapter.request(["hi"])
    assert "ya29" not in repr(request)
    ends = await asyncio.gather(*(transport.send(request) for _ in range(times)), return_exceptions=True)
    await transport.aclose()
    assert all(isinstance(end, HttpResponse | TransportError) for end in ends), ends
    return [end for end in ends if isinstance(end, HttpResponse | TransportError)]


def test_a_key_file_gets_one_token_for_all_requests(key: rsa.RSAPrivateKey, tmp_path: Path) -> None:
    claims: list[dict[str, Any]] = []

    async def go() -> tuple[Site, list[HttpResponse | TransportError]]:
        async with site(issuer(key, claims)) as served:
            adapter = endpoint(f"{served.url}/p", auth={"google": {"file": "${KEY_FILE}"}})
            file = key_file(tmp_path / "key.json", key, served.url)
            return served, await send(adapter, file, times=20)

    served, answers = asyncio.run(go())
    assert len(claims) == 1
    assert (claims[0]["iss"], claims[0]["scope"]) == (EMAIL, SCOPE)
    assert [seen["authorization"] for seen in served.seen] == ["Bearer ya29.token-1"] * 20
    bodies = [json.loads(answer.body) for answer in answers if isinstance(answer, HttpResponse)]
    assert bodies == [{"a": 1, "you": "Bearer [redacted]"}] * 20


def test_application_default_credentials(
    key: rsa.RSAPrivateKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims: list[dict[str, Any]] = []

    async def go() -> Site:
        async with site(issuer(key, claims)) as served:
            file = key_file(tmp_path / "key.json", key, served.url)
            monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
            monkeypatch.setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "who-pays")
            adapter = endpoint(f"{served.url}/p", auth={"google": {"scopes": ["scope-a", "scope-b"]}})
            await send(adapter, file)
            return served

    seen = asyncio.run(go()).seen[0]
    assert (seen["authorization"], seen["x-goog-user-project"]) == ("Bearer ya29.token-1", "who-pays")
    assert claims[0]["scope"] == "scope-a scope-b"


def test_tokens_are_renewed_before_they_end(key: rsa.RSAPrivateKey, tmp_path: Path) -> None:
    async def go() -> list[str]:
        clock = Clock(time.time())
        began = clock.now
        tokens = []
        async with site(issuer(key, [])) as served:
            file = key_file(tmp_path / "key.json", key, served.url)
            signer = GoogleSigner("v", file=str(file), clock=clock)
            for clock.now in (began, began + 3200, began + 3400):
                tokens.append(dict(await signer.sign("POST", "https://h/", (), b""))["authorization"])
            await signer.aclose()
        return tokens

    assert asyncio.run(go()) == ["Bearer ya29.token-1", "Bearer ya29.token-1", "Bearer ya29.token-2"]


async def refuse(_: web.Request) -> web.Response:
    error = {"error": "invalid_grant", "error_description": "Invalid grant: account not found"}
    return web.json_response(error, status=400)


def test_an_issuer_that_refuses_stops_the_endpoint(key: rsa.RSAPrivateKey, tmp_path: Path) -> None:
    async def go() -> tuple[HttpAdapter, HttpResponse | TransportError, Site]:
        async with site(refuse) as served:
            adapter = endpoint(f"{served.url}/p", auth={"google": {"file": "${KEY_FILE}"}})
            file = key_file(tmp_path / "key.json", key, served.url)
            return adapter, (await send(adapter, file))[0], served

    adapter, error, served = asyncio.run(go())
    assert isinstance(error, NoCredentials)
    assert str(error) == (
        "endpoint 'v': Google credentials: invalid_grant: Invalid grant: account not found: "
        f"check the key file {tmp_path / 'key.json'}; nothing was sent"
    )
    assert adapter.classify(error).kind == "auth"
    assert served.seen == []


def test_an_issuer_that_is_away_is_tried_again(key: rsa.RSAPrivateKey, tmp_path: Path) -> None:
    file = key_file(tmp_path / "key.json", key, "http://127.0.0.1:9")
    adapter = endpoint("http://127.0.0.1:9/p", auth={"google": {"file": "${KEY_FILE}"}})
    error = asyncio.run(send(adapter, file))[0]
    assert isinstance(error, NotSent)
    assert not isinstance(error, NoCredentials)
    assert adapter.classify(error).kind == "retry"


def test_an_issuer_that_does_not_answer_is_not_taken_for_the_endpoint(key: rsa.RSAPrivateKey, tmp_path: Path) -> None:
    async def go() -> HttpResponse | TransportError:
        gone = asyncio.Event()

        async def silent(_: web.Request) -> web.Response:
            await gone.wait()
            return web.json_response({"error": "late"}, status=400)

        async with site(silent) as served:
            limits = {"timeout": 0.3}
            adapter = endpoint(f"{served.url}/p", auth={"google": {"file": "${KEY_FILE}"}}, limits=limits)
            error = (await send(adapter, key_file(tmp_path / "key.json", key, served.url)))[0]
            gone.set()
            return error

    error = asyncio.run(go())
    assert isinstance(error, NotSent)
    assert "no credentials within 0.3 s, so no answer from 127.0.0.1" in str(error)
    assert str(error).endswith("; nothing was sent")


@pytest.mark.parametrize(
    ("content", "said"), [(None, "No such file or directory"), ("{", "Expecting"), ("{}", "missing")]
)
def test_an_unusable_key_file_is_one_line(tmp_path: Path, content: str | None, said: str) -> None:
    file = tmp_path / "key.json"
    if content is not None:
        file.write_text(content)
    adapter = endpoint("http://127.0.0.1:9/p", auth={"google": {"file": "${KEY_FILE}"}})
    error = asyncio.run(send(adapter, file))[0]
    assert isinstance(error, NoCredentials)
    assert said in str(error)
    assert str(error).isprintable()


def test_the_key_file_is_named_by_a_variable() -> None:
    adapter = endpoint("http://h/", auth={"google": {"file": "${KEY_FILE}"}})
    assert adapter.secret_names == ("KEY_FILE",)
    with pytest.raises(SecretMissing, match="needs the environment variable KEY_FILE, which is not set"):
        open_transport(adapter, environment={})
    assert endpoint("http://h/", auth={"google": None}).spec.auth.google is not None

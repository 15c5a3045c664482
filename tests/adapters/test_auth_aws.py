"""Signature version 4: AWS's published vectors, and what a server computes from the bytes that arrive."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import botocore.auth
import httpx
import pytest

from adapters import HttpResponse, NoCredentials, SpecError, open_transport
from adapters.auth import resolve_credentials
from adapters.auth_aws import AwsSigner
from adapters.transport import HttpTransport
from tests.adapters.auth_issuers import Clock, endpoint
from tests.adapters.sockets import Conversation, serving
from tests.cli.program import here, texts_config, write

KEY_ID, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
TOKEN = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7"
SIGV4 = {"aws_sigv4": {"service": "comprehend", "region": "eu-west-1"}}


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment in which only these credentials can be found."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    return monkeypatch


@pytest.mark.parametrize(
    ("method", "query", "headers", "body", "signed", "signature"),
    [
        ("GET", "", {}, b"", "host", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", "", {}, b"", "host", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (
            "POST",
            "",
            {"content-type": "application/x-www-form-urlencoded"},
            b"Param1=value1",
            "content-type;host",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
        ("POST", "?Param1=value1", {}, b"", "host", "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"),
    ],
    ids=["get-vanilla", "post-vanilla", "post-x-www-form-urlencoded", "post-vanilla-query"],
)
def test_published_vectors(
    account: pytest.MonkeyPatch,
    method: str,
    query: str,
    headers: dict[str, str],
    body: bytes,
    signed: str,
    signature: str,
) -> None:
    """The suite that AWS publishes for implementers of signature version 4, by its names for the cases."""
    account.setattr(botocore.auth, "get_current_datetime", lambda: datetime(2015, 8, 30, 12, 36, tzinfo=UTC))
    signer = AwsSigner("v", service="service", region="us-east-1")
    url = f"https://example.amazonaws.com/{query}"
    assert asyncio.run(_sign(signer, method, url, headers, body)) == {
        "x-amz-date": "20150830T123600Z",
        "authorization": f"AWS4-HMAC-SHA256 Credential={KEY_ID}/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders={signed};x-amz-date, Signature={signature}",
    }


async def _sign(
    signer: AwsSigner, method: str = "POST", url: str = "https://h/", headers: Any = None, body: bytes = b""
) -> dict[str, str]:
    return dict(await signer.sign(method, url, tuple((headers or {}).items()), body))


def authentic(request: bytes) -> bool:
    """Whether the bytes of ``request`` are what they were when they were signed: the algorithm of AWS's reference, anew."""
    head, body = request.split(b"\r\n\r\n", 1)
    start, *lines = head.decode().split("\r\n")
    method, target, _ = start.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    fields = dict(part.split("=", 1) for part in headers["authorization"].removeprefix("AWS4-HMAC-SHA256 ").split(", "))
    scope = fields["Credential"].removeprefix(f"{KEY_ID}/")
    names = fields["SignedHeaders"].split(";")
    parts = urlsplit(target)
    canonical = [method, parts.path, "&".join(sorted(parts.query.split("&")))]
    canonical += [*(f"{name}:{headers[name]}" for name in names), "", ";".join(names), hashlib.sha256(body).hexdigest()]
    digest = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
    key = f"AWS4{SECRET}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{scope}\n{digest}"
    return hmac.compare_digest(fields["Signature"], hmac.digest(key, text.encode(), "sha256").hex())


TEXTS = ['a "great" movie\nline 2 \\ {{ x }}', "größer 🎬 \u202eRTL", "\x00"]


@pytest.mark.parametrize("wire", ["aiohttp", "httpx"])
@pytest.mark.parametrize("text", TEXTS)
def test_what_arrives_is_what_was_signed(account: pytest.MonkeyPatch, wire: str, text: str) -> None:
    account.setenv("AWS_SESSION_TOKEN", TOKEN)

    async def script(talk: Conversation) -> None:
        await talk.request()
        talk.answer(json.dumps({"a": 1, "you": f"{TOKEN} {SECRET}"}).encode())

    async def go() -> tuple[bytes, bytes, HttpResponse]:
        async with serving(script) as server:
            adapter = endpoint(
                server.url,
                auth=SIGV4,
                headers={"X-Amz-Target": "Comprehend_20171127.DetectSentiment"},
                query={"b": "x y~z", "a": "ä/1"},
                idempotency="X-Key",
            )
            inner = httpx.AsyncHTTPTransport() if wire == "httpx" else None
            transport = HttpTransport(
                "v",
                limits=adapter.limits,
                credentials=resolve_credentials("v", adapter.spec, environment={}),
                transport=inner,
            )
            request = adapter.request([text]).keyed("one")
            answer = await transport.send(request)
            await transport.aclose()
            return repr(request).encode(), server.requests[0], answer

    stored, arrived, answer = asyncio.run(go())
    assert authentic(arrived)
    assert not authentic(arrived.replace(b'{"t":', b'{"u":'))
    assert not authentic(arrived.replace(b"DetectSentiment", b"DetectEntities"))
    assert f"x-amz-security-token: {TOKEN}".encode() in arrived.lower().replace(TOKEN.lower().encode(), TOKEN.encode())
    assert KEY_ID.encode() not in stored
    assert b"authorization" not in stored.lower()
    assert json.loads(answer.body)["you"] == "[redacted] [redacted]"


def test_credentials_that_renew_themselves_are_asked_again(account: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A profile with a program that issues credentials for five minutes; botocore runs it again as they near their end."""
    account.delenv("AWS_ACCESS_KEY_ID")
    account.delenv("AWS_SECRET_ACCESS_KEY")
    runs = tmp_path / "runs"
    program = tmp_path / "issue.py"
    end = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    program.write_text(
        f"import json, pathlib\nruns = pathlib.Path({str(runs)!r})\n"
        "n = len(runs.read_text()) + 1 if runs.exists() else 1\nruns.write_text('x' * n)\n"
        f"issued = dict(Version=1, AccessKeyId=f'AKID{{n}}', SecretAccessKey='s' * 40, Expiration={end!r})\n"
        "print(json.dumps(issued))\n"
    )
    (tmp_path / "config").write_text(f"[profile lab]\ncredential_process = {sys.executable} -S {program}\n")
    clock = Clock(0.0)

    async def go() -> list[str]:
        signer = AwsSigner("v", service="s", region="r", profile="lab", clock=clock)
        keys = []
        for clock.now in (0.0, 29.0, 31.0):
            keys.append((await _sign(signer))["authorization"].split("Credential=")[1].split("/")[0])
        return keys

    first, kept, renewed = asyncio.run(go())
    assert first == kept
    assert renewed != first


@pytest.mark.parametrize(
    ("config", "auth", "said"),
    [
        ("", {}, ": none found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or log in with"),
        (
            "",
            {"profile": "lab"},
            " of profile 'lab': The config profile (lab) could not be found: set AWS_ACCESS_KEY_ID",
        ),
        (
            "[profile lab]\ncredential_process = false\n",
            {"profile": "lab"},
            " of profile 'lab': Error when retrieving credentials from custom-process: set AWS_ACCESS_KEY_ID",
        ),
    ],
)
def test_no_credentials_are_one_line_and_stop_the_endpoint(
    account: pytest.MonkeyPatch, tmp_path: Path, config: str, auth: dict[str, str], said: str
) -> None:
    account.delenv("AWS_ACCESS_KEY_ID")
    account.delenv("AWS_SECRET_ACCESS_KEY")
    (tmp_path / "config").write_text(config)
    adapter = endpoint("http://127.0.0.1:9/", auth={"aws_sigv4": {**SIGV4["aws_sigv4"], **auth}})

    async def go() -> NoCredentials:
        transport = open_transport(adapter, environment={})
        with pytest.raises(NoCredentials) as caught:
            await transport.send(adapter.request(["a"]))
        await transport.aclose()
        return caught.value

    error = asyncio.run(go())
    assert str(error).startswith(f"endpoint 'v': AWS credentials{said}")
    assert str(error).endswith("; nothing was sent")
    assert str(error).isprintable()
    assert adapter.classify(error).kind == "auth"


@pytest.mark.parametrize(
    ("kind", "module", "extra"),
    [
        ("aws_sigv4", "botocore", "aws"),
        ("google", "google.auth", "gcp"),
        ("azure", "azure.identity", "azure"),
    ],
)
def test_a_library_that_is_not_installed_is_named(
    account: pytest.MonkeyPatch, kind: str, module: str, extra: str
) -> None:
    settings = {"aws_sigv4": SIGV4["aws_sigv4"], "google": {}, "azure": {"scope": "s/.default"}}
    for loaded in [name for name in sys.modules if name == module or name.startswith(f"{module}.")]:
        account.delitem(sys.modules, loaded)
    account.setitem(sys.modules, module, None)
    with pytest.raises(SpecError) as caught:
        open_transport(endpoint("http://h/", auth={kind: settings[kind]}), environment={})
    assert str(caught.value) == (
        f"endpoint 'v': auth: {kind} needs more than is installed: install blackbox-probe[{extra}]"
    )


def test_the_program_ends_with_4_and_one_line(tmp_path: Path) -> None:
    write(tmp_path, texts_config("http://127.0.0.1:9", endpoint={"auth": SIGV4}, methods=["occlusion"]))
    done = here("run", cwd=tmp_path, env={"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""})
    assert done.code == 4, done.err
    assert "AWS credentials: none found" in done.out + done.err
    assert "Traceback" not in done.err

"""Looking secrets up, and taking them out of what is shown."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import HttpAdapter, SecretMissing, Secrets, SpecError, endpoint_from_config, open_transport
from adapters.transport import HttpTransport

ROOT = Path(__file__).parents[2]

CONFIG = {"url": "https://h/", "json": "{{ x }}", "scores": {"map": "@"}}


def endpoint(**config: Any) -> HttpAdapter:
    adapter = endpoint_from_config("vendor-a", CONFIG | config, environment={}, base=Path())
    assert isinstance(adapter, HttpAdapter)
    return adapter


@pytest.mark.parametrize(
    ("environment", "seen"),
    [({}, "VENDOR_KEY, which is not set: export it"), ({"VENDOR_KEY": ""}, "VENDOR_KEY, which is empty: export it")],
)
def test_a_missing_secret_names_variable_and_endpoint(environment: dict[str, str], seen: str) -> None:
    with pytest.raises(SecretMissing) as caught:
        open_transport(endpoint(auth={"bearer": "${VENDOR_KEY}"}), environment=environment)
    assert str(caught.value) == f"endpoint 'vendor-a' needs the environment variable {seen} and run again"


@pytest.mark.parametrize("value", ["abc\r\nx-evil: 1", "abc\n", "a\x00b", "a\x7f", "schlüssel"])
def test_a_secret_that_would_change_the_request_is_refused_and_not_shown(value: str) -> None:
    with pytest.raises(SpecError) as caught:
        open_transport(endpoint(auth={"bearer": "${VENDOR_KEY}"}), environment={"VENDOR_KEY": value})
    assert "endpoint 'vendor-a'" in str(caught.value)
    assert value not in str(caught.value)


def test_names_are_known_without_values() -> None:
    adapter = endpoint(
        auth={"basic": {"username": "${U}", "password": "${P}"}}, headers={"x-a": "${A} ${P}"}, query={"q": "${Q}"}
    )
    assert adapter.secret_names == ("U", "P", "A", "Q")


def test_the_transport_knows_what_to_redact() -> None:
    adapter = endpoint(auth={"basic": {"username": "me", "password": "${P}"}})
    transport = open_transport(adapter, environment={"P": "correct horse"})
    assert isinstance(transport, HttpTransport)
    token = base64.b64encode(b"me:correct horse").decode()
    assert transport.secrets.redact(f"Basic {token}; correct+horse") == "Basic [redacted]; [redacted]"
    assert "horse" not in repr(transport.secrets)
    assert "horse" not in repr(vars(transport))


@pytest.mark.parametrize(
    ("auth", "said"),
    [
        (
            "aws",
            "auth: write none, or one of {bearer: …}, {header: …}, {query: …}, {basic: …}, {aws_sigv4: …}, {google: …}",
        ),
        ({"aws_sigv4": {"service": "s", "region": "r/../x"}}, "auth.aws_sigv4.region: string should match pattern"),
        (
            {"aws_sigv4": {"service": "s", "regoin": "r"}},
            "auth.aws_sigv4: unknown key 'regoin', did you mean 'region'?",
        ),
        ({"aws_sigv4": {"service": "s"}}, "auth.aws_sigv4.region: this key is required"),
        ({"azure": None}, "auth: azure says nothing: write {azure: …}, or none"),
        ({"bearer": None}, "auth: bearer says nothing: write {bearer: …}, or none"),
        ({"google": {"file": "key.json"}}, "auth.google.file: write ${NAME}, and set NAME to the path of the key file"),
        (
            {"google": {}, "bearer": "${K}"},
            "auth: exactly one of bearer, header, query, basic, aws_sigv4, google, azure",
        ),
    ],
)
def test_wrong_authentication_is_one_line(auth: Any, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        endpoint(auth=auth)
    assert str(caught.value).startswith(f"endpoints.vendor-a.{said}")
    assert "\n" not in str(caught.value)


def test_libraries_of_providers_are_loaded_by_the_endpoints_that_need_them() -> None:
    program = """
import sys
from pathlib import Path
from adapters import endpoint_from_config, open_transport
config = {"url": "https://h/", "json": "{{ x }}", "scores": {"map": "@"}, "auth": {"bearer": "${K}"}}
open_transport(endpoint_from_config("v", config, environment={}, base=Path()), environment={"K": "k"})
print(*sorted({"botocore", "google.auth", "azure", "adapters.presets", "yaml"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["adapters.presets", "yaml"]


SECRETS = st.text(min_size=8, max_size=40)


@given(secret=SECRETS, before=st.binary(max_size=5), after=st.binary(max_size=5))
def test_every_form_of_a_secret_is_taken_out(secret: str, before: bytes, after: bytes) -> None:
    secrets = Secrets((secret,))
    raw = secret.encode()
    forms = [secret, quote(secret, safe=""), quote(secret), quote_plus(secret), json.dumps(secret)[1:-1]]
    forms += [base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode().rstrip("=")]
    for form in forms:
        assert form not in secrets.redact(f"({form})").replace("[redacted]", "")
        assert form.encode() not in secrets.redact_bytes(b"(" + form.encode() + b")").replace(b"[redacted]", b"")
    inside = base64.b64encode(before + raw + after).decode()
    assert "[redacted]" in secrets.redact(inside)


@given(values=st.lists(st.text(), max_size=4), text=st.text())
def test_redaction_is_total_and_leaves_other_text_alone(values: list[str], text: str) -> None:
    redacted = Secrets(tuple(values)).redact(text)
    if not any(value in text for value in values if value) and text.isalpha() and len(text) < 6:
        assert redacted == text
    assert Secrets().redact(text) == text


def test_a_secret_that_contains_another_one_leaves_nothing_behind() -> None:
    assert Secrets(("token", "token-extended")).redact("a token-extended b token") == "a [redacted] b [redacted]"


def test_short_secrets_do_not_tear_answers_apart() -> None:
    assert Secrets(("cat", "")).redact_bytes(b'{"category": 1}') == b'{"category": 1}'
    assert Secrets(("cat", "")).redact("cat") == "[redacted]"


def test_equality_is_by_value() -> None:
    assert Secrets(("a",)) == Secrets(("a",))
    assert Secrets() == Secrets(())

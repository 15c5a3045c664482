"""Who gets in: keys, scopes, sessions, and pages of other sites."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest

from tests.cli.program import here
from tests.servers import RunningServer
from tests.web.serving import KEYS, Serving, fill, serving, token

SCOPES = ("nobody", "read", "run", "admin")
FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def guarded(
    running: RunningServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Serving, dict[str, str]]]:
    """A service that asks for tokens, and one of each scope."""
    folder: Path = tmp_path_factory.mktemp("guarded")
    fill(folder, running.url, runs=1)
    keys = {scope: token(folder, f"of {scope}", "--scope", scope) for scope in SCOPES[1:]}
    with serving(folder, "--tokens") as service:
        yield service, keys


def routes(service: Serving, key: str) -> list[tuple[str, str, str]]:
    """(method, path, scope) of every route: of the API from its description, of the pages by hand."""
    with service.client(key) as client:
        described = client.get("/api/v1/openapi.json").json()["paths"]
        run = client.get("/api/v1/runs").json()["runs"][0]["id"]
        probe = client.get(f"/api/v1/runs/{run}/probes").json()["probes"][0]
    ids = {"run_id": run, "probe_id": probe["id"], "number": "0", "job_id": "nope"}
    found = [
        (method.upper(), re.sub(r"{(\w+)}", lambda name: ids[name[1]], path), method)
        for path, methods in described.items()
        for method in methods
    ]
    assert len(found) > 15
    api = [
        (method, path, "admin" if path.endswith("/sql") else "run" if method == "POST" else "read")
        for method, path, _ in found
    ]
    pages = [
        "/runs", "/runs.json", "/runs.csv", f"/runs/{run}", f"/runs/{run}.json", f"/runs/{run}.csv", f"/runs/{run}/report",
        f"/runs/{run}/export", f"/runs/{run}/live", f"/probes/{probe['id']}", f"/probes/{probe['id']}.json",
        f"/probes/{probe['id']}/requests/0", f"/probes/{probe['id']}/history", f"/instances/{probe['instance_id']}/thumbnail",
        "/diff", f"/diff.json?a={run}&b={run}", "/search", "/search.csv", "/queue", "/queue.json", "/api", "/metrics",
    ]  # fmt: skip
    posts = [("POST", "/queue", "run"), ("POST", "/queue/nope/cancel", "run"), ("POST", "/logout", "read")]
    return [
        *api,
        *(("GET", path, "read") for path in pages),
        ("GET", "/sql", "admin"),
        ("GET", "/sql.json?q=SELECT+1", "admin"),
        *posts,
    ]


def asked(client: httpx.Client, method: str, path: str) -> int:
    if method == "GET":
        return client.get(path).status_code
    if path.startswith("/api"):
        return client.post(path, json={}).status_code
    return client.post(path, headers=FORM).status_code


def test_the_matrix_of_keys_and_routes(guarded: tuple[Serving, dict[str, str]]) -> None:
    service, keys = guarded
    wrong = []
    for method, path, needed in routes(service, keys["admin"]):
        for place, scope in enumerate(SCOPES):
            with service.client(keys.get(scope)) as client:
                status = asked(client, method, path)
            if place < SCOPES.index(needed):
                held = status == (401 if scope == "nobody" else 403)
            else:
                # a form without its key is refused as well, whoever sends it
                held = status < 500 and status != 401 and (status != 403 or not path.startswith("/api"))
            if not held:
                wrong.append((method, path, scope, status))
    assert wrong == []


def test_the_service_needs_no_key_to_say_that_it_is_well(guarded: tuple[Serving, dict[str, str]]) -> None:
    with guarded[0].client() as client:
        assert [client.get(path).status_code for path in ("/healthz", "/readyz")] == [200, 200]


def test_a_browser_signs_in_and_out(guarded: tuple[Serving, dict[str, str]]) -> None:
    service, keys = guarded
    with service.client(accept="text/html") as client:
        asked = client.get("/runs?text=x")
        assert asked.status_code == 303
        assert asked.headers["location"] == "/login?next=%2Fruns%3Ftext%3Dx"
        signed = client.post("/login", data={"token": keys["read"], "next": "/runs?text=x"})
        assert (signed.status_code, signed.headers["location"]) == (303, "/runs?text=x")
        cookie = signed.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert keys["read"] not in cookie
        page = client.get("/runs")
        assert page.status_code == 200
        assert "/sql" not in page.text  # needs more than this key has
        form_key = re.search(r'name="form_key" value="([0-9a-f]{64})"', page.text)
        assert form_key is not None
        assert client.post("/logout", data={"form_key": "0" * 64}).status_code == 403
        assert client.post("/logout", data={"form_key": form_key[1]}).status_code == 303
        assert client.get("/runs").status_code == 303


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
)
def test_signing_in_leads_to_no_other_site(guarded: tuple[Serving, dict[str, str]], elsewhere: str) -> None:
    service, keys = guarded
    with service.client() as client:
        assert client.post("/login", data={"token": keys["read"], "next": elsewhere}).headers["location"] == "/runs"


def test_a_key_that_is_taken_away_or_expired_opens_nothing(guarded: tuple[Serving, dict[str, str]]) -> None:
    service, _ = guarded
    config = service.folder / "probe.yaml"
    key = token(service.folder, "short-lived")
    spent = token(service.folder, "expired", "--expires", "0")
    with service.client(key) as client, service.client(accept="text/html") as browser:
        browser.post("/login", data={"token": key, "next": "/runs"})
        assert client.get("/api/v1/runs").status_code == 200
        assert browser.get("/runs").status_code == 200
        done = here("serve", "-c", config, "token", "rm", key.split("_")[1], cwd=service.folder, env=KEYS)
        assert done.code == 0
        assert client.get("/api/v1/runs").status_code == 401
        assert browser.get("/runs").status_code == 303
    with service.client(spent) as client:
        assert client.get("/api/v1/runs").status_code == 401


def test_keys_are_listed_and_rotated_without_being_shown(guarded: tuple[Serving, dict[str, str]]) -> None:
    service, _ = guarded
    arguments = ("serve", "-c", service.folder / "probe.yaml", "token")
    key = token(service.folder, "robot", "--scope", "run", "--expires", "never")
    token_id = key.split("_")[1]
    listed = here(*arguments, "ls", cwd=service.folder, env=KEYS)
    assert key not in listed.out
    assert re.search(rf"{token_id} +run .*never +robot", listed.out)
    new = here(*arguments, "rotate", token_id, "--grace", "1h", cwd=service.folder, env=KEYS).out.strip()
    for each in (key, new):
        with service.client(each) as client:
            assert client.get("/api/v1/runs").status_code == 200


def test_whoever_guesses_is_braked(running: RunningServer, tmp_path: Path) -> None:
    fill(tmp_path, running.url, runs=0)
    key = token(tmp_path, "auditors")
    with serving(tmp_path, "--tokens") as service, service.client("probe_00000000_guess") as guesser:
        assert [guesser.get("/api/v1/runs").status_code for _ in range(10)] == [401] * 10
        braked = guesser.get("/api/v1/runs")
        assert braked.status_code == 429
        assert 0 < int(braked.headers["retry-after"]) <= 61
        with service.client(key) as owner:  # from the same address
            assert owner.get("/api/v1/runs").status_code == 429
        lines = service.lines()
        assert [line["status"] for line in lines if line.get("route") == "/api/v1/runs"] == [401] * 10 + [429] * 2
        assert "guess" not in service.log.read_text()


def test_other_addresses_need_a_key_first(running: RunningServer, tmp_path: Path) -> None:
    fill(tmp_path, running.url, runs=0)
    done = here("serve", "-c", tmp_path / "probe.yaml", "--host", "0.0.0.0", "--port", "0", cwd=tmp_path, env=KEYS)
    assert done.code == 2
    assert done.error == "0.0.0.0 is not the loopback interface; make a key first: probe serve token add NAME"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", HTTPStatus.OK),
        ("127.0.0.1:1", HTTPStatus.OK),
        ("[::1]:80", HTTPStatus.OK),
        ("evil.example", HTTPStatus.MISDIRECTED_REQUEST),
        ("127.0.0.1.evil.example", HTTPStatus.MISDIRECTED_REQUEST),
        ("127.0.0.1:80@evil.example", HTTPStatus.OK),  # the name is ours; what follows is no port, and is not used
        ("", HTTPStatus.MISDIRECTED_REQUEST),
        ("10.0.0.1", HTTPStatus.MISDIRECTED_REQUEST),
    ],
)
def test_a_name_that_was_pointed_here_is_refused(
    guarded: tuple[Serving, dict[str, str]], host: str, status: int
) -> None:
    with guarded[0].client(host=host) as client:
        assert client.get("/healthz").status_code == status


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_pages_of_other_sites_change_nothing(guarded: tuple[Serving, dict[str, str]], headers: dict[str, str]) -> None:
    service, keys = guarded
    with service.client(keys["admin"], **headers) as client:
        refused = client.post("/api/v1/jobs", json={"config": "probe.yaml"})
        assert refused.status_code == 403
        assert refused.json() == {"error": "the request comes from a page of another site"}
        assert client.get("/api/v1/jobs").json()["jobs"] == []


def test_headers_keep_browsers_from_doing_more(guarded: tuple[Serving, dict[str, str]]) -> None:
    service, keys = guarded
    with service.client(keys["read"]) as client:
        for path in ("/runs", "/api/v1/runs", "/nowhere", "/healthz"):
            headers = client.get(path).headers
            policy = headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; ")
            assert "frame-ancestors 'none'" in policy
            assert "unsafe-inline" not in policy.replace("style-src-attr 'unsafe-inline'", "")
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "same-origin"
            assert "access-control-allow-origin" not in headers
            assert headers["cache-control"] == "no-store"
            assert "server" not in headers


def test_a_body_without_end_is_cut_off(guarded: tuple[Serving, dict[str, str]]) -> None:
    service, keys = guarded
    with service.client(keys["admin"]) as client:
        assert client.post("/api/v1/sql", content=b" " * (2 << 20)).status_code == 413
        endless = client.build_request("POST", "/api/v1/sql", content=(b" " * 65536 for _ in range(64)))
        with suppress(httpx.TransportError):  # the connection may be closed on us, which is as good
            assert client.send(endless).status_code == 413
        assert client.get("/healthz").status_code == 200


def test_what_is_no_http_harms_nothing(guarded: tuple[Serving, dict[str, str]]) -> None:
    service, _ = guarded
    host, port = service.url.removeprefix("http://").split(":")
    for junk in (b"\x00\xff\xfe\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"GET /" + b"a" * 100_000):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(junk)
    with service.client() as client:
        assert client.get("/healthz").status_code == 200

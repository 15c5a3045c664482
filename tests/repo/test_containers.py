"""docker-compose.yml and Dockerfile, as far as they can be checked without a container engine."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from probe.cli import serve

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
PINNED = re.compile(r"[a-z0-9./-]+:(?!latest)[A-Za-z0-9._-]*\d+\.\d+[A-Za-z0-9._-]*")


def named_volumes(service: dict[str, Any]) -> set[str]:
    short = {volume.split(":")[0] for volume in service.get("volumes", []) if isinstance(volume, str)}
    return {name for name in short if not name.startswith((".", "/", "~"))}


def schema() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ROOT / "tests" / "data" / "compose-spec.json").read_text(encoding="utf-8"))
    return loaded


def test_compose_file_is_valid() -> None:
    jsonschema.Draft202012Validator(schema()).validate(COMPOSE)


def test_the_schema_refuses_what_is_wrong() -> None:
    broken = {**COMPOSE, "services": {"probe": {**SERVICES["probe"], "comand": ["run"]}}}
    with pytest.raises(jsonschema.ValidationError, match="comand"):
        jsonschema.Draft202012Validator(schema()).validate(broken)


def test_everything_named_exists_and_everything_that_exists_is_used() -> None:
    secrets = {secret for service in SERVICES.values() for secret in service.get("secrets", [])}
    volumes = set().union(*(named_volumes(service) for service in SERVICES.values()))
    networks = {network for service in SERVICES.values() for network in service.get("networks", [])}
    assert secrets == set(COMPOSE["secrets"])
    assert volumes == set(COMPOSE["volumes"])
    assert networks == set(COMPOSE["networks"])
    for service in SERVICES.values():
        assert set(service.get("depends_on", {})) <= set(SERVICES)


@pytest.mark.parametrize("name", ["probe", "api"])
def test_probe_waits_for_a_database_that_says_when_it_is_ready(name: str) -> None:
    assert SERVICES[name]["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert SERVICES["postgres"]["healthcheck"]["test"][:2] == ["CMD", "pg_isready"]
    environment = SERVICES["postgres"]["environment"]
    url = SERVICES[name]["environment"]["PROBE_STORAGE"]
    assert url == f"postgresql://{environment['POSTGRES_USER']}@postgres/{environment['POSTGRES_DB']}"
    assert set(SERVICES[name]["networks"]) & set(SERVICES["postgres"]["networks"])


def test_images_are_pinned() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    for image in [*bases, *(service["image"] for service in SERVICES.values())]:
        assert PINNED.fullmatch(image), image


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_services_have_no_more_rights_than_they_need(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "stop_grace_period" in service
    assert [port for port in service.get("ports", []) if not port.startswith("127.0.0.1:")] == []
    assert not service.get("privileged")


def test_probe_writes_nowhere_but_to_its_report_and_tmp() -> None:
    service = SERVICES["probe"]
    assert service["read_only"] is True
    assert [volume for volume in service["volumes"] if isinstance(volume, dict) and not volume.get("read_only")] == []
    written = {volume.split(":")[1] for volume in service["volumes"] if isinstance(volume, str)}
    report = Path(service["command"][service["command"].index("--report") + 1])
    assert {str(report.parent)} == written
    assert (
        f"install -d -o probe -g probe {report.parent}" in DOCKERFILE
    )  # a new volume takes the owner of the image's directory


def test_the_service_writes_nowhere_and_starts_only_when_asked_for() -> None:
    service = SERVICES["api"]
    assert service["read_only"] is True
    assert [volume for volume in service["volumes"] if not volume.get("read_only")] == []
    assert service["profiles"] == ["service"]
    assert service["entrypoint"] == SERVICES["probe"]["entrypoint"]


def test_no_password_is_written_down() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert not re.search(r"POSTGRES_PASSWORD:|://[^/@\s]+:[^/@\s]+@", text)
    for secret in COMPOSE["secrets"].values():
        assert ignored(secret["file"])


@pytest.mark.parametrize("name", ["probe", "api"])
def test_the_entry_point_hands_over_password_and_arguments(name: str, tmp_path: Path) -> None:
    """The shell line is run as it stands, with a stand-in for the container's paths and program."""
    secret = tmp_path / "password"
    secret.write_text("s p a'c\"e$d\n")
    program = tmp_path / "probe"
    program.write_text('#!/bin/sh\nprintf "%s|" "$PGPASSWORD" "$@"\n')
    program.chmod(0o755)
    service = SERVICES[name]
    arguments = [str(argument).replace("$$", "$") for argument in [*service["entrypoint"], *service["command"]]]
    arguments = [argument.replace("/run/secrets/postgres_password", str(secret)) for argument in arguments]
    environment = {"PATH": f"{tmp_path}{os.pathsep}{os.defpath}"}
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split("|") == ["s p a'c\"e$d", *service["command"], ""]


def test_what_the_service_is_started_with_are_options_of_the_command() -> None:
    _, *arguments = SERVICES["api"]["command"]
    context = serve.command.make_context("serve", [str(argument) for argument in arguments], resilient_parsing=True)
    assert (context.params["host"], context.params["names"], context.params["port"]) == (
        "0.0.0.0",
        ("localhost",),
        8080,
    )
    assert str(context.params["config_path"]) == "/config/probe.yaml"


def test_the_image_runs_probe_without_root() -> None:
    stage = DOCKERFILE.rpartition("\nFROM ")[2]
    users = re.findall(r"^USER (\S+)", stage, re.MULTILINE)
    assert users == ["10001:10001"]
    assert 'ENTRYPOINT ["probe"]' in stage
    assert "pip install" not in stage


def test_what_the_image_copies_exists_and_is_sent_to_the_build() -> None:
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert copied
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for source in copied:
        assert (ROOT / source).exists(), source
        assert any(fnmatch.fnmatch(source, pattern) for pattern in allowed), source
    assert sorted(allowed) == sorted(copied)


def test_the_image_installs_by_hash() -> None:
    installs = re.findall(r"pip install[^&\n]*", DOCKERFILE)
    assert len(installs) == 3
    assert [("--require-hashes" in line) or ("--no-deps" in line) for line in installs] == [True] * 3


def ignored(path: str) -> bool:
    """Whether git would leave ``path`` alone; without git, whether the ignore file says so."""
    if shutil.which("git") and (ROOT / ".git").exists():
        return subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT, check=False).returncode == 0
    return f"{Path(path).parts[0]}/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()

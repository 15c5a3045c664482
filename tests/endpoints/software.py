"""The servers that the tests start: what each is run with, and how it says that it is up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
APPS: Final = Path(__file__).resolve().parent / "apps"
ENVIRONMENTS: Final = ROOT / ".venv" / "servers"
API_KEY: Final = "sk-loopback-0123456789"  #: what the chat server asks for
LLMOCK_RPM: Final = 40  #: requests per minute that "llmock_limited" allows


@dataclass(frozen=True, slots=True)
class Software:
    """One server. ``command`` gets an empty folder and free ports, of which the first speaks HTTP."""

    environment: str
    command: Callable[[Path, tuple[int, ...]], list[str]]
    ready: str  #: path that answers 200 once it is up
    ports: int = 1
    variables: tuple[tuple[str, str], ...] = ()

    @property
    def home(self) -> Path:
        return ENVIRONMENTS / self.environment


def _python(environment: str, script: str, *arguments: object) -> list[str]:
    return [str(ENVIRONMENTS / environment / "bin" / "python"), str(APPS / script), *map(str, arguments)]


def _program(environment: str, name: str, *arguments: object) -> list[str]:
    return [str(ENVIRONMENTS / environment / "bin" / name), *map(str, arguments)]


SOFTWARE: Final[dict[str, Software]] = {
    "llama": Software(
        "llama",
        lambda folder, ports: _python("llama", "llama.py", folder, ports[0], API_KEY),
        "/health",
    ),
    "moto": Software("moto", lambda _, ports: _program("moto", "moto_server", "-p", ports[0]), "/moto-api/"),
    "llmock": Software("llmock", lambda _, ports: _program("llmock", "llmock", "serve", "--port", ports[0]), "/health"),
    "llmock_limited": Software(
        "llmock",
        lambda _, ports: _program("llmock", "llmock", "serve", "--port", ports[0], "--rpm", LLMOCK_RPM),
        "/health",
    ),
    "bentoml": Software(
        "bentoml",
        lambda folder, ports: _program(
            "bentoml", "bentoml", "serve", "bento_service:Scores", "--host", "127.0.0.1", "--port", ports[0]
        ),
        "/readyz",
        variables=(("BENTOML_DO_NOT_TRACK", "true"),),
    ),
    "mlserver": Software(
        "mlserver",
        lambda folder, ports: _python("mlserver", "mlserver_models.py", folder, *ports),
        "/v2/health/ready",
        ports=3,
    ),
    "kserve": Software(
        "kserve", lambda _, ports: _python("kserve", "kserve_model.py", *ports), "/v2/health/ready", ports=2
    ),
    "fastapi": Software(
        "llmock",  # which has it too
        lambda _, ports: _program("llmock", "uvicorn", "fastapi_service:app", "--port", ports[0]),
        "/openapi.json",
    ),
}

"""LLMock plays the chat providers with faults, and judges how its client took them: whether it waited as long as it was told,
backed off, tried again what may succeed and let be what cannot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.endpoints.software import LLMOCK_RPM
from tests.endpoints.using import run

ENV = {"OPENAI_API_KEY": "sk-any", "ANTHROPIC_API_KEY": "sk-ant-any", "GEMINI_API_KEY": "any"}

REVIEW = """
    probes:
      review:
        kind: text
        inputs: {inline: ["a great film"]}
        endpoints: [chat]
        methods: [occlusion]
        target: positive
"""
OPENAI = (
    """
    endpoints:
      chat:
        adapter: openai-chat-text
        server: @url/v1
        model: gpt-any
        labels: [positive, negative]
        limits: {concurrency: 2}
"""
    + REVIEW
)
ANTHROPIC = (
    """
    endpoints:
      chat:
        adapter: anthropic
        url: @url/anthropic/v1/messages
        model: claude-any
        labels: [positive, negative]
        limits: {concurrency: 2}
"""
    + REVIEW
)
GEMINI = (
    """
    endpoints:
      chat:
        adapter: gemini-text
        url: @url/gemini/v1beta/models/gemini-any:generateContent
        model: gemini-any
        labels: [positive, negative]
        limits: {concurrency: 2}
"""
    + REVIEW
)


def faults(llmock: str, *behaviours: Mapping[str, Any]) -> None:
    """Forget what was; from now on these faults, and "positive" to all that gets an answer."""
    httpx.post(f"{llmock}/_llmock/reset").raise_for_status()
    answer = {"type": "reply", "text": "positive", "times": None}
    httpx.post(f"{llmock}/_llmock/scenario", json={"behaviors": [*behaviours, answer]}).raise_for_status()


def verdict(llmock: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{llmock}/_llmock/verdict").raise_for_status().json()
    return found


@pytest.mark.parametrize("config", [OPENAI, ANTHROPIC, GEMINI], ids=["openai", "anthropic", "gemini"])
@pytest.mark.parametrize(
    "behaviours",
    [
        pytest.param([{"type": "fail", "status": 429, "retry_after": 1.2, "times": 3}], id="429 with Retry-After"),
        pytest.param([{"type": "fail", "status": status} for status in (500, 502, 503, 504, 529)], id="5xx"),
        pytest.param([{"type": "fail", "status": status} for status in (408, 409, 429)], id="4xx that may succeed"),
    ],
)
def test_what_may_succeed_is_tried_again_as_the_server_asks(
    llmock: str, tmp_path: Path, config: str, behaviours: list[dict[str, Any]]
) -> None:
    faults(llmock, *behaviours)
    done = run(tmp_path, config, ENV, url=llmock)
    assert done.code == 0, done.err
    injected = sum(each.get("times", 1) for each in behaviours)
    found = verdict(llmock)
    assert found["passed"]
    # gaps that grow look alike on a machine that is busy enough; tests/engine/test_retry.py measures them without one
    assert {each["code"] for each in found["findings"]} <= {"no_backoff"}
    assert (found["calls"], found["attempts"], found["faults_injected"]) == (4, 4 + injected, injected)
    assert done.json["totals"]["sent"] == 4 + injected
    assert done.json["totals"]["retried"] == injected


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (401, 4, "the credentials are refused"),
        (403, 4, "the credentials are refused"),
        (404, 4, "404"),
        (400, 3, "no answer for the unaltered input"),
        (422, 3, "no answer for the unaltered input"),
    ],
)
def test_what_cannot_succeed_is_let_be(llmock: str, tmp_path: Path, status: int, code: int, says: str) -> None:
    faults(llmock, {"type": "fail", "status": status, "times": None})
    done = run(tmp_path, OPENAI, ENV, url=llmock)
    assert done.code == code
    assert says in done.error
    found = verdict(llmock)
    assert found["findings"] == []
    assert found["attempts"] == found["calls"] == done.json["totals"]["sent"]


def test_a_provider_that_is_down_is_not_stormed(llmock: str, tmp_path: Path) -> None:
    faults(llmock, {"type": "fail", "status": 503, "times": None})
    done = run(tmp_path, OPENAI, ENV, url=llmock)
    assert done.code == 4
    assert "503" in done.error
    found = verdict(llmock)
    assert found["passed"]  # an input whose turn had just come may be given up after one attempt, which it warns of
    assert found["attempts"] == done.json["totals"]["sent"]


def test_a_provider_that_is_healthy_and_hangs_is_given_up(llmock: str, tmp_path: Path) -> None:
    faults(llmock, {"type": "delay", "seconds": 30, "times": None})
    assert httpx.get(f"{llmock}/health").status_code == 200
    done = run(tmp_path, OPENAI.replace("concurrency: 2", "concurrency: 2, timeout: 0.3"), ENV, url=llmock)
    assert done.code == 4
    assert "0.3 s" in done.error
    assert verdict(llmock)["passed"]


def test_a_quota_that_is_announced_is_waited_for(llmock_limited: str, tmp_path: Path) -> None:
    """Requests per minute, refilled continuously, and told in OpenAI's headers."""
    faults(llmock_limited)
    more = OPENAI.replace('["a great film"]', '["a great film with one slow end"]').replace("[occlusion]", "[lime]")
    done = run(tmp_path, more + f"        budget: {LLMOCK_RPM + 5}\n", ENV, url=llmock_limited)
    assert done.code == 0, done.err
    found = verdict(llmock_limited)
    assert found["findings"] == []
    totals = done.json["totals"]
    assert found["attempts"] == totals["sent"]
    assert found["calls"] == totals["sent"] - totals["retried"] > LLMOCK_RPM

"""llama.cpp's server through the chat API, with a model whose answers are known (``apps/llama.py``)."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from tests.endpoints.apps.llama import chat, positive, tokens
from tests.endpoints.exact import shapley
from tests.endpoints.software import API_KEY
from tests.endpoints.using import endpoint, probe_of, run, scores, send, shares

ENV = {"LLAMA_KEY": API_KEY}
SYSTEM = "Say whether the review is good or bad."
WORDS = ("wonderful", "music", "but", "a", "dull", "and", "slow", "plot")

CHAT = """
    endpoints:
      chat:
        url: @url/v1/chat/completions
        auth: {bearer: "${LLAMA_KEY}"}
        json:
          messages:
            - {role: system, content: Say whether the review is good or bad.}
            - {role: user, content: "Review: {{ x }}"}
          max_tokens: 1
          temperature: 0
          logprobs: true
          top_logprobs: 5
        scores:
          logprobs:
            at: choices[0].logprobs.content[0].top_logprobs
            labels: [positive, negative]
        limits: {concurrency: 4}
    probes:
      review:
        kind: text
        inputs: {inline: ["wonderful music but a dull and slow plot"]}
        endpoints: [chat]
        methods: [occlusion, shapley]
        target: positive
        budget: 256
"""


#: the same by preset
PRESET = """
    endpoints:
      chat:
        adapter: openai-chat
        server: @url/v1
        model: anything
        auth: {bearer: "${LLAMA_KEY}"}
        instruction: Say whether the review is good or bad.
        labels: [positive, negative]
    probes:
      review:
        kind: text
        inputs: {inline: ["wonderful dull plot"]}
        endpoints: [chat]
        methods: [occlusion]
        target: positive
"""


@cache
def truth(*kept: str) -> float:
    return positive(chat(system=SYSTEM, user="Review: " + " ".join(kept)))


def occlusion(words: tuple[str, ...]) -> dict[str, float]:
    return {word: truth(*words) - truth(*(other for other in words if other != word)) for word in words}


def test_word_occlusion_and_shapley_equal_the_formula(llama: str, tmp_path: Path) -> None:
    done = run(tmp_path, CHAT, ENV, url=llama)
    expected = occlusion(WORDS)
    assert shares(done, "review", "occlusion") == pytest.approx(expected, abs=1e-5)
    assert shares(done, "review", "shapley") == pytest.approx(shapley(WORDS, truth), abs=1e-5)
    assert min(abs(expected[word]) for word in ("wonderful", "dull", "slow")) > 0.01  # there is something to explain
    assert done.json["totals"]["sent"] == 2 ** len(WORDS)


def test_the_preset_asks_and_reads_alike(llama: str, tmp_path: Path) -> None:
    done = run(tmp_path, PRESET, ENV, url=llama)

    def value(*kept: str) -> float:
        return positive(chat(system=SYSTEM, user=" ".join(kept)))

    whole = value("wonderful", "dull", "plot")
    expected = {
        "wonderful": whole - value("dull", "plot"),
        "dull": whole - value("wonderful", "plot"),
        "plot": whole - value("wonderful", "dull"),
    }
    assert shares(done, "review", "occlusion") == pytest.approx(expected, abs=1e-5)


def test_answers_that_are_sampled_carry_their_noise_into_the_intervals(llama: str, tmp_path: Path) -> None:
    """No log-probabilities, one word at temperature 1: 0 or 1 each time, and the mean is known."""
    sampled = """
        endpoints:
          chat:
            url: @url/v1/chat/completions
            auth: {bearer: "${LLAMA_KEY}"}
            json:
              messages:
                - {role: system, content: Say whether the review is good or bad.}
                - {role: user, content: "Review: {{ x }}"}
              max_tokens: 1
              temperature: 1
            scores: {text: {at: "choices[0].message.content", labels: [positive, negative]}}
            limits: {concurrency: 4}
        probes:
          review:
            kind: text
            inputs: {inline: ["wonderful dull plot"]}
            endpoints: [chat]
            methods: [occlusion]
            target: positive
            repeats: 100
            budget: 1000
    """
    done = run(tmp_path, sampled, ENV, url=llama)
    assert done.code == 0, done.err
    assert done.json["totals"]["sent"] == 4 * 100
    expected = occlusion(("wonderful", "dull", "plot"))
    for share in probe_of(done, "review", "occlusion")["attributions"]:
        assert 0.02 < share["std_error"] < 0.1  # each of two means has at most √(0.25/100) = 0.05
        assert abs(share["value"] - expected[share["feature"]]) < 5 * share["std_error"]


def test_a_batch_of_prompts_comes_back_by_index(llama: str) -> None:
    adapter = endpoint(
        """
        endpoints:
          completions:
            url: @url/v1/completions
            auth: {bearer: "${LLAMA_KEY}"}
            json: {prompt: [{$each: "{{ x }}:"}], max_tokens: 1, temperature: 0, logprobs: 3}
            batch: 8
            items: {at: choices, index: index}
            scores: {logprobs: {at: "logprobs.content[0].top_logprobs", labels: [positive, negative]}}
        """,
        url=llama,
    )
    texts = ["a great film", "a dull film", "a film", "", "x dreadful", "good bad", "is bad is good is good", "it's"]
    expected = [positive(tokens(f"{text}:")) for text in texts]
    assert [each["positive"] for each in scores(adapter, texts, env=ENV)] == pytest.approx(expected, abs=1e-5)


def test_one_message_says_what_is_wrong_with_the_key_without_telling_it(llama: str, tmp_path: Path) -> None:
    done = run(tmp_path, CHAT, {"LLAMA_KEY": "sk-of-somebody-else"}, url=llama)
    assert done.code == 4
    assert "'chat'" in done.error
    assert "401" in done.error
    assert "Invalid API Key" in done.error
    assert "sk-of-somebody-else" not in done.out + done.err


def test_a_prompt_that_is_too_long_is_not_sent_again(llama: str) -> None:
    adapter = endpoint(CHAT.partition("probes:")[0], url=llama)
    answer = send(adapter, ["x" * 900], env=ENV)
    verdict = adapter.classify(answer)
    assert verdict.kind == "reject"
    assert "exceeds the available context size (512 tokens)" in verdict.reason

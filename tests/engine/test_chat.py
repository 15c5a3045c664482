"""Chat models as classifiers, over real HTTP: by log-probabilities with their mass, and by what they say when asked often."""

from __future__ import annotations

import math
from collections import Counter
from random import Random
from typing import Any

import numpy as np
import pytest

from adapters import Adapter
from probe.targets import TargetSpec
from storage import Store
from storage.records import Probe
from tests.adapters.test_scores import endpoint
from tests.engine.runs import run, task
from tests.loopback import Received, Reply, answering

SENTENCE = "please refund the broken kettle because it leaked on day one"
WEIGHTS = {"refund": 0.25, "broken": 0.15, "leaked": 0.1, "kettle": -0.1}
TARGET = TargetSpec("refund", ("refund",))
REPEATS = 60


def probability(text: str) -> float:
    """Of "refund": additive in the words, so that the effect of leaving one out is its weight."""
    return 0.4 + sum(WEIGHTS.get(word, 0.0) for word in text.split())


class Chat:
    """A chat model that answers "Refund." or "Other.", drawn with a seed: the n-th answer to a text is always the same."""

    def __init__(self, seed: int = 1, *, unsure: float = 0.0) -> None:
        self.seed = seed
        self.unsure = unsure  # share of answers that name no label
        self.asked: Counter[str] = Counter()

    def __call__(self, request: Received) -> Reply:
        text = request.json["messages"][-1]["content"]
        self.asked[text] += 1
        draw = Random(f"{self.seed} {text} {self.asked[text]}")
        said = "Refund." if draw.random() < probability(text) else "Other."
        if draw.random() < self.unsure:
            said = "I cannot say."
        return Reply({"choices": [{"message": {"role": "assistant", "content": said}}]})


def chat(url: str, **rules: Any) -> Adapter:
    text = {"at": "choices[0].message.content", "labels": ["refund", "other"]} | rules
    messages = [{"role": "system", "content": "Answer refund or other."}, {"role": "user", "content": "{{ x }}"}]
    return endpoint(url=f"{url}/v1/chat/completions", json={"messages": messages}, scores={"text": text})


def sampled(store: Store, model: Chat, *, repeats: int = REPEATS, **rules: Any) -> Probe:
    with answering(model) as server:
        [probe] = run(
            [task(chat(server.url, **rules), instance=SENTENCE, target=TARGET, repeats=repeats, budget=12 * repeats)],
            store,
        ).probes
    return probe


class TestSampledAnswers:
    def test_every_repeat_is_asked_and_none_is_taken_from_the_ledger(self, store: Store) -> None:
        model = Chat()
        probe = sampled(store, model, repeats=3)
        assert set(model.asked.values()) == {3}
        assert (probe.requests, probe.from_ledger) == (3 * len(model.asked), 0)

    def test_frequencies_average_and_the_intervals_cover_the_sampling_noise(self, store: Store) -> None:
        """Twelve effects of known size: errors are of the size that the standard errors say, and no interval is far off."""
        model = Chat()
        probe = sampled(store, model)
        assert probe.full_value == pytest.approx(probability(SENTENCE), abs=4 * math.sqrt(0.25 / REPEATS))
        words = SENTENCE.split()
        errors = np.array(
            [share.value - WEIGHTS.get(word, 0.0) for share, word in zip(probe.attributions, words, strict=True)]
        )
        reported = np.array([share.std_error for share in probe.attributions], dtype=float)
        assert np.all(reported > 0)
        # the difference of two means of 60 draws with p(1 - p) between 0.1 and 0.25
        assert np.all((math.sqrt(2 * 0.1 / REPEATS) < reported) & (reported < math.sqrt(2 * 0.25 / REPEATS) * 1.2))
        assert np.all(np.abs(errors) < 4 * reported)
        assert 0.2 < np.mean((errors / reported) ** 2) < 3.0
        assert probe.trust["noise_share"] > 0.1
        assert any(finding["code"] == "P206" for finding in probe.findings)

    def test_another_seed_gives_other_numbers(self, store: Store) -> None:
        first = sampled(store, Chat(seed=1), repeats=5)
        second = sampled(store, Chat(seed=2), repeats=5)
        assert [share.value for share in first.attributions] != [share.value for share in second.attributions]

    def test_answers_that_name_no_label_are_refusals_unless_they_count_as_one(self, store: Store) -> None:
        dropped = sampled(store, Chat(unsure=0.2), repeats=4)
        assert any("the text names no label: 'I cannot say.'" in finding["message"] for finding in dropped.findings)
        counted = sampled(store, Chat(unsure=0.2), repeats=4, **{"else": "other"})
        assert not any(finding["code"] == "P101" for finding in counted.findings)


def top_logprobs(text: str, *, k: int, rest: float) -> list[dict[str, Any]]:
    """``rest`` of the probability is on other words; the ``k`` likeliest tokens are returned."""
    share = probability(text)
    everything = {
        " refund": share * (1 - rest) * 0.7,
        "refund": share * (1 - rest) * 0.3,
        " other": (1 - share) * (1 - rest),
    }
    everything |= {f" w{number}": rest / 4 for number in range(4)}
    ranked = sorted(everything.items(), key=lambda pair: -pair[1])[:k]
    return [{"token": token, "logprob": math.log(p), "bytes": []} for token, p in ranked]


def by_logprobs(store: Store, *, k: int = 7, rest: float = 0.04, runs: int = 1, target: str = "refund") -> Probe:
    def handler(request: Received) -> Reply:
        top = top_logprobs(request.json["messages"][0]["content"], k=k, rest=rest)
        return Reply({"choices": [{"logprobs": {"content": [{"token": top[0]["token"], "top_logprobs": top}]}}]})

    rules = {"at": "choices[0].logprobs.content[0].top_logprobs", "labels": ["refund", "other"]}
    with answering(handler) as server:
        config = {"url": server.url, "json": {"messages": [{"role": "user", "content": "{{ x }}"}]}}
        adapter = endpoint(**config, scores={"logprobs": rules})
        for _ in range(runs):
            [probe] = run([task(adapter, instance=SENTENCE, target=TargetSpec(target, (target,)))], store).probes
    return probe


def codes(probe: Probe) -> set[str]:
    return {str(finding["code"]) for finding in probe.findings}


class TestLogprobs:
    def test_effects_are_those_of_the_shares(self, store: Store) -> None:
        probe = by_logprobs(store)
        found = [share.value for share in probe.attributions]
        assert found == pytest.approx([WEIGHTS.get(word, 0.0) for word in SENTENCE.split()], abs=1e-9)
        assert probe.trust["label_mass"] == pytest.approx(0.96, abs=1e-9)
        assert not {"P103", "P104"} & codes(probe)

    def test_a_low_mass_is_warned_of(self, store: Store) -> None:
        probe = by_logprobs(store, rest=0.6)
        assert probe.trust["label_mass"] == pytest.approx(0.4, abs=1e-9)
        [said] = [finding["message"] for finding in probe.findings if finding["code"] == "P104"]
        assert said == "answers that mean a label have 0.40 of the probability on average and 0.4 at least"

    def test_the_mass_is_known_of_answers_from_the_ledger(self, store: Store) -> None:
        probe = by_logprobs(store, rest=0.6, runs=2)
        assert probe.requests == 0
        assert probe.trust["label_mass"] == pytest.approx(0.4, abs=1e-9)
        assert "P104" in codes(probe)

    def test_a_label_outside_of_the_top_is_censored_and_the_explanation_says_so(self, store: Store) -> None:
        probe = by_logprobs(store, k=2, rest=0.0, target="other")
        # of the whole text " refund" and "refund" are returned, 0.56 and 0.24 of the probability
        assert probe.full_value == pytest.approx(0.24 / (0.8 + 0.24), abs=1e-9)
        [said] = [finding["message"] for finding in probe.findings if finding["code"] == "P103"]
        assert "the target was cut off by the provider in" in said

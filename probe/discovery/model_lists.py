"""Servers that list their models under ``/v1/models``: KServe's V1 protocol, and everything that speaks as OpenAI does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from probe.discovery.base import (
    BATCH,
    MOST_DRAFTS,
    Ask,
    Draft,
    Found,
    Reading,
    endpoint_name,
    in_url,
    is_name,
    told,
)

_LIST = Ask("GET", "/v1/models")
_MOST_SHOWN = 8
_TOP = "choices[0].logprobs.content[0].top_logprobs"
_QUESTION = "Is this text positive or negative? Answer with one word.\n\n{{ x }}"


def model_lists(base: str, model: str | None) -> Reading:
    """The list, by what its entries look like."""
    listed = (yield _LIST).mapping
    models, data = listed.get("models"), listed.get("data")
    if isinstance(data, list):
        names = _names((row.get("id") for row in data if isinstance(row, Mapping)), model)
        return Found((_chat(base, names),)) if names else Found(remarks=("the list of models is empty",))
    if isinstance(models, list):
        names = _names(models, model)
        return Found(tuple(_rows(base, name) for name in names[:MOST_DRAFTS]))
    return Found()


def _names(listed: Iterable[Any], model: str | None) -> list[str]:
    return [name for name in listed if is_name(name) and model in {None, name}]


def _rows(base: str, name: str) -> Draft:
    """A model of KServe's V1 protocol: its list holds names and nothing else."""
    url = f"{base}/v1/models/{in_url(name)}:predict"
    entry: dict[str, Any] = {
        "url": url,
        "json": {"instances": [{"$each": "{{ x | list }}"}]},
        "items": "predictions",
        "scores": {"vector": "@"},
        "batch": BATCH,
    }
    notes = {
        "url": (f"found by {_LIST}",),
        "json": ('rows of a table; for texts write "{{ x }}" in place of "{{ x | list }}"',),
        "scores": ('a list of scores for each row; if it is one number, write {value: "@"}',),
        "labels": ("TODO labels: [first, second, …]; without, they are 0, 1, …",),
    }
    return Draft(endpoint_name(name), entry, "tabular", {"x0": 1.0, "x1": 1.0}, notes)


def _chat(base: str, names: list[str]) -> Draft:
    """A chat model as a classifier."""
    entry: dict[str, Any] = {
        "url": f"{base}/v1/chat/completions",
        "json": {
            "model": names[0],
            "messages": [{"role": "user", "content": _QUESTION}],
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": True,
            "top_logprobs": 20,
        },
        "error": "error",
        "scores": {"logprobs": {"at": _TOP, "labels": {"positive": ["positive"], "negative": ["negative"]}}},
        "usage": {"input": "usage.prompt_tokens", "output": "usage.completion_tokens"},
    }
    others = [told(name) for name in names[1 : 1 + _MOST_SHOWN]]
    listed = f"also listed: {', '.join(others)}{', …' if len(names) > 1 + _MOST_SHOWN else ''}"
    notes = {
        "url": (f"found by {_LIST}",),
        "json": ("TODO question: what the model is asked about an input", *((listed,) if others else ())),
        "scores": ("TODO labels: each label and the words that stand for it, which begin with different tokens",),
        "price": ("TODO price: {per_million_input: …, per_million_output: …}, so that a budget in money holds",),
    }
    return Draft(endpoint_name(names[0].rpartition("/")[2]), entry, "text", "This is an example.", notes)

"""A model of whatever version is on ``PYTHONPATH``: a JSON list of texts a line in, a list of {label: score} a line out.

Run as a script in a process of its own, where nothing of this program is imported.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

Scores = list[dict[str, float]]


def languages() -> Callable[[list[str]], Scores]:
    """py3langid: the language, with its score as the package gives it."""
    import py3langid  # type: ignore[import-not-found]

    def answer(texts: list[str]) -> Scores:
        return [{label: float(score)} for label, score in map(py3langid.classify, texts)]

    return answer


def profanity() -> Callable[[list[str]], Scores]:
    """alt-profanity-check: how likely a text is offensive."""
    from profanity_check import predict_prob

    def answer(texts: list[str]) -> Scores:
        found: list[Any] = predict_prob(texts).tolist()
        return [{"offensive": float(p), "fine": 1.0 - float(p)} for p in found]

    return answer


if __name__ == "__main__":
    model = {"languages": languages, "profanity": profanity}[sys.argv[1]]()
    for line in sys.stdin:
        print(json.dumps(model(json.loads(line))), flush=True)

"""Models small enough to be written down. The servers run them, and the tests know by them what has to come out.

Imported under the tests' Python and, as a script beside the others here, under those of the servers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

#: rows of four lengths in centimetres → scores of three species, a softmax of linear functions
SPECIES = ("setosa", "versicolor", "virginica")
MEASURES = ("sepal_length", "sepal_width", "petal_length", "petal_width")
WEIGHTS = ((-0.4, 1.0, -2.4, -1.0), (0.5, -0.3, -0.2, -0.9), (-0.1, -0.7, 2.6, 1.9))
BIASES = (9.8, 2.2, -12.0)

#: text → scores of two moods, a logistic function of the sum of what its words say
GOOD = {"great": 2.0, "lovely": 1.5, "good": 1.0, "fine": 0.5}
BAD = {"dreadful": -2.0, "dull": -1.5, "bad": -1.0, "slow": -0.5}


def species(row: Sequence[float]) -> list[float]:
    """Scores of ``SPECIES`` for one row of ``MEASURES``. Raises ``ValueError`` if the row has another width."""
    logits = [
        bias + sum(weight * value for weight, value in zip(weights, row, strict=True))
        for weights, bias in zip(WEIGHTS, BIASES, strict=True)
    ]
    most = max(logits)
    terms = [math.exp(logit - most) for logit in logits]
    return [term / math.fsum(terms) for term in terms]


def mood(text: str) -> dict[str, float]:
    """``{"neg": …, "pos": …}`` of one text."""
    said = math.fsum({**GOOD, **BAD}.get(word, 0.0) for word in re.findall(r"[a-z]+", text.lower()))
    positive = 1 / (1 + math.exp(-said))
    return {"neg": 1 - positive, "pos": positive}


def light(mean: float) -> dict[str, float]:
    """``{"dark": …, "bright": …}`` of a picture with this mean grey value in 0 … 255."""
    return {"dark": 1 - mean / 255, "bright": mean / 255}

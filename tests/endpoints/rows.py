"""A flower measured in four ways, explained by any server that has the model of ``apps/truth.py``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.endpoints.apps.truth import MEASURES, SPECIES, species
from tests.endpoints.exact import shapley

FLOWER = (5.9, 3.0, 3.6, 1.2)
OTHERS = ((5.1, 3.5, 1.4, 0.2), (6.4, 2.8, 5.6, 2.1))

#: what every server here is asked, whatever its endpoint looks like
PROBE = """
    probes:
      flower:
        kind: tabular
        inputs: {csv: flower.csv}
        endpoints: [iris]
        methods: [shapley]
        masker: {background: others.csv, fill: rows}
        target: versicolor
"""


def tables(folder: Path, *, columns: Sequence[str] = MEASURES) -> None:
    """``flower.csv`` and ``others.csv``, with these columns only."""
    kept = [MEASURES.index(column) for column in columns]
    for name, rows in {"flower.csv": (FLOWER,), "others.csv": OTHERS}.items():
        lines = [",".join(columns), *(",".join(str(row[at]) for at in kept) for row in rows)]
        (folder / name).write_text("\n".join(lines) + "\n")


def truth() -> dict[str, float]:
    """Shapley values of ``versicolor``: a measure that is left out has the values of ``OTHERS``, and the mean counts."""

    def value(*kept: str) -> float:
        mixed = [
            [own if name in kept else other for name, own, other in zip(MEASURES, FLOWER, row, strict=True)]
            for row in OTHERS
        ]
        return float(np.mean([species(row)[SPECIES.index("versicolor")] for row in mixed]))

    return shapley(MEASURES, value)

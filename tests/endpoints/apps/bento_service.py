"""A BentoML service with every way in that it offers: JSON, a batch, multipart and raw bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import bentoml
import numpy as np
from bentoml.validators import ContentType
from PIL import Image
from truth import light, mood, species


def _light(image: Image.Image) -> dict[str, float]:
    return light(float(np.asarray(image.convert("L"), dtype=float).mean()))


@bentoml.service(workers=1)
class Scores:
    """Scores of rows, texts and pictures."""

    @bentoml.api
    def classify(self, rows: list[list[float]]) -> list[list[float]]:
        return [species(row) for row in rows]

    @bentoml.api
    def sentiment(self, text: str) -> dict[str, float]:
        return mood(text)

    @bentoml.api(batchable=True, max_batch_size=8, max_latency_ms=2000)
    def sentiments(self, texts: list[str]) -> list[dict[str, float]]:
        return [mood(text) for text in texts]

    @bentoml.api
    def picture(self, image: Image.Image) -> dict[str, float]:
        return _light(image)

    @bentoml.api
    def bare_picture(self, image: Annotated[Path, ContentType("image/png")], /) -> dict[str, float]:
        with Image.open(image) as opened:
            return _light(opened)

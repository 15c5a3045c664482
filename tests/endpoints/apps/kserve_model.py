"""KServe's model server with a model of rows and one of texts: ``python kserve_model.py HTTP GRPC``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

import numpy as np
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from truth import mood, species


class Scorer(Model):
    """V1 and V2 for one function from an input to its scores."""

    def __init__(self, name: str, score: Callable[[Any], list[float]]) -> None:
        super().__init__(name)
        self.score = score
        self.ready = True

    def predict(
        self, payload: dict[str, Any] | InferRequest, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any] | InferResponse:
        if isinstance(payload, dict):
            return {"predictions": [self.score(instance) for instance in payload["instances"]]}
        given = payload.inputs[0]
        found = np.array([self.score(each) for each in given.as_numpy().tolist()])
        output = InferOutput(name="output-0", shape=list(found.shape), datatype="FP64", data=found.flatten().tolist())
        answer_id = payload.id or uuid4().hex  # what the SDK does not make up itself
        return InferResponse(response_id=answer_id, model_name=self.name, infer_outputs=[output])


def said(text: str | bytes) -> list[float]:
    return list(mood(text.decode() if isinstance(text, bytes) else text).values())


def main(http: str, grpc: str) -> None:
    ModelServer(http_port=int(http), grpc_port=int(grpc), workers=1, enable_grpc=False).start(
        [Scorer("iris", species), Scorer("mood", said)]
    )


if __name__ == "__main__":
    main(*sys.argv[1:])

"""MLServer with two scikit-learn models of known weights: ``python mlserver_models.py FOLDER HTTP GRPC METRICS``."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import joblib
import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from truth import BAD, BIASES, GOOD, SPECIES, WEIGHTS


def iris() -> LogisticRegression:
    model = LogisticRegression()
    model.coef_, model.intercept_ = np.array(WEIGHTS), np.array(BIASES)
    model.classes_, model.n_features_in_ = np.array(SPECIES), len(WEIGHTS[0])
    return model


def mood() -> object:
    said = {**GOOD, **BAD}
    model = LogisticRegression()
    model.coef_, model.intercept_ = np.array([list(said.values())]), np.zeros(1)
    model.classes_, model.n_features_in_ = np.array(["neg", "pos"]), len(said)
    return make_pipeline(CountVectorizer(vocabulary={word: at for at, word in enumerate(said)}), model)


def main(folder: str, http: str, grpc: str, metrics: str) -> None:
    root = Path(folder)
    ports = {"http_port": int(http), "grpc_port": int(grpc), "metrics_port": int(metrics)}
    settings = {"host": "127.0.0.1", "parallel_workers": 0, **ports}
    (root / "settings.json").write_text(json.dumps(settings))
    scores = {"name": "predict_proba", "datatype": "FP64"}
    declared = {
        "iris": {
            "inputs": [{"name": "measures", "datatype": "FP64", "shape": [-1, 4]}],
            "outputs": [{"name": "predict", "datatype": "BYTES", "shape": [-1]}, {**scores, "shape": [-1, 3]}],
        },
        "mood": {
            "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1], "parameters": {"content_type": "str"}}],
            "outputs": [{"name": "predict", "datatype": "BYTES", "shape": [-1]}, {**scores, "shape": [-1, 2]}],
        },
    }
    for name, model in {"iris": iris(), "mood": mood()}.items():
        place = root / name
        place.mkdir()
        joblib.dump(model, place / "model.joblib")
        served = {"name": name, "implementation": "mlserver_sklearn.SKLearnModel", **declared[name]}
        served["parameters"] = {"uri": "./model.joblib", "version": "v1"}
        (place / "model-settings.json").write_text(json.dumps(served))
    command = str(Path(sys.executable).with_name("mlserver"))
    os.execv(command, [command, "start", folder])


if __name__ == "__main__":
    main(*sys.argv[1:])

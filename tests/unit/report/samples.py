"""Explanations of real inputs to draw: a photo with superpixels, an 8 × 8 digit, a text, a table row."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import data
from skimage.segmentation import slic
from sklearn.datasets import load_digits, load_wine

from probe.report.model import Shown
from storage.records import Attribution, Endpoint, Instance, Probe, ProbeStatus, Run

START = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)
TEXT = "I was charged twice and nobody answers.\nPlease refund me, this is really slow!"

Make = Callable[..., Shown]


def png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def make_run(**changes: Any) -> Run:
    values: dict[str, Any] = {
        "id": "7f3a",
        "name": "probe.yaml",
        "config_sha": bytes(32),
        "config": "endpoints:\n  vendor-a:\n    auth: {bearer: ${VENDOR_A_KEY}}\n",
        "code_version": "0.1.0",
        "seed": 1,
        "started": START,
        "status": "finished",
        "finished": START + timedelta(seconds=41),
        "totals": {
            "sent": 193,
            "from_ledger": 112,
            "retried": 3,
            "maybe_billed": 0,
            "unsure": 0,
            "cost_micro": 440_000,
        },
    }
    return Run(**{**values, **changes})


def make_shown(
    instance: Instance,
    features: Sequence[Mapping[str, Any]],
    values: Sequence[float],
    *,
    method: str = "shapley",
    errors: Sequence[float | None] | None = None,
    segments: NDArray[np.int32] | None = None,
    endpoint: str = "vendor-a",
    status: ProbeStatus = "finished",
    **changes: Any,
) -> Shown:
    """``errors`` default to a tenth of the largest value."""
    spread = 0.1 * float(np.nanmax(np.abs(values), initial=0.0))
    errors = [spread] * len(values) if errors is None else errors
    fields: dict[str, Any] = {
        "id": f"probe-{instance.id}-{method}",
        "run_id": "7f3a",
        "name": f"{instance.kind}s",
        "instance_id": instance.id,
        "endpoint_id": endpoint,
        "method": method,
        "params": {"method": {}, "masker": {"masker": "words", "fill": "delete"}, "budget": 240, "seed": 1},
        "params_hash": bytes(32),
        "target": "refund",
        "status": status,
        "started": START,
        "finished": START + timedelta(seconds=8.5),
        "evaluations": 240,
        "from_ledger": 112,
        "requests": 16,
        "cost_micro": 32_000,
        "base_value": 0.25,
        "full_value": 0.25 + float(np.nansum(values)),
        "trust": {"r2_held_out": 0.93, "half_split_spread": 0.04, "efficiency_gap": 0.0, "dof": 60.0},
        "features": tuple(features),
        "attributions": tuple(
            Attribution(str(f["name"]), float(v), e) for f, v, e in zip(features, values, errors, strict=True)
        ),
    }
    probe = Probe(**{**fields, **changes})
    where = Endpoint(endpoint, endpoint, "http", "https://api.vendor.example/v1/classify", "intents-2", endpoint)
    return Shown(probe, instance, where, segments)


def coffee() -> NDArray[np.uint8]:
    return np.asarray(data.coffee()[::2, ::2], dtype=np.uint8)  # type: ignore[no-untyped-call]


def photo(**changes: Any) -> Shown:
    pixels = coffee()
    segments = np.asarray(slic(pixels, n_segments=40, compactness=12, start_label=0), dtype=np.int32)
    count = int(segments.max()) + 1
    # the cup is red and in the middle: redness less the mean, as a stand-in for what a classifier looks at
    red = np.array([pixels[segments == k][:, 0].mean() - pixels[segments == k].mean() for k in range(count)])
    values = (red - red.mean()) / np.abs(red - red.mean()).sum()
    features = [{"name": f"segment {k}", "place": {"segment": k}, "group": "", "change": {}} for k in range(count)]
    instance = Instance("photo", "image", "coffee.png", png(pixels))
    changes = {"errors": [0.004] * count, "target": "espresso", **changes}
    return make_shown(instance, features, [float(v) for v in values], segments=segments, **changes)


def windows(**changes: Any) -> Shown:
    pixels = coffee()
    features, values = [], []
    for top in range(0, 200 - 39, 20):
        for left in range(0, 300 - 39, 20):
            features.append(
                {"name": f"row {top} column {left}", "place": {"box": [top, left, top + 40, left + 40]}, "change": {}}
            )
            values.append(float(pixels[top : top + 40, left : left + 40, 0].mean() - pixels[..., 0].mean()) / 2000)
    instance = Instance("photo", "image", "coffee.png", png(pixels))
    changes = {
        "errors": [None] * len(values),
        "target": "espresso",
        "method": "occlusion",
        "base_value": None,
        **changes,
    }
    return make_shown(instance, features, values, **changes)


def digit(**changes: Any) -> Shown:
    pixels = np.asarray(load_digits().images[3] * 15.9, dtype=np.uint8)
    features = [
        {"name": f"row {y + 1} column {x + 1}", "place": {"box": [y, x, y + 3, x + 3]}, "group": "", "change": {}}
        for y in range(6)
        for x in range(6)
    ]
    values = [float(pixels[y : y + 3, x : x + 3].mean() - 60) / 1000 for y in range(6) for x in range(6)]
    instance = Instance("digit", "image", "digit-3.png", png(pixels))
    changes = {"target": "3", "method": "occlusion", "errors": [None] * len(values), **changes}
    return make_shown(instance, features, values, **changes)


def word_spans(text: str) -> list[tuple[int, int]]:
    spans, at = [], 0
    for word in text.replace("\n", " ").split(" "):
        spans.append((at, at + len(word.rstrip(".,!"))))
        at += len(word) + 1
    return spans


WEIGHTS = {"charged": 0.18, "twice": 0.12, "nobody": -0.04, "refund": 0.41, "slow": -0.22, "really": -0.03}


def text(**changes: Any) -> Shown:
    content = changes.pop("content", TEXT)
    spans = word_spans(content)
    features = [
        {
            "name": f"{content[a:b]}" if content[:a].find(content[a:b]) < 0 else f"{content[a:b]} ({a})",
            "place": {"span": [a, b]},
            "group": "",
            "change": {"substitute": "", "relation": "delete"},
        }
        for a, b in spans
    ]
    values = [WEIGHTS.get(content[a:b], 0.004) for a, b in spans]
    return make_shown(Instance("text", "text", "mail-17.txt", content.encode()), features, values, **changes)


def substitution(**changes: Any) -> Shown:
    features, values, direction = [], [], []
    others = {
        "refund": {"synonym": "repayment", "antonym": "charge", "pair": "exchange"},
        "slow": {"synonym": "sluggish", "antonym": "fast"},
        "really": {"synonym": "truly"},
        "nobody": {"antonym": "everybody", "synonym": "no one"},
    }
    size = {"deletion": 1.0, "neutral": 0.9, "synonym": 0.15, "antonym": 1.4, "pair": -0.3}
    for a, b in word_spans(TEXT):
        word = TEXT[a:b]
        for relation, substitute in {"deletion": "", "neutral": "_", **others.get(word, {})}.items():
            features.append(
                {
                    "name": f"{word} ({a}): {relation} {substitute}",
                    "place": {"span": [a, b]},
                    "group": word,
                    "change": {"substitute": substitute, "relation": relation},
                }
            )
            values.append(size[relation] * WEIGHTS.get(word, 0.002))
            if relation == "antonym":
                direction.append({"word": word, "substitute": substitute, "as_expected": word != "nobody"})
    details = {"substitutions": [{}] * len(values), "words": [], "direction": direction}
    changes = {
        "errors": [None] * len(values),
        "method": "substitution",
        "details": details,
        "base_value": None,
        **changes,
    }
    return make_shown(Instance("text", "text", "mail-17.txt", TEXT.encode()), features, values, **changes)


def wine() -> tuple[Instance, dict[str, Any], list[str]]:
    bunch = load_wine()
    row: dict[str, Any] = {str(n): float(v) for n, v in zip(bunch.feature_names, bunch.data[5], strict=True)}
    row["region"] = "north"
    return Instance("wine", "tabular", "row 5", json.dumps(row).encode()), row, list(row)


def table(**changes: Any) -> Shown:
    instance, _, names = wine()
    features = [{"name": name, "place": {"columns": [name]}, "group": "", "change": {}} for name in names]
    values = [0.31 * 0.72**k * (-1 if k % 3 == 2 else 1) for k in range(len(names))]
    return make_shown(instance, features, values, **{"target": "class_0", **changes})


def alteration(**changes: Any) -> Shown:
    instance, row, names = wine()
    curves: dict[str, Any] = {}
    features, values = [], []
    full = 0.62
    for k, name in enumerate(names[:5]):
        at = [round(row[name] * f, 3) for f in (0.6, 0.75, 0.9, 1.1, 1.3, 1.5)]
        scores = [full + 0.3 * float(np.tanh((f - 1) * (3 - 1.4 * k))) for f in (0.6, 0.75, 0.9, 1.1, 1.3, 1.5)]
        curves[name] = {"values": at, "scores": scores}
        for value, score in zip(at, scores, strict=True):
            features.append(
                {"name": f"{name} = {value}", "place": {"columns": [name]}, "group": name, "change": {"value": value}}
            )
            values.append(full - score)
    curves["region"] = {"values": ["south", "east", "west"], "scores": [0.55, 0.31, 0.68]}
    for value, score in zip(("south", "east", "west"), (0.55, 0.31, 0.68), strict=True):
        features.append(
            {
                "name": f"region = {value}",
                "place": {"columns": ["region"]},
                "group": "region",
                "change": {"value": value},
            }
        )
        values.append(full - score)
    details = {"curves": curves}
    changes = {
        "errors": [None] * len(values),
        "method": "alteration",
        "details": details,
        "base_value": None,
        "full_value": full,
        "trust": {},
        "target": "class_0",
        **changes,
    }
    return make_shown(instance, features, values, **changes)


def interactions(**changes: Any) -> Shown:
    """``text`` by the method that looks at pairs: words 2 and 3 (“charged”, “twice”) need each other."""
    pairs = [[2, 3, 0.24, 0.01], [3, 9, -0.06, 0.02], [0, 1, 0.001, 0.02]]
    return text(method="interactions", **{"details": {"pairs": pairs}, **changes})


SAMPLES: dict[str, Make] = {
    "photo": photo,
    "windows": windows,
    "digit": digit,
    "text": text,
    "substitution": substitution,
    "table": table,
    "alteration": alteration,
    "interactions": interactions,
}

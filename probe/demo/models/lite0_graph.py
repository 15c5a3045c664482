"""EfficientNet-Lite0 as an ONNX graph, built by hand from the tensors of a checkpoint.

Lite0 is EfficientNet-B0 (Tan and Le 2019, arXiv 1905.11946, table 1) without squeeze-and-excitation and with ReLU6 in
place of swish. The weights were trained in TensorFlow, so padding is TensorFlow's "same": where stride 2 needs an
odd number of zeros the extra one goes to the bottom and the right. Batch normalisation is folded into the convolutions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SIZE = 224  #: side of the square picture the graph takes, in pixels
CLASSES = 1000
_EPSILON = 1e-3  # TensorFlow's batch normalisation, not PyTorch's default
_OPSET = 17
_IR_VERSION = 8  # written down, so that the bytes do not change with the version of onnx


class _Stage(NamedTuple):
    blocks: int
    kernel: int
    stride: int  # of the first block; the others keep the size


_STAGES = (
    _Stage(1, 3, 1),
    _Stage(2, 3, 2),
    _Stage(2, 5, 2),
    _Stage(3, 3, 2),
    _Stage(3, 5, 1),
    _Stage(4, 5, 2),
    _Stage(1, 3, 1),
)


def build_lite0(tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """:func:`build_lite` of Lite0."""
    return build_lite(tensors, name="efficientnet-lite0", size=SIZE, blocks=[stage.blocks for stage in _STAGES])


def build_lite(tensors: Mapping[str, NDArray[Any]], *, name: str, size: int, blocks: Sequence[int]) -> bytes:
    """The ONNX file: input ``image`` (1, 3, size, size) float32, output ``logits`` (1, 1000) float32.

    ``blocks``: how many each of the seven stages has, which with the size is what tells the Lite models apart. The same
    tensors give the same bytes: folding is element-wise IEEE arithmetic and nothing machine-dependent is written. Raises
    ``KeyError`` naming a tensor that is missing.
    """
    from onnx import TensorProto, helper

    graph = _Graph(tensors)
    flow = graph.convolution("image", "_conv_stem", "_bn0", size=size, stride=2, relu6=True)
    stages = [stage._replace(blocks=count) for stage, count in zip(_STAGES, blocks, strict=True)]
    flow, last = _blocks(graph, flow, stages, -(-size // 2))
    flow = graph.convolution(flow, "_conv_head", "_bn1", size=last, relu6=True)
    flow = graph.add("Flatten", [graph.add("GlobalAveragePool", [flow], "pooled")], "features", axis=1)
    fc = [graph.constant(f"_fc.{part}", np.asarray(tensors[f"_fc.{part}"])) for part in ("weight", "bias")]
    graph.add("Gemm", [flow, *fc], "logits", transB=1)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            name,
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, size, size])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, CLASSES])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
    )
    return bytes(model.SerializeToString(deterministic=True))


def _blocks(graph: _Graph, flow: str, stages: Sequence[_Stage], size: int) -> tuple[str, int]:
    """The inverted residual blocks: expand, filter each channel, project; add the input where shapes agree.

    ``size`` is the side of what comes in; returns what comes out and its side.
    """
    number = 0
    for stage in stages:
        for repeat in range(stage.blocks):
            stride = stage.stride if repeat == 0 else 1
            entry, prefix = flow, f"_blocks.{number}."
            if number:  # the first block has no expansion
                flow = graph.convolution(flow, f"{prefix}_expand_conv", f"{prefix}_bn0", size=size, relu6=True)
            flow = graph.convolution(
                flow, f"{prefix}_depthwise_conv", f"{prefix}_bn1", size=size, stride=stride, relu6=True
            )
            size = -(-size // stride)
            flow = graph.convolution(flow, f"{prefix}_project_conv", f"{prefix}_bn2", size=size)
            if repeat:
                flow = graph.add("Add", [flow, entry], f"{prefix}sum")
            number += 1
    return flow, size


class _Graph:
    """Nodes and constants in the order they were added."""

    def __init__(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        self._tensors = tensors
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._zero = self.constant("zero", np.array(0.0))
        self._six = self.constant("six", np.array(6.0))

    def constant(self, name: str, values: NDArray[Any]) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.array(values, dtype="<f4", order="C"), name))
        return name

    def add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def convolution(self, flow: str, conv: str, norm: str, *, size: int, stride: int = 1, relu6: bool = False) -> str:
        """Convolution with batch normalisation folded in: w·s and b - mean·s with s = gamma / sqrt(var + epsilon)."""
        weight = self._tensors[f"{conv}.weight"].astype(np.float64)
        gamma, beta, mean, variance = (
            self._tensors[f"{norm}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gamma / np.sqrt(variance + _EPSILON)
        kernel = weight.shape[2]
        inputs = [
            flow,
            self.constant(f"{conv}.weight", weight * scale[:, None, None, None]),
            self.constant(f"{conv}.bias", beta - mean * scale),
        ]
        before, after = same_padding(size, kernel, stride)
        flow = self.add(
            "Conv",
            inputs,
            conv,
            group=weight.shape[0] if "depthwise" in conv else 1,
            kernel_shape=[kernel, kernel],
            pads=[before, before, after, after],
            strides=[stride, stride],
        )
        return self.add("Clip", [flow, self._zero, self._six], f"{conv}.relu6") if relu6 else flow


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after a side of ``size`` pixels under TensorFlow's "same" rule: output = ceil(size / stride)."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2

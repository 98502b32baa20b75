"""A graph in INT8, with explicit QuantizeLinear and DequantizeLinear, from pictures that calibrate it.

Weights are symmetric for each channel, activations symmetric for each tensor with 0 at 0: what TensorRT asks
for, and what ONNX Runtime runs too. The first and the last convolution stay in fp32: they cost little, and
what they lose is seen. Where what is drawn suffers all the same, so do the convolutions before the last:
their noise is drawn as it is, as grain, while that of others makes a network draw something else.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from onnx import ModelProto, TensorProto
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from edgefill.errors import ModelError
from edgefill.export import onnx_passes
from edgefill.export.calibration import Case, feeds_of
from edgefill.export.importing.network import Network
from edgefill.export.ranges import ranges
from edgefill.export.ruin import Ruin, ruin_of
from edgefill.model.interface import Interface

_WITH_CONVOLUTIONS = ("Relu", "Reshape", "Transpose")  # which are computed in INT8 behind one that is
_OPTIONS = {
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    "DedicatedQDQPair": True,  # ONNX Runtime computes nothing in INT8 whose input another node shares
    "QuantizeBias": False,  # TensorRT has no int32 beside its int8
}
_PORTIONS = (0, 1 / 24, 1 / 12, 1 / 6, 1 / 3)  # of the convolutions: the last, which stay in fp32


def quantised(
    model: ModelProto, interface: Interface, cases: Sequence[Case], exact: Sequence[np.ndarray], name: str
) -> tuple[ModelProto, Ruin]:
    """``model`` with its convolutions in INT8, calibrated by ``cases``, and what it loses by that.

    ``exact`` is what is drawn of each case in fp32, [1, C, h, w] in [-1, 1]. As few convolutions as possible
    stay in fp32. Raises ModelError where with a third of them what is drawn is still ruined, and where there
    is none between a first and a last one.
    """
    named = ModelProto()
    named.CopyFrom(model)
    onnx_passes.strip_traces(named)  # which gives every node a name
    convolutions = _inner_convolutions(named, name)
    values = _values(named, _with_what_follows(named, set(convolutions)))
    magnitudes = ranges(named, values, feeds_of(cases, interface), len(cases))
    for portion in _PORTIONS:
        kept = math.ceil(portion * len(convolutions))
        found = _in_int8(named, magnitudes, convolutions[: len(convolutions) - kept])
        ruin = ruin_of(drawings(Network(found, name), interface, cases), exact, cases)
        if not ruin.is_one:
            break
    ruin.check(name, "int8")
    onnx_passes.check_standard(found)
    onnx_passes.strip_traces(found)
    return found, ruin


def drawings(network: Network, interface: Interface, cases: Sequence[Case]) -> Iterator[np.ndarray]:
    """What ``network`` draws of each of ``cases``, [1, C, h, w] in [-1, 1]."""
    for feeds in feeds_of(cases, interface):
        yield np.asarray(interface.drawn(network.run(feeds)))[:1]


def _inner_convolutions(model: ModelProto, name: str) -> list[str]:
    """The names of those that may leave fp32: with weights of their own, but the first and the last."""
    weights = {each.name for each in model.graph.initializer if each.data_type == TensorProto.FLOAT}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    if len(convolutions) < 3:
        raise ModelError(
            f"{name} cannot be made int8: found {len(convolutions)} convolutions, expected three or more, of "
            "which the first and the last stay in fp32; take --precision fp32"
        )
    return [node.name for node in convolutions[1:-1] if node.input[1] in weights]


def _values(model: ModelProto, names: Sequence[str]) -> list[str]:
    """What the nodes ``names`` read first, and what they write."""
    nodes = [node for node in model.graph.node if node.name in set(names)]
    return list(dict.fromkeys(name for node in nodes for name in (node.input[0], node.output[0])))


def _in_int8(model: ModelProto, magnitudes: dict[str, float], convolutions: Sequence[str]) -> ModelProto:
    """``model`` with those of its ``convolutions`` in INT8, and what follows them as far as it may be."""
    copied = ModelProto()
    copied.CopyFrom(model)
    data = {name: (np.float32(-value), np.float32(value)) for name, value in magnitudes.items()}
    with _quiet():
        quantizer = QDQQuantizer(
            copied, per_channel=True, reduce_range=False, weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QInt8, tensors_range=TensorsData(CalibrationMethod.MinMax, data),
            nodes_to_quantize=_with_what_follows(model, set(convolutions)), nodes_to_exclude=[],
            op_types_to_quantize=["Conv", *_WITH_CONVOLUTIONS], extra_options=_OPTIONS,
        )  # fmt: skip
        quantizer.quantize_model()
        quantizer.model.topological_sort()
    found: ModelProto = quantizer.model.model
    return found


def _with_what_follows(model: ModelProto, convolutions: set[str]) -> list[str]:
    names, made = [], set()
    for node in model.graph.node:
        if node.name in convolutions or (node.op_type in _WITH_CONVOLUTIONS and node.input[0] in made):
            names.append(node.name)
            made.update(node.output)
    return names


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the quantiser's advice, which speaks of its own files."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)

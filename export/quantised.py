"""A graph in INT8, with explicit QuantizeLinear and DequantizeLinear, from pictures that calibrate it.

Weights are symmetric for each channel, activations symmetric for each tensor with 0 at 0: what TensorRT asks
for, and what ONNX Runtime runs too. The first and the last convolution stay in fp32: they cost little, and
what they lose is seen.
"""

from __future__ import annotations

import io
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)  # fmt: skip

from edgefill.errors import ModelError
from edgefill.export import onnx_passes

_OPERATORS = ["Conv", "Relu", "Reshape", "Transpose"]
_OPTIONS = {
    "ActivationSymmetric": True,
    "CalibPercentile": 99.99,  # of what a tensor held lies within its range: with all, it is 0.2 dB worse
    "QuantizeBias": False,  # TensorRT has no int32 beside its int8
}
_AT_ONCE = 16  # feeds whose values are held in memory, all of every tensor


def quantised(model: ModelProto, feeds: Sequence[Mapping[str, np.ndarray]]) -> ModelProto:
    """``model`` with its convolutions in INT8, calibrated by running it on each of ``feeds``.

    Raises ModelError where there is nothing between a first and a last convolution.
    """
    nodes = list(model.graph.node)
    convolutions = [index for index, node in enumerate(nodes) if node.op_type == "Conv"]
    if len(convolutions) < 3:
        raise ModelError(
            f"cannot export in int8: found {len(convolutions)} convolutions, expected three or more, of "
            "which the first and the last stay in fp32; export with --precision fp32"
        )
    kept = nodes[: convolutions[0] + 1] + nodes[convolutions[-1] :]
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = Path(folder) / "quantised.onnx"
        quantize_static(
            model, path, _Reader(feeds), quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QInt8, weight_type=QuantType.QInt8, op_types_to_quantize=_OPERATORS,
            nodes_to_exclude=[node.name for node in kept], calibrate_method=CalibrationMethod.Percentile,
            extra_options={**_OPTIONS, "CalibStridedMinMax": _portion(len(feeds))},
        )  # fmt: skip
        found = onnx.load(path)
    onnx_passes.check_standard(found)
    onnx_passes.strip_traces(found)
    return found


class _Reader(CalibrationDataReader):
    def __init__(self, feeds: Sequence[Mapping[str, np.ndarray]]) -> None:
        self._all = feeds
        self._feeds: Iterator[Mapping[str, np.ndarray]] = iter(feeds)

    def __len__(self) -> int:
        return len(self._all)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._feeds = iter(self._all[start_index:end_index])

    def get_next(self) -> Mapping[str, np.ndarray] | None:
        return next(self._feeds, None)


def _portion(count: int) -> int:
    """How many of ``count`` feeds are run before their values are counted: a divisor, as is asked for."""
    return next(each for each in range(_AT_ONCE, 0, -1) if count % each == 0)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the quantiser's advice and reports, which speak of its own files."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(level)

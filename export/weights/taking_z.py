"""Whether an ONNX file takes z, as a generator does, or pictures; needs onnx alone."""

from __future__ import annotations

from pathlib import Path

from google.protobuf.message import DecodeError
from onnx import ModelProto

from edgefill.export.importing.ports import Port, ports
from edgefill.model.onnx_file import MAX_BYTES

FLOATS = ("float32", "float16", "float64")


def is_z(port: Port) -> bool:
    """Whether ``port`` is N×Z or N×Z×1×1 numbers."""
    shape = port.shape
    if port.dtype not in FLOATS or shape is None:
        return False
    return len(shape) == 2 or (len(shape) == 4 and shape[2:] == (1, 1))


def takes_z(path: str | Path) -> bool:
    """Whether the file ``path`` is an ONNX network with one input, a z; false for what is none."""
    path = Path(path)
    if path.stat().st_size > MAX_BYTES:
        return False
    model = ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except (DecodeError, ValueError):
        return False
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [port for port in ports(model)[0] if port.name not in weights]
    return len(inputs) == 1 and is_z(inputs[0])

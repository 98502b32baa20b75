"""What an ONNX file declares of the inputs and outputs of its network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onnx import GraphProto, ModelProto, ValueInfoProto, helper

from edgefill.model.onnx_file import Shape


@dataclass(frozen=True)
class Port:
    """An input or output of a network as its file declares it; "?" stands for a size without a name."""

    name: str
    dtype: str
    shape: Shape | None  # None where not even the number of axes is said


def ports(model: ModelProto) -> tuple[list[Port], list[Port]]:
    """The inputs and the outputs of ``model``."""
    graph: GraphProto = model.graph
    return [_port(value) for value in graph.input], [_port(value) for value in graph.output]


def _port(value: ValueInfoProto) -> Port:
    tensor = value.type.tensor_type
    if not tensor.elem_type:
        return Port(value.name, "no tensor", None)
    dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    if not tensor.HasField("shape"):
        return Port(value.name, dtype, None)
    shape = tuple(
        each.dim_value if each.HasField("dim_value") and each.dim_value > 0 else each.dim_param or "?"
        for each in tensor.shape.dim
    )
    return Port(value.name, dtype, shape)


def listed(these: Sequence[Port]) -> str:
    return ", ".join(f"{each.name} {each.dtype} {shown(each.shape)}" for each in these)


def shown(shape: Shape | None) -> str:
    return "of unknown shape" if shape is None else "×".join(map(str, shape)) or "a number"

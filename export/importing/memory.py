"""How much memory a network needs, from the shapes of what it computes, before it is ever run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress

import onnx
from onnx import ModelProto, TensorProto, helper, shape_inference

from edgefill.errors import ModelError
from edgefill.export.importing.declaring import without_large_weights

MOST_BYTES = 4 * 1024**3


def check_memory(model: ModelProto, shapes: Mapping[str, tuple[int, ...]], name: str) -> None:
    """Raises ModelError where ``model`` needs MOST_BYTES or more with inputs of ``shapes``."""
    needed = needed_bytes(model, shapes)
    if needed >= MOST_BYTES:
        sizes = ", ".join(f"{key} {list(shape)}" for key, shape in shapes.items())
        raise ModelError(
            f"{name} needs at least {needed / 1e9:.1f} GB with {sizes}; expected less than "
            f"{MOST_BYTES / 1024**3:.0f} GB; export it for smaller pictures"
        )


def needed_bytes(model: ModelProto, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """The most bytes of weights and values that are held at once; values of unknown shape count nothing."""
    sizes = _value_sizes(model, shapes)
    last_use = {name: index for index, node in enumerate(model.graph.node) for name in node.input}
    weights = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    held = most = sum(sizes.get(name, 0) for name in shapes)
    for index, node in enumerate(model.graph.node):
        held += sum(sizes.get(name, 0) for name in node.output)
        most = max(most, held)
        ended = {name for name in node.input if last_use[name] == index}
        held -= sum(sizes.get(name, 0) for name in ended)
    return weights + most


def _value_sizes(model: ModelProto, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """Bytes of each input and of each value that a node makes, where its shape can be told."""
    inferred = _inferred(model, shapes)
    values = (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output)
    weights = {tensor.name for tensor in model.graph.initializer}
    return {value.name: _bytes(value.type.tensor_type) for value in values if value.name not in weights}


def _inferred(model: ModelProto, shapes: Mapping[str, tuple[int, ...]]) -> ModelProto:
    """``model`` with its inputs of ``shapes``, the shapes of all values that follow, and few weights."""
    fixed: ModelProto = without_large_weights(model)
    for value in fixed.graph.input:
        if value.name not in shapes:
            continue
        kind = value.type.tensor_type.elem_type
        value.CopyFrom(helper.make_tensor_value_info(value.name, kind, shapes[value.name]))
    for value in fixed.graph.output:
        value.type.tensor_type.ClearField("shape")
    with suppress(shape_inference.InferenceError, onnx.checker.ValidationError, ValueError, RuntimeError):
        return shape_inference.infer_shapes(fixed, data_prop=True)
    return fixed


def _bytes(tensor: onnx.TypeProto.Tensor) -> int:
    known = [each.dim_value for each in tensor.shape.dim if each.HasField("dim_value")]
    if not tensor.HasField("shape") or len(known) != len(tensor.shape.dim):
        return 0
    wide = (
        8
        if tensor.elem_type == TensorProto.STRING
        else helper.tensor_dtype_to_np_dtype(tensor.elem_type).itemsize
    )
    return int(math.prod(known) * wide)

"""A foreign network in half precision, by ONNX Runtime's own converter."""

from __future__ import annotations

import warnings

import numpy as np
from onnx import ModelProto, NodeProto

from edgefill.errors import ModelError

_EXACT_IN_HALF = {"Max", "Min"}  # which the converter would leave in fp32
TOLERANCE = 0.05  # of a picture in [-1, 1], on average in the hole


def in_half(model: ModelProto, name: str) -> ModelProto:
    """A copy of ``model`` that computes in fp16 between inputs and outputs of the types that it has.

    Raises ModelError where it cannot be converted.
    """
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    copied = ModelProto()
    copied.CopyFrom(model)
    for index, node in enumerate(copied.graph.node):
        node.name = f"{node.op_type}_{index}"  # the converter names by them what it adds
    try:
        with warnings.catch_warnings():  # of numbers that are rounded
            warnings.simplefilter("ignore")
            kinds = set(DEFAULT_OP_BLOCK_LIST) - _EXACT_IN_HALF
            half: ModelProto = convert_float_to_float16(copied, keep_io_types=True, op_block_list=kinds)
    except Exception as error:  # whatever the converter meets
        raise ModelError(
            f"{name} cannot be converted to fp16: {type(error).__name__}: {error}; import it "
            "with --precision fp32"
        ) from error
    _put_in_order(half)
    return half


def _put_in_order(model: ModelProto) -> None:
    """Each node once and behind what it reads: the converter appends its casts, some of them twice."""
    waiting = {name: node for node in model.graph.node for name in node.output if name}
    ordered: list[NodeProto] = []
    placed: set[str] = set()

    def place(node: NodeProto) -> None:
        if node.output[0] in placed:
            return
        for name in node.input:
            if name in waiting and name not in placed:
                place(waiting[name])
        placed.update(node.output)
        ordered.append(node)

    for node in list(model.graph.node):
        place(node)
    del model.graph.node[:]
    model.graph.node.extend(ordered)


def difference_in_half(half: np.ndarray, whole: np.ndarray, name: str) -> float:
    """How far what is drawn in the holes in fp16 is from that in fp32, on average, on [-1, 1].

    Raises ModelError where that is more than TOLERANCE.
    """
    error = float(np.abs(half - whole).mean())
    if not error <= TOLERANCE:
        raise ModelError(
            f"in fp16 {name} draws another picture: {error * 127.5:.1f} grey levels off in the hole; "
            f"expected at most {TOLERANCE * 127.5:.0f}; nothing was written; import it with --precision fp32"
        )
    return error

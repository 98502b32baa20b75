"""What each operator of an ONNX file computes, in PyTorch; those of maps are in ``onnx_maps``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
import torch
from onnx import TensorProto
from torch import Tensor
from torch.nn import functional as F

from edgefill.errors import ModelError

_FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16}
_INTEGERS = {TensorProto.INT64: torch.int64, TensorProto.INT32: torch.int32, TensorProto.BOOL: torch.bool}


@dataclass(frozen=True)
class Node:
    """A node of a graph: its attributes, and which of its inputs are short constants."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    constants: Mapping[int, np.ndarray] = field(default_factory=dict)
    rows: int = 1  # how many its file was made for

    def get(self, name: str, default: Any = None) -> Any:
        """The attribute ``name``; texts as texts."""
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def values(self, place: int, attribute: str = "") -> list[Any] | None:
        """The numbers that are input ``place``, or in older opsets ``attribute``; None without them."""
        if place < len(self.inputs) and self.inputs[place]:
            if place not in self.constants:
                self.refuse(f"its input {self.inputs[place]!r} is computed, where a constant is expected")
            return list(np.atleast_1d(self.constants[place]).tolist())
        found = self.get(attribute)
        return None if found is None else list(found)

    def number(self, place: int, default: float) -> float:
        """The one number that is input ``place``."""
        found = self.values(place)
        return default if not found else float(found[0])

    def refuse(self, why: str) -> NoReturn:
        raise ModelError(f"the {self.kind} {self.name!r} is not converted: {why}")


Operator = Callable[..., "Tensor | Sequence[Tensor]"]


def _plain(function: Callable[..., Tensor]) -> Operator:
    return lambda node, *tensors: function(*tensors)


def _folded(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    """Of any number of inputs, two by two."""

    def combine(node: Node, first: Tensor, *others: Tensor) -> Tensor:
        for other in others:
            first = function(first, other)
        return first

    return combine


def _power(node: Node, x: Tensor, exponent: Tensor) -> Tensor:
    found = node.constants.get(1)
    return torch.pow(x, float(found.reshape(())) if found is not None and found.size == 1 else exponent)


def _prelu(node: Node, x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x < 0, slope * x, x)


def _hard_sigmoid(node: Node, x: Tensor) -> Tensor:
    return torch.clamp(x * node.get("alpha", 0.2) + node.get("beta", 0.5), 0.0, 1.0)


def _selu(node: Node, x: Tensor) -> Tensor:
    if "alpha" in node.attributes or "gamma" in node.attributes:
        return node.get("gamma", 1.0507010) * F.elu(x, node.get("alpha", 1.6732632))
    return F.selu(x)


def _clip(node: Node, x: Tensor, *bounds: Tensor | None) -> Tensor:
    return torch.clamp(x, node.number(1, -math.inf), node.number(2, math.inf))


def _cast(node: Node, x: Tensor) -> Tensor:
    """To a whole or truth type; a network computes in one floating type."""
    to = node.get("to")
    if to in _FLOATS:
        return x if x.is_floating_point() else x.to(torch.get_default_dtype())
    if to not in _INTEGERS:
        node.refuse(f"the type {TensorProto.DataType.Name(to)} is not known here")
    return x.to(_INTEGERS[to])


def _gemm(node: Node, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    a = a.t() if node.get("transA", 0) else a
    b = b.t() if node.get("transB", 0) else b
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    product = a @ b
    product = product if alpha == 1 else alpha * product
    return product if c is None else product + (c if beta == 1 else beta * c)


def _batch_norm(node: Node, x: Tensor, gain: Tensor, shift: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    if node.get("training_mode", 0):
        node.refuse("it takes the statistics of its batch, as in training; export the network in eval mode")
    return F.batch_norm(x, mean, variance, gain, shift, False, 0.0, node.get("epsilon", 1e-5))


def _instance_norm(node: Node, x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    return F.instance_norm(x, weight=gain, bias=shift, eps=node.get("epsilon", 1e-5))


def _layer_norm(node: Node, x: Tensor, gain: Tensor, shift: Tensor | None = None) -> Tensor:
    axis = node.get("axis", -1) % x.dim()
    return F.layer_norm(x, x.shape[axis:], gain, shift, node.get("epsilon", 1e-5))


def _reshape(node: Node, x: Tensor, *_: Tensor) -> Tensor:
    """A first size that is the number of rows of the file's example is that of any batch."""
    wanted = node.values(1) or []
    copies = not node.get("allowzero", 0)
    sizes = [x.shape[at] if size == 0 and copies else size for at, size in enumerate(wanted)]
    if wanted and wanted[0] == node.rows and x.dim():
        sizes[0] = x.shape[0]
    return x.reshape(sizes)


def _flatten(node: Node, x: Tensor) -> Tensor:
    if node.get("axis", 1) % max(x.dim(), 1) != 1:
        node.refuse(f"its axis is {node.get('axis')}; expected 1, which keeps the batch")
    return x.flatten(1)


def _transpose(node: Node, x: Tensor) -> Tensor:
    return x.permute(node.get("perm") or list(range(x.dim()))[::-1])


def _unsqueeze(node: Node, x: Tensor, *_: Tensor) -> Tensor:
    axes = node.values(1, "axes") or []
    for axis in sorted(axis % (x.dim() + len(axes)) for axis in axes):
        x = x.unsqueeze(axis)
    return x


def _squeeze(node: Node, x: Tensor, *_: Tensor) -> Tensor:
    axes = node.values(1, "axes")
    if axes is None:
        axes = [axis for axis in range(1, x.dim()) if x.shape[axis] == 1]
    for axis in sorted((axis % x.dim() for axis in axes), reverse=True):
        x = x.squeeze(axis)
    return x


def _concat(node: Node, *tensors: Tensor) -> Tensor:
    return torch.cat(tensors, node.get("axis"))


def _slice(node: Node, x: Tensor, *_: Tensor) -> Tensor:
    starts, ends = node.values(1, "starts") or [], node.values(2, "ends") or []
    axes = node.values(3, "axes") or list(range(len(starts)))
    steps = node.values(4) or [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = x.shape[axis]
        if step < 0:
            taken = torch.tensor(range(size)[start : None if end < -size else end : step])
            x = x.index_select(axis % x.dim(), taken)
        elif (start, end, step) != (0, node.rows, 1) or axis % x.dim():  # else all the rows
            picked = [slice(None)] * x.dim()
            picked[axis % x.dim()] = slice(start, end, step)
            x = x[tuple(picked)]
    return x


def _split(node: Node, x: Tensor, *_: Tensor) -> Sequence[Tensor]:
    axis, sizes = node.get("axis", 0), node.values(1, "split")
    return x.split(sizes or -(-x.shape[axis] // len(node.outputs)), axis)


def _gather(node: Node, x: Tensor, indices: Tensor) -> Tensor:
    axis = node.get("axis", 0) % x.dim()
    index = torch.where(indices < 0, indices + x.shape[axis], indices).long()
    picked = x.index_select(axis, index.flatten())
    return picked.reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])


def _expand(node: Node, x: Tensor, *_: Tensor) -> Tensor:
    sizes = node.values(1) or []
    ones = [1] * (len(sizes) - x.dim())
    x = x.reshape(*ones, *x.shape) if ones else x
    own = [1] * (x.dim() - len(sizes))
    return x.expand([-1 if size == 1 else size for size in (*own, *sizes)])


def _tile(node: Node, x: Tensor, *_: Tensor) -> Tensor:
    return x.repeat(node.values(1) or [])


def _reduced(function: Callable[..., Tensor]) -> Operator:
    """Over the axes of an attribute or, in newer opsets, of an input."""

    def reduce(node: Node, x: Tensor, *_: Tensor) -> Tensor:
        axes = node.values(1, "axes")
        if not axes:
            if node.get("noop_with_empty_axes", 0):
                return x
            node.refuse("it goes over all axes, the batch among them")
        return function(x, axes, keepdim=bool(node.get("keepdims", 1)))

    return reduce


def _gelu(node: Node, x: Tensor) -> Tensor:
    return F.gelu(x, approximate=node.get("approximate", "none"))


OPERATORS: dict[str, Operator] = {
    "Abs": _plain(torch.abs),
    "Add": _plain(torch.add),
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Cos": _plain(torch.cos),
    "Div": _plain(torch.div),
    "Dropout": lambda node, x, *_: x,
    "Elu": lambda node, x: F.elu(x, node.get("alpha", 1.0)),
    "Erf": _plain(torch.erf),
    "Exp": _plain(torch.exp),
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _plain(F.hardswish),
    "Identity": _plain(lambda x: x),
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda node, x: F.leaky_relu(x, node.get("alpha", 0.01)),
    "Log": _plain(torch.log),
    "MatMul": _plain(torch.matmul),
    "Max": _folded(torch.maximum),
    "Min": _folded(torch.minimum),
    "Mul": _plain(torch.mul),
    "Neg": _plain(torch.neg),
    "PRelu": _prelu,
    "Pow": _power,
    "Reciprocal": _plain(torch.reciprocal),
    "ReduceMean": _reduced(torch.mean),
    "ReduceSum": _reduced(torch.sum),
    "Relu": _plain(F.relu),
    "Reshape": _reshape,
    "Selu": _selu,
    "Sigmoid": _plain(torch.sigmoid),
    "Sin": _plain(torch.sin),
    "Slice": _slice,
    "Softmax": lambda node, x: torch.softmax(x, node.get("axis", -1)),
    "Softplus": lambda node, x: F.softplus(x),
    "Softsign": _plain(F.softsign),
    "Split": _split,
    "Sqrt": _plain(torch.sqrt),
    "Squeeze": _squeeze,
    "Sub": _plain(torch.sub),
    "Sum": _folded(torch.add),
    "Tanh": _plain(torch.tanh),
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}

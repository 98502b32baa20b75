"""The step with a latent that reaches behind G's first layer. It is made of the step, without onnx.

Where G begins with a matrix, its first features are a = z W + b. The wide latent is z and F numbers more, e,
with a = z W + b + unit · e: a unit is a number of deviations that each feature has over the prior. Where e
is 0 it is the step as it was. e is pulled to its anchor as z is to its own. Where G computes in fp16 the sum
a is as exact as that, and all else of e is float32. The units are worked out here: TensorRT would read W
again in every step and reduce it.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgefill.model import wire
from edgefill.model.onnx_file import extracted

# Of a unit. With 3 or 6 a search takes longer to the same picture, with 24 its first steps are too long.
_DEVIATIONS = 12.0
_OF_Z = {"uniform": 1 / math.sqrt(3), "normal": 1.0}  # the deviation of a number of z
_SAME = ("Cast", "Transpose")  # weights, in another type or order
_OWN = "edgefill."  # begins the names of what is added
_FLOAT, _INT64, _HALF = 1, 7, 10  # TensorProto.DataType
_INT = 2  # AttributeProto.AttributeType
_STORED = {_FLOAT: "<f4", _HALF: "<f2"}

Graph = Sequence[tuple[int, int | memoryview]]


@dataclass(frozen=True)
class _Node:
    operator: str
    inputs: list[str]
    outputs: list[str]
    to: int  # of a Cast

    @classmethod
    def of(cls, value: int | memoryview) -> _Node:
        message = wire.message(value)
        attributes = [
            dict(wire.fields(wire.message(each))) for number, each in wire.fields(message) if number == 5
        ]
        own = (wire.integer(each.get(3, 0)) for each in attributes if wire.text(each.get(1)) == "to")
        return cls(wire.name_of(message, 4), wire.texts(message, 1), wire.texts(message, 2), next(own, 0))


@dataclass(frozen=True)
class _Cut:
    """Where the step is cut: names of its values, and how many numbers these have."""

    matrix: np.ndarray  # W, [Z, F] float32
    features: str  # a
    gradient: str  # by a
    kind: int  # of W, a and the gradient by it: _FLOAT or _HALF

    @property
    def z_dim(self) -> int:
        return len(self.matrix)

    @property
    def count(self) -> int:
        """F."""
        return int(self.matrix.shape[1])


def widened(fit: bytes, z_dim: int, prior: str) -> tuple[bytes, int]:
    """The graph "fit" with F numbers more in ``z`` and ``anchor``, and F; b"" and 0 where G begins otherwise.

    ``fit`` has passed ``check_onnx``.
    """
    model = list(wire.fields(memoryview(fit)))
    (graph,) = (list(wire.fields(wire.message(value))) for number, value in model if number == 7)
    cut = _found(graph, z_dim)
    if cut is None:
        return b"", 0
    wide = wire.joined(*_parts(graph, cut, _DEVIATIONS * _OF_Z[prior]))
    return wire.joined(*((number, wide if number == 7 else value) for number, value in model)), cut.count


def generator_of(fit: bytes) -> bytes:
    """The graph "generator" of as wide a latent as that of ``fit``."""
    return extracted(fit, {"generated": "generated"})


def _found(graph: Graph, z_dim: int) -> _Cut | None:
    """Where a = z W + b is, and the gradient by it; None where G does anything else with z."""
    nodes = [_Node.of(value) for number, value in graph if number == 1]
    shapes = dict(_shape(value) for number, value in graph if number == 5)
    makers = {output: node for node in nodes for output in node.outputs}
    casts = [node for node in nodes if node.operator == "Cast" and node.inputs == ["z"]]
    kinds = {"z": _FLOAT, **{node.outputs[0]: node.to for node in casts}}
    first = [node for node in nodes if node.operator == "Gemm" and node.inputs[0] in kinds]
    sums = [makers.get(_source(name, makers, "Cast")) for name in makers["grad_z"].inputs]
    back = [node for node in sums if node and node.operator in ("MatMul", "Gemm")]
    if makers["grad_z"].operator != "Add" or len(first) != 1 or len(back) != 1:
        return None
    kind = kinds[first[0].inputs[0]]
    if kind not in (_FLOAT, _HALF):
        return None
    weight, product = _source(first[0].inputs[1], makers, *_SAME), back[0].inputs[1]
    # [F, Z], which a Gemm may take too, is not known here.
    shape = shapes.get(weight, [])
    if len(shape) != 2 or shape[0] != z_dim or shape[1] == z_dim:
        return None
    if sorted(shapes.get(_source(product, makers, *_SAME), [])) != sorted(shape):
        return None
    (values,) = (_values(value) for number, value in graph if number == 5 and _shape(value)[0] == weight)
    if values.size != shape[0] * shape[1]:
        return None
    return _Cut(values.reshape(shape), first[0].outputs[0], back[0].inputs[0], kind)


def _source(name: str, makers: Mapping[str, _Node], *through: str) -> str:
    """What ``name`` is made of ``through`` such operators alone."""
    while name in makers and makers[name].operator in through:
        name = makers[name].inputs[0]
    return name


def _shape(value: int | memoryview) -> tuple[str, list[int]]:
    """Name and shape of a TensorProto."""
    shape: list[int] = []
    for number, each in wire.fields(wire.message(value)):
        if number == 1:
            shape += [each] if isinstance(each, int) else list(wire.packed(each))
    return wire.name_of(value, 8), shape


def _values(value: int | memoryview) -> np.ndarray:
    """The numbers of a TensorProto as float32; none where they are not stored as raw bytes."""
    tensor = dict(wire.fields(wire.message(value)))
    stored = _STORED.get(wire.integer(tensor.get(2, 0)))
    if stored is None or 9 not in tensor:
        return np.zeros(0, np.float32)
    return np.frombuffer(wire.message(tensor[9]), stored).astype(np.float32)


def _parts(graph: Graph, cut: _Cut, unit: float) -> Iterator[tuple[int, int | memoryview | bytes]]:
    """The fields of the wide graph."""
    alone = {name: f"{_OWN}{name}" for name in ("z", "anchor", "loss", "grad_z")}
    yield from _constants(cut, unit * np.sqrt(np.square(cut.matrix).sum(0)))
    yield from _before()
    for number, value in graph:
        if number == 1:
            own = {**alone, cut.features: f"{_OWN}features"}
            yield 1, wire.renamed(wire.message(value), {1: alone, 2: own})
            if cut.features in _Node.of(value).outputs:
                yield from _around(cut)
        elif number in (11, 12) and wire.name_of(value) in ("z", "anchor", "grad_z"):
            yield number, _wider(value, cut.z_dim + cut.count)
        else:
            yield number, value
    yield from _after(cut)


def _constants(cut: _Cut, units: np.ndarray) -> list[tuple[int, bytes]]:
    return [
        (5, _whole("sides", cut.z_dim, cut.count)),
        (5, _whole("columns", 1)),
        (5, _tensor("unit", _FLOAT, cut.count, units.astype("<f4").tobytes())),
        (5, _tensor("two", _FLOAT, 1, struct.pack("<f", 2.0))),
    ]


def _before() -> list[tuple[int, bytes]]:
    """z and its anchor are parted."""
    return [
        _node("Split", ["z", "+sides"], ["+z", "+e"], axis=1),
        _node("Split", ["anchor", "+sides"], ["+anchor", "+anchor of e"], axis=1),
    ]


def _around(cut: _Cut) -> list[tuple[int, bytes]]:
    """What e adds to the features."""
    half = cut.kind == _HALF
    alone, both = ("+features alone", "+sum") if half else ("+features", cut.features)
    return [
        _node("Mul", ["+e", "+unit"], ["+moved"]),
        *[_node("Cast", ["+features"], [alone], to=_FLOAT)] * half,
        _node("Add", [alone, "+moved"], [both]),
        *[_node("Cast", [both], [cut.features], to=_HALF)] * half,
    ]


def _after(cut: _Cut) -> list[tuple[int, bytes]]:
    """The pull of e, and the gradient by it."""
    half = cut.kind == _HALF
    gradient = "+gradient" if half else cut.gradient
    return [
        *[_node("Cast", [cut.gradient], [gradient], to=_FLOAT)] * half,
        _node("Sub", ["+e", "+anchor of e"], ["+gap"]),
        _node("Mul", ["+gap", "+gap"], ["+far"]),
        _node("ReduceSum", ["+far", "+columns"], ["+distance"], keepdims=0),
        _node("Mul", ["pull", "+distance"], ["+pulled"]),
        _node("Add", ["+loss", "+pulled"], ["loss"]),
        _node("Mul", [gradient, "+unit"], ["+slope"]),
        _node("Mul", ["pull", "+two"], ["+twice"]),
        _node("Unsqueeze", ["+twice", "+columns"], ["+column"]),
        _node("Mul", ["+column", "+gap"], ["+back"]),
        _node("Add", ["+slope", "+back"], ["+grad_e"]),
        _node("Concat", ["+grad_z", "+grad_e"], ["grad_z"], axis=1),
    ]


def _node(operator: str, inputs: list[str], outputs: list[str], **attributes: int) -> tuple[int, bytes]:
    """A NodeProto; names that begin with + are of what is added."""
    named = [(1, name) for name in inputs] + [(2, name) for name in outputs]
    parts = [(number, name.replace("+", _OWN).encode()) for number, name in named]
    own = [(5, wire.joined((1, name.encode()), (3, value), (20, _INT))) for name, value in attributes.items()]
    return 1, wire.joined(*parts, (4, operator.encode()), *own)


def _whole(name: str, *values: int) -> bytes:
    """A TensorProto of int64."""
    return _tensor(name, _INT64, len(values), struct.pack(f"<{len(values)}q", *values))


def _tensor(name: str, kind: int, count: int, content: bytes) -> bytes:
    return wire.joined((1, count), (2, kind), (8, f"{_OWN}{name}".encode()), (9, content))


def _wider(value: int | memoryview, width: int) -> bytes:
    """An input or output [N, Z] as [N, ``width``]: ValueInfoProto → TypeProto → Tensor → Dimension."""
    info = dict(wire.fields(wire.message(value)))
    tensor = dict(wire.fields(wire.message(dict(wire.fields(wire.message(info[2])))[1])))
    rows, _ = (side for number, side in wire.fields(wire.message(tensor[2])) if number == 1)
    shape = wire.joined((1, rows), (1, wire.joined((1, width))))
    return wire.joined((1, info[1]), (2, wire.joined((1, wire.joined((1, tensor[1]), (2, shape))))))

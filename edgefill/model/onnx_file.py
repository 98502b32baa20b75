"""What an ONNX file says of itself, and the part of it that gives some outputs; read without onnx.

A file is looked through before any runtime opens it. Only the few protobuf fields that decide whether a graph
may be run are looked at; tensors are skipped over, not copied. The numbers are those of onnx.proto.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edgefill.errors import ModelError
from edgefill.model import wire

MAX_BYTES = 512 * 1024 * 1024
MAX_NODES = 20_000
OPSETS = range(13, 24)
IR_VERSIONS = range(7, 13)

_DTYPES = {1: "float32", 2: "uint8", 7: "int64", 9: "bool", 10: "float16", 11: "float64"}
_ELEMENT_BYTES = {1: 4, 2: 1, 3: 1, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8}  # TensorProto.DataType → bytes
_SHAPED_BY_VALUES = {"NonZero", "Unique", "Compress", "NonMaxSuppression"}
_MAX_TYPED_ELEMENTS = 1024  # A tensor above this size must lie in raw_data, where its length can be checked.

Shape = tuple[int | str, ...]


@dataclass
class OnnxSummary:
    """Names, shapes (a name stands for a dynamic size) and metadata of one ONNX model."""

    opset: int = 0
    ir_version: int = 0
    nodes: int = 0
    inputs: dict[str, Shape] = field(default_factory=dict)
    outputs: dict[str, Shape] = field(default_factory=dict)
    dtypes: dict[str, str] = field(default_factory=dict)  # of inputs and outputs
    metadata: dict[str, str] = field(default_factory=dict)
    operators: set[str] = field(default_factory=set)


def check_onnx(
    content: bytes,
    *,
    name: str,
    inputs: Mapping[str, Shape] | None = None,
    outputs: Mapping[str, Shape] | None = None,
    dtypes: Mapping[str, str] | None = None,
) -> OnnxSummary:
    """The summary of an ONNX model that is safe to hand to a runtime.

    ``name`` is what messages call it; ``inputs`` and ``outputs`` are the expected names and shapes, where a
    text in a shape stands for any dynamic size; ``dtypes`` are their types, float32 unless named. Raises
    ModelError for anything but standard operators in one flat graph with its weights inside, and names the
    first difference.
    """
    if len(content) > MAX_BYTES:
        raise ModelError(f"{name} has {len(content)} bytes; at most {MAX_BYTES} are read")
    try:
        summary = _read_model(memoryview(content), name)
    except (IndexError, ValueError) as error:
        raise ModelError(f"{name} is no ONNX model: {error}; export it again") from error
    if summary.ir_version not in IR_VERSIONS or summary.opset not in OPSETS:
        raise ModelError(
            f"{name} has IR version {summary.ir_version} and opset {summary.opset}; expected IR version "
            f"{IR_VERSIONS[0]} to {IR_VERSIONS[-1]} and opset {OPSETS[0]} to {OPSETS[-1]}; export it again"
        )
    for kind, found, expected in (("input", summary.inputs, inputs), ("output", summary.outputs, outputs)):
        if expected is not None:
            _compare(name, kind, found, expected)
    for key, found_type in summary.dtypes.items():
        expected_type = (dtypes or {}).get(key, "float32")
        if found_type != expected_type:
            raise ModelError(f"{name} has {key!r} of type {found_type}; expected {expected_type}")
    return summary


def check_compiles(content: bytes, *, name: str, doing: str) -> None:
    """Raises ModelError where no compiler takes the ONNX model of ``name`` for ``doing`` something with it.

    That is where an operator's output is as large as what is in a picture makes it.
    """
    found = sorted(_read_model(memoryview(content), name).operators & _SHAPED_BY_VALUES)
    if found:
        raise ModelError(
            f"cannot {doing} {name}: its graph has {', '.join(found)}, whose output is as large as what is "
            "in a picture makes it; expected sizes that follow from the picture's; if it was imported with "
            "its packaging, import it without --whole"
        )


def _compare(name: str, kind: str, found: Mapping[str, Shape], expected: Mapping[str, Shape]) -> None:
    if set(found) != set(expected):
        raise ModelError(
            f"{name} has the {kind}s {sorted(found)}; expected {sorted(expected)}; export it again"
        )
    for key, shape in expected.items():
        same = len(found[key]) == len(shape) and all(
            isinstance(want, str) or got == want for got, want in zip(found[key], shape, strict=True)
        )
        if not same:
            raise ModelError(
                f"{name} has the {kind} {key} of shape {found[key]}; expected {shape}; export it again"
            )


def _read_model(data: memoryview, name: str) -> OnnxSummary:
    summary = OnnxSummary()
    graphs = 0
    for number, value in wire.fields(data):
        if number == 1:
            summary.ir_version = wire.integer(value)
        elif number == 7:
            graphs += 1
            _read_graph(wire.message(value), summary, name)
        elif number == 8:
            _read_opset(wire.message(value), summary, name)
        elif number == 14:
            entry = dict(wire.fields(wire.message(value)))
            summary.metadata[wire.text(entry.get(1))] = wire.text(entry.get(2))
        elif number in (20, 25):
            raise ModelError(f"{name} carries functions or training graphs; expected one flat graph")
    if graphs != 1:
        raise ValueError(f"{graphs} graphs found, expected 1")
    return summary


def _read_opset(data: memoryview, summary: OnnxSummary, name: str) -> None:
    entry = dict(wire.fields(data))
    domain = wire.text(entry.get(1))
    if domain not in ("", "ai.onnx"):
        raise ModelError(
            f"{name} uses operators of the domain {domain!r}; expected standard ONNX operators only"
        )
    summary.opset = wire.integer(entry.get(2, 0))


def _read_graph(data: memoryview, summary: OnnxSummary, name: str) -> None:
    for number, value in wire.fields(data):
        if number == 1:
            summary.nodes += 1
            if summary.nodes > MAX_NODES:
                raise ModelError(f"{name} has more than {MAX_NODES} nodes; expected a generator-sized graph")
            summary.operators.add(_checked_node(wire.message(value), name))
        elif number == 5:
            _check_tensor(wire.message(value), name)
        elif number == 11:
            key, dtype, shape = _read_value(wire.message(value))
            summary.inputs[key], summary.dtypes[key] = shape, dtype
        elif number == 12:
            key, dtype, shape = _read_value(wire.message(value))
            summary.outputs[key], summary.dtypes[key] = shape, dtype
        elif number == 15:
            raise ModelError(f"{name} carries sparse weights; expected dense ones")


def _checked_node(data: memoryview, name: str) -> str:
    """The operator of a node. Raises ModelError where it is none of ONNX's own."""
    operator = ""
    for number, value in wire.fields(data):
        if number == 4:
            operator = wire.text(value)
        if number == 7 and wire.text(value) not in ("", "ai.onnx"):
            raise ModelError(
                f"{name} uses an operator of the domain {wire.text(value)!r}; expected standard ones only"
            )
        if number == 5:
            _check_attribute(wire.message(value), name)
    return operator


def _check_attribute(data: memoryview, name: str) -> None:
    for number, value in wire.fields(data):
        if number in (6, 11):
            raise ModelError(f"{name} has a graph inside a node; expected one flat graph")
        if number in (5, 10):
            _check_tensor(wire.message(value), name)


def _check_tensor(data: memoryview, name: str) -> None:
    dims: list[int] = []
    element_type, raw, label = 0, None, ""
    for number, value in wire.fields(data):
        if number == 1:
            dims += [value] if isinstance(value, int) else list(wire.packed(value))
        elif number == 2:
            element_type = wire.integer(value)
        elif number == 8:
            label = wire.text(value)
        elif number == 9:
            raw = len(wire.message(value))
        elif number == 13 or (number == 14 and value != 0):
            raise ModelError(f"{name} keeps the weights {label!r} in another file; expected them inside")
    elements = math.prod(dims)
    if element_type not in _ELEMENT_BYTES:
        raise ModelError(
            f"{name} has weights {label!r} of element type {element_type}, which is not supported"
        )
    if raw is None and elements > _MAX_TYPED_ELEMENTS:
        raise ModelError(f"{name} claims {elements} elements in {label!r} without raw data; export it again")
    if raw is not None and raw != elements * _ELEMENT_BYTES[element_type]:
        raise ModelError(f"{name} has {raw} bytes in {label!r}; its shape {dims} needs another number")


def _read_value(data: memoryview) -> tuple[str, str, Shape]:
    """Name, type and shape of a graph's input or output: ValueInfoProto → TypeProto → Tensor → Dimension."""
    value = dict(wire.fields(data))
    key = wire.text(value.get(1))
    kind = dict(wire.fields(wire.message(value.get(2, b""))))
    tensor = dict(wire.fields(wire.message(kind.get(1, b""))))
    element = wire.integer(tensor.get(1, 0))
    shape: list[int | str] = []
    for number, dimension in wire.fields(wire.message(tensor.get(2, b""))):
        if number == 1:
            entry = dict(wire.fields(wire.message(dimension)))
            shape.append(wire.integer(entry[1]) if 1 in entry else wire.text(entry.get(2)) or "?")
    return key, _DTYPES.get(element, f"ONNX element type {element}"), tuple(shape)


def extracted(
    content: bytes, outputs: Mapping[str, str], constants: Mapping[str, float] | None = None
) -> bytes:
    """The ONNX model with only those nodes, weights and inputs of ``content`` that give ``outputs``.

    ``outputs`` are names in the new model → names of outputs of ``content``, a model that passed
    ``check_onnx``. Inputs of one number a row that are in ``constants`` become that number. Raises ModelError
    where an output is not there or a new name is taken.
    """
    model = list(wire.fields(memoryview(content)))
    (graph,) = (list(wire.fields(wire.message(value))) for number, value in model if number == 7)
    needed = _needed(graph, set(outputs.values()))
    new_names = {old: new for new, old in outputs.items()}
    declared = {wire.name_of(value): value for number, value in graph if number == 12}
    if set(new_names) - set(declared) or {new for old, new in new_names.items() if new != old} & needed:
        raise ModelError(
            f"cannot take {sorted(new_names.items())} from a model with the outputs {sorted(declared)}"
        )
    fixed = constants or {}
    part = [wire.wired(5, _as_tensor(name, value)) for name, value in fixed.items()]
    for number, value in graph:
        if number == 1:
            message = wire.message(value)
            if needed.intersection(wire.texts(message, 2)):
                part.append(wire.wired(1, wire.renamed(message, {1: new_names, 2: new_names})))
        elif number == 12 or (number == 11 and wire.name_of(value) in fixed):
            pass  # outputs are below, in the order that is asked for
        elif number not in (5, 11, 13) or wire.name_of(value, 8 if number == 5 else 1) in needed:
            part.append(wire.wired(number, value))
    part += [wire.wired(12, wire.renamed(wire.message(declared[old]), {1: new_names})) for old in new_names]
    return b"".join(wire.wired(number, b"".join(part) if number == 7 else value) for number, value in model)


def _needed(graph: Sequence[tuple[int, int | memoryview]], outputs: set[str]) -> set[str]:
    """The names of all values that ``outputs`` are made of, these among them; nodes are in order."""
    needed = set(outputs)
    for number, value in reversed(graph):
        if number == 1 and needed.intersection(wire.texts(wire.message(value), 2)):
            needed.update(wire.texts(wire.message(value), 1))
    return needed


def _as_tensor(name: str, value: float) -> bytes:
    """A TensorProto of one float32."""
    return wire.joined((1, 1), (2, 1), (8, name.encode()), (9, struct.pack("<f", value)))

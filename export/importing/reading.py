"""A foreign ONNX file to one flat graph of standard operators with its weights inside, or a clear refusal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import (
    GraphProto,
    ModelProto,
    TensorProto,
    external_data_helper,
    numpy_helper,
    shape_inference,
    version_converter,
)

from edgefill.errors import ModelError
from edgefill.model.onnx_file import IR_VERSIONS, MAX_BYTES, OPSETS

OLDEST_OPSET = 7
_STANDARD = ("", "ai.onnx")
_IR = 8  # what files with an older one are given


def read_network(path: str | Path) -> ModelProto:
    """The model in the ONNX file ``path``, with external weights read in, in an opset that is run here.

    Raises ModelError for what is no ONNX model of standard operators in one flat graph, and for weights
    that lie anywhere but in the file's own folder; nothing outside it is opened.
    """
    path = Path(path)
    model = _parsed(path)
    _check_flat(model, path.name)
    _take_in_weights(model, path.parent, path.name)
    _drop_inputs_with_defaults(model.graph)
    model = _with_output_shapes(_in_a_known_opset(model, path.name))
    _check_valid(model, path.name)
    return model


def _parsed(path: Path) -> ModelProto:
    if not path.exists():
        raise ModelError(f"{path} does not exist; expected an ONNX file")
    if not path.is_file():
        raise ModelError(f"{path} is no file; expected an ONNX file")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ModelError(f"{path.name} has {size} bytes; at most {MAX_BYTES} are read")
    model = ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except (DecodeError, ValueError) as error:
        raise ModelError(
            f"{path.name} is no ONNX model, or is cut off: {error}; expected a file that was exported to ONNX"
        ) from error
    model.graph.name = "network"  # what it was may be no text
    if not model.graph.node or not model.graph.output:
        raise ModelError(
            f"{path.name} is no ONNX model: it holds no graph; expected a file that was exported to ONNX"
        )
    return model


def _check_flat(model: ModelProto, name: str) -> None:
    """Raises ModelError for functions, training graphs, other operators than ONNX's, and graphs in nodes."""
    if model.functions or model.training_info:
        raise ModelError(
            f"{name} carries functions or training graphs; expected one flat graph; export it for inference, "
            "with functions inlined"
        )
    foreign = sorted({f"{node.domain}.{node.op_type}" for node in model.graph.node} - _own_kinds(model))
    if foreign:
        raise ModelError(
            f"{name} uses the custom operators {', '.join(foreign[:5])}; expected standard ones only; export "
            "it without them"
        )
    inside = sorted({node.op_type for node in model.graph.node if any(_graphs_of(node))})
    if inside:
        raise ModelError(
            f"{name} has a graph inside its operators {', '.join(inside)}; expected one flat graph; export "
            "it without control flow (If, Loop, Scan)"
        )
    if model.graph.sparse_initializer:
        raise ModelError(f"{name} carries sparse weights; expected dense ones")


def _own_kinds(model: ModelProto) -> set[str]:
    return {f"{node.domain}.{node.op_type}" for node in model.graph.node if node.domain in _STANDARD}


def _graphs_of(node: onnx.NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                yield attribute.t
            yield from attribute.tensors


def _take_in_weights(model: ModelProto, folder: Path, name: str) -> None:
    """Every weight as bytes inside ``model``, read from ``folder`` where it lies in another file."""
    total = 0
    for tensor in _tensors(model.graph):
        if external_data_helper.uses_external_data(tensor):
            content = _external(tensor, folder, name, MAX_BYTES - total)
            tensor.raw_data = content
            del tensor.external_data[:]
            tensor.data_location = TensorProto.DEFAULT
        elif not tensor.HasField("raw_data") and tensor.data_type != TensorProto.STRING:
            _pack(tensor, name)
        total += len(tensor.raw_data)


def _pack(tensor: TensorProto, name: str) -> None:
    """The numbers of ``tensor`` as bytes, where their count is seen."""
    try:
        packed = numpy_helper.from_array(np.asarray(numpy_helper.to_array(tensor), order="C"), tensor.name)
    except (ValueError, TypeError) as error:
        raise ModelError(f"{name} has weights {tensor.name!r} that cannot be read: {error}") from error
    tensor.CopyFrom(packed)


def _external(tensor: TensorProto, folder: Path, name: str, room: int) -> bytes:
    """The bytes of ``tensor``, which lie in a file in or below ``folder``. Raises ModelError."""
    told = {entry.key: entry.value for entry in tensor.external_data}
    path = _inside(told.get("location", ""), folder, f"{name} keeps its weights {tensor.name!r} in")
    size = path.stat().st_size
    try:
        offset, length = int(told.get("offset", 0)), int(told["length"]) if "length" in told else None
    except ValueError as error:
        raise ModelError(f"{name} has weights {tensor.name!r} at no number: {error}") from error
    length = size - offset if length is None else length
    if offset < 0 or length < 0 or offset + length > size:
        raise ModelError(
            f"{path.name} has {size} bytes; {name} expects {length} from {offset} on there: it is cut off, "
            "or belongs to another model"
        )
    if length > room:
        raise ModelError(f"{name} has more than {MAX_BYTES} bytes of weights; at most that many are read")
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(length)


def _inside(location: str, folder: Path, which: str) -> Path:
    """The file ``location`` in ``folder``; nothing is opened to find out. Raises ModelError."""
    parts = PurePosixPath(location).parts
    goes_out = ".." in parts or ".." in PureWindowsPath(location).parts
    if not parts or goes_out or PurePosixPath(location).is_absolute() or PureWindowsPath(location).anchor:
        raise ModelError(
            f"{which} {location!r}; expected a file in its own folder: export it with its weights inside"
        )
    path = folder
    for part in parts:
        path = path / part
        if path.is_symlink():
            raise ModelError(f"{which} {location!r}, which is a link; expected a plain file: copy it there")
    if not path.is_file():
        raise ModelError(f"{which} {location!r}, which is not there; copy it beside the model")
    return path


def _drop_inputs_with_defaults(graph: GraphProto) -> None:
    """Weights that are listed as inputs too, as old files do, are weights."""
    weights = {tensor.name for tensor in graph.initializer}
    kept = [value for value in graph.input if value.name not in weights]
    del graph.input[:]
    graph.input.extend(kept)


def _in_a_known_opset(model: ModelProto, name: str) -> ModelProto:
    """``model`` in one of OPSETS and IR_VERSIONS. Raises ModelError."""
    opset = max((each.version for each in model.opset_import if each.domain in _STANDARD), default=None)
    if opset is None:
        raise ModelError(f"{name} is no whole ONNX model: it names no opset; copy or export it again")
    if not OLDEST_OPSET <= opset <= OPSETS[-1]:
        raise ModelError(
            f"{name} has opset {opset}; expected {OLDEST_OPSET} to {OPSETS[-1]}; export it again with "
            "opset_version=17"
        )
    if model.ir_version > IR_VERSIONS[-1]:
        raise ModelError(
            f"{name} has IR version {model.ir_version}; expected at most {IR_VERSIONS[-1]}; export it again"
        )
    if opset < OPSETS[0]:
        model.ir_version = max(model.ir_version, 4)  # before it, weights had to be inputs
        try:
            model = version_converter.convert_version(model, OPSETS[0])
        except Exception as error:  # whatever the converter meets
            raise ModelError(
                f"{name} has opset {opset} and cannot be raised to {OPSETS[0]}: {_first_line(error)}; export "
                "it again with opset_version=17"
            ) from error
    if model.ir_version not in IR_VERSIONS:
        model.ir_version = _IR
    del model.opset_import[:]
    model.opset_import.add(domain="", version=max(opset, OPSETS[0]))
    return model


def _with_output_shapes(model: ModelProto) -> ModelProto:
    """``model`` with the shapes of its outputs, where it does not say them and they follow from the rest."""
    if all(value.type.tensor_type.HasField("shape") for value in model.graph.output):
        return model
    with suppress(shape_inference.InferenceError, ValueError, RuntimeError):
        return shape_inference.infer_shapes(model)
    return model


def _check_valid(model: ModelProto, name: str) -> None:
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError, RuntimeError) as error:
        raise ModelError(f"{name} is no valid ONNX model: {_first_line(error)}; export it again") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

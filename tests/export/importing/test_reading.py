"""Foreign ONNX files, sound and not: read into one form, or refused by name; nothing outside is opened."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, external_data_helper, helper, numpy_helper, version_converter

from edgefill.errors import EdgefillError, ModelError
from edgefill.export.importing import memory, reading
from edgefill.export.importing.importer import examine, import_network
from edgefill.export.importing.memory import check_memory, needed_bytes
from edgefill.export.importing.reading import read_network
from tests.export.importing.zoo import CONVENTIONS, SIDE, network

LAMA = CONVENTIONS["Qualcomm's LaMa"]


@pytest.fixture
def model():
    return network(LAMA)


def saved(tmp_path, model, name="it.onnx"):
    path = tmp_path / name
    path.write_bytes(model.SerializeToString())
    return path


def refused(path, words):
    with pytest.raises(ModelError, match=words):
        import_network(path, path.with_name("it.edgefill"))
    assert not path.with_name("it.edgefill").exists()


def drawn(model) -> np.ndarray:
    rng = np.random.default_rng(0)
    feeds = {
        "image": rng.random((1, 3, SIDE, SIDE), np.float32),
        "mask": (rng.random((1, 1, SIDE, SIDE)) < 0.1).astype(np.float32),
    }
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, feeds)[0]


@pytest.mark.parametrize(
    "content", [b"", b"no model at all", b"\x89PNG\r\n\x1a\n" + bytes(64), b"PK\x03\x04"]
)
def test_what_is_no_onnx_is_refused(tmp_path, content):
    path = tmp_path / "it.onnx"
    path.write_bytes(content)
    refused(path, r"it\.onnx is no ONNX model.*expected a file that was exported to ONNX")


def test_what_is_cut_off_is_refused(tmp_path, model):
    path = saved(tmp_path, model)
    for share in (0.3, 0.9, 0.999):
        path.write_bytes(model.SerializeToString()[: int(len(model.SerializeToString()) * share)])
        refused(path, r"it\.onnx (is no|has weights)")


def test_what_is_not_there_or_no_file_is_refused(tmp_path):
    refused(tmp_path / "none.onnx", "does not exist; expected an ONNX file")
    (tmp_path / "folder.onnx").mkdir()
    refused(tmp_path / "folder.onnx", "is no file")


def test_a_file_that_is_too_large_is_refused_unread(tmp_path, model, monkeypatch):
    monkeypatch.setattr(reading, "MAX_BYTES", 100)
    refused(saved(tmp_path, model), "at most 100 are read")


@pytest.mark.parametrize("seed", [12, 100, 163, 166, 172, 230, 238, 434, *range(24)])
def test_a_damaged_file_gives_an_error_of_ours_or_none(tmp_path, model, seed):
    rng = np.random.default_rng(seed)
    content = bytearray(model.SerializeToString())
    for _ in range(rng.integers(1, 4)):
        content[rng.integers(len(content))] = rng.integers(256)
    if seed % 3 == 0:
        start = rng.integers(len(content))
        del content[start : start + rng.integers(1, 30)]
    (tmp_path / "it.onnx").write_bytes(content)
    with suppress(EdgefillError):
        examine(tmp_path / "it.onnx")


def test_custom_operators_are_refused_by_name(tmp_path, model):
    model.graph.node[0].domain = "com.microsoft"
    model.graph.node[0].op_type = "FusedConv"
    refused(saved(tmp_path, model), r"uses the custom operators com\.microsoft\.FusedConv; expected standard")


def test_an_operator_that_onnx_does_not_know_is_refused_by_name(tmp_path, model):
    model.graph.node[0].op_type = "Sharpen"
    refused(saved(tmp_path, model), "is no valid ONNX model: .*Sharpen")


def test_functions_and_graphs_in_nodes_are_refused_by_name(tmp_path, model):
    inner = helper.make_graph([], "inner", [], [])
    node = helper.make_node("If", ["yes"], ["z"], then_branch=inner, else_branch=inner)
    with_if = onnx.ModelProto()
    with_if.CopyFrom(model)
    with_if.graph.node.append(node)
    refused(saved(tmp_path, with_if), "has a graph inside its operators If; .*without control flow")
    function = helper.make_function("own", "f", ["a"], ["b"], [], [helper.make_opsetid("", 17)])
    model.functions.append(function)
    refused(saved(tmp_path, model), "carries functions or training graphs")


@pytest.mark.parametrize("opset", [7, 9, 11, 12])
def test_old_opsets_are_raised(tmp_path, opset):
    """Of operators that were there from the start; at opset 7 an old IR lists its weights as inputs."""
    model = old_network(opset)
    path = saved(tmp_path, model)
    found = read_network(path)
    assert found.opset_import[0].version == 13 and found.ir_version in range(7, 13)
    assert [value.name for value in found.graph.input] == ["image", "mask"]
    np.testing.assert_allclose(drawn(found), drawn(model), atol=1e-6)
    import_network(path, tmp_path / "it.edgefill")


def old_network(opset: int) -> onnx.ModelProto:
    make = helper.make_node
    arrays = {"box": np.ones((3, 1, 15, 15), np.float32), "one": np.float32([1]), "tiny": np.float32([1e-6])}
    nodes = [
        make("Sub", ["one", "mask"], ["known"]),
        make("Mul", ["image", "known"], ["seen"]),
        make("Concat", ["known", "known", "known"], ["of_each"], axis=1),
        make("Conv", ["seen", "box"], ["total"], group=3, pads=[7] * 4),
        make("Conv", ["of_each", "box"], ["count"], group=3, pads=[7] * 4),
        make("Add", ["count", "tiny"], ["some"]),
        make("Div", ["total", "some"], ["mean"]),
        make("Mul", ["mean", "mask"], ["filled"]),
        make("Add", ["seen", "filled"], ["sum"]),
        make("Clip", ["sum"], ["painted_image"], min=0.0, max=1.0)
        if opset < 11
        else make("Relu", ["sum"], ["painted_image"]),
    ]
    inputs = {"image": (1, 3, SIDE, SIDE), "mask": (1, 1, SIDE, SIDE)}
    listed = {**inputs, **({name: array.shape for name, array in arrays.items()} if opset == 7 else {})}
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "old",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in listed.items()],
            [helper.make_tensor_value_info("painted_image", TensorProto.FLOAT, (1, 3, SIDE, SIDE))],
            [numpy_helper.from_array(array, name) for name, array in arrays.items()],
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=3 if opset == 7 else 4,
    )
    onnx.checker.check_model(model)
    return model


@pytest.mark.parametrize("opset", [13, 18, 21, 23])
def test_new_opsets_are_read_as_they_are(tmp_path, opset):
    model = network(replace(LAMA, opset=min(opset, 17)))
    model = version_converter.convert_version(model, opset)
    found = read_network(saved(tmp_path, model))
    assert found.opset_import[0].version == opset
    import_network(tmp_path / "it.onnx", tmp_path / "it.edgefill")


@pytest.mark.parametrize(("opset", "ir"), [(6, 3), (24, 10), (99, 10)])
def test_other_opsets_are_refused_by_number(tmp_path, model, opset, ir):
    model.opset_import[0].version, model.ir_version = opset, ir
    refused(saved(tmp_path, model), rf"has opset {opset}; expected 7 to 23")


def test_a_newer_ir_is_refused_by_number(tmp_path, model):
    model.ir_version = 14
    refused(saved(tmp_path, model), "has IR version 14; expected at most 12")


def test_an_opset_that_cannot_be_raised_is_refused_by_name(tmp_path, monkeypatch):
    def fails(*_):
        raise RuntimeError("no adapter for Upsample\nand more")

    monkeypatch.setattr(reading.version_converter, "convert_version", fails)
    refused(
        saved(tmp_path, old_network(9)), "cannot be raised to 13: no adapter for Upsample; export it again"
    )


def external(tmp_path, model, location: str, **keys):
    """The model with one of its weights said to lie at ``location``."""
    tensor = next(each for each in model.graph.initializer if each.dims[-2:] == [15, 15])
    content = tensor.raw_data
    external_data_helper.set_external_data(tensor, location, **keys)
    tensor.ClearField("raw_data")
    return saved(tmp_path, model), content


def test_weights_beside_the_file_are_read_in(tmp_path, model):
    expected = drawn(model)
    (tmp_path / "below").mkdir()
    path, content = external(tmp_path, model, "below/weights.bin", offset=8, length=3 * 15 * 15 * 4)
    (tmp_path / "below/weights.bin").write_bytes(bytes(8) + content + bytes(8))
    found = read_network(path)
    assert not any(external_data_helper.uses_external_data(each) for each in found.graph.initializer)
    np.testing.assert_array_equal(drawn(found), expected)


@pytest.mark.parametrize(
    "location",
    ["../weights.bin", "below/../../weights.bin", "/etc/hostname", "C:\\weights.bin", "..\\w.bin", ""],
)
def test_weights_outside_the_folder_are_refused_before_anything_is_opened(
    tmp_path, model, location, monkeypatch
):
    (tmp_path / "inner").mkdir()
    (tmp_path / "weights.bin").write_bytes(bytes(10_000))
    path, _ = external(tmp_path / "inner", model, location)
    opened = []
    own_open = Path.open

    def watched(self, *arguments, **options):
        opened.append(self)
        return own_open(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", watched)
    refused(path, "keeps its weights .* in .*; expected a file in its own folder")
    assert set(opened) <= {path}


def test_weights_behind_a_link_are_refused(tmp_path, model):
    (tmp_path / "inner").mkdir()
    path, content = external(tmp_path / "inner", model, "weights.bin")
    (tmp_path / "weights.bin").write_bytes(content)
    (tmp_path / "inner/weights.bin").symlink_to(tmp_path / "weights.bin")
    refused(path, "which is a link; expected a plain file")


def test_weights_that_are_not_there_or_cut_off_are_refused(tmp_path, model):
    path, content = external(tmp_path, model, "weights.bin", offset=0, length=3 * 15 * 15 * 4)
    refused(path, "'weights.bin', which is not there; copy it beside the model")
    (tmp_path / "weights.bin").write_bytes(content[:-1])
    refused(path, "weights.bin has 2699 bytes; it.onnx expects 2700 from 0 on there: it is cut off")


def test_weights_in_fp16_are_read(tmp_path, model):
    for tensor in model.graph.initializer:
        if tensor.dims[-2:] == [15, 15]:
            tensor.CopyFrom(
                numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name)
            )
            name = tensor.name
            model.graph.node.insert(
                0, helper.make_node("Cast", [name], [f"{name} wide"], to=TensorProto.FLOAT)
            )
            for node in model.graph.node[1:]:
                node.input[:] = [f"{name} wide" if each == name else each for each in node.input]
    import_network(saved(tmp_path, model), tmp_path / "it.edgefill")


def test_a_number_among_the_weights_stays_a_number(tmp_path):
    """And no list of one: what it picks would have another axis."""
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[1, 3, 8] x) => (float[1, 8] y) { y = Gather <axis = 1> (x, first) }"""
    model = onnx.parser.parse_model(text)
    model.graph.initializer.append(helper.make_tensor("first", TensorProto.INT64, [], [0]))
    assert list(read_network(saved(tmp_path, model)).graph.initializer[0].dims) == []


def test_the_memory_that_a_network_needs_is_counted_from_its_shapes(model):
    shapes = {"image": (1, 3, SIDE, SIDE), "mask": (1, 1, SIDE, SIDE)}
    plane = SIDE * SIDE * 4
    assert 10 * plane < needed_bytes(model, shapes) < 60 * plane
    larger = {"image": (4, 3, SIDE, SIDE), "mask": (4, 1, SIDE, SIDE)}
    assert needed_bytes(network(CONVENTIONS["ailia's LaMa"]), larger) > 3 * needed_bytes(model, shapes)


def test_weights_are_counted_once_and_never_let_go():
    """Two values of the input's size at a time, and one large weight that only the first node reads."""
    plane, weight = SIDE * SIDE * 4, np.zeros((1, 1, SIDE, SIDE), np.float32)
    nodes = [helper.make_node("Add", ["x", "w"], ["a"])]
    nodes += [helper.make_node("Relu", [first], [then]) for first, then in ("ab", "bc", "cy")]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, SIDE, SIDE]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [numpy_helper.from_array(weight, "w")])
    assert needed_bytes(helper.make_model(graph), {"x": (1, 1, SIDE, SIDE)}) == 3 * plane


def test_a_network_that_needs_four_gigabytes_is_refused_before_it_runs(tmp_path, model, monkeypatch):
    wide = helper.make_node("Expand", ["painted"], ["wide"])
    model.graph.node[-1].output[0] = "painted"
    model.graph.node.append(wide)
    wide = model.graph.node[-1]
    wide.input.append("size")
    model.graph.initializer.append(numpy_helper.from_array(np.array([90_000, 3, SIDE, SIDE]), "size"))
    model.graph.node.append(helper.make_node("ReduceMax", ["wide"], ["painted_image"], axes=[0]))
    monkeypatch.setattr(onnxruntime, "InferenceSession", None)
    refused(saved(tmp_path, model), r"needs at least 4\.4 GB with image \[1, 3, 64, 64\].*less than 4 GB")


def test_four_gigabytes_are_the_limit(model, monkeypatch):
    shapes = {"image": (1, 3, SIDE, SIDE), "mask": (1, 1, SIDE, SIDE)}
    monkeypatch.setattr(memory, "MOST_BYTES", needed_bytes(model, shapes) + 1)
    check_memory(model, shapes, "it")
    monkeypatch.setattr(memory, "MOST_BYTES", needed_bytes(model, shapes))
    with pytest.raises(ModelError, match="it needs at least"):
        check_memory(model, shapes, "it")

"""The small ONNX reader agrees with onnx, and refuses what a runtime should never see."""

from __future__ import annotations

import random
import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgefill.errors import ModelError
from edgefill.model.bundle import Bundle
from edgefill.model.manifest import GRAPHS
from edgefill.model.onnx_file import check_onnx
from tests.bundles import tiny_bundle

FLOAT = TensorProto.FLOAT


def model(nodes=None, initializers=(), opset=18, domain="", element=FLOAT, **options) -> onnx.ModelProto:
    nodes = nodes or [helper.make_node("Relu", ["x"], ["y"])]
    x, y = (helper.make_tensor_value_info(name, element, ["N", 4]) for name in "xy")
    graph = helper.make_graph(nodes, "graph", [x], [y], initializers, **options)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(domain, opset)], ir_version=10)


def refused(onnx_model, **expected) -> str:
    content = onnx_model if isinstance(onnx_model, bytes) else onnx_model.SerializeToString()
    began = time.process_time()
    with pytest.raises(ModelError) as error:
        check_onnx(content, name="m.onnx", **expected)
    assert time.process_time() - began < 5
    return str(error.value)


def test_summary_equals_what_onnx_reads(tmp_path):
    (tmp_path / "tiny.edgefill").write_bytes(tiny_bundle())
    bundle = Bundle.open(tmp_path / "tiny.edgefill")
    for graph in GRAPHS:
        content = bundle.graph(graph)
        summary, expected = check_onnx(content, name=graph), onnx.load_from_string(content)
        assert summary.ir_version == expected.ir_version
        assert summary.opset == expected.opset_import[0].version
        assert summary.nodes == len(expected.graph.node)
        assert list(summary.inputs) == [value.name for value in expected.graph.input]
        for value in expected.graph.output:
            dims = value.type.tensor_type.shape.dim
            assert summary.outputs[value.name] == tuple(d.dim_param or d.dim_value for d in dims)
        assert summary.metadata == {entry.key: entry.value for entry in expected.metadata_props}


def test_plain_model_passes():
    summary = check_onnx(
        model().SerializeToString(), name="m", inputs={"x": ("N", 4)}, outputs={"y": ("N", 4)}
    )
    assert (summary.opset, summary.nodes) == (18, 1)


@pytest.mark.parametrize("shape", [("N", 5), ("N",), (7, 4)])
def test_other_shape_is_named(shape):
    assert "input x" in refused(model(), inputs={"x": shape})


def test_other_names_are_named():
    assert "['x']; expected ['z']" in refused(model(), inputs={"z": ("N", 4)})
    assert "['y']; expected ['loss']" in refused(model(), outputs={"loss": ("N",)})


@pytest.mark.parametrize("opset", [7, 99])
def test_opset_out_of_range_is_refused(opset):
    assert f"opset {opset}" in refused(model(opset=opset))


def test_custom_domain_is_refused():
    assert "com.evil" in refused(model(domain="com.evil"))
    assert "com.evil" in refused(model([helper.make_node("Run", ["x"], ["y"], domain="com.evil")]))


def external(location="weights.bin", **entries):
    tensor = numpy_helper.from_array(np.zeros((4, 4), np.float32), "w")
    onnx.external_data_helper.set_external_data(tensor, location, **entries)
    tensor.ClearField("raw_data")
    return tensor


@pytest.mark.parametrize("location", ["weights.bin", "../../etc/passwd", "/etc/passwd"])
def test_weights_in_another_file_are_refused(location):
    assert "another file" in refused(model(initializers=[external(location)]))
    assert "another file" in refused(model(initializers=[external(location, offset=-1, length=1 << 62)]))


def test_weights_in_another_file_behind_an_attribute_are_refused():
    node = helper.make_node("Constant", [], ["c"], value=external())
    assert "another file" in refused(model([node]))


@pytest.mark.parametrize("depth", [1, 1000])
def test_graph_inside_a_node_is_refused(depth):
    graph = b""
    for _ in range(depth):
        graph = _field(1, _field(5, _field(6, graph)))  # graph.node.attribute.g
    assert "graph inside a node" in refused(model().SerializeToString() + _field(7, graph))


def test_million_nodes_are_refused():
    content = model().SerializeToString()
    node = helper.make_node("Relu", ["x"], ["y"]).SerializeToString()
    nodes = (bytes([0x0A, len(node)]) + node) * 1_000_000
    assert "more than 20000 nodes" in refused(content + _field(7, nodes))


def _field(number: int, content: bytes) -> bytes:
    length, out = len(content), bytearray([number << 3 | 2])
    while length > 127:
        out.append(length & 127 | 128)
        length >>= 7
    return bytes(out) + bytes([length]) + content


@pytest.mark.parametrize("dims", [[1 << 31], [1 << 20, 1 << 20], [0x7FFFFFFFFFFFFFFF, 2]])
def test_weights_that_claim_more_than_they_hold_are_refused(dims):
    tensor = TensorProto(name="w", data_type=FLOAT, dims=dims, raw_data=b"\0" * 16)
    assert "'w'" in refused(model(initializers=[tensor]))
    tensor.ClearField("raw_data")
    assert "without raw data" in refused(model(initializers=[tensor]))


def test_border_of_another_type_is_refused():
    assert "float32" in refused(model(element=TensorProto.FLOAT16))


def test_two_graphs_are_refused():
    content = model().SerializeToString()
    assert "2 graphs" in refused(content + content)


def test_damaged_bytes_never_raise_anything_else():
    content = model(
        initializers=[numpy_helper.from_array(np.ones((8, 8), np.float32), "w")]
    ).SerializeToString()
    chooser = random.Random(0)
    for _ in range(3000):
        damaged = bytearray(content[: chooser.randrange(1, len(content) + 1)])
        for _ in range(chooser.randrange(4)):
            damaged[chooser.randrange(len(damaged))] = chooser.randrange(256)
        try:
            check_onnx(bytes(damaged), name="m", inputs={"x": ("N", 4)}, outputs={"y": ("N", 4)})
        except ModelError as error:
            assert str(error)

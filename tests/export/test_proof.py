"""The proof refuses a graph that is wrong anywhere, and then nothing is written."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnxruntime import InferenceSession

from edgefill.errors import InputError, ModelError
from edgefill.export import bundle as export_room
from edgefill.export import export_bundle
from edgefill.model.bundle import Bundle
from edgefill.model.manifest import GRAPHS
from tests.bundles import Z, tiny_bundle, tiny_networks


def export(path, **options):
    return export_bundle(*tiny_networks(), path, **{"z_dim": Z, **options})


def with_scaled_weights(content: bytes) -> bytes:
    """The graph with its first weight tensor 1 % too large."""
    model = onnx.load_from_string(content)
    tensor = next(
        t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT and len(t.dims) > 1
    )
    values = numpy_helper.to_array(tensor) * np.float32(1.01)
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return model.SerializeToString()


def with_doubled_gradient(content: bytes) -> bytes:
    model = onnx.load_from_string(content)
    last = next(node for node in model.graph.node if "grad_z" in node.output)
    last.output[0] = "half"
    model.graph.node.append(onnx.helper.make_node("Add", ["half", "half"], ["grad_z"]))
    return model.SerializeToString()


def with_clipped_input(name: str):
    """The graph that sees ``name`` on [-1, 1] only."""

    def spoiled(content: bytes) -> bytes:
        model = onnx.load_from_string(content)
        for node in model.graph.node:
            for place, value in enumerate(node.input):
                if value == name:
                    node.input[place] = "clipped"
        ends = {"lowest": -1.0, "highest": 1.0}
        model.graph.initializer.extend(
            numpy_helper.from_array(np.array(value, np.float32), end) for end, value in ends.items()
        )
        model.graph.node.insert(0, onnx.helper.make_node("Clip", [name, *ends], ["clipped"]))
        return model.SerializeToString()

    return spoiled


FAULTS = {
    "G": ("generator", with_scaled_weights, "generated is"),
    "D": ("discriminator", with_scaled_weights, "logit is"),
    "the step's weights": ("step", with_scaled_weights, "not what PyTorch computes"),
    "the gradient": ("step", with_doubled_gradient, "gradient is"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_wrong_graph_is_refused_and_nothing_is_written(fault, tmp_path, monkeypatch):
    graph, spoil, message = FAULTS[fault]
    (tmp_path / "right.edgefill").write_bytes(tiny_bundle())
    with zipfile.ZipFile(tmp_path / "right.edgefill") as archive:
        graphs = {name: archive.read(f"{name}.onnx") for name in GRAPHS}
    graphs[graph] = spoil(graphs[graph])
    monkeypatch.setattr(export_room, "_graphs", lambda *_: graphs)
    with pytest.raises(ModelError, match=message):
        export(tmp_path / "wrong.edgefill")
    assert [path.name for path in tmp_path.iterdir()] == ["right.edgefill"]


@pytest.mark.parametrize(
    ("graph", "name", "message"), [("generator", "z", "generated is"), ("step", "anchor", "loss is")]
)
def test_a_graph_that_is_wrong_where_only_the_normal_prior_reaches_is_refused(
    graph, name, message, tmp_path, monkeypatch
):
    exported = export_room._graphs

    def spoiled(*arguments):
        graphs = exported(*arguments)
        return {**graphs, graph: with_clipped_input(name)(graphs[graph])}

    monkeypatch.setattr(export_room, "_graphs", spoiled)
    assert export(tmp_path / "uniform.edgefill").proof["generated"] < 1e-5
    with pytest.raises(ModelError, match=message):
        export(tmp_path / "normal.edgefill", prior="normal")
    assert [path.name for path in tmp_path.iterdir()] == ["uniform.edgefill"]


def test_bundle_is_byte_equal_when_exported_twice(tmp_path):
    export(tmp_path / "tiny.edgefill", licence="CC0", origin="tests")
    assert (tmp_path / "tiny.edgefill").read_bytes() == tiny_bundle()


@pytest.mark.parametrize(("precision", "weights"), [("fp16", "fp16"), ("fp32", "fp16")])
def test_precisions_are_recorded_and_proven(precision, weights, tmp_path):
    manifest = export(tmp_path / "half.edgefill", precision=precision, weights=weights)
    assert (manifest.precision, manifest.weights) == (precision, weights)
    assert manifest.proof["cosine"] >= 0.999
    assert json.loads(manifest.to_json())["proof"] == manifest.proof


def test_unknown_precision_lists_the_known(tmp_path):
    with pytest.raises(InputError, match="'int8'; expected one of"):
        export(tmp_path / "x.edgefill", precision="int8")


def test_both_precisions_lie_beside_each_other_and_are_both_proven(tmp_path):
    path = tmp_path / "both.edgefill"
    manifest = export(path, precision="both")
    assert (manifest.precision, manifest.weights) == ("fp32", "fp32")
    assert manifest.proof["gradient"] < 1e-5 < manifest.proof["fp16 gradient"] < 0.05
    bundle, z = Bundle.open(path), np.random.default_rng(0).uniform(-1, 1, (3, 4)).astype(np.float32)
    assert bundle.precisions == ("fp32", "fp16")
    own, half = (
        InferenceSession(graph, providers=["CPUExecutionProvider"]).run(None, {"z": z})[0]
        for graph in (bundle.graph("generator"), bundle.graph("generator", "fp16"))
    )
    assert own.dtype == half.dtype == np.float32 and 0 < np.abs(own - half).max() < 0.01
    assert bundle.graph("step", "fp32") == bundle.graph("step") != bundle.graph("step", "fp16")


def test_a_precision_that_is_not_there_names_the_export_that_brings_it(tmp_path):
    export(tmp_path / "own.edgefill")
    bundle = Bundle.open(tmp_path / "own.edgefill")
    assert bundle.precisions == ("fp32",)
    with pytest.raises(ModelError, match=r"holds its step in fp32, not in fp16; .* --precision both"):
        bundle.graph("step", "fp16")

"""The proof refuses a graph that is wrong anywhere, and then nothing is written."""

from __future__ import annotations

import zipfile

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgefill.errors import ModelError
from edgefill.export import bundle as export_room
from edgefill.export import export_bundle
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

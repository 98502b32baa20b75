"""A model that is there in fp32, made fp16 or int8 without what it was made from."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from PIL import Image

import edgefill
from edgefill.errors import InputError, ModelError
from edgefill.export import export_bundle
from edgefill.export.again import export_again
from edgefill.model.bundle import Bundle, annotate
from edgefill.model.manifest import Alignment
from tests.bundles import Z, tiny_bundle, tiny_networks, tiny_one_pass


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """One that searches, one that does without D, and one of one pass."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "search.edgefill").write_bytes(tiny_bundle(encoder=True))
    (folder / "pass.edgefill").write_bytes(tiny_one_pass())
    export_bundle(tiny_networks()[0], None, folder / "alone.edgefill", z_dim=Z)
    for path in folder.iterdir():
        annotate(path, alignment=Alignment((0.3, 0.2, 0.7, 0.2)), usual_misfit=0.5)
    return {path.stem: Bundle.open(path) for path in folder.iterdir()}


def multiplied_in(graph: bytes) -> set[int]:
    """The types of the weights of whatever multiplies matrices in ``graph``."""
    model = onnx.load_from_string(graph)
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    kinds = ("Conv", "ConvTranspose", "Gemm")
    return {types[node.input[1]] for node in model.graph.node if node.op_type in kinds}


@pytest.mark.parametrize("name", ["search", "alone", "pass"])
@pytest.mark.parametrize("precision", ["fp16", "both"])
def test_half_precision_computes_what_fp32_does(models, name, precision, tmp_path):
    path = tmp_path / "new.edgefill"
    manifest = export_again(models[name], path, precision=precision)
    found, source = Bundle.open(path), models[name].manifest
    assert found.precisions == {"fp16": ("fp16",), "both": ("fp32", "fp16")}[precision]
    assert (manifest.name, manifest.licence, manifest.origin) == ("new", source.licence, source.origin)
    assert manifest.has_encoder == source.has_encoder
    assert (found.manifest.alignment, found.manifest.usual_misfit) == (source.alignment, 0.5)
    for graph in source.graphs:
        assert multiplied_in(found.graph(graph, found.precision_of(graph, "fp16"))) == {
            TensorProto.FLOAT if (graph, precision) == ("encoder", "both") else TensorProto.FLOAT16
        }
    picture = Image.fromarray(np.arange(0, 256, 4, np.uint8).reshape(8, 8))
    images = []
    for model, computed in ((models[name].path, "fp32"), (path, "fp16")):
        with edgefill.load(model, precision=computed) as completer:
            images.append(np.int16(completer.complete(picture, mask="center").image))
    assert np.abs(images[0] - images[1]).max() <= 8


def test_what_cannot_be_made_is_refused_and_nothing_written(models, tmp_path):
    path = tmp_path / "new.edgefill"
    with pytest.raises(InputError, match="int8 is for models of one pass"):
        export_again(models["search"], path, precision="int8", calibration=tmp_path)
    with pytest.raises(InputError, match="calibration is for int8"):
        export_again(models["search"], path, precision="fp16", calibration=tmp_path)
    with pytest.raises(InputError, match="--calibration FOLDER"):
        export_again(models["pass"], path, precision="int8")
    with pytest.raises(InputError, match="exported already, and precision is 'fp32'; expected"):
        export_again(models["pass"], path, precision="fp32")
    assert not list(tmp_path.iterdir())
    export_again(models["search"], path, precision="fp16")
    with pytest.raises(ModelError, match="new is in fp16; expected a model in fp32"):
        export_again(Bundle.open(path), tmp_path / "newer.edgefill", precision="both")


def test_int8_is_calibrated_by_a_folder(models, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(16):
        Image.fromarray(np.full((64, 64), 16 * number, np.uint8)).save(folder / f"{number}.png")
    manifest = export_again(models["pass"], tmp_path / "new.edgefill", precision="int8", calibration=folder)
    assert (manifest.precision, manifest.weights) == ("int8", "int8")
    assert "QuantizeLinear" in {
        node.op_type
        for node in onnx.load_from_string(
            Bundle.open(tmp_path / "new.edgefill").graph("completion")
        ).graph.node
    }

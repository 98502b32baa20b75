"""Every graph that a search runs builds in TensorRT for RTX without a GPU and without a warning."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from edgefill.export import export_bundle, export_completion
from edgefill.export.engines.library import open_library
from edgefill.export.engines.recipe import input_shapes, static
from edgefill.export.pipeline import export_pipeline
from edgefill.model import catalogue
from edgefill.model.bundle import Bundle
from edgefill.model.manifest import GRAPHS, HALF_GRAPHS, WIDE
from edgefill.networks.config import GlcicConfig
from edgefill.networks.glcic import CompletionNetwork
from tests.bundles import tiny_joined
from tests.export.building import build_engine
from tests.export.foreign import PAIRS, Z

FOREIGN = ("4×4 kernels, z as N×Z×1×1", "5×5 kernels with output padding", "residual adds")
BATCHES = (static(1), static(8), (1, 8, 64))


@pytest.fixture(scope="module")
def bundle(request, tmp_path_factory):
    """faces64, or a foreign pair with its graphs in both precisions."""
    if request.param == "faces64":
        return Bundle.open(catalogue.find("faces64"))
    path = tmp_path_factory.mktemp("foreign") / "pair.edgefill"
    pair = PAIRS[request.param]
    export_bundle(*pair.build(), path, z_dim=Z, precision="both", **pair.options)
    return Bundle.open(path)


def graphs(bundle):
    """Every graph of ``bundle`` in every precision that it has."""
    for precision in bundle.precisions:
        for name in GRAPHS if precision == bundle.manifest.precision else HALF_GRAPHS:
            yield bundle.graph(name, precision)
        for name in WIDE.values() if bundle.features(precision) else ():
            yield bundle.graph(name, precision)


@pytest.mark.parametrize("bundle", ["faces64", *FOREIGN], indirect=True)
def test_every_graph_builds_without_a_warning(bundle):
    assert bundle.precisions == ("fp32", "fp16")
    if bundle.manifest.name == "faces64":
        assert bundle.features("fp32") == bundle.features("fp16") == 4096
    for graph in graphs(bundle):
        sizes = [len(build_engine(graph, batch).content) for batch in BATCHES]
        assert min(sizes) > 10_000


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_network_of_one_pass_and_its_pipeline_build_without_a_warning(precision, tmp_path):
    torch.manual_seed(0)
    network = CompletionNetwork(GlcicConfig(channels=3, filters=4)).eval()
    pictures = np.random.default_rng(0).integers(0, 256, (4, 3, 64, 64), np.uint8)
    path = tmp_path / "pass.edgefill"
    export_completion(network, path, size=64, precision=precision, calibration=pictures)
    bundle = Bundle.open(path)
    shapes = input_shapes(bundle.manifest, "completion", static(1))
    assert len(build_engine(bundle.graph("completion"), static(1), shapes).content) > 10_000
    export_pipeline(bundle, tmp_path / "pipeline.onnx")
    pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx builds engines; it is x86-64 only")
    library = open_library("rtx")
    builder = library.create_builder()
    network = library.create_network(builder)
    parser = library.create_parser(network)
    library.call("read the pipeline", parser.parse, (tmp_path / "pipeline.onnx").read_bytes())
    assert not library.complaints
    profile = builder.create_optimization_profile()
    profile.set_shape("picture", (1, 1, 3), (480, 640, 3), (4096, 4096, 3))
    profile.set_shape("mask", (1, 1), (480, 640), (4096, 4096))
    config = library.create_config(builder, sm=(86,))
    config.add_optimization_profile(profile)
    library.call("build the pipeline", builder.build_serialized_network, network, config)
    assert not library.complaints


@pytest.mark.parametrize("bundle", ["faces64", *FOREIGN], indirect=True)
def test_no_transposed_convolution_carries_an_output_padding(bundle):
    transposed = [
        node
        for graph in graphs(bundle)
        for node in onnx.load_from_string(graph).graph.node
        if node.op_type == "ConvTranspose"
    ]
    assert len(transposed) >= 4
    assert not any(attribute.name == "output_padding" for node in transposed for attribute in node.attribute)


@pytest.mark.parametrize("bundle", ["faces64"], indirect=True)
def test_fp16_halves_the_plan_of_a_step(bundle):
    full, half = (
        len(build_engine(bundle.graph("step", precision), static(8)).content)
        for precision in bundle.precisions
    )
    assert half < 0.7 * full


@pytest.mark.parametrize("batch", [None, 3])
def test_a_network_of_one_size_builds_without_a_warning(batch, tmp_path):
    (tmp_path / "tiny.edgefill").write_bytes(tiny_joined(batch))
    bundle = Bundle.open(tmp_path / "tiny.edgefill")
    own = static(batch or 2)
    shapes = input_shapes(bundle.manifest, "completion", own)
    assert shapes == {"seen": ((batch or 2, 4, 16, 24),) * 3}
    assert build_engine(bundle.graph("completion"), own, shapes).content

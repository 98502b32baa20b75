"""Every graph that a search runs builds in TensorRT for RTX without a GPU and without a warning."""

from __future__ import annotations

import onnx
import pytest

from edgefill import models
from edgefill.bundle import GRAPHS, HALF_GRAPHS, Bundle
from edgefill.export import export_bundle
from edgefill.export.engines.recipe import static
from tests.export.building import build_engine
from tests.export.foreign import PAIRS, Z

FOREIGN = ("4×4 kernels, z as N×Z×1×1", "5×5 kernels with output padding", "residual adds")
BATCHES = (static(1), static(8), (1, 8, 64))


@pytest.fixture(scope="module")
def bundle(request, tmp_path_factory):
    """faces64, or a foreign pair with its graphs in both precisions."""
    if request.param == "faces64":
        return Bundle.open(models.find("faces64"))
    path = tmp_path_factory.mktemp("foreign") / "pair.edgefill"
    pair = PAIRS[request.param]
    export_bundle(*pair.build(), path, z_dim=Z, precision="both", **pair.options)
    return Bundle.open(path)


def graphs(bundle):
    """Every graph of ``bundle`` in every precision that it has."""
    for precision in bundle.precisions:
        for name in GRAPHS if precision == bundle.manifest.precision else HALF_GRAPHS:
            yield bundle.graph(name, precision)


@pytest.mark.parametrize("bundle", ["faces64", *FOREIGN], indirect=True)
def test_every_graph_builds_without_a_warning(bundle):
    assert bundle.precisions == ("fp32", "fp16")
    for graph in graphs(bundle):
        sizes = [len(build_engine(graph, batch).content) for batch in BATCHES]
        assert min(sizes) > 10_000


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

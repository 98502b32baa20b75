"""A network of one pass as a bundle: proven, of any size, in both precisions."""

from __future__ import annotations

from functools import cache, partial

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from edgefill.errors import InputError, ModelError
from edgefill.export import export_completion
from edgefill.methods.feed_forward.network import draw
from edgefill.model.bundle import Bundle
from edgefill.networks.config import GlcicConfig
from edgefill.networks.glcic import CompletionNetwork
from edgefill.runtimes import open_backend
from tests.bundles import tiny_one_pass


def network(channels: int = 3) -> CompletionNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return CompletionNetwork(
            GlcicConfig(channels=channels, filters=4), torch.full((channels,), 0.2)
        ).eval()


def exported(tmp_path, module=None, **options) -> Bundle:
    path = tmp_path / "pass.edgefill"
    export_completion(module or network(), path, **{"size": 64, **options})
    return Bundle.open(path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """The network's bundle in a precision, exported once."""

    @cache
    def of(precision: str = "fp32") -> Bundle:
        calibration = pictures() if precision == "int8" else None
        folder = tmp_path_factory.mktemp(precision)
        return exported(folder, precision=precision, family="glcic", calibration=calibration)

    return of


@pytest.mark.parametrize("precision", ["fp32", "fp16", "both"])
def test_the_graph_is_the_network_at_any_size_and_batch(shared, precision):
    bundle, module = shared(precision), network()
    assert bundle.manifest.family == "glcic" and not bundle.manifest.latent
    assert bundle.precisions == {"fp32": ("fp32",), "fp16": ("fp16",), "both": ("fp32", "fp16")}[precision]
    random = torch.Generator().manual_seed(0)
    for own in bundle.precisions:
        runtime = open_backend("cpu", bundle, precision=own)
        for count, height, width in ((1, 64, 64), (3, 16, 100), (2, 4, 4)):
            picture = torch.rand(count, 3, height, width, generator=random) * 2 - 1
            known = (torch.rand(count, 1, height, width, generator=random) < 0.6).float()
            with torch.no_grad():
                expected = module(picture, known).numpy()
            found = draw(runtime, bundle.manifest, picture.numpy(), known.numpy())
            np.testing.assert_allclose(found, expected, atol=1e-4 if precision == own == "fp32" else 0.02)


def test_a_rows_result_does_not_depend_on_its_batch(shared):
    bundle = shared()
    network_of = partial(draw, open_backend("cpu", bundle), bundle.manifest)
    rng = np.random.default_rng(0)
    picture = rng.uniform(-1, 1, (5, 3, 32, 32)).astype(np.float32)
    known = (rng.random((5, 1, 32, 32)) < 0.5).astype(np.float32)
    together = network_of(picture, known)
    for row in range(5):
        alone = network_of(picture[row : row + 1], known[row : row + 1])[0]
        np.testing.assert_allclose(alone, together[row], atol=1e-6)


def test_the_same_network_gives_the_same_bytes(tmp_path):
    first, second = tmp_path / "a.edgefill", tmp_path / "b.edgefill"
    for path in (first, second):
        export_completion(network(1), path, size=64, name="same")
    assert first.read_bytes() == second.read_bytes()


def test_batch_norms_are_folded_and_transposed_convolutions_are_plain_ones(shared):
    graph = onnx.load_from_string(shared().graph("completion")).graph
    kinds = {node.op_type for node in graph.node}
    assert "Conv" in kinds and not kinds & {"BatchNormalization", "ConvTranspose"}


def pictures(count: int = 20) -> np.ndarray:
    rows, columns = np.mgrid[:64, :64] / 64
    phase = np.arange(count)[:, None, None, None] / count
    waves = np.sin(6 * rows + np.array([1, 2, 3])[:, None, None] * columns + 6 * phase)
    return np.uint8(np.rint(127.5 + 120 * waves))


def test_in_int8_every_scale_is_explicit_and_symmetric_but_for_the_first_and_the_last_convolution(shared):
    bundle = shared("int8")
    assert bundle.precisions == ("int8",) and bundle.manifest.proof["noise"] < 0.04
    graph = onnx.load_from_string(bundle.graph("completion")).graph
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    makers = {node.output[0]: node.op_type for node in graph.node}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    quantised = [makers.get(node.input[1]) == "DequantizeLinear" for node in convolutions]
    assert quantised == [False, *[True] * 15, False]
    for node in graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            zero = values[node.input[2]]
            assert zero.dtype == np.int8 and not zero.any(), "TensorRT takes nothing else"


def test_int8_is_close_to_the_network_at_any_size(shared):
    bundle = shared("int8")
    picture = np.float32(pictures(2)[:, :, :32, :52]) / 127.5 - 1
    known = np.ones((2, 1, 32, 52), np.float32)
    known[:, :, 8:20, 10:30] = 0
    with torch.no_grad():
        expected = network()(torch.from_numpy(picture), torch.from_numpy(known)).numpy()
    found = draw(open_backend("cpu", bundle), bundle.manifest, picture, known)
    error = found - expected
    assert 0 < np.sqrt(np.square(error).mean()) < 0.03


@pytest.mark.parametrize("calibration", [None, np.zeros((3, 1, 64, 64), np.uint8), pictures()[:0]])
def test_int8_without_pictures_to_calibrate_by_is_refused(tmp_path, calibration):
    with pytest.raises(InputError, match=r"int8 needs pictures.*\[N, 3, 64, 64\].*--calibration FOLDER"):
        exported(tmp_path, precision="int8", calibration=calibration)
    assert not list(tmp_path.iterdir())


def test_int8_of_a_network_with_nothing_to_quantise_is_refused(tmp_path):
    class Shallow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(4, 3, 3, padding=1)

        def forward(self, picture, known):
            return torch.tanh(self.layer(torch.cat([picture * known, known], 1)))

    with pytest.raises(ModelError, match="found 1 convolutions, expected three or more"):
        exported(tmp_path, Shallow(), precision="int8", calibration=pictures())


class Shrinks(nn.Module):
    def forward(self, picture, known):
        return picture[:, :, ::2, ::2]


class Dices(nn.Module):
    """Not the same twice."""

    def forward(self, picture, known):
        return picture + torch.rand_like(picture)


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (Shrinks(), "returned"),
        (nn.Identity(), "does not run on pictures"),
        (Dices(), "rand_like .* draws random numbers"),
    ],
)
def test_what_is_no_completion_network_is_refused_and_nothing_is_written(tmp_path, module, said):
    with pytest.raises(ModelError, match=said):
        exported(tmp_path, module)
    assert not list(tmp_path.iterdir())


def test_what_does_not_apply_is_refused(shared, tmp_path):
    with pytest.raises(InputError, match=r"precision is 'int4'; expected one of .*'int8'"):
        exported(tmp_path, precision="int4")
    with pytest.raises(ModelError, match="holds no step"):
        shared().graph("step")


def test_a_bundle_of_one_pass_says_in_its_manifest_that_it_has_no_latent(tmp_path):
    path = tmp_path / "tiny.edgefill"
    path.write_bytes(tiny_one_pass())
    manifest = Bundle.open(path).manifest
    with pytest.raises(ModelError, match=r"cannot draw samples from .*it completes in one pass"):
        manifest.check_latent("draw samples from")
    assert len(manifest.digest) == 64

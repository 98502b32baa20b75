"""A network of one pass as a bundle: proven, of any size, in both precisions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edgefill.bundle import Bundle
from edgefill.completion.backends import open_backend
from edgefill.errors import BackendUnavailable, InputError, ModelError
from edgefill.export import export_one_pass
from edgefill.networks.config import GlcicConfig
from edgefill.networks.glcic import CompletionNetwork
from tests.bundles import tiny_one_pass


def network(channels: int = 3) -> CompletionNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return CompletionNetwork(
            GlcicConfig(channels=channels, filters=4), torch.full((channels,), 0.2)
        ).eval()


def exported(tmp_path, module=None, **options) -> Bundle:
    path = tmp_path / "pass.edgefill"
    export_one_pass(module or network(), path, **{"channels": 3, "size": 64, **options})
    return Bundle.open(path)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "both"])
def test_the_graph_is_the_network_at_any_size_and_batch(tmp_path, precision):
    bundle, module = exported(tmp_path, precision=precision), network()
    assert bundle.manifest.kind == "glcic" and bundle.manifest.z_dim == 0
    assert bundle.precisions == {"fp32": ("fp32",), "fp16": ("fp16",), "both": ("fp32", "fp16")}[precision]
    random = torch.Generator().manual_seed(0)
    for own in bundle.precisions:
        backend = open_backend("cpu", bundle, precision=own)
        for count, height, width in ((1, 64, 64), (3, 16, 100), (2, 4, 4)):
            picture = torch.rand(count, 3, height, width, generator=random) * 2 - 1
            known = (torch.rand(count, 1, height, width, generator=random) < 0.6).float()
            with torch.no_grad():
                expected = module(picture, known).numpy()
            found = backend.complete(picture.numpy(), known.numpy())
            np.testing.assert_allclose(found, expected, atol=1e-4 if precision == own == "fp32" else 0.02)


def test_a_rows_result_does_not_depend_on_its_batch(tmp_path):
    backend = open_backend("cpu", exported(tmp_path))
    rng = np.random.default_rng(0)
    picture = rng.uniform(-1, 1, (5, 3, 32, 32)).astype(np.float32)
    known = (rng.random((5, 1, 32, 32)) < 0.5).astype(np.float32)
    together = backend.complete(picture, known)
    for row in range(5):
        alone = backend.complete(picture[row : row + 1], known[row : row + 1])[0]
        np.testing.assert_allclose(alone, together[row], atol=1e-6)


def test_the_same_network_gives_the_same_bytes(tmp_path):
    first, second = tmp_path / "a.edgefill", tmp_path / "b.edgefill"
    for path in (first, second):
        export_one_pass(network(1), path, channels=1, size=64, name="same")
    assert first.read_bytes() == second.read_bytes()


def test_no_transposed_convolution_carries_an_output_padding(tmp_path):
    import onnx

    model = onnx.load_from_string(exported(tmp_path).graph("completion"))
    names = [
        attribute.name for node in model.graph.node if node.op_type == "ConvTranspose"
        for attribute in node.attribute
    ]  # fmt: skip
    assert names and "output_padding" not in names
    assert not [node for node in model.graph.node if node.op_type == "BatchNormalization"], "they are folded"


class Shrinks(nn.Module):
    def forward(self, picture, known):
        return picture[:, :, ::2, ::2]


class Dices(nn.Module):
    """Not the same twice."""

    def forward(self, picture, known):
        return picture + torch.rand_like(picture)


@pytest.mark.parametrize(
    ("module", "said"),
    [(Shrinks(), "returned"), (nn.Identity(), "cannot be exported"), (Dices(), "not what")],
)
def test_what_is_no_completion_network_is_refused_and_nothing_is_written(tmp_path, module, said):
    with pytest.raises(ModelError, match=said):
        exported(tmp_path, module)
    assert not list(tmp_path.iterdir())


def test_what_does_not_apply_is_refused(tmp_path):
    with pytest.raises(InputError, match="precision is 'int8'"):
        exported(tmp_path, precision="int8")
    bundle = exported(tmp_path)
    with pytest.raises(BackendUnavailable, match=r"one pass.*does not run on rtx yet"):
        open_backend("rtx", bundle)
    with pytest.raises(ModelError, match="holds no step"):
        bundle.graph("step")


def test_a_bundle_of_one_pass_says_in_its_manifest_that_it_has_no_latent(tmp_path):
    path = tmp_path / "tiny.edgefill"
    path.write_bytes(tiny_one_pass())
    manifest = Bundle.open(path).manifest
    with pytest.raises(ModelError, match=r"cannot draw samples from .*it completes in one pass"):
        manifest.check_latent("draw samples from")
    assert len(manifest.digest) == 64

"""The step behind G's first layer is what PyTorch computes of a G that is moved there."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from edgefill.export.halves import networks_in_half
from edgefill.export.objective import Completion
from edgefill.export.proof import random_case, run_graph
from edgefill.model import catalogue
from edgefill.model.bundle import Bundle
from edgefill.model.features import generator_of, widened
from edgefill.model.manifest import FIT
from tests.bundles import Z, tiny_bundle, tiny_networks

F = 64


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    path = tmp_path_factory.mktemp("features") / "tiny.edgefill"
    path.write_bytes(tiny_bundle())
    return Bundle.open(path)


@pytest.fixture(scope="module")
def wide(bundle):
    graph, count = widened(bundle.graph(FIT), Z, "uniform")
    assert count == F
    return graph


class Moved(torch.nn.Module):
    """The tiny G of z and what its first features are moved by, in units of 12 deviations over the prior."""

    def __init__(self):
        super().__init__()
        generator, _ = tiny_networks()
        self.first, self.rest = generator[0], generator[1:]

    def forward(self, latent):
        unit = 12 * self.first.weight.square().sum(1).sqrt() / 3**0.5
        return self.rest(self.first(latent[:, :Z]) + unit * latent[:, Z:])


def test_its_loss_gradient_and_picture_are_pytorch_s(bundle, wide):
    networks = Completion(Moved(), None)
    z, rest = random_case(lambda z: networks.generate(torch.nn.functional.pad(z, (0, F))), bundle.manifest)
    del rest["lam"]
    random = torch.Generator().manual_seed(2)
    moved, anchor = (torch.randn(len(z), F, generator=random) * 0.05 for _ in range(2))
    latent = torch.cat([z, moved], 1).requires_grad_(True)
    inputs = {**rest, "anchor": torch.cat([rest["anchor"], anchor], 1)}
    loss, parts = networks.fit(latent, **inputs)
    (gradient,) = torch.autograd.grad(loss.sum(), latent)
    found = run_graph(wide, {"z": latent.detach(), **inputs})
    for name, expected in {"loss": loss, "grad_z": gradient, **parts}.items():
        np.testing.assert_allclose(found[name], expected.detach(), rtol=1e-4, atol=1e-4, err_msg=name)
    drawn = run_graph(generator_of(wide), {"z": latent.detach()})["generated"]
    np.testing.assert_allclose(drawn, parts["generated"].detach(), atol=1e-5)


def in_both(bundle: Bundle, half: bytes) -> tuple[dict, dict]:
    """What the wide fit of ``bundle`` in fp32 and ``half``, the same in fp16, say of a search on its way."""
    model, features = bundle.manifest, widened(half, bundle.manifest.z_dim, "uniform")[1]
    z, rest = random_case(lambda z: torch.zeros(len(z), *model.picture_shape), model)
    del rest["lam"]
    moved = 0.05 * torch.randn(len(z), features, generator=torch.Generator().manual_seed(2))
    feeds = {
        **rest,
        "z": torch.cat([z, moved], 1),
        "anchor": torch.nn.functional.pad(rest["anchor"], (0, features)),
    }
    graphs = (widened(each, model.z_dim, "uniform")[0] for each in (bundle.graph(FIT), half))
    full, half_ = (run_graph(graph, feeds) for graph in graphs)
    return full, half_


@pytest.mark.parametrize("name", ["tiny", "faces64"])
def test_where_g_computes_in_fp16_it_is_that_of_fp32_but_for_g_s_rounding(name, bundle):
    if name == "tiny":
        half = networks_in_half(onnx.load_from_string(bundle.graph(FIT))).SerializeToString()
    else:
        bundle = Bundle.open(catalogue.find(name))
        half = bundle.graph(FIT, "fp16")
    full, found = in_both(bundle, half)
    for key, expected in full.items():
        error = np.linalg.norm(found[key] - expected) / np.linalg.norm(expected)
        assert 0 < error < (5e-3 if key == "grad_z" else 1e-3), key


def test_where_nothing_is_moved_it_is_the_fit(bundle, wide):
    z, rest = random_case(lambda z: torch.zeros(len(z), 1, 8, 8), bundle.manifest)
    del rest["lam"]
    plain = run_graph(bundle.graph(FIT), {"z": z, **rest})
    padded = {
        name: torch.nn.functional.pad(each, (0, F)) for name, each in (("z", z), ("anchor", rest["anchor"]))
    }
    found = run_graph(wide, {**rest, **padded})
    for name, expected in plain.items():
        np.testing.assert_array_equal(found[name][:, :Z] if name == "grad_z" else found[name], expected)


def test_nothing_is_made_of_weights_in_each_step_that_the_fit_does_not_make(bundle, wide):
    fit = bundle.graph(FIT)
    half = networks_in_half(onnx.load_from_string(fit)).SerializeToString()

    def of_weights_alone(content: bytes) -> list[str]:
        graph = onnx.load_from_string(content).graph
        weights = {each.name for each in graph.initializer}
        return [node.op_type for node in graph.node if weights.issuperset(node.input)]

    for plain, wider in ((fit, wide), (half, widened(half, Z, "uniform")[0])):
        assert of_weights_alone(wider) == of_weights_alone(plain)


def test_a_g_that_begins_otherwise_has_none(bundle):
    fit = bundle.graph(FIT)
    assert widened(fit, F, "uniform") == (b"", 0), "its matrix takes another z"
    assert widened(fit.replace(b"Gemm", b"Gemv"), Z, "uniform") == (b"", 0)
    assert bundle.features() == 0, "without an encoder no search begins where it would be used"

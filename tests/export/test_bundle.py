"""What ``export_bundle`` takes, refuses and writes: the precisions, the prior, and what G draws from it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from onnxruntime import InferenceSession
from torch import nn

from edgefill.errors import InputError, ModelError
from edgefill.export import bundle as export_room
from edgefill.export import export_bundle
from edgefill.model.bundle import Bundle
from edgefill.model.manifest import graph_signatures
from tests.bundles import Z, tiny_bundle, tiny_networks


def export(path, generator=None, **options):
    own, discriminator = tiny_networks()
    return export_bundle(generator or own, discriminator, path, **{"z_dim": Z, **options})


class OwnSlope(torch.autograd.Function):
    """Rounds, with the gradient of something else, as codebooks and straight-through layers have."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.round(4 * x) / 4

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * torch.cos(x)


class Rounded(nn.Module):
    """A batch norm behind its layer, which folding looks for, and a gradient of its own, which that loses."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(Z, 192), nn.BatchNorm1d(192))
        self.layers[1].running_mean.normal_(generator=torch.Generator().manual_seed(0))

    def forward(self, z):
        return torch.tanh(OwnSlope.apply(self.layers(z))).unflatten(1, (3, 8, 8))


class Asks(nn.Module):
    """A D that asks what kind of tensor it was given."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(192, 1)

    def forward(self, picture):
        return self.layer(picture.flatten(1)) * (1.0 if isinstance(picture, torch.Tensor) else 1.5)


def test_gradient_and_branches_of_one_s_own_are_those_of_eager_mode(tmp_path):
    """Both are lost where a module is run on what only stands for a tensor."""
    torch.manual_seed(0)
    generator, discriminator = Rounded().eval(), Asks().eval()
    path = tmp_path / "own.edgefill"
    proof = export_bundle(generator, discriminator, path, z_dim=Z).proof
    assert "central_differences" not in proof, "they are not what this G wants for a gradient"
    z = torch.rand(3, Z, generator=torch.Generator().manual_seed(1)).requires_grad_(True)
    picture = generator(z)
    target = torch.zeros_like(picture)
    (expected,) = torch.autograd.grad((picture - target).square().sum(), z)
    bundle = Bundle.open(path)
    feeds = {
        name: np.zeros([3, *shape[1:]], np.float32)
        for name, shape in graph_signatures(bundle.manifest)["step"][0].items()
    }
    feeds |= {"z": z.detach().numpy(), "power": np.full(3, 2, np.float32)}
    feeds["weight"] += 1
    (found,) = InferenceSession(bundle.graph("step")).run(["grad_z"], feeds)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-3, atol=1e-4)
    (logit,) = InferenceSession(bundle.graph("discriminator")).run(
        None, {"picture": picture.detach().numpy()}
    )
    np.testing.assert_allclose(logit, discriminator(picture).detach()[:, 0].numpy(), rtol=1e-4, atol=1e-5)


class Scaled(nn.Module):
    """The tiny generator, with its pictures times what ``factor`` makes of the first number of z."""

    def __init__(self, factor):
        super().__init__()
        self.network, self.factor = tiny_networks()[0], factor

    def forward(self, z):
        return self.network(z) * self.factor(z[:, 0])[:, None, None, None]


def loud_but_at_0(first):
    return 1 + 3 * first.abs()


def loud_in_one_of_ten(first):
    return torch.where(first > 0.8, 3.0, 1.0)


def not_a_number_in_a_quarter(first):
    return torch.sqrt(first + 0.5).clamp(max=1)


@pytest.mark.parametrize("factor", [loud_but_at_0, loud_in_one_of_ten])
def test_a_generator_beyond_its_range_is_refused_with_the_value_wherever_that_lies(factor, tmp_path):
    with pytest.raises(
        ModelError, match=r"G returned the value -?[1-4](\.\d+)? in 64 pictures .*uniform"
    ) as error:
        export(tmp_path / "loud.edgefill", Scaled(factor))
    assert "expected [-1, 1], as after a tanh" in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_generator_that_draws_what_is_no_number_is_refused_with_it(tmp_path):
    with pytest.raises(ModelError, match=r"G returned the value nan in 64 pictures"):
        export(tmp_path / "nan.edgefill", Scaled(not_a_number_in_a_quarter))
    assert not list(tmp_path.iterdir())


def test_the_range_is_that_of_draws_from_the_models_own_prior(tmp_path):
    """One that is loud for z beyond 1 draws well from the uniform prior and not from the normal one."""
    generator = Scaled(lambda first: 1 + (first.abs() - 1).clamp(min=0))
    assert export(tmp_path / "uniform.edgefill", generator).searched.prior == "uniform"
    with pytest.raises(ModelError, match=r"in 64 pictures of z drawn from the normal prior"):
        export(tmp_path / "normal.edgefill", generator, prior="normal")


@pytest.mark.parametrize(
    ("prior", "guess"),
    [("gaussian", "'normal'"), ("Gauss", "'normal'"), ("unifrom", "'uniform'"), ("truncated", "")],
)
def test_a_prior_that_cannot_be_searched_is_refused_before_anything_is_exported(
    prior, guess, tmp_path, monkeypatch
):
    monkeypatch.setattr(export_room, "prepared", lambda *_: pytest.fail("it was about to be exported"))
    with pytest.raises(
        InputError, match=rf"prior is '{prior}'; expected one of .*'uniform', 'normal'"
    ) as error:
        export(tmp_path / "x.edgefill", prior=prior)
    assert str(error.value).endswith(f"; did you mean {guess}?" if guess else ")")


def test_what_the_preparation_moves_is_seen_where_the_prior_reaches(tmp_path, monkeypatch):
    """Folding that is wrong for z beyond 1 alone: no draw on [-1, 1] shows it."""

    def folded(module, role, example=None):
        return nn.Sequential(nn.Hardtanh(), module) if role == "the generator" else module

    monkeypatch.setattr(export_room, "prepared", folded)
    assert export(tmp_path / "uniform.edgefill").proof["preparation"] == 0
    with pytest.raises(ModelError, match=r"moves G\(z\) by"):
        export(tmp_path / "normal.edgefill", prior="normal")


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

"""What ``export_bundle`` takes, refuses and writes: the precisions, the prior, and what G draws from it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from onnxruntime import InferenceSession
from PIL import Image
from torch import nn

import edgefill
from edgefill.errors import InputError, ModelError
from edgefill.export import bundle as export_room
from edgefill.export import export_bundle
from edgefill.methods.latent.settings import SearchSettings
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
    """A batch norm behind its layer, which folding looks for, and a gradient of its own."""

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
    (tmp_path / "own.edgefill").write_bytes(tiny_bundle())
    bundle = Bundle.open(tmp_path / "own.edgefill")
    assert bundle.precisions == ("fp32",)
    with pytest.raises(ModelError, match=r"holds its step in fp32, not in fp16; .* --precision both"):
        bundle.graph("step", "fp16")


def black_and_white(low: float, high: float):
    """The tiny networks, whose pictures are in [low, high] instead."""
    generator, discriminator = tiny_networks()
    return (
        nn.Sequential(generator, Mapped((high - low) / 2, low + (high - low) / 2)),
        nn.Sequential(Mapped(2 / (high - low), -1 - 2 * low / (high - low)), discriminator),
    )


class Mapped(nn.Module):
    def __init__(self, factor, offset):
        super().__init__()
        self.factor, self.offset = factor, offset

    def forward(self, x):
        return x * self.factor + self.offset


def outputs(path, graph, count=5):
    """What a graph of the bundle gives for random inputs."""
    bundle, random = Bundle.open(path), np.random.default_rng(0)
    shapes = graph_signatures(bundle.manifest)[graph][0]
    feeds = {name: random.random((count, *shape[1:]), np.float32) for name, shape in shapes.items()}
    session = InferenceSession(bundle.graph(graph))
    return dict(zip([each.name for each in session.get_outputs()], session.run(None, feeds), strict=True))


def test_pictures_of_another_range_are_found_out_and_an_argument_mends_it(tmp_path):
    path, own = tmp_path / "other.edgefill", tmp_path / "own.edgefill"
    for high in (255, 1):
        generator, discriminator = black_and_white(0, high)
        with pytest.raises(ModelError, match=r"picture_range=\(0, 1\)"):
            export_bundle(generator, discriminator, path, z_dim=Z)
    with pytest.raises(ModelError, match=r"expected \[0, 0.25\]"):
        export_bundle(generator, discriminator, path, z_dim=Z, picture_range=(0, 0.25))
    export_bundle(generator, discriminator, path, z_dim=Z, picture_range=(0, 1))
    own.write_bytes(tiny_bundle())
    for name, expected in outputs(own, "step").items():
        np.testing.assert_allclose(outputs(path, "step")[name], expected, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("wanted", [(1, 0), (0, float("nan")), 3, ("a", "b")])
def test_what_is_no_range_is_refused(wanted, tmp_path):
    with pytest.raises(InputError, match="expected what black and white are"):
        export(tmp_path / "x.edgefill", picture_range=wanted)


def test_a_search_without_d_is_the_fit_alone(tmp_path):
    path, own = tmp_path / "alone.edgefill", tmp_path / "own.edgefill"
    phases: list[str] = []
    manifest = export_bundle(
        tiny_networks()[0], None, path, z_dim=Z, precision="both", progress=phases.append
    )
    assert phases == [
        "tracing the generator in fp32", "tracing the fit in fp32", "comparing the graphs with PyTorch",
        "tracing the generator in fp16", "tracing the fit in fp16", "comparing the fp16 graphs with PyTorch",
    ]  # fmt: skip
    assert set(manifest.files) == {
        f"{graph}{half}.onnx" for graph in ("generator", "fit") for half in ("", ".fp16")
    }
    assert not {"logit", "fit"} & set(manifest.proof), "the loss is the fit, and there is no D"
    assert not manifest.has_discriminator and manifest.graphs == ("fit", "generator")
    own.write_bytes(tiny_bundle())
    found, expected = outputs(path, "fit"), outputs(own, "fit")
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-6, err_msg=name)
    picture = Image.fromarray(np.full((8, 8), 90, np.uint8))
    with edgefill.load(path) as completer:
        assert completer.complete(picture, mask="center").perceptual is None
        for settings in (SearchSettings("adam"), SearchSettings(lam=0.2)):
            with pytest.raises(
                ModelError,
                match=rf"without a discriminator.* lam is {settings.lam:g} \(solver \w+\); expected lam 0",
            ):
                completer.complete(picture, mask="center", settings=settings)
    with pytest.raises(ModelError, match="holds no step"):
        Bundle.open(path).graph("step")

"""State dicts of DCGANs, written by PyTorch and safetensors, become the networks that they are of."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from edgefill.errors import InputError, ModelError
from edgefill.export.weights.importer import examine_generator, import_generator
from edgefill.model.bundle import Bundle
from tests.export.weights.zoo import as_trained, latents, linear_d, linear_g, tutorial, tutorial_g

NORM = ("weight", "bias", "running_mean", "running_var")


@pytest.fixture(scope="module")
def pair():
    return tutorial()


def same(found, G, D=None):
    """Whether both draw the same pictures, and D's logits of them are the same."""
    z = latents(count=4, spatial=found.spatial_z)
    with torch.no_grad():
        pictures = G(z)
        assert torch.allclose(found.generator(z), pictures, atol=1e-6)
        if D is None:
            assert found.discriminator is None
        else:
            assert torch.allclose(found.discriminator(pictures), D(pictures).flatten(), atol=1e-5)
    return True


def without_sigmoid(D):
    return D.main[:-1]


def saved(path, content, *, old=False):
    torch.save(content, path, _use_new_zipfile_serialization=not old)
    return path


def test_the_tutorials_files_become_a_model(tmp_path, pair):
    G, D = pair
    lines = []
    manifest = import_generator(
        saved(tmp_path / "g.pth", G.state_dict()), tmp_path / "faces.edgefill",
        discriminator=saved(tmp_path / "d.pth", D.state_dict()), licence="CC0", report=lines.append,
    )  # fmt: skip
    assert (manifest.z_dim, manifest.picture_shape, manifest.latent.prior) == (8, (3, 16, 16), "normal")
    assert manifest.has_discriminator and manifest.proof["gradient"] <= 1e-4
    assert (manifest.origin, manifest.licence) == ("g.pth", "CC0")
    assert "z of 8 numbers, maps of 8-16-8-3 channels, pictures of 16×16" in lines[0]
    assert Bundle.open(tmp_path / "faces.edgefill").manifest == manifest


@pytest.mark.parametrize("form", ["zip", "old", "safetensors", "ddp", "half", "bfloat16", "double"])
def test_every_form_of_the_same_weights_is_read(tmp_path, pair, form):
    G, D = pair
    files = []
    for name, network in (("g", G), ("d", D)):
        state = network.state_dict()
        if form == "ddp":
            state = OrderedDict((f"module.{key}", value) for key, value in state.items())
        if form in ("half", "bfloat16", "double"):
            state = {key: value.to(getattr(torch, form)) for key, value in state.items()}
        path = tmp_path / f"{name}.pt"
        if form == "safetensors":
            save_file({f"net.{key}": value for key, value in state.items()}, path)
        else:
            saved(path, state, old=form == "old")
        files.append(path)
    found = examine_generator(*files)
    if form in ("half", "bfloat16"):
        atol = {"half": 1e-2, "bfloat16": 0.2}[form]
        assert torch.allclose(found.generator(latents(count=4, spatial=True)),
                              G(latents(count=4, spatial=True)), atol=atol)  # fmt: skip
    else:
        assert same(found, G, without_sigmoid(D))


@pytest.mark.parametrize(
    "nest",
    [
        lambda G, D: {"netG": G, "netD": D, "epoch": 3},
        lambda G, D: {"state_dict": {**_prefixed(G, "generator"), **_prefixed(D, "discriminator")}},
        lambda G, D: {"params": {k: v * 2 for k, v in G.items()}, "params_ema": G, "d": D},
        lambda G, D: {"models": {"G": G, "D": D}, "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}}},
        lambda G, D: _prefixed({**_prefixed(G, "G"), **_prefixed(D, "D")}, "module"),
    ],
)
def test_networks_inside_dictionaries_are_found(tmp_path, pair, nest):
    G, D = pair
    found = examine_generator(saved(tmp_path / "both.pth", nest(G.state_dict(), D.state_dict())))
    assert same(found, G, without_sigmoid(D))


def _prefixed(state, prefix):
    return {f"{prefix}.{key}": value for key, value in state.items()}


@pytest.mark.parametrize(("flat_norm", "kernel"), [(True, 5), (False, 4), (False, 3), (True, 2)])
def test_first_layers_that_are_linear_and_other_kernels_are_derived(tmp_path, flat_norm, kernel):
    G = as_trained(linear_g(flat_norm=flat_norm, kernel=kernel), latents())
    with torch.no_grad():
        D = as_trained(linear_d(), G(latents()))
    g, d = saved(tmp_path / "g.pth", G.state_dict()), saved(tmp_path / "d.pth", D.state_dict())
    found = examine_generator(g, d)
    assert (found.z_dim, found.spatial_z, found.prior) == (8, False, "normal")
    assert same(found, G, D)


@pytest.mark.parametrize("prior", ["normal", "uniform"])
@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_prior_and_activations_are_those_of_the_statistics(tmp_path, prior, slope):
    G, _ = tutorial(prior, act=lambda: nn.LeakyReLU(slope) if slope else nn.ReLU())
    path = saved(tmp_path / "g.pth", G.state_dict())
    found = examine_generator(path)
    assert found.prior == prior and same(found, G)
    assert f"as its batch norms remember it: z from the {prior} prior" in found.found[1]
    other = examine_generator(path, prior="normal")
    assert other.prior == "normal", "what is told goes before what is found"


def test_what_nothing_tells_is_as_usual_and_said(tmp_path):
    found = examine_generator(saved(tmp_path / "g.pth", tutorial_g().state_dict()))
    assert found.prior == "normal" and "import with --prior" in found.found[1]
    assert "no D: the search has no perceptual loss" in found.found[2]


def test_statistics_of_another_network_are_said(tmp_path, pair):
    state = pair[0].state_dict()
    state["main.4.running_var"] = state["main.4.running_var"] * 100
    found = examine_generator(saved(tmp_path / "g.pth", state))
    assert "remember quite other values than its layers give" in " ".join(found.found)


def _changed(**changes):
    def change(state):
        for name, value in changes.items():
            key = name.replace("__", ".")
            if value is None:
                del state[key]
            else:
                state[key] = value
        return state

    return change


class Resident(nn.Module):
    """A residual network's first and last layers."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 7, bias=False), nn.BatchNorm2d(8)
        self.layer1, self.fc = nn.Conv2d(8, 8, 3), nn.Linear(8, 10)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (_changed(main__1__running_var=None), "lacks main.1.running_var; save all"),
        (_changed(main__1__running_var=None, main__1__running_mean=None), "lacks main.1.running_mean and"),
        (_changed(**{f"main__1__{each}": torch.ones(4, 4) for each in NORM}), "expected one, of one axis"),
        (_changed(main__3__weight=None), "does not fit: it is of 8 channels, where 16 come in"),
        (_changed(main__3__weight=torch.zeros(12, 8, 4, 4)), "main.3 (convolution, 12×8×4×4) does not fit"),
        (_changed(main__3__weight=torch.zeros(16, 8, 4, 3)), "with a square kernel takes 16 channels here"),
        (_changed(main__6__weight=torch.zeros(8, 4, 4, 4)), "to the 1 or 3 channels of a picture"),
        (_changed(main__6__weight=torch.zeros(8, 3, 4)), "main.6.weight of 3 axes; expected 4"),
        (_changed(main__6__weight_orig=torch.zeros(8, 3, 4, 4)), "the tensor main.6.weight_orig (8×3×4×4)"),
        (lambda state: Resident().state_dict(), "is no generator of a DCGAN: it has 4 layers, conv1"),
        (lambda state: {"a": state, "b": state}, "holds 2 networks that may be the generator of a DCGAN: a"),
        (lambda state: {"epoch": 3}, "holds no weights: expected a state dict"),
        (lambda state: Resident(), "holds more than weights, which would be run to be read"),
    ],
)  # fmt: skip
def test_what_is_no_generator_is_refused_with_the_reason(tmp_path, pair, content, words):
    path = saved(tmp_path / "g.pth", content(dict(pair[0].state_dict())))
    with pytest.raises(ModelError) as error:
        examine_generator(path)
    assert words in str(error.value)


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04 and nothing", b"\x80\x02}q\x00.", b"\x05\0\0\0\0\0\0\0{,,,,"]
)
def test_a_damaged_file_is_refused(tmp_path, content):
    path = tmp_path / "g.pth"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"g\.pth"):
        examine_generator(path)


def test_a_discriminator_of_other_pictures_is_refused(tmp_path, pair):
    G, D = pair
    g = saved(tmp_path / "g.pth", G.state_dict())
    with pytest.raises(ModelError, match="takes 3 channels here"):
        examine_generator(g, saved(tmp_path / "grey.pth", linear_d().state_dict()))
    with pytest.raises(ModelError, match="is no discriminator of a DCGAN"):
        examine_generator(g, saved(tmp_path / "norm.pth", {"weight": torch.zeros(1, 3)}))
    wide = {**D.state_dict(), "main.5.weight": torch.zeros(1, 16, 8, 8)}
    with pytest.raises(ModelError, match="the last has 1 output and spans the maps of 4×4"):
        examine_generator(g, saved(tmp_path / "wide.pth", wide))
    with pytest.raises(InputError, match="prior is 'gauss'; expected one of uniform, normal"):
        examine_generator(g, prior="gauss")


def test_a_precision_without_gradients_is_refused(tmp_path):
    with pytest.raises(InputError, match="precision is 'int8'; expected one of fp32, fp16, both"):
        import_generator(tmp_path / "g.pth", tmp_path / "g.edgefill", precision="int8")

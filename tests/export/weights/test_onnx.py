"""G and D in ONNX files, as PyTorch's exporters and other frameworks write them, become models."""

from __future__ import annotations

import warnings

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

from edgefill.errors import ModelError
from edgefill.export.weights.importer import examine_generator, import_generator
from edgefill.export.weights.onnx_files import read_generator
from edgefill.export.weights.taking_z import takes_z
from edgefill.model.bundle import Bundle
from tests.export.importing.zoo import CONVENTIONS, network
from tests.export.weights.zoo import Wrapped, latents, linear_d, tutorial

_BATCH = {"z": {0: "n"}, "picture": {0: "n"}}


def exported(path, network, rows, name, *, dynamo=False, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the older exporter's age, and of what the newer one uses
        torch.onnx.export(network, (rows,), path, input_names=[name], dynamo=dynamo, verbose=False, **options)
    return path


@pytest.fixture(scope="module")
def pair():
    return tutorial()


@pytest.fixture(scope="module")
def files(tmp_path_factory, pair):
    """The tutorial's G and D by PyTorch's older exporter: G for one z at a time, D for 64 pictures."""
    folder = tmp_path_factory.mktemp("onnx")
    G, D = pair
    g = exported(folder / "g.onnx", G, torch.zeros(1, 8, 1, 1), "z")
    return g, exported(folder / "d.onnx", D, torch.zeros(64, 3, 16, 16), "picture")


def logits(found, pictures):
    return found.discriminator(pictures).flatten()


def same(found, G, D=None):
    """Whether both draw the same pictures, and D's logits of them are the same."""
    z = latents(count=3, spatial=found.spatial_z)
    with torch.no_grad():
        pictures = G(z)
        assert torch.allclose(found.generator(z), pictures, atol=1e-5)
        if D is not None:
            assert torch.allclose(logits(found, pictures), D(pictures).flatten(), atol=1e-4)
    return True


def test_the_tutorials_files_become_a_model(tmp_path, files):
    g, d = files
    lines = []
    manifest = import_generator(g, tmp_path / "a.edgefill", discriminator=d, report=lines.append)
    assert (manifest.z_dim, manifest.picture_shape, manifest.latent.prior) == (8, (3, 16, 16), "normal")
    assert manifest.has_discriminator and manifest.proof["gradient"] <= 1e-4
    assert "z of 8 numbers, pictures of 16×16, 3 channel(s)" in lines[0]
    assert "import with --prior" in lines[1] and "Tanh: pictures in -1..1" in lines[2]
    assert "its sigmoid is cut off" in lines[3]
    assert Bundle.open(tmp_path / "a.edgefill").manifest == manifest


def test_files_and_state_dicts_go_together(tmp_path, pair, files):
    G, D = pair
    g, d = files
    torch.save(G.state_dict(), tmp_path / "g.pth")
    torch.save(D.state_dict(), tmp_path / "d.pth")
    for pair_of_files in ((g, d), (g, tmp_path / "d.pth"), (tmp_path / "g.pth", d)):
        assert same(examine_generator(*pair_of_files), G, D.main[:-1])
    found = examine_generator(g, prior="uniform")
    assert (found.prior, found.discriminator) == ("uniform", None)
    assert "--discriminator FILE brings one" in found.found[-1]


def test_the_newer_exporters_files_are_read(tmp_path, pair):
    G, _ = pair
    rows = torch.zeros(2, 8, 1, 1)
    path = exported(tmp_path / "g.onnx", G, rows, "z", dynamo=True,
                    dynamic_shapes=({0: torch.export.Dim("n")},))  # fmt: skip
    assert same(examine_generator(path), G)


class Resizing(nn.Module):
    """Maps made larger by nearest neighbours and convolutions, with sizes that are asked for; in [0, 1]."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(8, 4 * 4 * 4)
        self.maps = nn.Sequential(
            nn.Upsample(scale_factor=2), nn.Conv2d(4, 6, 3, padding=1), nn.InstanceNorm2d(6), nn.PReLU(6),
            nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(6, 1, 3, padding=1), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, z):
        return self.maps(self.first(z).view(z.size(0), 4, 4, -1))


@pytest.mark.parametrize("opset", [9, 17])
def test_resizing_generators_of_any_opset_are_read(tmp_path, opset):
    G = Resizing().eval()
    path = exported(tmp_path / "g.onnx", G, torch.zeros(2, 8), "z", dynamic_axes=_BATCH, opset_version=opset)
    found = examine_generator(path)
    assert same(found, G) and not found.spatial_z
    assert found.picture_range == (0.0, 1.0) and "Sigmoid: pictures in 0..1" in found.found[2]
    z = latents(count=3).half()
    halved = found.generator.half()(z)
    assert halved.dtype == torch.float16, "nothing in it asks for another type"
    assert torch.allclose(halved.float(), G(z.float()), atol=1e-2)


class ChannelsLast(nn.Module):
    """As Keras has them: pictures N×H×W×C; one number at the end of D."""

    def __init__(self, inner, *, draws):
        super().__init__()
        self.inner, self.draws = inner, draws

    def forward(self, x):
        return self.inner(x).permute(0, 2, 3, 1) if self.draws else self.inner(x.permute(0, 3, 1, 2))


def test_channels_may_come_last(tmp_path, pair):
    G, D = pair
    draws, judges = ChannelsLast(G, draws=True).eval(), ChannelsLast(D, draws=False).eval()
    g = exported(tmp_path / "g.onnx", draws, torch.zeros(1, 8, 1, 1), "z")
    d = exported(tmp_path / "d.onnx", judges, torch.zeros(1, 16, 16, 3), "picture", dynamic_axes=_BATCH)
    assert same(examine_generator(g, d), G, D.main[:-1])


def test_files_in_half_are_read(tmp_path, pair, files):
    model = onnx.load(files[0])
    half = helper.np_dtype_to_tensor_dtype(np.dtype(np.float16))
    for tensor in model.graph.initializer:
        tensor.CopyFrom(
            numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name)
        )
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = half
    onnx.save(model, tmp_path / "g.onnx")
    G, _ = pair
    z = latents(count=3, spatial=True)
    assert torch.allclose(examine_generator(tmp_path / "g.onnx").generator(z), G(z), atol=1e-2)


def test_generators_are_told_from_completion_networks(tmp_path, files):
    g, d = files
    assert takes_z(g) and not takes_z(d)
    for at, convention in enumerate(CONVENTIONS.values()):
        onnx.save(network(convention), tmp_path / f"{at}.onnx")
        assert not takes_z(tmp_path / f"{at}.onnx")
    (tmp_path / "text.onnx").write_text("no network")
    assert not takes_z(tmp_path / "text.onnx")


class Several(nn.Module):
    def forward(self, x):
        return x.flatten(1)[:, :2]


@pytest.mark.parametrize(
    ("G", "rows", "words"),
    [
        (nn.Linear(8, 3), torch.zeros(1, 8), "expected pictures of 1 or 3 channels, N×C×H×W or N×H×W×C"),
        (nn.Conv2d(3, 3, 3), torch.zeros(1, 3, 8, 8), "expected z of a known length alone, N×Z or N×Z×1×1"),
        (Wrapped(nn.Linear(8, 12), nn.Unflatten(1, (3, 2, 2)), nn.BatchNorm2d(3).train()), torch.zeros(2, 8),
         "g.onnx"),
    ],
)  # fmt: skip
def test_what_is_no_generator_is_refused(tmp_path, G, rows, words):
    path = exported(tmp_path / "g.onnx", G, rows, "z", training=torch.onnx.TrainingMode.PRESERVE)
    with pytest.raises(ModelError) as error:
        read_generator(path)
    assert words in str(error.value)


def test_what_is_no_discriminator_is_refused(tmp_path, files):
    g, _ = files
    grey = exported(tmp_path / "grey.onnx", linear_d(), torch.zeros(1, 1, 28, 28), "picture")
    with pytest.raises(ModelError, match="takes picture float32 1×1×28×28, and G draws 3×16×16"):
        examine_generator(g, grey)
    two = exported(tmp_path / "two.onnx", Several(), torch.zeros(1, 3, 16, 16), "picture")
    with pytest.raises(ModelError, match="returns 2 numbers for a picture"):
        examine_generator(g, two)
    with pytest.raises(ModelError, match="expected pictures alone, N×3×16×16"):
        examine_generator(g, _with_labels(tmp_path / "labels.onnx", two))


def _with_labels(path, file):
    model = onnx.load(file)
    model.graph.input.append(helper.make_tensor_value_info("label", onnx.TensorProto.FLOAT, [1, 3]))
    onnx.save(model, path)
    return path


def test_a_network_that_is_not_the_files_is_refused(monkeypatch, files):
    from edgefill.export.weights import onnx_network

    monkeypatch.setitem(onnx_network.KNOWN, "Relu", lambda node, x: x.clamp(min=0.01))
    with pytest.raises(ModelError, match="from what ONNX Runtime makes of it, relatively"):
        read_generator(files[0])

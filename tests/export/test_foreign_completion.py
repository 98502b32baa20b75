"""Anybody's completion network exports as PyTorch computes it, says what it takes, and builds in TensorRT."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from edgefill.errors import InputError, ModelError
from edgefill.export import export_completion
from edgefill.export.proof import run_graph
from edgefill.model.bundle import Bundle
from edgefill.model.interface import Input, Interface, Output
from tests.export.building import build_completion
from tests.export.foreign_completion import GMCNN, NETWORKS, Joined, Levels, SpectralBlock, beside


def exported(name: str, tmp_path, **options) -> Bundle:
    foreign, path = NETWORKS[name], tmp_path / "network.edgefill"
    export_completion(foreign.build(), path, **{"size": foreign.size, **foreign.options, **options})
    return Bundle.open(path)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_exports_proven_with_what_it_takes_and_builds(name, tmp_path):
    foreign, bundle = NETWORKS[name], exported(name, tmp_path)
    interface = bundle.manifest.passed
    assert (interface.reach, interface.trained_side) == (foreign.reach, foreign.size)
    assert interface.sizes.fixed == foreign.fixed
    assert (interface.sizes.multiple, interface.sizes.smallest) == (foreign.multiple, foreign.smallest)
    assert bundle.manifest.proof["completed"] <= 1e-4 + (interface.output.dtype == "uint8") * 2 / 255
    assert len(build_completion(bundle.graph("completion"), interface)) > 5_000


HALF = (
    "three halvings",
    "partial convolutions",
    "global attention",
    "instance norm",
    "joined, as MI-GAN",
    "Fourier convolutions",
)


@pytest.mark.parametrize("name", HALF)
def test_a_network_exports_and_builds_in_both_precisions(name, tmp_path):
    bundle = exported(name, tmp_path, precision="both")
    assert bundle.precisions == ("fp32", "fp16") and 0 < bundle.manifest.proof["fp16 completed"] <= 0.05
    for precision in bundle.precisions:
        assert build_completion(bundle.graph("completion", precision), bundle.manifest.passed)


def pictures(count: int = 8) -> np.ndarray:
    rows, columns = np.mgrid[:32, :32] / 32
    phase = np.arange(count)[:, None, None, None] / count
    waves = np.sin(5 * rows + np.array([1, 2, 3])[:, None, None] * columns + 6 * phase)
    return np.uint8(np.rint(127.5 + 120 * waves))


class Deep(Levels):
    def __init__(self) -> None:
        super().__init__()
        self.layers.insert(2, torch.nn.Conv2d(8, 8, 3, padding=1))
        self.layers.insert(3, torch.nn.ReLU())


def test_int8_is_calibrated_with_what_the_interface_feeds(tmp_path):
    path, interface = tmp_path / "deep.edgefill", NETWORKS["0 to 1 and holes, as LaMa"].options["interface"]
    torch.manual_seed(0)
    options = {"precision": "int8", "calibration": pictures(), "interface": interface}
    manifest = export_completion(Deep(), path, size=32, **options)
    assert manifest.weights == "int8" and manifest.passed.reach == 3
    assert 0 < manifest.proof["noise"] < 0.04, "of [-1, 1], whatever the range of the output is"
    model = onnx.load_from_string(Bundle.open(path).graph("completion"))
    assert [value.name for value in model.graph.input] == ["image", "mask"]
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    first = next(node for node in model.graph.node if node.op_type == "QuantizeLinear")
    assert values[first.input[1]] < 0.1, "a scale for activations of pictures in [0, 1]"


def test_the_graph_takes_and_returns_what_the_interface_says(tmp_path):
    bundle = exported("channels last and BGR, as GMCNN", tmp_path)
    module, interface = NETWORKS["channels last and BGR, as GMCNN"].build(), bundle.manifest.passed
    image = torch.rand(2, 20, 36, 3) * 255
    mask = (torch.rand(2, 20, 36, 1) < 0.3).float() * 255
    with torch.no_grad():
        expected = module(image, mask)
    found = run_graph(bundle.graph("completion"), {"image": image, "mask": mask})["drawn"]
    assert found.shape == (2, 20, 36, 3) and (found - expected).abs().max() < 0.01
    metadata = {
        entry.key: entry.value for entry in onnx.load_from_string(bundle.graph("completion")).metadata_props
    }
    assert metadata["Image.BitmapPixelFormat"] == "Bgr8"
    assert metadata["Image.NominalPixelRange"] == "NominalRange_0_255"
    assert interface == Interface(
        **{**vars(GMCNN["interface"]), "sizes": interface.sizes, "reach": 2, "trained_side": 32}
    )


def test_channels_are_those_that_it_takes_unless_they_are_said(tmp_path):
    class Grey(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Conv2d(2, 1, 3, padding=1)

        def forward(self, picture, known):
            return self.layer(torch.cat([picture, known], 1))

    class Any(torch.nn.Module):
        def forward(self, picture, known):
            return picture * known

    assert export_completion(Grey(), tmp_path / "grey", size=16).channels == 1
    assert export_completion(Any(), tmp_path / "three", size=16).channels == 3
    assert export_completion(Any(), tmp_path / "one", size=16, channels=1).channels == 1


def test_one_size_may_be_asked_for_and_is_offered_where_no_other_can_be_exported(tmp_path):
    network = beside(lambda: SpectralBlock(8))()
    with pytest.raises(ModelError, match=r"fixed=True exports it for pictures of 32×32 alone"):
        export_completion(network, tmp_path / "any.edgefill", size=32)
    assert not list(tmp_path.iterdir())
    fixed = export_completion(
        Joined(), tmp_path / "one", size=32, fixed=True, **NETWORKS["joined, as MI-GAN"].options
    )
    assert fixed.passed.sizes.fixed == (32, 32) and fixed.passed.reach is None


def test_an_interface_that_is_not_the_networks_is_refused(tmp_path):
    joined = NETWORKS["joined, as MI-GAN"].options["interface"]
    rows = Interface((Input("image", ("picture",), "CHW"), Input("mask", ("mask",))), Output("drawn"), 32)
    for network, interface, said in (
        (Levels(), joined, "does not run on pictures"),
        (
            NETWORKS["bytes"].build(),
            NETWORKS["0 to 1 and holes, as LaMa"].options["interface"],
            "returned torch.uint8",
        ),
    ):
        with pytest.raises(ModelError, match=said):
            export_completion(network, tmp_path / "x", size=32, interface=interface)
    with pytest.raises(InputError, match="layouts with an N"):
        export_completion(Levels(), tmp_path / "x", size=32, interface=rows)
    assert not list(tmp_path.iterdir())


class HalfSpectrum(torch.nn.Module):
    def forward(self, picture, known):
        return torch.fft.irfftn(torch.fft.rfftn(picture * known))


def test_what_has_no_form_in_fp16_is_said(tmp_path):
    with pytest.raises(ModelError, match=r"no form in fp16 .*x\.float\(\), or export in fp32"):
        export_completion(HalfSpectrum(), tmp_path / "x", size=32, fixed=True, precision="fp16")


class LooksAtTheBatch(torch.nn.Module):
    def forward(self, picture, known):
        return picture * known - (picture * known).mean(0, keepdim=True)


def test_a_network_that_mixes_its_pictures_is_refused(tmp_path):
    with pytest.raises(ModelError, match="each sample"):
        export_completion(LooksAtTheBatch(), tmp_path / "x", size=32)

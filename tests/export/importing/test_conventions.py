"""Each convention of public networks, imported without a word where that is possible."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from edgefill.export.importing.importer import import_network
from edgefill.export.importing.recognition import Told
from edgefill.export.importing.scene import scene
from edgefill.model.bundle import Bundle
from tests.export.importing.zoo import CONVENTIONS, SIDE, network


def through(path, picture, known) -> np.ndarray:
    """What the bundle draws, by its own interface."""
    bundle = Bundle.open(path)
    interface = bundle.manifest.passed
    session = onnxruntime.InferenceSession(bundle.graph("completion"), providers=["CPUExecutionProvider"])
    values = session.run(None, interface.feeds(picture, known))
    names = [output.name for output in session.get_outputs()]
    return interface.drawn(dict(zip(names, values, strict=True)))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """What the same network draws in the plainest convention."""
    folder = tmp_path_factory.mktemp("plain")
    onnx.save(network(CONVENTIONS["Qualcomm's LaMa"]), folder / "plain.onnx")
    import_network(folder / "plain.onnx", folder / "plain.edgefill")
    return through(folder / "plain.edgefill", *scene(SIDE, SIDE))


@pytest.mark.parametrize("name", sorted(CONVENTIONS))
def test_it_completes_as_in_any_other_convention(tmp_path, name, plain):
    convention = CONVENTIONS[name]
    expected = convention.interface
    onnx.save(network(convention), tmp_path / "it.onnx")
    manifest = import_network(tmp_path / "it.onnx", tmp_path / "it.edgefill", told=Told(side=SIDE))
    found = manifest.passed
    assert found.inputs == expected.inputs
    assert (found.mask, found.order, found.sees) == (expected.mask, expected.order, expected.sees)
    assert found.range == expected.range
    assert found.output.name == expected.output.name and found.output.range == expected.output.range
    assert found.output.pasted and not found.output.hole_only
    assert (found.sizes.fixed, found.sizes.multiple) == (expected.sizes.fixed, expected.sizes.multiple)
    assert (found.reach is None) == (found.sizes.fixed is not None)
    picture, known = scene(SIDE, SIDE, expected.channels)
    drawn = through(tmp_path / "it.edgefill", picture, known)
    missing = np.broadcast_to(known == 0, picture.shape)
    assert np.abs(drawn - picture)[missing].mean() < 0.1
    if expected.channels == 3:
        assert np.abs(drawn - plain).max() < 2.5 / 127.5, "within a grey level or two of bytes"

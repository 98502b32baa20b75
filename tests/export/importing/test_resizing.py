"""A network of one size takes smaller pictures where only constants over its maps stand in the way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgefill.errors import InputError, ModelError
from edgefill.export.importing.importer import examine
from edgefill.export.importing.network import Network
from edgefill.export.importing.resizing import resized
from edgefill.export.importing.scene import scene
from edgefill.export.importing.trial import Trial
from edgefill.model.interface import Sizes
from tests.export.importing.zoo import CONVENTIONS, SIDE, network

FIXED = CONVENTIONS["Qualcomm's LaMa"]
HALF = SIDE // 2
NOISE = np.random.default_rng(0).normal(0, 0.01, (SIDE, SIDE)).astype(np.float32)
PATTERN = np.tile(np.float32([[1, 0.99], [0.99, 0.99]]), (SIDE // 2, SIDE // 2))[None, None]


def of_side(side, *nodes, noise=NOISE, pattern=PATTERN):
    """The network for ``side``, whose drawing goes through ``nodes`` to what it gives."""
    interface = replace(FIXED.interface, sizes=Sizes(fixed=(side, side)), trained_side=side)
    model = network(replace(FIXED, interface=interface))
    model.graph.node[-1].output[0] = "plain"
    model.graph.node.extend(nodes)
    model.graph.initializer.append(numpy_helper.from_array(noise, "noise"))
    model.graph.node.insert(
        0, helper.make_node("Constant", [], ["pattern"], value=numpy_helper.from_array(pattern))
    )
    return model, interface


def laid_over():
    """Nodes that lay the noise and the pattern over the drawing."""
    make = helper.make_node
    return (
        make("Identity", ["noise"], ["same"]),
        make("Mul", ["pattern", "plain"], ["patterned"]),
        make("Add", ["patterned", "same"], [FIXED.interface.output.name]),
    )


def halved():
    """What the smaller network has to be, made as such."""
    return of_side(
        HALF, *laid_over(), noise=NOISE[:HALF, :HALF].copy(), pattern=PATTERN[..., :HALF, :HALF].copy()
    )


def drawn(model, interface, side):
    return Network(model, "it").drawn(interface, *scene(side, side, 3))


def test_what_lies_over_its_maps_is_cut():
    model, interface = resized(*of_side(SIDE, *laid_over()), HALF, "it")
    assert (interface.cells, interface.trained_side) == ((HALF, HALF), HALF)
    np.testing.assert_array_equal(drawn(model, interface, HALF), drawn(*halved(), HALF))


def test_it_is_tried_at_the_size_that_it_has_now(tmp_path):
    onnx.save(of_side(SIDE, *laid_over())[0], tmp_path / "net.onnx")
    examined = examine(tmp_path / "net.onnx", size=HALF)
    assert examined.size == examined.interface.sizes.fixed == (HALF, HALF)
    half = Trial(Network(halved()[0], "half"), (HALF, HALF), 3).outcome(examined.interface)
    assert (examined.proof["hole"], examined.proof["known"]) == (half.hole, half.known)


def test_a_network_that_is_fixed_by_more_does_not_run(tmp_path):
    shape = numpy_helper.from_array(np.int64([1, 3, SIDE, SIDE]))
    nodes = (
        helper.make_node("Constant", [], ["shape"], value=shape),
        helper.make_node("Reshape", ["plain", "shape"], [FIXED.interface.output.name]),
    )
    onnx.save(of_side(SIDE, *nodes)[0], tmp_path / "net.onnx")
    with pytest.raises(ModelError, match=f"net.onnx does not run on .*{HALF}"):
        examine(tmp_path / "net.onnx", size=HALF)


def test_a_size_that_cannot_be_is_refused():
    model, interface = of_side(SIDE, *laid_over())
    with pytest.raises(InputError, match="can be cut, and not made larger; expected 64 at most"):
        resized(model, interface, 2 * SIDE, "it")
    with pytest.raises(InputError, match="any size; found --size 32: leave it out"):
        resized(model, replace(interface, sizes=Sizes()), HALF, "it")
    pooled = (
        helper.make_node("AveragePool", ["plain"], ["pooled"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Add", ["pooled", "noise"], ["cells"]),
        helper.make_node("ReduceMean", ["cells"], ["level"], axes=[1, 2, 3]),
        helper.make_node("Add", ["plain", "level"], [FIXED.interface.output.name]),
    )
    with pytest.raises(ModelError, match=r"its map of 8×8 would be 4.5×4.5; choose a --size that divides 64"):
        resized(*of_side(SIDE, *pooled, noise=NOISE[:8, :8].copy()), 36, "it")

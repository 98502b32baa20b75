"""What a network of any size takes and sees is measured, and so is how many pictures it takes at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgefill.errors import ModelError
from edgefill.export.importing import measuring
from edgefill.export.importing.importer import examine
from edgefill.export.importing.measuring import with_any_batch, with_reach, with_sizes
from edgefill.export.importing.network import Network
from edgefill.model.interface import Sizes
from tests.export.importing.zoo import CONVENTIONS, SIDE, network

ANY = CONVENTIONS["ailia's LaMa"]


def of_multiple(multiple: int):
    return replace(ANY, interface=replace(ANY.interface, sizes=Sizes(multiple)))


@pytest.mark.parametrize("multiple", [1, 2, 8, 32])
def test_sizes_are_found_by_trying(multiple):
    convention = of_multiple(multiple)
    model = Network(network(convention), "it")
    found = with_sizes(model, replace(convention.interface, sizes=Sizes()))
    assert found.sizes == Sizes(multiple, multiple)


def test_a_fixed_size_is_left_and_sees_the_whole_picture():
    interface = CONVENTIONS["Qualcomm's LaMa"].interface
    model = Network(network(CONVENTIONS["Qualcomm's LaMa"]), "it")
    assert with_reach(model, with_sizes(model, replace(interface, reach=3))) == interface


def test_a_network_that_takes_no_size_is_refused(monkeypatch):
    monkeypatch.setattr(measuring, "_takes", lambda *_: False)
    model = Network(network(ANY), "it")
    with pytest.raises(
        ModelError, match=r"declares pictures of any size and takes none of sides 97, 98, .*192"
    ):
        with_sizes(model, replace(ANY.interface, sizes=Sizes()))


def test_the_reach_is_how_far_a_change_is_felt():
    """Means over 15 pixels see 7 in each direction; in cells of 8 that are 2 cells."""
    for multiple, reach in ((1, 7 + 1), (8, 2 * 8)):
        convention = of_multiple(multiple)
        interface = replace(convention.interface, sizes=Sizes(multiple, multiple))
        assert with_reach(Network(network(convention), "it"), interface).reach == reach


def test_a_network_that_sees_everything_has_no_reach():
    model = network(of_multiple(1))
    drawn = model.graph.node[-1].input[0]
    make = helper.make_node
    model.graph.node.pop()
    model.graph.initializer.append(numpy_helper.from_array(np.float32(2), "little"))
    model.graph.node.extend(
        [
            make("GlobalAveragePool", ["image"], ["all"]),
            make("Mul", ["all", "little"], ["a little of all"]),
            make("Add", [drawn, "a little of all"], ["output"]),
        ]
    )
    assert with_reach(Network(model, "it"), ANY.interface).reach is None


def with_more(constants, *nodes):
    """The network of any size with ``nodes`` that make "more" of "image", which is added to what it draws."""
    model = network(of_multiple(1))
    drawn = model.graph.node.pop().input[0]
    model.graph.node.extend([*nodes, helper.make_node("Add", [drawn, "more"], ["output"])])
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(each), name) for name, each in constants.items()
    )
    return Network(model, "it")


def test_a_network_that_takes_any_size_and_has_cells_is_cut_by_its_cells():
    make = helper.make_node
    model = with_more(
        {"eight": np.float32([1, 1, 8, 8]), "none": np.array([0] * 4), "much": np.float32(50)},
        make("AveragePool", ["image"], ["cells"], kernel_shape=[8, 8], strides=[8, 8], ceil_mode=1),
        make("Resize", ["cells", "", "eight"], ["wide"], mode="nearest"),
        make("Shape", ["image"], ["size"]),
        make("Slice", ["wide", "none", "size"], ["cut"]),
        make("Mul", ["cut", "much"], ["more"]),
    )
    interface = with_sizes(model, replace(ANY.interface, sizes=Sizes()))
    assert interface.sizes == Sizes()
    found = with_reach(model, interface)
    assert found.sizes == Sizes(8, 8) and found.reach == 16


def test_a_network_that_draws_by_where_it_is_has_no_reach():
    make = helper.make_node
    model = with_more(
        {"across": np.array(3), "little": np.float32(0.1), "zero": np.float32(0)},
        make("Mul", ["image", "zero"], ["nothing"]),
        make("Add", ["nothing", "little"], ["littles"]),
        make("CumSum", ["littles", "across"], ["more"]),
    )
    found = with_reach(model, with_sizes(model, replace(ANY.interface, sizes=Sizes())))
    assert found.reach is None and found.sizes == Sizes()


def test_a_batch_of_one_that_is_only_declared_is_opened(tmp_path):
    convention = CONVENTIONS["Qualcomm's LaMa"]
    one = replace(convention, interface=replace(convention.interface, batch=1))
    onnx.save(network(one), tmp_path / "it.onnx")
    assert examine(tmp_path / "it.onnx").interface.batch is None


def test_a_batch_in_which_pictures_are_mixed_stays_one():
    convention = CONVENTIONS["Qualcomm's LaMa"]
    one = replace(convention.interface, batch=1)
    model = network(replace(convention, interface=one))
    drawn = model.graph.node[-1].input[0]
    model.graph.node.pop()
    make = helper.make_node
    model.graph.node.append(make("ReduceMean", [drawn], ["mean"], axes=[0]))
    model.graph.node.append(make("Add", [drawn, "mean"], ["painted_image"]))
    assert with_any_batch(model, one, "it").batch == 1


def test_a_batch_that_is_in_the_graph_stays_one():
    convention = CONVENTIONS["Qualcomm's LaMa"]
    one = replace(convention.interface, batch=1)
    model = network(replace(convention, interface=one))
    drawn = model.graph.node[-1].input[0]
    model.graph.node.pop()
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 3, SIDE, SIDE]), "shape"))
    model.graph.node.append(helper.make_node("Reshape", [drawn, "shape"], ["painted_image"]))
    assert with_any_batch(model, one, "it").batch == 1

"""Which sizes a network is given, by what its interface says."""

from __future__ import annotations

import pytest

from edgefill.export.engines.recipe import input_shapes, static
from edgefill.model.interface import Sizes
from edgefill.model.manifest import Manifest, completion_interface


def sides(side: int = 64, reach: int | None = 156, **sizes) -> tuple[int, int, int] | None:
    return completion_interface(3, trained_side=side, sizes=Sizes(**sizes), reach=reach).sides


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (sides(multiple=4), (4, 256, 824)),
        (sides(multiple=32), (32, 256, 832)),
        (sides(multiple=8, smallest=60), (64, 256, 832)),
        (sides(512, multiple=8), (8, 512, 832)),
        (sides(reach=0), (1, 256, 512)),
        (sides(reach=10, smallest=64), (64, 256, 532)),
        (sides(250, reach=None, multiple=8), (8, 256, 256)),
        (sides(128, reach=None, multiple=8), (8, 128, 128)),
        (sides(fixed=(512, 384)), None),
    ],
)
def test_sides_are_the_smallest_the_likely_and_those_of_a_tile(found, expected):
    assert found == expected


def test_the_inputs_of_an_engine_have_them_and_the_rows():
    open_sides = completion_interface(3, trained_side=64, sizes=Sizes(multiple=4), reach=156)
    shapes = input_shapes(Manifest("open", interface=open_sides), "completion", (1, 2, 4))
    assert shapes["known"] == ((1, 1, 4, 4), (2, 1, 256, 256), (4, 1, 824, 824))
    fixed = completion_interface(3, trained_side=64, sizes=Sizes(fixed=(32, 48)), reach=None)
    shapes = input_shapes(Manifest("fixed", interface=fixed), "completion", static(2))
    assert set(shapes["picture"]) == {(2, 3, 32, 48)}

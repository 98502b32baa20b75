"""What is shown of a hole, by how wide it is; and that nothing of it stays undrawn."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from edgefill.jobs.photograph import prepare
from edgefill.methods.feed_forward.canvas import Canvas
from edgefill.model.interface import Interface, Sizes
from edgefill.model.manifest import Manifest, completion_interface
from edgefill.pictures.images import Picture
from edgefill.pictures.masks import parse_mask

ANY_SIZE = completion_interface(3, trained_side=192, sizes=Sizes(multiple=32), reach=None)
SMALL = completion_interface(3, trained_side=64, sizes=Sizes(multiple=4), reach=30)


def a_canvas(hole: np.ndarray, interface: Interface, *, blend: str = "poisson", grey: int = 128) -> Canvas:
    """Of a grey picture, whose ``hole`` is transparent."""
    values = np.full((*hole.shape, 3), grey, np.uint8)
    picture = Picture(values, alpha=np.where(hole, np.uint8(0), np.uint8(255)))
    model = Manifest("any", interface=interface)
    return Canvas(prepare(picture, parse_mask("alpha"), model, seed=0), interface, blend)


def shown(hole: np.ndarray, interface: Interface, **how: str) -> dict[tuple[int, int], int]:
    """How many views of which size there are of it."""
    return Counter(view.sight.known.shape[1:] for view in a_canvas(hole, interface, **how).views())


def a_hole(*parts: tuple[slice, slice], size: tuple[int, int] = (300, 400)) -> np.ndarray:
    hole = np.zeros(size, bool)
    for part in parts:
        hole[part] = True
    return hole


BOX, STROKE = (slice(100, 160), slice(20, 80)), (slice(200, 208), slice(200, 220))


def test_a_thin_hole_is_shown_enlarged_by_a_network_that_takes_smaller_frames():
    assert shown(a_hole(STROKE), ANY_SIZE) == {(96, 96): 1}
    (view,) = a_canvas(a_hole(STROKE), ANY_SIZE).views()
    assert (view.context.frame.height, view.context.frame.width) == (48, 48)
    assert shown(a_hole(BOX, STROKE), ANY_SIZE) == {(192, 192): 1, (96, 96): 1}
    assert shown(a_hole(BOX, STROKE), ANY_SIZE.of_one_size()) == {(192, 192): 2}
    assert shown(a_hole(STROKE), SMALL) == shown(a_hole(STROKE), SMALL.of_one_size()) == {(64, 64): 1}
    assert shown(a_hole(STROKE), ANY_SIZE, blend="none") == {(192, 192): 1}


def test_what_is_thin_within_the_frame_of_what_is_wide_is_drawn_there():
    other, between = (slice(110, 150), slice(100, 130)), (slice(120, 128), slice(85, 95))
    assert shown(a_hole(BOX, other, between), ANY_SIZE) == {(192, 192): 1}


@pytest.mark.parametrize("interface", [ANY_SIZE, SMALL], ids=["any size", "small"])
def test_a_hair_that_ends_in_a_wide_hole_is_filled_to_its_last_pixel(interface):
    """In a bright picture; what nobody drew would be grey."""
    hole = a_hole(BOX, (slice(129, 132), slice(80, 200)))
    drawing = a_canvas(hole, interface, grey=200)
    for view in drawing.views():
        drawing.put(view, np.full_like(view.sight.means, view.sight.means.max()))
    drawing.finish()
    np.testing.assert_allclose(drawing.values[hole], 200 / 127.5 - 1, atol=0.01)


@pytest.mark.parametrize("interface", [ANY_SIZE, ANY_SIZE.of_one_size()], ids=["any size", "one size"])
def test_scratches_all_over_a_large_photograph_are_filled_without_the_network(interface):
    scratches = [(slice(row, row + 8), slice(0, 2000)) for row in range(50, 2000, 100)]
    hole = a_hole(*scratches, size=(2000, 2000))
    assert shown(hole, interface) == {}
    assert shown(hole[:100], interface) != {}
    hole[1020:1060, 500:540] = True
    assert sum(shown(hole, interface).values()) == 1, "what is wide is drawn all the same"

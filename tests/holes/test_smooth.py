"""Filling without a network: which part of a hole is thin, and what is made of each."""

from __future__ import annotations

import numpy as np
import pytest

from edgefill.holes.blending import harmonic_fill
from edgefill.holes.smooth import THIN, deep_parts, smooth_drawing
from edgefill.holes.thin import biharmonic_pixels
from edgefill.pictures.images import to_unit


def pan() -> np.ndarray:
    """A hole like a pan: a deep square with a thin handle."""
    hole = np.zeros((60, 100), bool)
    hole[10:50, 10:50] = True
    hole[28:32, 50:90] = True
    return hole


def picture(channels: int = 3, dtype: type = np.uint8) -> np.ndarray:
    row, column = np.mgrid[:60, :100]
    waves = np.stack([np.sin(row / 9 + by) * np.cos(column / 13) for by in range(channels)], -1)
    return ((0.5 + 0.4 * waves) * np.iinfo(dtype).max).astype(dtype)


def test_the_pan_is_deep_and_its_handle_thin():
    hole = pan()
    deep = deep_parts(hole, THIN)
    assert (deep[12:48, 12:48]).all() and not deep[:, 62:].any() and not (deep & ~hole).any()
    assert not deep_parts(hole[:, 55:], THIN).any()


@pytest.mark.parametrize("width", [3, 4, 9, THIN])
def test_a_square_that_is_wide_is_so_to_its_corners(width):
    hole = np.zeros((40, 40), bool)
    hole[10:30, 12:34] = True
    assert (deep_parts(hole, width) == hole).all()


def test_a_hole_that_the_border_cuts_is_as_deep_as_if_it_went_on():
    hole = np.zeros((40, 40), bool)
    hole[:4] = True  # it may be the edge of a wide one
    assert not deep_parts(hole, THIN).any()
    hole[:6] = True
    assert deep_parts(hole, THIN).any()


@pytest.mark.parametrize("degrees", [0, 15, 30, 45, 70, 90])
def test_a_slanting_stroke_is_as_wide_as_an_upright_one(degrees):
    row, column = np.mgrid[:80, :80]
    slant = np.deg2rad(degrees)
    off = np.abs((column - 39.7) * np.sin(slant) - (row - 39.4) * np.cos(slant))
    for width in (3, 4, 5, 9):
        stroke = off < width / 2
        assert not deep_parts(stroke, width)[20:60, 20:60].any(), width
        assert deep_parts(stroke, width - 1)[20:60, 20:60].any(), width


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_deep_is_harmonic_and_the_thin_biharmonic(channels, dtype):
    values, hole = picture(channels, dtype), pan()
    drawn = smooth_drawing(values, ~hole)
    assert drawn.dtype == np.float32 and (drawn[~hole] == 0).all() and np.abs(drawn).max() <= 1
    square = hole.copy()
    square[:, 55:] = False
    expected = harmonic_fill(to_unit(values), ~square)
    np.testing.assert_allclose(drawn[12:48, 12:40], expected[12:48, 12:40], atol=0.02)
    rows, columns, filled = biharmonic_pixels(to_unit(values), hole & ~deep_parts(hole, THIN))
    far = columns > 75  # from where the handle meets what is harmonic
    np.testing.assert_allclose(drawn[rows[far], columns[far]], filled[far], atol=0.02)


def test_what_is_in_the_hole_has_no_part_and_nothing_known_is_grey():
    values, hole = picture(), pan()
    other = np.where(hole[:, :, None], 255 - values, values)
    assert (smooth_drawing(values, ~hole) == smooth_drawing(other, ~hole)).all()
    assert (smooth_drawing(values, np.zeros_like(hole)) == 0).all()
    assert (smooth_drawing(values, np.ones_like(hole)) == 0).all()

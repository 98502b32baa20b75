"""Biharmonic filling: what it is by definition, against a matrix; what is hidden has no part in it."""

from __future__ import annotations

import numpy as np
import pytest

from edgefill.holes.thin import biharmonic_pixels


def laplacian(height: int, width: int) -> np.ndarray:
    """[H·W, H·W]: the sum of the neighbours minus as many times the pixel."""
    matrix = np.zeros((height * width, height * width))
    for row in range(height):
        for column in range(width):
            for down, aside in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                if 0 <= row + down < height and 0 <= column + aside < width:
                    here = row * width + column
                    matrix[here, here + down * width + aside] += 1
                    matrix[here, here] -= 1
    return matrix


def by_matrix(values: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The filling [n, C] whose Laplacians at the hole and beside it have the least squares."""
    matrix, missing = laplacian(*hole.shape), hole.ravel()
    rows = matrix[(matrix[:, missing] != 0).any(1)]
    target = -rows[:, ~missing] @ values.reshape(missing.size, -1)[~missing].astype(float)
    return np.linalg.lstsq(rows[:, missing], target, rcond=None)[0]


def strokes(name: str) -> np.ndarray:
    hole = np.zeros((24, 30), bool)
    if name == "inside":
        hole[5:9, 4:20] = True
        hole[3:20, 14:17] = True
    elif name == "at the border":
        hole[:3, 4:9] = True
        hole[10:14, 26:] = True
        hole[-1, :] = True
    elif name == "specks":
        hole = np.random.default_rng(1).random((24, 30)) < 0.3
    else:
        hole[10, 10] = True
    return hole


@pytest.mark.parametrize("name", ["inside", "at the border", "specks", "one pixel"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_it_has_the_least_squares_of_laplacians(name, dtype, channels):
    top = 255 if dtype != np.uint16 else 65535
    row, column = np.mgrid[:24, :30]
    wave = np.sin(row / 5) * np.cos(column / 7)
    values = (top * (0.5 + 0.4 * np.stack([wave, wave.T[:24, :24].mean() + wave**2, -wave], -1))).astype(
        dtype
    )
    values, hole = values[:, :, :channels], strokes(name)
    rows, columns, filled = biharmonic_pixels(values, hole)
    assert (np.stack([rows, columns]) == np.nonzero(hole)).all() and filled.dtype == np.float32
    assert np.abs(filled - by_matrix(values, hole)).max() < top / 100


def test_what_is_in_the_hole_has_no_part_in_it():
    values, hole = np.random.default_rng(0).integers(0, 256, (24, 30, 3), np.uint8), strokes("inside")
    other = np.where(hole[:, :, None], 255 - values, values)
    assert (biharmonic_pixels(values, hole)[2] == biharmonic_pixels(other, hole)[2]).all()


def test_a_slope_goes_on_through_a_hole():
    """The harmonic filling does that too, but where the hole ends at the border."""
    values = np.repeat(np.arange(30, dtype=np.float32)[None, :, None] * 8, 24, 0)
    hole = strokes("at the border")
    rows, columns, filled = biharmonic_pixels(values, hole)
    inside = columns < 25
    np.testing.assert_allclose(filled[inside, 0], values[rows, columns, 0][inside], atol=4)


def test_nothing_missing_is_nothing_filled():
    rows, columns, filled = biharmonic_pixels(np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5), bool))
    assert len(rows) == len(columns) == 0 and filled.shape == (0, 3)

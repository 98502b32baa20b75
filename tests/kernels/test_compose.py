from __future__ import annotations

import numpy as np
import pytest

from edgefill.pictures.images import from_unit, to_unit


def pictures(rows: int, channels: int, height: int, width: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    shape = (rows, channels, height, width)
    generated, target = rng.uniform(-1.1, 1.1, (2, *shape)).astype(np.float32)
    return generated, target, rng.random((rows, height, width)) < 0.6


def expected(generated, target, known):
    unit = np.where(known[:, None], target, generated)
    return from_unit(unit).transpose(0, 2, 3, 1)


@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1), (1, 3, 64, 64), (3, 3, 7, 13), (2, 1, 33, 31), (1, 4, 5, 257)]
)
@pytest.mark.parametrize("grid", [1, 3, 40])
def test_a_picture_is_composed_as_images_do_it(host, shape, grid):
    given = pictures(*shape)
    for block in (32, 128, 256, 1024):
        composed = host.compose(*given, grid=grid, block=block, order=block)
        np.testing.assert_array_equal(composed, expected(*given))


def test_known_pixels_are_the_bytes_they_were(host):
    every = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    nothing = np.full(every.shape, np.nan, np.float32)
    composed = host.compose(nothing, to_unit(every), np.ones((1, 16, 16)))
    np.testing.assert_array_equal(composed[0, :, :, 0], every[0, 0])


def test_halves_are_rounded_to_even_and_the_neighbours_of_a_half_to_their_side(host):
    halves = (np.arange(255, dtype=np.float64) + 0.5) / 127.5 - 1
    around = halves.astype(np.float32) + np.array([[-1e-6], [0], [1e-6]], np.float32)
    generated = around.reshape(1, 1, 3, 255)
    composed = host.compose(generated, generated * 0, np.zeros((1, 3, 255)))
    np.testing.assert_array_equal(composed, expected(generated, generated * 0, np.zeros((1, 3, 255), bool)))
    ties = (generated[0, 0, 1] + 1) * np.float32(127.5) % 1 == 0.5
    assert ties.sum() > 50 and (composed[0, 1, ties, 0] % 2 == 0).all()


def test_what_is_no_number_is_black_and_what_is_too_bright_is_white(host):
    generated = np.array([np.nan, -np.inf, -7, np.inf, 7, -0.0], np.float32).reshape(1, 1, 2, 3)
    composed = host.compose(generated, np.ones_like(generated), np.zeros((1, 2, 3)))
    assert composed.ravel().tolist() == [0, 0, 0, 255, 255, 128]


def test_any_known_but_zero_is_known(host):
    generated, target, _ = pictures(1, 3, 2, 128)
    marks = np.arange(256, dtype=np.uint8).reshape(1, 2, 128)
    np.testing.assert_array_equal(
        host.compose(generated, target, marks), expected(generated, target, marks > 0)
    )

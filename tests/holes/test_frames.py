"""Frames: what is seen in one, how a drawing is joined and comes back; NumPy and PyTorch do the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgefill.holes.blending import harmonic_fill
from edgefill.holes.frames import FEATHER, Frame, Sight, enlarged, joined, pasted, seen, smooth


def frame(top: float, left: float, height: float, width: float, arrays=np) -> Frame:
    return Frame(*(arrays.asarray(each, dtype=arrays.float32) for each in (top, left, height, width)))


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (3, height, width)).astype(np.float32)


def with_hole(height: int, width: int) -> np.ndarray:
    known = np.ones((height, width), np.float32)
    known[height // 3 : height // 2, width // 3 : width // 2] = 0
    return known


def test_at_its_own_resolution_a_picture_is_seen_bit_for_bit():
    values, known = picture(50, 60), with_hole(50, 60)
    sight = seen(values, known, frame(4, 10, 32, 40), (32, 40))
    there = known[4:36, 10:50]
    np.testing.assert_array_equal(sight.known[0], there)
    np.testing.assert_array_equal(sight.means * there, values[:, 4:36, 10:50] * there)


def test_a_cell_is_the_mean_of_its_known_pixels_and_known_if_most_of_them_are():
    values = np.arange(32, dtype=np.float32).reshape(1, 4, 8) / 32
    known = np.ones((4, 8), np.float32)
    known[0, 0] = 0  # one of four: known
    known[0:2, 2:4] = 0  # all: not known
    known[2:4, 0] = 0  # two of four: not known
    means, cells = seen(values, known, frame(0, 0, 4, 8), (2, 4))
    np.testing.assert_array_equal(cells[0], [[1, 0, 1, 1], [0, 1, 1, 1]])
    assert means[0, 0, 0] == pytest.approx((1 + 8 + 9) / 3 / 32)
    assert means[0, 0, 1] == 0 and means[0, 1, 0] == pytest.approx((17 + 25) / 2 / 32)


@pytest.mark.parametrize(("cells", "area"), [((16, 16), 64), ((64, 64), 64), ((150, 150), 64)])
def test_what_is_missing_has_no_part_in_what_is_seen(cells, area):
    known = with_hole(area, area)
    values = picture(area, area)
    white, black = (np.where(known > 0, values, np.float32(colour)) for colour in (1, -1))
    sights = [seen(values, known, frame(0, 0, area, area), cells) for values in (white, black)]
    np.testing.assert_array_equal(sights[0].means, sights[1].means)


def test_outside_of_the_picture_nothing_is_known():
    sight = seen(picture(10, 10), np.ones((10, 10), np.float32), frame(-3, 2, 16, 16), (16, 16))
    expected = np.zeros((16, 16))
    expected[3:13, :8] = 1
    np.testing.assert_array_equal(sight.known[0], expected)


@pytest.mark.parametrize("hole_only", [True, False])
def test_known_cells_stay_and_a_drawing_that_is_right_is_not_changed_far_from_the_seam(hole_only):
    values, known = picture(64, 64), with_hole(64, 64)[None]
    flat = np.full_like(values, 0.25)
    done = joined(Sight(values, known), values, hole_only=hole_only)
    np.testing.assert_array_equal(done * known, values * known)
    assert np.abs(joined(Sight(flat, known), flat, hole_only=hole_only) - flat).max() < 1e-6


def test_a_drawing_that_is_off_by_a_constant_is_put_right():
    values, known = np.full((3, 64, 64), 0.1, np.float32), with_hole(64, 64)[None]
    done = joined(Sight(values, known), values + 0.3, hole_only=False)
    assert np.abs(done - values).max() < 1e-5


def test_a_drawing_for_the_hole_only_fades_in_behind_the_seam():
    values, known = np.zeros((1, 64, 64), np.float32), np.ones((1, 64, 64), np.float32)
    known[:, 20:44, 20:44] = 0
    done = joined(Sight(values, known), values + 0.5, hole_only=True)[0, 32]
    np.testing.assert_allclose(
        done[20 : 20 + FEATHER], 0.5 * np.arange(1, FEATHER + 1) / (FEATHER + 1), atol=1e-6
    )
    assert (done[20 + FEATHER : 44 - FEATHER] == 0.5).all() and (done[:20] == 0).all()


def test_pasting_joins_nothing():
    values, known = picture(20, 20), with_hole(20, 20)[None]
    done = pasted(Sight(values, known), np.ones_like(values))
    np.testing.assert_array_equal(done, np.where(known > 0, values, 1))


def test_cells_come_back_as_the_pixels_that_they_were_of():
    rows, columns = np.mgrid[:90, :70].astype(np.float32)
    wave = np.stack([np.sin(rows / 15 + columns / 20)] * 3)
    for cells in ((45, 35), (90, 70), (180, 140)):
        whole = frame(0, 0, 90, 70)
        sight = seen(wave, np.ones((90, 70), np.float32), whole, cells)
        back = enlarged(sight.means, whole, (90, 70))
        assert np.abs(back - wave)[:, 4:-4, 4:-4].max() < 0.01
    np.testing.assert_array_equal(enlarged(wave, whole, (90, 70)), wave)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (33, 50), (64, 64)])
def test_a_smooth_filling_keeps_what_is_known_and_stays_within_it(size):
    values = picture(*size)
    known = (np.random.default_rng(1).random((1, *size)) < 0.3).astype(np.float32)
    filled = smooth(values, known)
    there = known[0] > 0
    np.testing.assert_array_equal(filled[:, there], values[:, there])
    if there.any():
        assert filled.max() <= values[:, there].max() + 1e-6
        assert filled.min() >= values[:, there].min() - 1e-6


def test_a_smooth_filling_is_close_to_the_harmonic_one():
    rows, columns = np.mgrid[:96, :96].astype(np.float32) / 96
    values = np.stack([rows * columns, np.sin(3 * rows), columns**2])
    known = with_hole(96, 96)
    harmonic = harmonic_fill(values.transpose(1, 2, 0), known > 0).transpose(2, 0, 1)
    assert np.abs(smooth(values, known[None]) - harmonic).max() < 0.03


@pytest.mark.parametrize("hole_only", [True, False])
@pytest.mark.parametrize("cells", [(33, 40), (64, 64), (96, 81)])
def test_numpy_and_torch_do_the_same(cells, hole_only):
    values, known, drawn = picture(60, 80), with_hole(60, 80), picture(*cells, seed=3)
    shape = 5, -8, 64, 64
    sight = seen(values, known, frame(*shape), cells)
    done = enlarged(joined(sight, drawn, hole_only=hole_only), frame(*shape), (60, 80))
    other = frame(*shape, torch)
    tensors = [torch.from_numpy(array) for array in (values, known, drawn)]
    same = seen(tensors[0], tensors[1], other, cells, torch)
    again = enlarged(joined(same, tensors[2], hole_only=hole_only, arrays=torch), other, (60, 80), torch)
    np.testing.assert_allclose(again.numpy(), done, atol=2e-6)
    np.testing.assert_array_equal(same.known.numpy(), sight.known)

"""PSNR and SSIM by definition."""

import math

import numpy as np
import pytest

from benchmarks.metrics import psnr, seam_error, ssim

RNG = np.random.default_rng(0)
A = RNG.uniform(-1, 1, (40, 50, 3)).astype(np.float32)
B = np.clip(A + RNG.normal(0, 0.2, A.shape), -1, 1).astype(np.float32)


def test_psnr_of_known_errors():
    assert psnr(A, A) == math.inf
    assert psnr(A, A + 0.02) == pytest.approx(40, abs=1e-3)
    assert psnr(255 * A, 255 * A + 2.55, peak=255) == pytest.approx(40, abs=1e-3)


def test_only_the_chosen_pixels_count():
    where = np.zeros((40, 50), bool)
    where[5:9, 7:9] = True
    changed = A + 5 * ~where[:, :, None]
    assert psnr(A, changed, where) == math.inf
    assert psnr(A, changed, ~where) == pytest.approx(10 * math.log10(4 / 25), abs=1e-4)
    assert math.isnan(psnr(A, B, np.zeros((40, 50), bool)))
    assert ssim(A, B, where) != ssim(A, B, ~where)


def test_ssim_is_one_for_equal_pictures_and_falls_with_noise():
    assert ssim(A, A) == pytest.approx(1)
    slightly, strongly = A + (B - A) / 4, A + (B - A) * 2
    assert 1 > ssim(A, slightly) > ssim(A, B) > ssim(A, strongly)
    assert ssim(2 + A, 2 - A) < 0


def test_ssim_is_that_of_scikit_image():
    metrics = pytest.importorskip("skimage.metrics")
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    _, local = metrics.structural_similarity(
        A.astype(float), B.astype(float), data_range=2, channel_axis=2, full=True, **options
    )
    assert ssim(A, B) == pytest.approx(local.mean(), abs=1e-7)


def test_the_seam_is_as_wrong_as_the_steps_over_it():
    original = np.random.default_rng(0).uniform(-1, 1, (8, 8, 3))
    hole = np.zeros((8, 8), bool)
    hole[2:6, 2:6] = True
    completed = original.copy()
    assert seam_error(completed, original, hole) == 0
    completed[hole] += 0.25  # as a whole: only the steps over the edge are wrong
    assert seam_error(completed, original, hole) == pytest.approx(0.25)
    completed[3:5, 3:5] += 1  # not at the edge
    assert seam_error(completed, original, hole) == pytest.approx(0.25)
    assert np.isnan(seam_error(completed, original, np.zeros((8, 8), bool)))

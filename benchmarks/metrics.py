"""How close two pictures are: PSNR, SSIM and the error along a seam; NaN where no pixel counts."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage


def psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray | None = None, peak: float = 2.0) -> float:
    """Peak signal-to-noise ratio in dB of ``a`` and ``b [H, W, C]``; infinite where they are equal.

    ``where [H, W]`` picks the pixels that count. ``peak`` is the width of the range: 2 for [-1, 1].
    """
    square = (a.astype(np.float64) - b) ** 2
    error = _mean(square, where)
    return math.inf if error == 0 else 10 * math.log10(peak**2 / error)


def ssim(a: np.ndarray, b: np.ndarray, where: np.ndarray | None = None, peak: float = 2.0) -> float:
    """Structural similarity (Wang et al. 2004) of ``a`` and ``b [H, W, C]``: 1 where equal, at least -1.

    Local statistics have the paper's Gaussian window (σ = 1.5, 11×11) and constants (0.01, 0.03); channels
    are compared on their own. The mean is over the pixels in ``where [H, W]``, all of them by default;
    windows that reach over the border see the picture mirrored.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    mean_a, mean_b = _blur(a), _blur(b)
    variance_a, variance_b = _blur(a * a) - mean_a**2, _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * covariance + c2) / (variance_a + variance_b + c2)
    return _mean(luminance * structure, where)


def seam_error(completed: np.ndarray, original: np.ndarray, hole: np.ndarray) -> float:
    """How wrong the steps over the edge of ``hole [H, W]`` are in ``completed``, both [H, W, C].

    The mean over pairs of neighbours, one in the hole and one outside, of the difference between their step
    in the one picture and in the other; 0 where the seam is as in the original.
    """
    wrong = completed.astype(np.float64) - original
    errors = [
        np.abs(np.diff(wrong, axis=axis))[np.diff(hole.astype(np.int8), axis=axis) != 0] for axis in (0, 1)
    ]
    together = np.concatenate(errors)
    return float(together.mean()) if together.size else math.nan


def _mean(values: np.ndarray, where: np.ndarray | None) -> float:
    chosen = values if where is None else values[where]
    return float(chosen.mean()) if chosen.size else math.nan


def _blur(x: np.ndarray) -> np.ndarray:
    blurred: np.ndarray = ndimage.gaussian_filter(x, sigma=1.5, radius=5, axes=(0, 1), mode="reflect")
    return blurred

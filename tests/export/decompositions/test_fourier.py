"""Fourier transforms as matrix products are those of PyTorch."""

from __future__ import annotations

import pytest
import torch

from edgefill.export.decompositions.fourier import fft_c2c, fft_c2r, fft_r2c

aten = torch.ops.aten
SIZES = [(5, 6), (8, 7), (1, 4), (16, 1)]
AXES = [(2, 3), (3,), (2,), (3, 2)]


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.5


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dim", AXES)
@pytest.mark.parametrize("normalization", [0, 1, 2])
def test_every_transform_is_that_of_pytorch(size, dim, normalization):
    x = noise(2, 3, *size)
    for onesided in (True, False):
        expected = aten._fft_r2c(x, dim, normalization, onesided)
        torch.testing.assert_close(fft_r2c(x, dim, normalization, onesided), expected)
    spectrum = torch.complex(x, noise(2, 3, *size).flip(3))
    for forward in (True, False):
        expected = aten._fft_c2c(spectrum, dim, normalization, forward)
        torch.testing.assert_close(fft_c2c(spectrum, dim, normalization, forward), expected)
    half = fft_r2c(x, dim, 0, True)
    expected = aten._fft_c2r(half, dim, normalization, x.shape[dim[-1]])
    torch.testing.assert_close(fft_c2r(half, dim, normalization, x.shape[dim[-1]]), expected)


@pytest.mark.parametrize("size", SIZES)
def test_there_and_back_is_where_it_began(size):
    x = noise(1, 2, *size)
    torch.testing.assert_close(fft_c2r(fft_r2c(x, (2, 3), 1, True), (2, 3), 1, size[1]), x)

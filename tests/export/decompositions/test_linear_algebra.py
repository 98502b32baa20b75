"""QR factors and triangular systems are those of PyTorch."""

from __future__ import annotations

import pytest
import torch

from edgefill.export.decompositions import linear_algebra


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("size", [(4, 3), (3, 3), (3, 5), (1, 1), (1, 3), (5, 1)])
@pytest.mark.parametrize("mode", ["reduced", "complete"])
def test_qr_has_the_factors_and_the_signs_of_lapack(size, mode):
    a = noise(4, *size)
    a[0], a[1, 1:, 0], a[2, :, 0] = 0, 0, 0  # nothing to reflect
    torch.testing.assert_close(linear_algebra.qr(a, mode), tuple(torch.linalg.qr(a, mode)))


@pytest.mark.parametrize("upper", [True, False])
@pytest.mark.parametrize("unitriangular", [True, False])
def test_triangular_system_reads_its_triangle_alone(upper, unitriangular):
    a, b, kind = noise(2, 4, 4), noise(4, 3), {"upper": upper, "unitriangular": unitriangular}
    for left, given in ((True, b), (False, b.mT)):
        expected = torch.linalg.solve_triangular(a, given, left=left, **kind)
        torch.testing.assert_close(linear_algebra.solve_triangular(a, given, left=left, **kind), expected)

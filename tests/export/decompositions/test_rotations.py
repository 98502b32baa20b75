"""Eigenvalues and singular values are those of LAPACK, whose vectors may have other signs."""

from __future__ import annotations

import pytest
import torch

from edgefill.errors import ModelError
from edgefill.export.decompositions import rotations


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 8, 12])
def test_eigenvalues_come_in_order_and_make_the_matrix(size):
    a = noise(50, size, size)
    a[0], a[1], a[2] = 0, torch.eye(size), 1  # which are equal, all or but one
    a = a + a.mT
    for half, given in (("L", torch.tril(a)), ("U", torch.triu(a))):
        values, vectors = rotations.eigh(given, half)
        torch.testing.assert_close(values, torch.linalg.eigvalsh(a), rtol=1e-7, atol=1e-7)
        torch.testing.assert_close(vectors * values[:, None] @ vectors.mT, a, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (2, 3), (5, 5), (12, 9)])
def test_singular_values_come_in_order_and_make_the_matrix(shape):
    a, least = noise(50, *shape), min(shape)
    u, values, v = rotations.svd(1e12 * a, full_matrices=True)
    torch.testing.assert_close(values, 1e12 * torch.linalg.svdvals(a), rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(u[..., :least] * values[:, None] @ v[:, :least], 1e12 * a)
    for whole in (u, v):
        unit = torch.eye(whole.shape[-1], dtype=a.dtype).expand(whole.shape)
        torch.testing.assert_close(whole @ whole.mT, unit, rtol=1e-6, atol=1e-6)


def test_matrices_that_are_too_large_are_refused():
    with pytest.raises(ModelError, match=r"an eigenvalue of 13 rows.*at most 12"):
        rotations.eigh(noise(13, 13))

"""Inverses, solutions and determinants are those of PyTorch, and so are their gradients."""

from __future__ import annotations

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from edgefill.errors import ModelError
from edgefill.export.decompositions import decomposition_table, elimination

aten = torch.ops.aten


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("size", [1, 2, 5, 12])
@pytest.mark.parametrize("turned", [False, True])
def test_factors_and_what_is_made_of_them_are_those_of_pytorch(size, turned):
    a, b = noise(3, size, size), noise(3, size, 2, seed=1)
    a = a.mT if turned else a
    lu, pivots, info = aten.linalg_lu_factor_ex(a)
    torch.testing.assert_close(elimination.lu_factor_ex(a), (lu, pivots, info))
    for left in (True, False):
        given = b if left else b.mT
        for adjoint in (True, False):
            expected = aten.linalg_lu_solve(lu, pivots, given, left=left, adjoint=adjoint)
            found = elimination.lu_solve(lu, pivots, given, left=left, adjoint=adjoint)
            torch.testing.assert_close(found, expected)
        expected = tuple(aten._linalg_solve_ex(a, given, left=left))
        torch.testing.assert_close(elimination.solve_ex(a, given, left=left), expected)
    for matrices, vectors in ((a, b[..., 0]), (a[0], b), (a, b[0])):
        expected = torch.linalg.solve(matrices, vectors)
        torch.testing.assert_close(elimination.solve_ex(matrices, vectors)[0], expected)
    torch.testing.assert_close(elimination.inv_ex(a), tuple(aten.linalg_inv_ex(a)))
    torch.testing.assert_close(elimination.det(a), tuple(aten._linalg_det(a)))
    torch.testing.assert_close(elimination.slogdet(a), tuple(aten._linalg_slogdet(a)))


def test_matrix_without_an_inverse_has_the_determinant_zero():
    assert elimination.det(torch.zeros(2, 3, 3))[0].tolist() == [0, 0]


OF_MATRICES = {
    "inverse": torch.linalg.inv,
    "determinant": torch.linalg.det,
    "its logarithm, of the transpose": lambda a: torch.linalg.slogdet(a.mT)[1],
    "solution": lambda a: torch.linalg.solve(a, a.mT),
    "solution from the right": lambda a: torch.linalg.solve(a.mT, a[:, :2], left=False),
    "vector": lambda a: torch.linalg.solve(a, a[:, 0]),
    "QR": lambda a: torch.stack(torch.linalg.qr(a)),
    "QR of a tall one": lambda a: torch.linalg.qr(a[:, :, :2])[0] @ torch.linalg.qr(a[:, :, :2])[1].mT,
}


@pytest.mark.parametrize("name", OF_MATRICES)
def test_gradients_are_those_of_pytorch(name):
    def gradient(a):
        a = a.detach().requires_grad_(True)
        (found,) = torch.autograd.grad(OF_MATRICES[name](a).square().sum(), a)
        return found

    a = noise(2, 3, 3)
    traced = make_fx(gradient, decomposition_table=decomposition_table())(a)
    torch.testing.assert_close(traced(a), gradient(a))
    assert not any("linalg" in str(node.target) for node in traced.graph.nodes if "check" not in node.name)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (torch.zeros(1, 13, 13), "at most 12"),
        (torch.zeros(1, 2, 2, dtype=torch.complex64), "complex numbers"),
    ],
)
def test_what_is_too_large_or_complex_is_refused(matrix, message):
    with pytest.raises(ModelError, match=message):
        elimination.inv_ex(matrix)

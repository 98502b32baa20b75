"""Inverses, solutions and determinants of small, fixed sizes, by elimination with pivots, as in LAPACK."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from edgefill.export.decompositions.linear_algebra import small_size, solve_triangular

Factors = tuple[Tensor, Tensor]  # L below the diagonal and U; the rows that were swapped, counted from 1


def lu_factor_ex(
    a: Tensor, *, pivot: bool = True, check_errors: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    if not pivot:
        return NotImplemented
    return (*_factors(a), _no_error(a))


def lu(a: Tensor, *, pivot: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    """P, L and U with P·L·U = ``a [..., M, M]``."""
    if not pivot or a.shape[-1] != a.shape[-2]:
        return NotImplemented
    return lu_unpack(*_factors(a))


def lu_unpack(
    factors: Tensor, pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """P, L and U [..., M, M] of what ``lu_factor_ex`` returns."""
    unit = torch.eye(int(factors.shape[-1]), dtype=factors.dtype)
    rows = unit.expand(factors.shape)
    for k, other in reversed(list(enumerate((pivots - 1).unbind(-1)))):
        rows = _swapped(rows, k, other)
    return rows, torch.tril(factors, -1) + unit, torch.triu(factors)


def lu_solve(lu: Tensor, pivots: Tensor, b: Tensor, *, left: bool = True, adjoint: bool = False) -> Tensor:
    """x with a·x = ``b`` (or x·a = ``b``) for the matrix a, or its transpose, that was factored."""
    if not left:
        return lu_solve(lu, pivots, b.mT, adjoint=not adjoint).mT
    swaps = list(enumerate((pivots - 1).unbind(-1)))
    if adjoint:
        b = solve_triangular(lu.mT, b, upper=False)
        b = solve_triangular(lu.mT, b, upper=True, unitriangular=True)
        for k, other in reversed(swaps):
            b = _swapped(b, k, other)
        return b
    for k, other in swaps:
        b = _swapped(b, k, other)
    b = solve_triangular(lu, b, upper=False, unitriangular=True)
    return solve_triangular(lu, b, upper=True)


def solve_ex(
    a: Tensor, b: Tensor, *, left: bool = True, check_errors: bool = False
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x with ``a``·x = ``b``, a vector where it has a dimension less than ``a [..., M, M]``; the factors."""
    lu, pivots = _factors(a)
    vector = b.dim() == 1 or (b.dim() == a.dim() - 1 and b.shape == a.shape[:-1])
    x = lu_solve(lu, pivots, b.unsqueeze(-1) if vector else b, left=left)
    return x.squeeze(-1) if vector else x, lu, pivots, _no_error(a)


def inv_ex(a: Tensor, *, check_errors: bool = False) -> tuple[Tensor, Tensor]:
    size = a.shape[-1]
    return lu_solve(*_factors(a), torch.eye(size, dtype=a.dtype)), _no_error(a)


def det(a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    lu, pivots = _of_determinant(a)
    return math.prod(_diagonal(lu), start=_sign(pivots, a)), lu, pivots


def slogdet(a: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The sign of the determinant, the logarithm of its size, and the factors."""
    lu, pivots = _of_determinant(a)
    diagonal = torch.stack(_diagonal(lu), -1)
    sign = math.prod(_diagonal(torch.sign(lu)), start=_sign(pivots, a))
    return sign, torch.log(diagonal.abs()).sum(-1), lu, pivots


def _factors(a: Tensor) -> Factors:
    """L·U = ``a [..., M, M]`` with rows swapped: the largest number of a column comes to the diagonal."""
    size, swaps = small_size(a, "an inverse, a solution or a determinant"), []
    for k in range(size):
        swaps.append(a[..., k:, k].abs().argmax(-1) + k)
        a = _swapped(a, k, swaps[-1])
        pivot = a[..., k : k + 1, k : k + 1]
        below = a[..., k + 1 :, k : k + 1] / torch.where(pivot == 0, torch.ones_like(pivot), pivot)
        rest = a[..., k + 1 :, k + 1 :] - below * a[..., k : k + 1, k + 1 :]
        a = torch.cat([a[..., : k + 1, :], torch.cat([a[..., k + 1 :, :k], below, rest], -1)], -2)
    return a, (torch.stack(swaps, -1) + 1).to(torch.int32)


def _of_determinant(a: Tensor) -> Factors:
    """Those that PyTorch's gradients of determinants want: of the transpose where ``a`` lies row by row."""
    return _factors(a.mT if a.is_contiguous() else a)


def _swapped(a: Tensor, k: int, other: Tensor) -> Tensor:
    """``a [..., M, R]`` with its row ``k`` where its row ``other`` [...] is, and the other way round."""
    hot = (torch.arange(a.shape[-2]) == other.unsqueeze(-1)).unsqueeze(-1)  # [..., M, 1]
    there = torch.where(hot, a, torch.zeros((), dtype=a.dtype)).sum(-2, keepdim=True)
    a = torch.where(hot, a[..., k : k + 1, :], a)
    return torch.cat([a[..., :k, :], there, a[..., k + 1 :, :]], -2)


def _sign(pivots: Tensor, like: Tensor) -> Tensor:
    """-1 where the number of swaps is odd."""
    swaps = (pivots != torch.arange(1, pivots.shape[-1] + 1)).sum(-1)
    return 1 - 2 * (swaps % 2).to(like.dtype)


def _diagonal(a: Tensor) -> list[Tensor]:
    return [a[..., k, k] for k in range(int(a.shape[-1]))]


def _no_error(a: Tensor) -> Tensor:
    return torch.zeros(a.shape[:-2], dtype=torch.int32)

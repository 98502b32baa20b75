"""Factors of matrices and triangular systems of small, fixed sizes, written out step by step."""

from __future__ import annotations

import torch
from torch import Tensor

from edgefill.errors import ModelError

LARGEST = 12  # Rows; the number of operators grows with the square of it.
_TERMS, _SQUARINGS = 8, 8  # of an exponential's series, where the ninth is 5e-9, and of its result


def cholesky_ex(a: Tensor, *, upper: bool = False, check_errors: bool = False) -> tuple[Tensor, Tensor]:
    """L with L·Lᵀ = ``a [..., M, M]``; NaN where there is none."""
    size = small_size(a, "a Cholesky factor")
    rows: list[list[Tensor]] = []
    for i in range(size):
        row: list[Tensor] = []
        for j in range(i + 1):
            other = rows[j] if j < i else row
            rest = a[..., i, j] - sum((row[k] * other[k] for k in range(j)), start=torch.zeros(()))
            row.append(torch.sqrt(rest) if i == j else rest / rows[j][j])
        rows.append(row)
    zero = torch.zeros_like(a[..., 0, 0])
    lower = torch.stack([torch.stack(row + [zero] * (size - len(row)), -1) for row in rows], -2)
    info = torch.zeros(a.shape[:-2], dtype=torch.int32)
    return (lower.mT if upper else lower), info


def solve_triangular(
    a: Tensor, b: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """x with ``a``·x = ``b`` (or x·``a`` = ``b``) for a triangular ``a [..., M, M]``."""
    if not left:
        return solve_triangular(a.mT, b.mT, upper=not upper, unitriangular=unitriangular).mT
    size = small_size(a, "a triangular system")
    rest = b.expand(*torch.broadcast_shapes(a.shape[:-2], b.shape[:-2]), *b.shape[-2:])
    rows: dict[int, Tensor] = {}
    for i in reversed(range(size)) if upper else range(size):
        row = rest[..., i : i + 1, :]
        rows[i] = row if unitriangular else row / a[..., i : i + 1, i : i + 1]
        rest = rest - a[..., i : i + 1] * rows[i]  # of which the rows that are done are never read
    return torch.cat([rows[i] for i in range(size)], -2)


def qr(a: Tensor, mode: str = "reduced") -> tuple[Tensor, Tensor]:
    """Q and R with Q·R = ``a [..., M, N]`` by Householder's reflections, with the signs that LAPACK gives."""
    if mode == "r":
        return NotImplemented
    rows, columns = int(a.shape[-2]), int(a.shape[-1])
    q, r = torch.eye(rows, dtype=a.dtype).expand(*a.shape[:-2], rows, rows), a
    for k in range(within_size(a, min(rows - 1, columns), "a QR factor")):
        v, weight = _reflection(r[..., k:, k : k + 1])  # [..., M - k, 1] and [..., 1, 1]
        below = r[..., k:, :]
        r = torch.cat([r[..., :k, :], below - weight * v @ (v.mT @ below)], -2)
        behind = q[..., k:]
        q = torch.cat([q[..., :k], behind - (behind @ v) @ (weight * v.mT)], -1)
    kept = rows if mode == "complete" else min(rows, columns)
    return q[..., :kept], torch.triu(r)[..., :kept, :]


def cholesky_solve(b: Tensor, factor: Tensor, upper: bool = False) -> Tensor:
    """x with a·x = ``b`` for the matrix a whose Cholesky factor is given."""
    lower = factor.mT if upper else factor
    return solve_triangular(lower.mT, solve_triangular(lower, b, upper=False), upper=True)


def cholesky_inverse(factor: Tensor, upper: bool = False) -> Tensor:
    return cholesky_solve(torch.eye(int(factor.shape[-1]), dtype=factor.dtype), factor, upper)


def matrix_exp(a: Tensor) -> Tensor:
    """Σ aᵏ/k! of ``a [..., M, M]``: its series where a is halved until its norm is 1/2, squared as often.

    With a norm of 2⁷ and more digits are lost; most such exponentials are no numbers in float32.
    """
    norm = a.abs().sum(-2).amax(-1)[..., None, None]
    halvings = torch.ceil(torch.log2(norm.clamp(min=0.25))) + 1
    small = a * torch.exp2(-halvings.clamp(0, _SQUARINGS))
    unit = torch.eye(int(a.shape[-1]), dtype=a.dtype)
    result = unit + small / _TERMS
    for k in range(_TERMS - 1, 0, -1):
        result = unit + (small @ result) / k
    for k in range(_SQUARINGS):
        result = torch.where(halvings > k, result @ result, result)
    return result


def _reflection(column: Tensor) -> tuple[Tensor, Tensor]:
    """v and w such that 1 - w·v·vᵀ leaves of ``column [..., M, 1]`` the first element alone.

    Where it is alone already w is 0, as in LAPACK.
    """
    first, rest = column[..., :1, :], column[..., 1:, :].square().sum(-2, keepdim=True)
    norm = torch.sqrt(first.square() + rest)
    v = torch.cat([first + torch.where(first < 0, -norm, norm), column[..., 1:, :]], -2)
    zero = torch.zeros_like(rest)
    size = v.square().sum(-2, keepdim=True)
    return v, torch.where(rest > 0, 2 / torch.where(rest > 0, size, torch.ones_like(size)), zero)


def small_size(a: Tensor, what: str) -> int:
    """M of ``a [..., M, M]``. Raises ModelError where that is too many, or ``a`` is complex."""
    return within_size(a, int(a.shape[-1]), what)


def within_size(a: Tensor, size: int, what: str) -> int:
    """``size``, a number of rows. Raises ModelError where it is too many, or ``a`` is complex."""
    if a.is_complex():
        raise ModelError(f"{what} of complex numbers cannot be exported; write it with their parts")
    if size > LARGEST:
        raise ModelError(
            f"{what} of {size} rows cannot be exported, as it is written out step by step, for "
            f"want of an operator; expected at most {LARGEST} rows"
        )
    return size

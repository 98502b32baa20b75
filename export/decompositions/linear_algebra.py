"""Cholesky's factor and triangular systems of small, fixed sizes, written out element by element."""

from __future__ import annotations

import torch
from torch import Tensor

from edgefill.errors import ModelError

LARGEST = 12  # Rows; the number of operators grows with the square of it.


def cholesky_ex(a: Tensor, *, upper: bool = False, check_errors: bool = False) -> tuple[Tensor, Tensor]:
    """L with L·Lᵀ = ``a [..., M, M]``; NaN where there is none."""
    size = _size(a, "a Cholesky factor")
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
    size = _size(a, "a triangular system")
    rows: dict[int, Tensor] = {}
    for i in reversed(range(size)) if upper else range(size):
        rest = b[..., i, :]
        for k, row in rows.items():
            rest = rest - a[..., i, k, None] * row
        rows[i] = rest if unitriangular else rest / a[..., i, i, None]
    return torch.stack([rows[i] for i in range(size)], -2)


def _size(a: Tensor, what: str) -> int:
    size = int(a.shape[-1])
    if size > LARGEST:
        raise ModelError(
            f"{what} of {size} rows cannot be exported, as it is written out element by element, for "
            f"want of an operator; expected at most {LARGEST} rows"
        )
    return size

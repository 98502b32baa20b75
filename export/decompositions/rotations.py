"""Eigenvalues and singular values of matrices of small, fixed sizes, by Jacobi's rotations.

In each round every row takes part in one rotation at most, so that all of a round are one product: of M rows
there are M − 1 rounds (M of an odd number) until each pair has met once.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from edgefill.errors import ModelError
from edgefill.export.decompositions.linear_algebra import qr, within_size

_Pairs = tuple[Tensor, Tensor]  # one-hot rows [K, M] of the first and of the second of each pair


def eigh(a: Tensor, UPLO: str = "L", compute_v: bool = True) -> tuple[Tensor, Tensor]:
    """Eigenvalues, the smallest first, and eigenvectors, as columns, of a symmetric ``a [..., M, M]``."""
    size = within_size(a, int(a.shape[-1]), "an eigenvalue")
    half = torch.triu(a).mT if UPLO.upper() == "U" else torch.tril(a)
    a = half + torch.tril(half, -1).mT
    scale = _largest(a)
    a, vectors = a / scale, torch.eye(size, dtype=a.dtype).expand(a.shape)
    for first, second in _meetings(size, a.dtype):
        rows = first @ a
        turn = _rotations(
            (rows * first).sum(-1), ((second @ a) * second).sum(-1), (rows * second).sum(-1), first, second
        )
        a, vectors = turn.mT @ a @ turn, vectors @ turn
    values, order = torch.sort(a.diagonal(dim1=-2, dim2=-1), -1)
    return values * scale[..., 0], vectors @ _reordered(order, a.dtype)


def svd(
    a: Tensor, full_matrices: bool = False, compute_uv: bool = True, *, driver: str | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """U, the singular values, the largest first, and Vᵀ of ``a [..., M, N]``."""
    if a.shape[-2] < a.shape[-1]:
        v, values, u = svd(a.mT, full_matrices, compute_uv)
        return u.mT, values, v.mT
    size = within_size(a, int(a.shape[-1]), "a singular value")
    scale = _largest(a)
    columns, v = a / scale, torch.eye(size, dtype=a.dtype).expand(*a.shape[:-2], size, size)
    for first, second in _meetings(size, a.dtype):
        left, right = columns @ first.T, columns @ second.T
        turn = _rotations(
            left.square().sum(-2), right.square().sum(-2), (left * right).sum(-2), first, second
        )
        columns, v = columns @ turn, v @ turn
    values, order = torch.sort(columns.square().sum(-2), -1, descending=True)
    values, hot = torch.sqrt(values), _reordered(order, a.dtype)
    u = columns @ hot / torch.where(values > 0, values, torch.ones_like(values)).unsqueeze(-2)
    if full_matrices and a.shape[-2] != a.shape[-1]:
        u = torch.cat([u, qr(u, "complete")[0][..., size:]], -1)
    return u, values * scale[..., 0], (v @ hot).mT


def eig(a: Tensor) -> tuple[Tensor, Tensor]:
    """Raises ModelError: rotations do not end where a matrix is not symmetric."""
    raise ModelError(
        "eigenvalues of a matrix that need not be symmetric cannot be exported; of a symmetric one take "
        "torch.linalg.eigvalsh or eigh"
    )


def _largest(a: Tensor) -> Tensor:
    """The largest number [..., 1, 1] of each matrix, by which none of their squares is too large; 1 for 0."""
    largest = a.abs().amax((-2, -1), keepdim=True)
    return torch.where(largest > 0, largest, torch.ones_like(largest))


def _rotations(p: Tensor, q: Tensor, both: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """The matrix [..., M, M] that makes ``both`` [..., K], beside ``p`` and ``q`` on the diagonal, zero."""
    distance = q - p
    root = distance.abs() + torch.sqrt(distance.square() + 4 * both.square())
    tangent = 2 * both / torch.where(root > 0, root, torch.ones_like(root))
    tangent = torch.where(distance < 0, -tangent, tangent)
    cosine = torch.rsqrt(1 + tangent.square())
    size = first.shape[1]
    with _disable_current_modes():
        unit = torch.eye(size, dtype=first.dtype)
        on = first[:, :, None] * first[:, None] + second[:, :, None] * second[:, None]
        off = first[:, :, None] * second[:, None] - second[:, :, None] * first[:, None]
        on, off = on.flatten(1), off.flatten(1)
    return unit + ((cosine - 1) @ on + (tangent * cosine) @ off).unflatten(-1, (size, size))


def _reordered(order: Tensor, dtype: torch.dtype) -> Tensor:
    """What puts the columns of a matrix into the ``order`` [..., M] by a product."""
    return (torch.arange(order.shape[-1])[:, None] == order.unsqueeze(-2)).to(dtype)


def _meetings(size: int, dtype: torch.dtype) -> list[_Pairs]:
    """The pairs of each round, of all sweeps: one stays, the others move on by a place around it."""
    with _disable_current_modes():
        hot, rounds = torch.eye(size, dtype=dtype), []
        circle = list(range(size + size % 2))  # where the number is odd, one rests
        for _ in range(len(circle) - 1):
            half = [sorted(pair) for pair in zip(circle, circle[::-1], strict=True)][: len(circle) // 2]
            pairs = [pair for pair in half if pair[1] < size]
            if pairs:
                rounds.append((hot[[a for a, _ in pairs]], hot[[b for _, b in pairs]]))
            circle = [circle[0], circle[-1], *circle[1:-1]]
    return rounds * (_sweeps(size) if size > 2 else 1)


def _sweeps(size: int) -> int:
    """How often each pair meets: once more would change nothing in float32."""
    return 3 + (size + 3) // 4

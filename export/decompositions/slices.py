"""The gradients of slices: zeros around what was taken."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch
from torch import Tensor

aten = torch.ops.aten


def slice_backward(
    grad: Tensor, input_sizes: Sequence[int], dim: int, start: int, end: int, step: int
) -> Tensor:
    """Zeros around the gradient, and between its rows where the slice had a step."""
    if (start, end, step) == (0, sys.maxsize, 1):
        return grad  # all of it was taken; of the batch, which has no number, nothing else can be
    dim, size = dim % len(input_sizes), int(input_sizes[dim])
    start, _, _ = slice(start, end, step).indices(size)
    count = int(grad.shape[dim])
    if step > 1:
        spaced = _pad(grad.unsqueeze(dim + 1), dim + 1, 0, step - 1)
        grad = aten.slice(spaced.flatten(dim, dim + 1), dim, 0, (count - 1) * step + 1)
    return _pad(grad, dim, start, size - start - (count - 1) * step - 1)


def select_backward(grad: Tensor, input_sizes: Sequence[int], dim: int, index: int) -> Tensor:
    dim, size = dim % len(input_sizes), int(input_sizes[dim])
    index = index % size
    return _pad(grad.unsqueeze(dim), dim, index, size - index - 1)


def _pad(x: Tensor, dim: int, before: int, after: int) -> Tensor:
    return aten.constant_pad_nd(x, [0, 0] * (x.dim() - dim - 1) + [before, after], 0.0)

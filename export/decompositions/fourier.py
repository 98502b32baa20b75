"""Fourier transforms of pictures of one size, as products with matrices of cosines and sines.

ONNX has an operator for them, but few runtimes have; all of them multiply matrices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

Parts = tuple[Tensor, Tensor]  # real and imaginary


def fft_r2c(x: Tensor, dim: Sequence[int], normalization: int, onesided: bool) -> Tensor:
    """The transform of a real ``x`` along ``dim``; of the last of them only its half where ``onesided``."""
    *others, last = dim
    size = int(x.shape[last])
    cosines, sines = _waves(size, size // 2 + 1 if onesided else size, size, x)
    real, imaginary = _transformed((_along(last, x, cosines), _along(last, x, -sines)), others, -1)
    factor = _factor(normalization, [int(x.shape[axis]) for axis in dim])
    return torch.complex(real * factor, imaginary * factor)


def fft_c2c(x: Tensor, dim: Sequence[int], normalization: int, forward: bool) -> Tensor:
    """The transform of a complex ``x`` along ``dim``, or its inverse."""
    real, imaginary = _transformed(_parts(x), dim, -1 if forward else 1)
    factor = _factor(normalization, [int(x.shape[axis]) for axis in dim])
    return torch.complex(real * factor, imaginary * factor)


def fft_c2r(x: Tensor, dim: Sequence[int], normalization: int, last_dim_size: int) -> Tensor:
    """The real inverse of an ``x`` of which only the half is given along the last of ``dim``."""
    *others, last = dim
    real, imaginary = _transformed(_parts(x), others, 1)
    size, half = int(last_dim_size), int(x.shape[last])
    cosines, sines = _waves(half, size, size, real)
    # All but the first, and the last of an even size, stand for their mirror images too.
    twice = [1.0 if 2 * place in (0, size) else 2.0 for place in range(half)]
    with _disable_current_modes():
        weight = torch.tensor(twice, dtype=real.dtype)[:, None]
        cosines, sines = cosines * weight, sines * weight
    factor = _factor(normalization, [size, *(int(x.shape[axis]) for axis in others)])
    return factor * (_along(last, real, cosines) - _along(last, imaginary, sines))


def frequencies(n: int, d: float = 1.0, **options: Any) -> Tensor:
    """Those of the ``n`` places of a transform of numbers ``d`` apart; the negative ones behind."""
    place = torch.arange(n, **options)
    return torch.where(2 * place < n, place, place - n) * (1.0 / (n * d))


def half_of_frequencies(n: int, d: float = 1.0, **options: Any) -> Tensor:
    return torch.arange(n // 2 + 1, **options) * (1.0 / (n * d))


def _transformed(parts: Parts, dim: Sequence[int], sign: int) -> Parts:
    """``parts`` transformed along each of ``dim``, with the sign of the exponent."""
    real, imaginary = parts
    for axis in dim:
        size = int(real.shape[axis])
        cosines, sines = _waves(size, size, size, real)
        sines = sign * sines
        real, imaginary = (
            _along(axis, real, cosines) - _along(axis, imaginary, sines),
            _along(axis, real, sines) + _along(axis, imaginary, cosines),
        )
    return real, imaginary


def _along(axis: int, x: Tensor, matrix: Tensor) -> Tensor:
    """``x`` times ``matrix`` along ``axis``."""
    return (x.movedim(axis, -1) @ matrix).movedim(-1, axis)


def _waves(rows: int, columns: int, size: int, like: Tensor) -> Parts:
    """The cosine and the sine of 2π·row·column / ``size``, [rows, columns], as constants of the graph."""
    with _disable_current_modes():
        turns = torch.outer(torch.arange(rows), torch.arange(columns)) % size  # exact, as whole numbers are
        angle = turns.double() * (2 * math.pi / size)
        return angle.cos().to(like.dtype), angle.sin().to(like.dtype)


def _parts(x: Tensor) -> Parts:
    pair = torch.view_as_real(x)
    return pair[..., 0], pair[..., 1]


def _factor(normalization: int, sizes: Sequence[int]) -> float:
    """What PyTorch's ``normalization`` multiplies with: 1 by the root of the count, 2 by the count."""
    return float(math.prod(sizes) ** (-normalization / 2))

"""Functions of one number, and of the numbers along a dimension, that ONNX has no operator for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten

_STIRLING = (1 / 12, -1 / 360, 1 / 1260)  # of log Γ, from 1/x on, in odd powers
_SHIFT = 6  # From here on Stirling's series has the digits of float32.
# Giles, "Approximating the erfinv function", GPU Computing Gems Jade Edition, 2012, table 5.
_ERFINV_NEAR = (
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503,
    -0.00417768164, 0.246640727, 1.50140941,
)  # fmt: skip
_ERFINV_FAR = (
    -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613,
    0.00943887047, 1.00167406, 2.83297682,
)  # fmt: skip


def clamp(x: Tensor, low: float | None = None, high: float | None = None) -> Tensor:
    """With both limits of one type, as ONNX wants them."""
    if type(low) is type(high) or not x.is_floating_point():
        return NotImplemented
    floats = (limit if limit is None else float(limit) for limit in (low, high))
    return NotImplemented if low is None or high is None else aten.clamp(x, *floats)


def hypot(a: Tensor, b: Tensor) -> Tensor:
    """√(a² + b²) without the squares of large numbers."""
    large, small = torch.maximum(a.abs(), b.abs()), torch.minimum(a.abs(), b.abs())
    ratio = small / torch.where(large > 0, large, torch.ones_like(large))
    return large * torch.sqrt(1 + ratio * ratio)


def cumprod(x: Tensor, dim: int, *, dtype: torch.dtype | None = None) -> Tensor:
    """Products of all up to each place of ``dim``: each round reaches twice as far back."""
    x = x if dtype is None else x.to(dtype)
    size, shift, dim = int(x.shape[dim]), 1, dim % x.dim()
    while shift < size:
        x = x * _shifted(x, dim, shift, 1.0)
        shift *= 2
    return x


def lgamma(x: Tensor) -> Tensor:
    """log |Γ(x)|: Stirling's series beyond a shift, Euler's reflection below 1/2."""
    y = torch.where(x < 0.5, 1 - x, x)
    shifted = y + _SHIFT
    factors = math.prod([y + step for step in range(1, _SHIFT)], start=y)
    series = sum(c / shifted ** (2 * k + 1) for k, c in enumerate(_STIRLING))
    value = (shifted - 0.5) * torch.log(shifted) - shifted + 0.5 * math.log(2 * math.pi) + series
    value = value - torch.log(factors)
    return torch.where(x < 0.5, math.log(math.pi) - torch.log(torch.sin(math.pi * x).abs()) - value, value)


def digamma(x: Tensor) -> Tensor:
    """The slope of log Γ(x), in the same way."""
    y = torch.where(x < 0.5, 1 - x, x)
    shifted = y + _SHIFT
    inverse = 1 / (shifted * shifted)
    value = torch.log(shifted) - 0.5 / shifted - inverse * (1 / 12 - inverse * (1 / 120 - inverse / 252))
    value = value - sum(1 / (y + step) for step in range(_SHIFT))
    return torch.where(x < 0.5, value - math.pi / torch.tan(math.pi * x), value)


def polygamma(n: int, x: Tensor) -> Tensor:
    """The nth slope of digamma, for x > 0: its series beyond a shift, and the terms that were skipped."""
    if n == 0:
        return aten.digamma(x)
    shifted, sign = x + _SHIFT, -1.0 if n % 2 == 0 else 1.0
    series = math.factorial(n - 1) / shifted**n + math.factorial(n) / (2 * shifted ** (n + 1))
    for k, bernoulli in enumerate((1 / 6, -1 / 30, 1 / 42, -1 / 30), start=1):
        series = series + bernoulli * math.factorial(2 * k + n - 1) / math.factorial(2 * k) / shifted ** (
            2 * k + n
        )
    skipped = sum(math.factorial(n) / (x + step) ** (n + 1) for step in range(_SHIFT))
    return sign * (series + skipped)


def erfinv(x: Tensor) -> Tensor:
    """The inverse of the error function, with the digits of float32."""
    return erfinv_of(x, (1 - x) * (1 + x))


def erfinv_of(x: Tensor, rest: Tensor) -> Tensor:
    """The same, where 1 - x² is known with more digits."""
    w = -torch.log(rest)
    near, far = polynomial(_ERFINV_NEAR, w - 2.5), polynomial(_ERFINV_FAR, torch.sqrt(w) - 3)
    return torch.where(w < 5, near, far) * x


def rrelu_with_noise_functional(
    x: Tensor,
    noise: Tensor,
    lower: float = 0.125,
    upper: float = 1 / 3,
    training: bool = False,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """In eval mode the slope is the middle of both; in training it is drawn, which is refused as such."""
    if training:
        return NotImplemented
    return torch.where(x > 0, x, x * ((lower + upper) / 2)), noise


def cdist_forward(a: Tensor, b: Tensor, p: float, compute_mode: int | None = None) -> Tensor:
    """The distances [..., R, S] between the rows of ``a`` [..., R, M] and of ``b`` [..., S, M]."""
    return torch.linalg.vector_norm(a.unsqueeze(-2) - b.unsqueeze(-3), p, dim=-1)


def cdist_backward(grad: Tensor, a: Tensor, b: Tensor, p: float, distance: Tensor) -> Tensor:
    """The gradient with respect to ``a``; 0 where two rows are equal."""
    difference = a.unsqueeze(-2) - b.unsqueeze(-3)
    if p == 1:
        return (grad.unsqueeze(-1) * torch.sign(difference)).sum(-2)
    if math.isinf(p):
        farthest = difference.abs() == distance.unsqueeze(-1)
        return (grad.unsqueeze(-1) * torch.sign(difference) * farthest).sum(-2)
    nonzero = torch.where(distance > 0, distance, torch.ones_like(distance)).unsqueeze(-1)
    slope = grad.unsqueeze(-1) * torch.sign(difference) * (difference.abs() / nonzero) ** (p - 1)
    return torch.where(distance.unsqueeze(-1) > 0, slope, torch.zeros_like(slope)).sum(-2)


def median(x: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The lower of the middle ones along ``dim``, and where it is."""
    return kth_value(x, (int(x.shape[dim]) - 1) // 2 + 1, dim, keepdim)


def kth_value(x: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The ``k`` smallest along ``dim``, counted from 1, and where it is."""
    pair = (aten.slice(part, dim, k - 1, k) for part in torch.sort(x, dim))
    value, index = pair if keepdim else (part.squeeze(dim) for part in pair)
    return value, index


def cumulative_maximum(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The largest of all up to each place of ``dim``, and where it was met last."""
    return _furthest(x, dim, torch.greater, -math.inf)


def cumulative_minimum(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The smallest of all up to each place of ``dim``, and where it was met last."""
    return _furthest(x, dim, torch.less, math.inf)


def _furthest(
    x: Tensor, dim: int, beats: Callable[[Tensor, Tensor], Tensor], nothing: float
) -> tuple[Tensor, Tensor]:
    """Each round reaches twice as far back; an earlier one counts where it ``beats`` a later one."""
    size, dim, shift = int(x.shape[dim]), dim % x.dim(), 1
    place = torch.arange(size).reshape(-1, *[1] * (x.dim() - 1 - dim)).expand(x.shape)
    while shift < size:
        earlier = _shifted(x, dim, shift, nothing)
        further = beats(earlier, x)
        place = torch.where(further, _shifted(place, dim, shift, 0), place)
        x = torch.where(further, earlier, x)
        shift *= 2
    return x, place


def _shifted(x: Tensor, dim: int, shift: int, filling: float) -> Tensor:
    """``x`` moved up by ``shift`` places of ``dim``, the first of which are ``filling``."""
    pads = [0, 0] * (x.dim() - 1 - dim) + [shift, 0]
    return aten.constant_pad_nd(aten.slice(x, dim, 0, int(x.shape[dim]) - shift), pads, filling)


def searchsorted(
    sorted_sequence: Tensor,
    values: Tensor,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """How many numbers of the last dimension of ``sorted_sequence`` lie before each of ``values``."""
    if sorter is not None:
        sorted_sequence = sorted_sequence.gather(-1, sorter)
    if sorted_sequence.dim() > 1:
        sorted_sequence = sorted_sequence.unsqueeze(-2)
    value, after = values.unsqueeze(-1), right or side == "right"
    passed = sorted_sequence <= value if after else sorted_sequence < value
    return passed.to(torch.int32 if out_int32 else torch.int64).sum(-1)


def searchsorted_of_number(sorted_sequence: Tensor, value: float, **options: Any) -> Tensor:
    """The same for one number."""
    return searchsorted(sorted_sequence, torch.full((), value, dtype=sorted_sequence.dtype), **options)


def copy(x: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
    """``source`` in the shape and the type of ``x``."""
    same = source.to(x.dtype)
    return same if source.dim() == x.dim() and source.shape == x.shape else same.expand(x.shape)


def maximum_along(x: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """Of truth values by way of numbers."""
    if x.dtype != torch.bool:
        return NotImplemented
    value, index = aten.max.dim(x.to(torch.int32), dim, keepdim)
    return value > 0, index


def argmax(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Of truth values by way of numbers."""
    return aten.argmax(x.to(torch.int32), dim, keepdim) if x.dtype == torch.bool else NotImplemented


def where(condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Of truth values, for which ONNX Runtime has none."""
    if a.dtype == b.dtype == torch.bool:
        return (condition & a) | (~condition & b)
    return NotImplemented


def trilinear(
    a: Tensor,
    b: Tensor,
    c: Tensor,
    expand_a: Sequence[int],
    expand_b: Sequence[int],
    expand_c: Sequence[int],
    summed: Sequence[int],
    unroll_dim: int = 1,
) -> Tensor:
    """Σ a·b·c over ``summed``, each with dimensions of size one where the others have one of their own."""
    for expanded in expand_a:
        a = a.unsqueeze(expanded)
    for expanded in expand_b:
        b = b.unsqueeze(expanded)
    for expanded in expand_c:
        c = c.unsqueeze(expanded)
    return (a * b * c).sum(list(summed))


def polynomial(coefficients: tuple[float, ...], x: Tensor) -> Tensor:
    """Σ c·xᵏ, the highest power first."""
    value = torch.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value = value * x + coefficient
    return value

"""Special functions of one number, and choices between two, that ONNX has no operator for."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from edgefill.export.decompositions.elementary import erfinv_of, polynomial

# Abramowitz and Stegun, Handbook of Mathematical Functions, 9.8.1 to 9.8.4, the highest power first: of
# (x / 3.75)² up to 3.75, of 3.75 / x beyond, each good to 2e-7.
_I0_NEAR = (0.0045813, 0.0360768, 0.2659732, 1.2067492, 3.0899424, 3.5156229, 1.0)
_I0_FAR = (
    0.00392377, -0.01647633, 0.02635537, -0.02057706, 0.00916281, -0.00157565, 0.00225319, 0.01328592,
    0.39894228,
)  # fmt: skip
_I1_NEAR = (0.00032411, 0.00301532, 0.02658733, 0.15084934, 0.51498869, 0.87890594, 0.5)
_I1_FAR = (
    -0.00420059, 0.01787654, -0.02895312, 0.02282967, -0.01031555, 0.00163801, -0.00362018, -0.03988024,
    0.39894228,
)  # fmt: skip
_EDGE = 3.75


def i0(x: Tensor) -> Tensor:
    """The modified Bessel function of order 0."""
    return i0e(x) * torch.exp(x.abs())


def i0e(x: Tensor) -> Tensor:
    """The same, times exp(-|x|)."""
    return _scaled(x.abs(), _I0_NEAR, _I0_FAR)


def i1(x: Tensor) -> Tensor:
    """The modified Bessel function of order 1."""
    return i1e(x) * torch.exp(x.abs())


def i1e(x: Tensor) -> Tensor:
    """The same, times exp(-|x|)."""
    size = x.abs()
    near = torch.where(size < _EDGE, x, torch.zeros_like(x))
    far = _scaled(size, (0.0,), _I1_FAR) * torch.sign(x)
    slope = near * polynomial(_I1_NEAR, (near / _EDGE).square()) * torch.exp(-near.abs())
    return torch.where(size < _EDGE, slope, far)


def _scaled(size: Tensor, near: tuple[float, ...], far: tuple[float, ...]) -> Tensor:
    """exp(-``size``) times the series up to the edge, and beyond it the other."""
    least, most = size.clamp(max=_EDGE), size.clamp(min=_EDGE)
    inside = polynomial(near, (least / _EDGE).square()) * torch.exp(-least)
    return torch.where(size < _EDGE, inside, polynomial(far, _EDGE / most) / torch.sqrt(most))


def ndtri(p: Tensor) -> Tensor:
    """The number below which a share ``p`` of the normal distribution lies."""
    return math.sqrt(2) * erfinv_of(2 * p - 1, 4 * p * (1 - p))


def copysign(size: Tensor, sign: Tensor | float) -> Tensor:
    """``size`` with the sign of another number; that of -0 shows where 1 is divided by it."""
    if not isinstance(sign, Tensor):
        return torch.abs(size) * math.copysign(1.0, sign)
    size, sign = torch.broadcast_tensors(size, sign)
    negative = (sign < 0) | ((sign == 0) & (1 / sign < 0))
    return torch.where(negative, -size.abs(), size.abs())


def fmax(a: Tensor, b: Tensor) -> Tensor:
    """The larger one, of which NaN is none."""
    return torch.where(torch.isnan(b) | (a >= b), a, b)


def fmin(a: Tensor, b: Tensor) -> Tensor:
    """The smaller one, of which NaN is none."""
    return torch.where(torch.isnan(b) | (a <= b), a, b)

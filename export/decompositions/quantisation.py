"""Quantisation as networks are trained for it: values rounded to levels, with a straight-through gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import _disable_current_modes

from edgefill.errors import ModelError


def per_tensor(x: Tensor, scale: float, zero_point: int, low: int, high: int) -> tuple[Tensor, Tensor]:
    """``x`` on its levels, and where it was within them: what the gradient is multiplied with."""
    return _rounded(x, torch.tensor(scale), torch.tensor(zero_point), low, high)


def by_tensors(
    x: Tensor, scale: Tensor, zero_point: Tensor, enabled: Tensor, low: int, high: int
) -> tuple[Tensor, Tensor]:
    """The same with one scale in a tensor; ``x`` as it is where not ``enabled``."""
    return _where_enabled(x, enabled, _rounded(x, scale, zero_point, low, high))


def per_channel(
    x: Tensor, scale: Tensor, zero_point: Tensor, axis: int, low: int, high: int
) -> tuple[Tensor, Tensor]:
    """The same with a scale for each place of ``axis``."""
    shape = [-1 if dim == axis % x.dim() else 1 for dim in range(x.dim())]
    return _rounded(x, scale.reshape(shape), zero_point.reshape(shape), low, high)


def fake_quantize_per_channel(
    input: Tensor, scale: Tensor, zero_point: Tensor, axis: int, quant_min: int, quant_max: int
) -> Tensor:
    """PyTorch's own asks for the batch as a number on its way back."""
    result: Tensor = _PerChannel.apply(input, scale, zero_point, axis, quant_min, quant_max)
    return result


class _PerChannel(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, *levels: Any) -> Tensor:
        values, inside = per_channel(x, *levels)
        ctx.save_for_backward(inside)
        return values

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        (inside,) = ctx.saved_tensors
        return grad * inside, None, None, None, None, None


def observed(
    x: Tensor,
    observer_on: Tensor,
    enabled: Tensor,
    running_min: Tensor,
    running_max: Tensor,
    scale: Tensor,
    zero_point: Tensor,
    averaging: float,
    low: int,
    high: int,
    axis: int,
    by_rows: bool = False,
    symmetric: bool = False,
) -> tuple[Tensor, Tensor]:
    """The same behind an observer of ranges. Raises ModelError where that still observes."""
    if isinstance(observer_on, FakeTensor):
        return NotImplemented
    with _disable_current_modes():
        observes = bool(observer_on.any())
    if observes:
        raise ModelError(
            "an observer of ranges changes a quantised module with every call, and a graph computes the same "
            "each time; call apply(torch.ao.quantization.disable_observer) on the network"
        )
    if by_rows:
        return _where_enabled(x, enabled, per_channel(x, scale, zero_point, axis, low, high))
    return by_tensors(x, scale, zero_point, enabled, low, high)


def _where_enabled(x: Tensor, enabled: Tensor, quantised: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    off, (values, inside) = enabled.reshape(-1)[0] == 0, quantised
    return torch.where(off, x, values), inside | off


def _rounded(x: Tensor, scale: Tensor, zero_point: Tensor, low: int, high: int) -> tuple[Tensor, Tensor]:
    steps = x * scale.reciprocal()  # as PyTorch has it: a quotient rounds otherwise
    whole = not zero_point.is_floating_point()
    levels = torch.round(steps) + zero_point if whole else torch.round(steps + zero_point)
    inside = (levels >= low) & (levels <= high)
    return ((levels.clamp(low, high) - zero_point) * scale).to(x.dtype), inside

"""The gradient of a convolution with respect to its input is a convolution too."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

aten = torch.ops.aten


def convolution_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias_sizes: Sequence[int] | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    output_mask: Sequence[bool],
) -> tuple[Tensor | None, None, None]:
    """The gradient with respect to the input only: the weights are constants, one layout for both ways."""
    if any(output_mask[1:]):
        raise NotImplementedError("convolution_backward: gradients of weights and biases are not exported")
    if not output_mask[0]:
        return None, None, None
    size = [int(side) for side in x.shape[2:]]
    if transposed:
        zero = [0] * len(size)
        y = aten.convolution(grad, weight, None, stride, padding, dilation, False, zero, groups)
        # An output padding of a whole stride, which a dilation allows, yields rows beyond the input's.
        extra = [side - int(have) for side, have in zip(size, y.shape[2:], strict=True)]
        return _resize_end(y, extra), None, None
    return transposed_convolution(grad, weight, stride, padding, dilation, groups, size), None, None


def transposed_convolution(
    x: Tensor,
    weight: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    size: Sequence[int],
) -> Tensor:
    """Transposed convolution to exactly ``size``: rows that the forward pass never read get a zero."""
    missing = [
        want - ((int(have) - 1) * s - 2 * p + d * (int(k) - 1) + 1)
        for want, have, s, p, d, k in zip(
            size, x.shape[2:], stride, padding, dilation, weight.shape[2:], strict=True
        )
    ]
    # An output padding within the padding is a shorter crop; what exceeds it must be padded afterwards.
    inside = [min(m, p) if m > 0 else 0 for m, p in zip(missing, padding, strict=True)]
    y = aten.convolution(x, weight, None, stride, padding, dilation, True, inside, groups)
    rest = [m - i for m, i in zip(missing, inside, strict=True)]
    return _resize_end(y, rest)


def _resize_end(x: Tensor, extra: Sequence[int]) -> Tensor:
    """x with each spatial side grown (zeros) or cut at its end by ``extra``."""
    for axis, count in enumerate(extra, start=2):
        if count < 0:
            x = aten.slice(x, axis, 0, int(x.shape[axis]) + count)
    if any(count > 0 for count in extra):
        pads = [side for count in reversed(extra) for side in (0, max(count, 0))]
        x = aten.constant_pad_nd(x, pads, 0.0)
    return x

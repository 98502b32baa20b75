"""Convolutions and their gradients, in the forms of them that ONNX has.

The gradient with respect to the input is a convolution too; with respect to the weights it is, like a
convolution whose weights differ from sample to sample, a product of matrices with the windows of a picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

aten = torch.ops.aten


def convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Tensor:
    """Products of matrices where the groups are samples, each with weights of its own.

    The number of groups of ONNX's convolution is part of the file, and the batch is not.
    """
    if not isinstance(groups, torch.SymInt) or x.shape[0] != 1:
        return NotImplemented
    inputs, kernels = _of_samples(x, groups), weight.reshape(groups, -1, *weight.shape[1:])
    if transposed:
        size = [
            (int(side) - 1) * s - 2 * p + d * (int(k) - 1) + 1 + more
            for side, s, p, d, k, more in zip(
                x.shape[2:], stride, padding, dilation, weight.shape[2:], output_padding, strict=True
            )
        ]
        y = _each_transposed(inputs, kernels, stride, padding, dilation, size)
    else:
        y = _each(inputs, kernels, stride, padding, dilation)
    y = y.reshape(1, -1, *y.shape[2:])
    return y if bias is None else y + bias.reshape(1, -1, *[1] * (y.dim() - 2))


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
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The gradients with respect to the input, the weights and the biases, as far as they are asked for."""
    by_input = by_weight = by_bias = None
    if output_mask[0]:
        by_input = _by_input(grad, x, weight, stride, padding, dilation, transposed, groups)
    if output_mask[1]:
        # A transposed convolution swaps what is read and what is written.
        wide, narrow = (grad, x) if transposed else (x, grad)
        by_weight = _by_weight(narrow, wide, weight.shape[2:], stride, padding, dilation, groups)
    if output_mask[2]:
        by_bias = grad.sum([0, *range(2, grad.dim())])
    return by_input, by_weight, by_bias


def _by_input(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    groups: int,
) -> Tensor:
    size = [int(side) for side in x.shape[2:]]
    zero = [0] * len(size)
    if transposed:
        y = aten.convolution.default(grad, weight, None, stride, padding, dilation, False, zero, groups)
        # An output padding of a whole stride, which a dilation allows, yields rows beyond the input's.
        extra = [side - int(have) for side, have in zip(size, y.shape[2:], strict=True)]
        return _resize_end(y, extra)
    if isinstance(groups, torch.SymInt):
        kernels = weight.reshape(groups, -1, *weight.shape[1:])
        y = _each_transposed(_of_samples(grad, groups), kernels, stride, padding, dilation, size)
        return y.reshape(x.shape)
    return transposed_convolution(grad, weight, stride, padding, dilation, groups, size)


def _by_weight(
    grad: Tensor,
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Tensor:
    """The products of what each place of the kernel read with the gradient, over samples and places."""
    samples, out = grad.shape[0], grad.shape[2:]
    outer = grad.reshape(samples, groups, -1, math.prod(out)).permute(1, 2, 0, 3).flatten(2)  # (g, o, n·l)
    if isinstance(groups, torch.SymInt):  # the samples, of which there is one else
        inner = columns(_of_samples(x, groups), kernel, stride, padding, dilation).mT
    else:
        counts = window_counts(x.shape[2:], kernel, stride, padding, dilation)
        read = columns(x, kernel, stride, padding, dilation).unflatten(2, counts)
        # An output padding of a whole stride, which a dilation allows, is a window more.
        read = _resize_end(read, [int(want) - have for want, have in zip(out, counts, strict=True)])
        inner = read.reshape(samples, groups, -1, math.prod(out)).permute(1, 0, 3, 2).flatten(1, 2)
    by_tap = (outer @ inner).flatten(0, 1)  # (g, o, n·l) · (g, n·l, i·k·k)
    return by_tap.unflatten(1, [-1, *(int(k) for k in kernel)])


def _each(
    x: Tensor, weight: Tensor, stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int]
) -> Tensor:
    """The convolution of each ``x [G, I, …]`` with its own ``weight [G, O, I, …]``."""
    kernel = weight.shape[3:]
    out = window_counts(x.shape[2:], kernel, stride, padding, dilation)
    return (weight.flatten(2) @ columns(x, kernel, stride, padding, dilation)).unflatten(2, out)


def _each_transposed(
    x: Tensor,
    weight: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    size: Sequence[int],
) -> Tensor:
    """The transposed one of each ``x [G, I, …]`` with its own ``weight [G, I, O, …]``, to ``size``."""
    parts = (weight.flatten(2).mT @ x.flatten(2)).unflatten(2, [int(side) for side in x.shape[2:]])
    return from_columns(parts, weight.shape[3:], stride, padding, dilation, size)


def window_counts(
    size: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> list[int]:
    """How many windows fit along each side of pictures of ``size`` and their padding."""
    return [
        (int(side) + 2 * p - d * (int(k) - 1) - 1) // s + 1
        for side, p, d, k, s in zip(size, padding, dilation, kernel, stride, strict=True)
    ]


def columns(
    x: Tensor, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int]
) -> Tensor:
    """The windows [N, C·k·k, L] of ``x [N, C, …]``: its convolution with kernels that are 1 at one place."""
    channels, none = int(x.shape[1]), [0] * len(kernel)
    kernels = _one_place_each(channels, kernel, x)
    read = aten.convolution.default(
        x, kernels, None, list(stride), list(padding), list(dilation), False, none, channels
    )
    return read.flatten(2)


def from_columns(
    parts: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    size: Sequence[int],
) -> Tensor:
    """The sum of windows ``parts [N, C·k·k, …]`` in their places, in pictures of ``size [N, C, …]``."""
    channels = parts.shape[1] // math.prod(int(k) for k in kernel)
    kernels = _one_place_each(int(channels), kernel, parts)
    return transposed_convolution(parts, kernels, stride, padding, dilation, int(channels), size)


def _one_place_each(channels: int, kernel: Sequence[int], like: Tensor) -> Tensor:
    """Kernels [C·k·k, 1, k, k], a constant of the graph, for a convolution of each channel alone."""
    with _disable_current_modes():
        places = math.prod(int(k) for k in kernel)
        each = torch.eye(places, dtype=like.dtype).reshape(places, 1, *(int(k) for k in kernel))
        return each.repeat(channels, *[1] * (len(kernel) + 1))


def _of_samples(x: Tensor, groups: int) -> Tensor:
    """The groups of channels of one sample as samples."""
    return x.reshape(groups, -1, *x.shape[2:])


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

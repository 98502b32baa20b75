"""Convolutions and their gradients, in the forms of them that ONNX has.

The gradient with respect to the input is a convolution too; with respect to the weights it is, like a
convolution whose weights differ from sample to sample, one product of matrices for every tap of the kernel.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from edgefill.export.decompositions.slices import slice_backward

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
    """For every tap of the kernel the products of what it read with the gradient, over samples and places."""
    samples, out = grad.shape[0], grad.shape[2:]
    outer = grad.reshape(samples, groups, -1, math.prod(out)).permute(1, 2, 0, 3).flatten(2)  # (g, o, n·l)
    taps = []
    for window in windows(x, kernel, stride, padding, dilation, out):
        read = window.reshape(samples, groups, -1, math.prod(out)).permute(1, 0, 3, 2)
        taps.append(outer @ read.flatten(1, 2))  # (g, o, n·l) · (g, n·l, i)
    return torch.stack(taps, -1).flatten(0, 1).unflatten(-1, [int(k) for k in kernel])


def _each(
    x: Tensor, weight: Tensor, stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int]
) -> Tensor:
    """The convolution of each ``x [G, I, …]`` with its own ``weight [G, O, I, …]``."""
    kernel = weight.shape[3:]
    out = window_counts(x.shape[2:], kernel, stride, padding, dilation)
    read = windows(x, kernel, stride, padding, dilation, out)
    parts = [tap @ window.flatten(2) for tap, window in zip(_taps(weight), read, strict=True)]
    return functools.reduce(torch.add, parts).unflatten(2, out)


def _each_transposed(
    x: Tensor,
    weight: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    size: Sequence[int],
) -> Tensor:
    """The transposed one of each ``x [G, I, …]`` with its own ``weight [G, I, O, …]``, to ``size``."""
    sides = [int(side) for side in x.shape[2:]]
    parts = [(tap.mT @ x.flatten(2)).unflatten(2, sides) for tap in _taps(weight)]
    return put_back(parts, weight.shape[3:], stride, padding, dilation, size)


def _taps(weight: Tensor) -> Sequence[Tensor]:
    """The matrices [G, …, …] of ``weight [G, …, …, k, k]``, one for each place of the kernel."""
    return weight.flatten(3).unbind(-1)


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


def windows(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    out: Sequence[int],
) -> Iterator[Tensor]:
    """What each tap of a kernel reads of ``x`` in ``out`` windows: strided slices of it with zeros around."""
    padded = aten.constant_pad_nd(x, [p for p in reversed(list(padding)) for _ in range(2)], 0.0)
    for offsets in _offsets(kernel, dilation):
        window = padded
        for axis, (offset, step, count) in enumerate(zip(offsets, stride, out, strict=True), start=2):
            window = aten.slice(window, axis, offset, offset + (int(count) - 1) * step + 1, step)
        yield window


def put_back(
    parts: Sequence[Tensor],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    size: Sequence[int],
) -> Tensor:
    """The sum of ``parts``, one for each tap, where ``windows`` takes them from pictures of ``size``."""
    total = []
    for offsets, part in zip(_offsets(kernel, dilation), parts, strict=True):
        for axis, (offset, step, side, p) in enumerate(
            zip(offsets, stride, size, padding, strict=True), start=2
        ):
            shape = [*part.shape[:axis], int(side) + 2 * p, *part.shape[axis + 1 :]]
            end = offset + (int(part.shape[axis]) - 1) * step + 1
            part = slice_backward(part, shape, axis, offset, end, step)
        total.append(part)
    whole = functools.reduce(torch.add, total)
    for axis, (p, side) in enumerate(zip(padding, size, strict=True), start=2):
        whole = aten.slice(whole, axis, p, p + int(side))
    return whole


def _offsets(kernel: Sequence[int], dilation: Sequence[int]) -> Iterator[tuple[int, ...]]:
    return itertools.product(*(range(0, int(k) * d, d) for k, d in zip(kernel, dilation, strict=True)))


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

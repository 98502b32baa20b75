"""Windows of a picture as columns, and columns added up to a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from edgefill.export.decompositions.convolution import put_back, window_counts, windows


def im2col(
    x: Tensor,
    kernel_size: Sequence[int],
    dilation: Sequence[int],
    padding: Sequence[int],
    stride: Sequence[int],
) -> Tensor:
    """The windows [N, C·k·k, L] of ``x [N, C, H, W]``, as ``unfold`` has them."""
    out = window_counts(x.shape[2:], kernel_size, stride, padding, dilation)
    taps = [window.flatten(2) for window in windows(x, kernel_size, stride, padding, dilation, out)]
    return torch.stack(taps, 2).flatten(1, 2)


def col2im(
    columns: Tensor,
    output_size: Sequence[int],
    kernel_size: Sequence[int],
    dilation: Sequence[int],
    padding: Sequence[int],
    stride: Sequence[int],
) -> Tensor:
    """The sum of windows [N, C·k·k, L] in their places, [N, C, H, W], as ``fold`` has it."""
    out = window_counts(output_size, kernel_size, stride, padding, dilation)
    taps = columns.unflatten(1, (-1, math.prod(kernel_size))).unbind(2)
    parts = [tap.unflatten(2, out) for tap in taps]
    return put_back(parts, kernel_size, stride, padding, dilation, output_size)

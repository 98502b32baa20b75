"""Windows of a picture as columns, and columns added up to a picture."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from edgefill.export.decompositions.convolution import columns, from_columns, window_counts


def im2col(
    x: Tensor,
    kernel_size: Sequence[int],
    dilation: Sequence[int],
    padding: Sequence[int],
    stride: Sequence[int],
) -> Tensor:
    """The windows [N, C·k·k, L] of ``x [N, C, H, W]``, as ``unfold`` has them."""
    return columns(x, kernel_size, stride, padding, dilation)


def col2im(
    parts: Tensor,
    output_size: Sequence[int],
    kernel_size: Sequence[int],
    dilation: Sequence[int],
    padding: Sequence[int],
    stride: Sequence[int],
) -> Tensor:
    """The sum of windows [N, C·k·k, L] in their places, [N, C, H, W], as ``fold`` has it."""
    out = window_counts(output_size, kernel_size, stride, padding, dilation)
    return from_columns(parts.unflatten(2, out), kernel_size, stride, padding, dilation, output_size)

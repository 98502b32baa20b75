"""Max pooling and its gradient, without indices and without a scatter."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from edgefill.errors import ModelError
from edgefill.export.decompositions.convolution import transposed_convolution
from edgefill.export.decompositions.resampling import each_side

aten = torch.ops.aten


def max_pool2d_with_indices(
    x: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil_mode: bool = False,
) -> tuple[Tensor, Tensor]:
    """Pads to whole windows where the size is rounded up: ONNX keeps a last window that PyTorch drops.

    The indices are those of the padded picture; nothing reads them.
    """
    if not ceil_mode:
        return NotImplemented
    kernel, pads, dilations = each_side(kernel_size), each_side(padding), each_side(dilation)
    steps = each_side(stride or kernel)
    out = [
        windows_rounded_up(int(side), k, s, p, d)
        for side, k, s, p, d in zip(x.shape[2:], kernel, steps, pads, dilations, strict=True)
    ]
    padded = _padded_to_windows(x, out, kernel, steps, pads, dilations)
    return aten.max_pool2d_with_indices(padded, kernel, steps, [0, 0], dilations)


def windows_rounded_up(side: int, kernel: int, step: int, pad: int, dilation: int) -> int:
    """The number of windows, rounded up, of which none begins behind the picture and its first padding."""
    count = -((side + 2 * pad - dilation * (kernel - 1) - 1) // -step) + 1
    return count - 1 if (count - 1) * step >= side + pad else count


def _padded_to_windows(
    x: Tensor,
    out: Sequence[int],
    kernel: Sequence[int],
    steps: Sequence[int],
    pads: Sequence[int],
    dilations: Sequence[int],
) -> Tensor:
    """x with the lowest number around it, so that ``out`` windows fit and none is cut."""
    after = [
        max((o - 1) * s + d * (k - 1) + 1 - p - int(side), 0)
        for o, s, d, k, p, side in zip(out, steps, dilations, kernel, pads, x.shape[2:], strict=True)
    ]
    lowest = torch.finfo(x.dtype).min
    return aten.constant_pad_nd(x, [pads[1], after[1], pads[0], after[0]], lowest)


def max_pool2d_backward(
    grad: Tensor,
    x: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    ceil_mode: bool,
    indices: Tensor,
) -> Tensor:
    """Each gradient goes to the first maximum of its window, as in PyTorch, without a scatter.

    The windows are strided slices, one per kernel offset; the masked gradients go back to their places
    through a grouped transposed convolution with one-hot kernels.
    """
    kernel, pads, dilations = each_side(kernel_size), each_side(padding), each_side(dilation)
    steps = each_side(stride or kernel)
    height, width = int(x.shape[2]), int(x.shape[3])
    out = [int(grad.shape[2]), int(grad.shape[3])]
    reach = [(o - 1) * s + d * (k - 1) + 1 for o, s, d, k in zip(out, steps, dilations, kernel, strict=True)]
    padded = _padded_to_windows(x, out, kernel, steps, pads, dilations)
    windows = [
        _strided(
            _strided(padded, 2, dy * dilations[0], out[0], steps[0]), 3, dx * dilations[1], out[1], steps[1]
        )
        for dy in range(kernel[0])
        for dx in range(kernel[1])
    ]
    parts = _to_first_maximum(grad, windows)
    channels = int(x.shape[1])
    with _disable_current_modes():
        one_hot = torch.eye(len(windows), dtype=x.dtype).reshape(len(windows), 1, *kernel)
        weight = one_hot.repeat(channels, 1, 1, 1)
    stacked = torch.stack(parts, 2).flatten(1, 2)  # (n, c·k², oh, ow)
    whole = [max(p + side, r) for p, side, r in zip(pads, (height, width), reach, strict=True)]
    spread = transposed_convolution(stacked, weight, steps, [0, 0], dilations, channels, whole)
    rows = aten.slice(spread, 2, pads[0], pads[0] + height)
    return aten.slice(rows, 3, pads[1], pads[1] + width)


def _strided(x: Tensor, axis: int, start: int, count: int, step: int) -> Tensor:
    return aten.slice(x, axis, start, start + (count - 1) * step + 1, step)


def _to_first_maximum(grad: Tensor, windows: Sequence[Tensor]) -> list[Tensor]:
    """grad where a window's element is its first maximum, zero elsewhere; one tensor per kernel offset."""
    maximum = windows[0]
    for window in windows[1:]:
        maximum = torch.maximum(maximum, window)
    zero = torch.zeros_like(grad)
    parts, free = [], None
    for window in windows:
        hit = window == maximum
        first = hit if free is None else torch.logical_and(hit, free)
        parts.append(torch.where(first, grad, zero))
        missed = torch.logical_not(hit)
        free = missed if free is None else torch.logical_and(free, missed)
    return parts


def adaptive_max_pool2d(x: Tensor, output_size: Sequence[int]) -> tuple[Tensor, Tensor]:
    kernel = _adaptive_kernel(x, [int(side) for side in output_size])
    return aten.max_pool2d_with_indices(x, kernel, kernel)


def adaptive_max_pool2d_backward(grad: Tensor, x: Tensor, indices: Tensor) -> Tensor:
    kernel = _adaptive_kernel(x, [int(grad.shape[2]), int(grad.shape[3])])
    return max_pool2d_backward(grad, x, kernel, kernel, [0, 0], [1, 1], False, indices)


def _adaptive_kernel(x: Tensor, output_size: Sequence[int]) -> list[int]:
    size = [int(x.shape[2]), int(x.shape[3])]
    if any(math.fmod(side, out) for side, out in zip(size, output_size, strict=True)):
        raise ModelError(
            f"adaptive_max_pool2d from {size} to {list(output_size)} with its indices cannot be exported, as "
            "its windows are not whole; choose an output size that divides the input's"
        )
    return [side // out for side, out in zip(size, output_size, strict=True)]

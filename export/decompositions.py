"""Backward operators of PyTorch, written in operators that ONNX and TensorRT both know.

PyTorch's own table (``core_aten_decompositions``) covers most of them. Ours replaces those that have no ONNX
form, whose form needs ScatterND with a reduction (which TensorRT does not parse), or that overflow in fp16.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._C import DispatchKey
from torch._decomp import core_aten_decompositions, get_decompositions
from torch.utils._python_dispatch import _disable_current_modes

aten = torch.ops.aten

Axis = Callable[[Tensor], Tensor]  # A linear operator along the third axis of [N, C, L, 1].

# Operators with an ONNX form of their own that is more exact or smaller than their decomposition.
_KEPT = (
    aten.softplus,  # log(1 + exp(x)) loses every digit for a D that is sure of itself.
    aten.upsample_nearest2d,
    aten.upsample_bilinear2d,
    aten.upsample_bicubic2d,
    aten.avg_pool2d,
    aten._adaptive_avg_pool2d,
)


def decomposition_table() -> dict[Any, Callable[..., Any]]:
    """Operator overload → function of the same arguments, for ``make_fx``."""
    table: dict[Any, Callable[..., Any]] = {
        overload: function
        for overload, function in core_aten_decompositions().items()
        if getattr(overload, "overloadpacket", None) not in _KEPT
    }
    # Its backward reads the mean and the deviation too, which TensorRT's layer normalisation does not return.
    table |= get_decompositions([aten.native_layer_norm])
    return table | {
        aten.convolution_backward.default: convolution_backward,
        aten.slice_backward.default: slice_backward,
        aten.select_backward.default: select_backward,
        aten.softplus_backward.default: softplus_backward,
        aten.avg_pool2d.default: avg_pool2d,
        aten.avg_pool2d_backward.default: avg_pool2d_backward,
        aten._adaptive_avg_pool2d_backward.default: adaptive_avg_pool2d_backward,
        aten.max_pool2d_with_indices.default: max_pool2d_with_indices,
        aten.max_pool2d_with_indices_backward.default: max_pool2d_backward,
        aten.adaptive_max_pool2d.default: adaptive_max_pool2d,
        aten.adaptive_max_pool2d_backward.default: adaptive_max_pool2d_backward,
        aten.upsample_nearest2d.default: functools.partial(_upsample, aten.upsample_nearest2d),
        aten.upsample_bilinear2d.default: functools.partial(_upsample, aten.upsample_bilinear2d),
        aten.upsample_bicubic2d.default: functools.partial(_upsample, aten.upsample_bicubic2d),
        aten.upsample_nearest2d_backward.default: upsample_nearest2d_backward,
        aten.upsample_bilinear2d_backward.default: upsample_bilinear2d_backward,
        aten.upsample_bicubic2d_backward.default: upsample_bicubic2d_backward,
    }


@contextmanager
def whole_upsampling() -> Iterator[None]:
    """Inside, upsampling is traced as one operator with a backward operator of its own.

    PyTorch registers Python kernels that take it apart into index arithmetic before autograd sees it, and the
    gradient of that is a scatter; they are replaced for the while.
    """
    packets = (aten.upsample_nearest2d, aten.upsample_bilinear2d, aten.upsample_bicubic2d)
    overloads = [getattr(packet, name) for packet in packets for name in ("default", "vec")]
    kernels = [dict(overload.py_kernels) for overload in overloads]
    try:
        for packet in packets:
            for key in (DispatchKey.Autograd, DispatchKey.CompositeImplicitAutograd):
                packet.default.py_kernels.pop(key, None)
                packet.vec.py_kernels[key] = functools.partial(_upsample_vec, packet.default)
        for overload in overloads:
            overload._dispatch_cache.clear()
        yield
    finally:
        for overload, saved in zip(overloads, kernels, strict=True):
            overload.py_kernels.clear()
            overload.py_kernels.update(saved)
            overload._dispatch_cache.clear()


def _upsample_vec(
    upsample: Callable[..., Tensor],
    x: Tensor,
    output_size: Sequence[int] | None,
    *options: Any,  # align_corners where the operator has it, then the scale factors.
) -> Tensor:
    scales = options[-1] or (None, None)
    if output_size is None:
        output_size = [int(int(side) * scale) for side, scale in zip(x.shape[2:], scales, strict=True)]
    return upsample(x, output_size, *options[:-1], *scales)


# ---- slices ----------------------------------------------------------------------------------------------


def slice_backward(
    grad: Tensor, input_sizes: Sequence[int], dim: int, start: int, end: int, step: int
) -> Tensor:
    """Zeros around the gradient, and between its rows where the slice had a step."""
    dim, size = dim % len(input_sizes), int(input_sizes[dim])
    start, _, _ = slice(start, end, step).indices(size)
    count = int(grad.shape[dim])
    if step > 1:
        spaced = _pad(grad.unsqueeze(dim + 1), dim + 1, 0, step - 1)
        grad = aten.slice(spaced.flatten(dim, dim + 1), dim, 0, (count - 1) * step + 1)
    return _pad(grad, dim, start, size - start - (count - 1) * step - 1)


def select_backward(grad: Tensor, input_sizes: Sequence[int], dim: int, index: int) -> Tensor:
    dim, size = dim % len(input_sizes), int(input_sizes[dim])
    index = index % size
    return _pad(grad.unsqueeze(dim), dim, index, size - index - 1)


def _pad(x: Tensor, dim: int, before: int, after: int) -> Tensor:
    return aten.constant_pad_nd(x, [0, 0] * (x.dim() - dim - 1) + [before, after], 0.0)


# ---- convolution -----------------------------------------------------------------------------------------


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
    return _transposed_convolution(grad, weight, stride, padding, dilation, groups, size), None, None


def _transposed_convolution(
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


def softplus_backward(grad: Tensor, x: Tensor, beta: float, threshold: float) -> Tensor:
    """grad · sigmoid(βx): the stock form exp/(exp + 1) is NaN in fp16 between 11.1 and 20."""
    slope = grad * torch.sigmoid(x * beta)
    # From the usual threshold of 20 on, the sigmoid is 1 to the last digit.
    return slope if threshold >= 20 else torch.where(x * beta > threshold, grad, slope)


# ---- resampling: every one is separable and linear, so both ways can be two matrix products --------------


def _upsample(
    upsample: Callable[..., Tensor], x: Tensor, output_size: Sequence[int], *options: bool | float | None
) -> Tensor:
    """Matrix products where PyTorch steps by a scale that is not the ratio of the sizes, as ONNX does."""
    aligned = [option for option in options if isinstance(option, bool)]
    scales = options[len(aligned) :]
    if any(aligned) or _is_ratio(scales, x.shape[2:], output_size):
        return NotImplemented
    rows, columns = _upsample_axes(upsample, output_size, aligned, scales)
    return _separable(x, rows, columns)


def _is_ratio(scales: Sequence[float | None], before: Sequence[int], after: Sequence[int]) -> bool:
    return all(
        scale is None or scale * int(have) == int(want)
        for scale, have, want in zip(scales, before, after, strict=False)  # scales may be left out
    )


def upsample_nearest2d_backward(
    grad: Tensor, output_size: Sequence[int], input_size: Sequence[int], *scales: float | None
) -> Tensor:
    """A sum over s×s blocks where the scale is whole, two matrix products elsewhere."""
    n, c, height, width = input_size
    rows, columns = int(grad.shape[2]), int(grad.shape[3])
    whole = rows % height == 0 and columns % width == 0
    if whole and _is_ratio(scales, (height, width), (rows, columns)):
        blocks = grad.reshape(n, c, height, rows // height, width, columns // width)
        return blocks.sum((3, 5))
    return _upsample_backward(aten.upsample_nearest2d, grad, output_size, input_size, (), scales)


def upsample_bilinear2d_backward(
    grad: Tensor,
    output_size: Sequence[int],
    input_size: Sequence[int],
    align_corners: bool,
    *scales: float | None,
) -> Tensor:
    return _upsample_backward(
        aten.upsample_bilinear2d, grad, output_size, input_size, (align_corners,), scales
    )


def upsample_bicubic2d_backward(
    grad: Tensor,
    output_size: Sequence[int],
    input_size: Sequence[int],
    align_corners: bool,
    *scales: float | None,
) -> Tensor:
    return _upsample_backward(
        aten.upsample_bicubic2d, grad, output_size, input_size, (align_corners,), scales
    )


def _upsample_backward(
    upsample: Callable[..., Tensor],
    grad: Tensor,
    output_size: Sequence[int],
    input_size: Sequence[int],
    options: Sequence[bool],
    scales: Sequence[float | None],
) -> Tensor:
    rows, columns = _upsample_axes(upsample, output_size, options, scales)
    return _separable_backward(grad, rows, columns, int(input_size[2]), int(input_size[3]))


def _upsample_axes(
    upsample: Callable[..., Tensor],
    output_size: Sequence[int],
    options: Sequence[bool],
    scales: Sequence[float | None],
) -> tuple[Axis, Axis]:
    scale_h, scale_w = scales or (None, None)

    def rows(x: Tensor) -> Tensor:
        return upsample(x, [int(output_size[0]), 1], *options, scale_h, None)

    def columns(x: Tensor) -> Tensor:
        return upsample(x, [int(output_size[1]), 1], *options, scale_w, None)

    return rows, columns


def avg_pool2d(
    x: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Matrix products for what ONNX has not: a divisor, and PyTorch's way to round the output size up."""
    if not ceil_mode and divisor_override is None:
        return NotImplemented
    rows, columns = _pool_axes(
        kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override is not None
    )
    result = _separable(x, rows, columns)
    return result if divisor_override is None else result / divisor_override


def avg_pool2d_backward(
    grad: Tensor,
    x: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:
    rows, columns = _pool_axes(
        kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override is not None
    )
    result = _separable_backward(grad, rows, columns, int(x.shape[2]), int(x.shape[3]))
    return result if divisor_override is None else result / divisor_override


def _pool_axes(
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    ceil_mode: bool,
    count_include_pad: bool,
    only_sum: bool,
) -> tuple[Axis, Axis]:
    kernel = _pair(kernel_size)
    steps, pads = _pair(stride or kernel), _pair(padding)

    def pool(axis: int) -> Axis:
        sizes = ([kernel[axis], 1], [steps[axis], 1], [pads[axis], 0])
        divisor = 1 if only_sum else None
        return lambda y: aten.avg_pool2d(y, *sizes, ceil_mode, count_include_pad, divisor)

    return pool(0), pool(1)


def adaptive_avg_pool2d_backward(grad: Tensor, x: Tensor) -> Tensor:
    height, width = int(grad.shape[2]), int(grad.shape[3])
    return _separable_backward(
        grad,
        lambda y: aten._adaptive_avg_pool2d(y, [height, 1]),
        lambda y: aten._adaptive_avg_pool2d(y, [width, 1]),
        int(x.shape[2]),
        int(x.shape[3]),
    )


def _separable(x: Tensor, rows: Axis, columns: Axis) -> Tensor:
    """A_h · x · A_wᵀ, with A read off by applying the one-dimensional operator to the unit vectors."""
    by_width = x @ _operator_matrix(columns, int(x.shape[3]), x).T  # (n, c, h, ow)
    by_height = by_width.transpose(2, 3) @ _operator_matrix(rows, int(x.shape[2]), x).T  # (n, c, ow, oh)
    return by_height.transpose(2, 3)


def _separable_backward(grad: Tensor, rows: Axis, columns: Axis, height: int, width: int) -> Tensor:
    """A_hᵀ · grad · A_w, the adjoint of ``_separable``."""
    by_width = grad @ _operator_matrix(columns, width, grad)  # (n, c, oh, w)
    by_height = by_width.transpose(2, 3) @ _operator_matrix(rows, height, grad)  # (n, c, w, h)
    return by_height.transpose(2, 3)


def _operator_matrix(operator: Axis, size: int, like: Tensor) -> Tensor:
    """The matrix [outputs, size] of a linear operator along the third axis, as a constant of the graph."""
    with _disable_current_modes():
        unit_vectors = torch.eye(size, dtype=torch.float64).reshape(size, 1, size, 1)
        return operator(unit_vectors)[:, 0, :, 0].T.contiguous().to(like.dtype)


# ---- max pooling -----------------------------------------------------------------------------------------


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
    kernel, pads, dilations = _pair(kernel_size), _pair(padding), _pair(dilation)
    steps = _pair(stride or kernel)
    out = [
        _ceiled(int(side), k, s, p, d)
        for side, k, s, p, d in zip(x.shape[2:], kernel, steps, pads, dilations, strict=True)
    ]
    padded = _padded_to_windows(x, out, kernel, steps, pads, dilations)
    return aten.max_pool2d_with_indices(padded, kernel, steps, [0, 0], dilations)


def _ceiled(side: int, kernel: int, step: int, pad: int, dilation: int) -> int:
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
    kernel, pads, dilations = _pair(kernel_size), _pair(padding), _pair(dilation)
    steps = _pair(stride or kernel)
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
    spread = _transposed_convolution(stacked, weight, steps, [0, 0], dilations, channels, whole)
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
        raise NotImplementedError(
            f"adaptive_max_pool2d from {size} to {list(output_size)}: only whole windows are exported; "
            "choose an output size that divides the input's"
        )
    return [side // out for side, out in zip(size, output_size, strict=True)]


def _pair(values: Sequence[int]) -> list[int]:
    return [int(value) for value in (values if len(values) == 2 else [values[0]] * 2)]

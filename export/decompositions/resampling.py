"""Upsampling and average pooling, and their gradients.

Every one is separable and linear, so both ways can be two matrix products.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._C import DispatchKey
from torch.utils._python_dispatch import _disable_current_modes

aten = torch.ops.aten

Axis = Callable[[Tensor], Tensor]  # A linear operator along the third axis of [N, C, L, 1].


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
    operator: Callable[..., Tensor],
    x: Tensor,
    output_size: Sequence[int] | None,
    *options: Any,  # align_corners where the operator has it, then the scale factors.
) -> Tensor:
    scales = options[-1] or (None, None)
    if output_size is None:
        output_size = [_scaled(side, scale) for side, scale in zip(x.shape[2:], scales, strict=True)]
    return operator(x, output_size, *options[:-1], *scales)


def _scaled(side: int, scale: float) -> int:
    """``side``, which may be a symbol and then has to stay one, times ``scale``."""
    whole = int(scale)
    return side * whole if whole == scale else int(int(side) * scale)


def upsample(
    operator: Callable[..., Tensor], x: Tensor, output_size: Sequence[int], *options: bool | float | None
) -> Tensor:
    """Matrix products where PyTorch steps by a scale that is not the ratio of the sizes, as ONNX does."""
    aligned = [option for option in options if isinstance(option, bool)]
    scales = options[len(aligned) :]
    if any(aligned) or _is_ratio(scales, x.shape[2:], output_size):
        return NotImplemented
    rows, columns = _upsample_axes(operator, output_size, aligned, scales)
    return _separable(x, rows, columns)


def _is_ratio(scales: Sequence[float | None], before: Sequence[int], after: Sequence[int]) -> bool:
    return all(
        scale is None or scale * have == want
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
    operator: Callable[..., Tensor],
    grad: Tensor,
    output_size: Sequence[int],
    input_size: Sequence[int],
    options: Sequence[bool],
    scales: Sequence[float | None],
) -> Tensor:
    rows, columns = _upsample_axes(operator, output_size, options, scales)
    return _separable_backward(grad, rows, columns, int(input_size[2]), int(input_size[3]))


def _upsample_axes(
    operator: Callable[..., Tensor],
    output_size: Sequence[int],
    options: Sequence[bool],
    scales: Sequence[float | None],
) -> tuple[Axis, Axis]:
    scale_h, scale_w = scales or (None, None)

    def rows(x: Tensor) -> Tensor:
        return operator(x, [int(output_size[0]), 1], *options, scale_h, None)

    def columns(x: Tensor) -> Tensor:
        return operator(x, [int(output_size[1]), 1], *options, scale_w, None)

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
    kernel = pair(kernel_size)
    steps, pads = pair(stride or kernel), pair(padding)

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


def pair(values: Sequence[int]) -> list[int]:
    return [int(value) for value in (values if len(values) == 2 else [values[0]] * 2)]

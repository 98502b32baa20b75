"""Upsampling, average pooling and the padding that repeats the border, and their gradients.

Every one is separable and linear, so both ways can be one matrix product for each side of the picture.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch._C import DispatchKey
from torch._export import utils as _export_utils
from torch._subclasses import fake_impls
from torch.export import decomp_utils
from torch.utils._python_dispatch import _disable_current_modes

aten = torch.ops.aten

_LISTING = "_collect_all_valid_cia_ops_for_aten_namespace"
_listed = functools.cache(getattr(_export_utils, _LISTING).__wrapped__)
Axis = Callable[[Tensor], Tensor]  # A linear operator along the third axis of [N, C, L, 1].


@contextmanager
def whole_upsampling() -> Iterator[None]:
    """Inside, upsampling is traced as one operator with a backward operator of its own.

    PyTorch registers Python kernels that take it apart into index arithmetic before autograd sees it, and the
    gradient of that is a scatter; they are replaced for the while. torch.export lists such kernels once in a
    process: inside it has a list of its own, and others never see that.
    """
    packets = (aten.upsample_nearest2d, aten.upsample_bilinear2d, aten.upsample_bicubic2d, *BY_MATRICES)
    overloads = [getattr(packet, name) for packet in packets for name in ("default", "vec")]
    kernels = [dict(overload.py_kernels) for overload in overloads]
    try:
        for packet in packets:
            for key in (DispatchKey.Autograd, DispatchKey.CompositeImplicitAutograd):
                packet.default.py_kernels.pop(key, None)
                packet.vec.py_kernels[key] = functools.partial(_upsample_vec, packet.default)
        for overload in overloads:
            overload._dispatch_cache.clear()
        known = dict.fromkeys((packet.default for packet in packets), _resampled)
        with mock.patch.dict(fake_impls.get_fast_op_impls(), known), ExitStack() as lists:
            for user in (_export_utils, decomp_utils):
                lists.enter_context(mock.patch.object(user, _LISTING, _listed))
            yield
    finally:
        for overload, saved in zip(overloads, kernels, strict=True):
            overload.py_kernels.clear()
            overload.py_kernels.update(saved)
            overload._dispatch_cache.clear()


def _resampled(mode: Any, x: Tensor, output_size: Sequence[int], *_: Any, **__: Any) -> Tensor:
    """A tensor of the resampled shape, without the index arithmetic that PyTorch does for open sizes."""
    with mode:
        layout = torch._prims_common.suggest_memory_format(x)
        return x.new_empty((*x.shape[:2], *output_size)).contiguous(memory_format=layout)


def _upsample_vec(
    operator: Any,
    x: Tensor,
    output_size: Sequence[int] | None,
    *options: Any,  # align_corners where the operator has it, then the scale factors.
) -> Tensor:
    scales = options[-1] or [None] * (x.dim() - 2)
    if output_size is None:
        output_size = [_scaled(side, scale) for side, scale in zip(x.shape[2:], scales, strict=True)]
    if operator.overloadpacket in BY_MATRICES:
        output_size = [int(side) for side in output_size]
    return operator(x, output_size, *options[:-1], *scales)


def _scaled(side: int, scale: float) -> int:
    """``side``, which may be a symbol and then has to stay one, times ``scale``."""
    whole = int(scale)
    return side * whole if whole == scale else int(int(side) * scale)


def upsample(
    operator: Callable[..., Tensor], x: Tensor, output_size: Sequence[int], *options: bool | float | None
) -> Tensor:
    """Matrix products where PyTorch steps by a scale that is not the ratio of the sizes, as ONNX does."""
    aligned, scales = _options(options)
    if any(aligned) or _is_ratio(scales, x.shape[2:], output_size):
        return NotImplemented
    return _separable(x, _upsample_axes(operator, output_size, aligned, scales))


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
    axes = _upsample_axes(operator, output_size, options, scales)
    return _separable_backward(grad, axes, input_size[2:])


def _upsample_axes(
    operator: Callable[..., Tensor],
    output_size: Sequence[int],
    options: Sequence[bool],
    scales: Sequence[float | None],
) -> list[Axis]:
    def resample(size: int, scale: float | None) -> Axis:
        # Of two equal columns: with one, PyTorch's antialiased kernels take the first row for all.
        def along(x: Tensor) -> Tensor:
            return operator(x.repeat(1, 1, 1, 2), [int(size), 2], *options, scale, None)[..., :1]

        return along

    wanted = scales or [None] * len(output_size)
    return [resample(size, scale) for size, scale in zip(output_size, wanted, strict=True)]


def by_matrices(
    packet: Any,
    x: Tensor,
    output_size: Sequence[int],
    *options: bool | float | None,
) -> Tensor:
    """Upsampling of 1 to 3 sides by one of ``BY_MATRICES``, none of which has a form of its own in ONNX."""
    aligned, scales = _options(options)
    return _separable(x, _upsample_axes(BY_MATRICES[packet], output_size, aligned, scales))


def by_matrices_backward(
    packet: Any,
    grad: Tensor,
    output_size: Sequence[int],
    input_size: Sequence[int],
    *options: bool | float | None,
) -> Tensor:
    aligned, scales = _options(options)
    return _upsample_backward(BY_MATRICES[packet], grad, output_size, input_size, aligned, scales)


def _options(options: Sequence[bool | float | None]) -> tuple[list[bool], list[float | None]]:
    """Whether the corners are aligned, of operators that can be asked for it, and the scales."""
    aligned = [option for option in options if isinstance(option, bool)]
    return aligned, [option for option in options[len(aligned) :] if not isinstance(option, bool)]


def replication_pad_backward(grad: Tensor, x: Tensor, padding: Sequence[int]) -> Tensor:
    """What was copied from the border goes back to it."""

    def pad(before: int, after: int) -> Axis:
        return lambda y: aten.replication_pad2d(y, [0, 0, before, after])

    pairs = [(int(padding[place]), int(padding[place + 1])) for place in range(0, len(padding), 2)]
    axes = [pad(*pair) for pair in reversed(pairs)]  # the last side comes first in a padding
    return _separable_backward(grad, axes, x.shape[-len(axes) :])


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
    axes = _pool_axes(2, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    result = _separable(x, axes)
    return result if divisor_override is None else result / divisor_override


def avg_pool_backward(
    grad: Tensor,
    x: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:
    """Of 2 or 3 sides."""
    sides = x.dim() - 2
    axes = _pool_axes(sides, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    result = _separable_backward(grad, axes, x.shape[2:])
    return result if divisor_override is None else result / divisor_override


def _pool_axes(
    sides: int,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> list[Axis]:
    """Means along each side; sums where the caller divides them all by one number."""
    kernel = each_side(kernel_size, sides)
    steps, pads = each_side(stride or kernel, sides), each_side(padding, sides)
    divisor = None if divisor_override is None else 1

    def pool(k: int, step: int, pad: int) -> Axis:
        sizes = ([k, 1], [step, 1], [pad, 0])
        return lambda y: aten.avg_pool2d(y, *sizes, ceil_mode, count_include_pad, divisor)

    return [pool(*sizes) for sizes in zip(kernel, steps, pads, strict=True)]


def adaptive_avg_pool3d(x: Tensor, output_size: Sequence[int]) -> Tensor:
    """ONNX has no operator for windows of several sizes."""
    return _separable(x, _adaptive_axes(output_size))


def adaptive_avg_pool_backward(grad: Tensor, x: Tensor) -> Tensor:
    """Of 2 or 3 sides."""
    return _separable_backward(grad, _adaptive_axes(grad.shape[2:]), x.shape[2:])


def _adaptive_axes(output_size: Sequence[int]) -> list[Axis]:
    def pool(size: int) -> Axis:
        return lambda y: aten._adaptive_avg_pool2d(y, [size, 1])

    return [pool(int(size)) for size in output_size]


def _separable(x: Tensor, axes: Sequence[Axis]) -> Tensor:
    """``x`` [N, C, …] with each of its sides times the matrix of its operator, the last side first."""
    for side in reversed(range(len(axes))):
        matrix = _operator_matrix(axes[side], int(x.shape[side + 2]), x)
        x = (x.movedim(side + 2, -1) @ matrix.T).movedim(-1, side + 2)
    return x


def _separable_backward(grad: Tensor, axes: Sequence[Axis], sizes: Sequence[int]) -> Tensor:
    """The adjoint of ``_separable``, for an input with sides of ``sizes``."""
    for side in reversed(range(len(axes))):
        matrix = _operator_matrix(axes[side], int(sizes[side]), grad)
        grad = (grad.movedim(side + 2, -1) @ matrix).movedim(-1, side + 2)
    return grad


def _operator_matrix(operator: Axis, size: int, like: Tensor) -> Tensor:
    """The matrix [outputs, size] of a linear operator, as a constant of the graph.

    It is read off by applying the operator to the unit vectors.
    """
    with _disable_current_modes():
        unit_vectors = torch.eye(size, dtype=torch.float64).reshape(size, 1, size, 1)
        return operator(unit_vectors)[:, 0, :, 0].T.contiguous().to(like.dtype)


def each_side(values: Sequence[int], sides: int = 2) -> list[int]:
    """One number for each side, of which PyTorch takes one for all."""
    return [int(value) for value in (values if len(values) == sides else [values[0]] * sides)]


# Upsampling that is traced whole, and the operator of pictures that it is along each of its sides.
BY_MATRICES = {
    aten.upsample_nearest1d: aten.upsample_nearest2d,
    aten.upsample_nearest3d: aten.upsample_nearest2d,
    aten._upsample_nearest_exact1d: aten._upsample_nearest_exact2d,
    aten._upsample_nearest_exact2d: aten._upsample_nearest_exact2d,
    aten._upsample_nearest_exact3d: aten._upsample_nearest_exact2d,
    aten.upsample_linear1d: aten.upsample_bilinear2d,
    aten.upsample_trilinear3d: aten.upsample_bilinear2d,
    aten._upsample_bilinear2d_aa: aten._upsample_bilinear2d_aa,
    aten._upsample_bicubic2d_aa: aten._upsample_bicubic2d_aa,
}

"""Samples of volumes, bicubic samples, pooled volumes and uneven windows: gradients without a scatter."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as f

from edgefill.errors import ModelError
from edgefill.export.decompositions.max_pooling import windows_rounded_up
from edgefill.export.decompositions.sampling import bounded, in_pixels

_grid_sampler = torch.grid_sampler
_adaptive: Callable[..., Any] = f.adaptive_max_pool2d
_BICUBIC, _NEAREST = 2, 1
_SLOPE = -0.75
_MOST = 2**26  # numbers that a product makes on its way


def grid_sampler(
    picture: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """``picture [N, C, (D,) H, W]`` at ``grid [N, …, 2 or 3]``, one product with weights a side.

    Bilinear samples of pictures are left to PyTorch. Raises ModelError for too many samples.
    """
    if picture.dim() == 4 and interpolation_mode != _BICUBIC:
        return _grid_sampler(picture, grid, interpolation_mode, padding_mode, align_corners)
    points, result = grid.flatten(1, -2), picture
    sizes = [int(side) for side in picture.shape[2:]]
    _check(int(picture.shape[1]) * math.prod(sizes[:-1]) * int(points.shape[1]))
    for axis, size in enumerate(reversed(sizes)):
        weights = _weights(points[..., axis], size, interpolation_mode, padding_mode, align_corners).mT
        for _ in sizes[axis + 1 :] if axis else sizes[1:]:
            weights = weights.unsqueeze(1)
        # (n, c, …, size) · (n, …, size, k), then each point by itself.
        result = (result * weights.unsqueeze(1)).sum(-2) if axis else result @ weights
    return result.unflatten(-1, grid.shape[1:-1])


def _weights(place: Tensor, size: int, mode: int, padding_mode: int, align_corners: bool) -> Tensor:
    """How much of each pixel of a side the samples at ``place [N, K]`` have: [N, K, size]."""
    pixel = in_pixels(place, size, align_corners)
    if mode != _BICUBIC:
        pixel = bounded(pixel, size, padding_mode, align_corners)
    if mode == _NEAREST:
        return _hot(torch.round(pixel), size) + 0 * pixel.unsqueeze(-1)  # whose slope is 0, as PyTorch says
    first = torch.floor(pixel).detach()
    rest = pixel - first
    if mode != _BICUBIC:
        return (1 - rest).unsqueeze(-1) * _hot(first, size) + rest.unsqueeze(-1) * _hot(first + 1, size)
    parts = [
        weight.unsqueeze(-1) * _hot(bounded(first + tap, size, padding_mode, align_corners), size)
        for tap, weight in zip((-1, 0, 1, 2), _cubic(rest), strict=True)
    ]
    return torch.stack(parts).sum(0)


def _hot(pixel: Tensor, size: int) -> Tensor:
    """1 at the place of ``pixel``, a whole number; nowhere where that is outside."""
    return (pixel.unsqueeze(-1) == torch.arange(size, dtype=pixel.dtype)).to(pixel.dtype)


def _cubic(rest: Tensor) -> tuple[Tensor, ...]:
    """The weights of the four pixels around (Keys 1981, with PyTorch's slope of -3/4)."""

    def near(t: Tensor) -> Tensor:
        return ((_SLOPE + 2) * t - (_SLOPE + 3)) * t * t + 1

    def far(t: Tensor) -> Tensor:
        return ((_SLOPE * t - 5 * _SLOPE) * t + 8 * _SLOPE) * t - 4 * _SLOPE

    return far(1 + rest), near(rest), near(1 - rest), far(2 - rest)


def max_pool3d(
    x: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] = (),
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The largest of each plane's windows, then of the planes; of equal ones the first has the gradient."""
    kernel, pads, dilations = _three(kernel_size), _three(padding), _three(dilation)
    steps = _three(stride) if stride not in ((), [], None) else kernel
    planes = x.flatten(-4, -3)
    pooled = f.max_pool2d(planes, kernel[1:], steps[1:], pads[1:], dilations[1:], ceil_mode)
    pooled = pooled.unflatten(-3, x.shape[-4:-2])
    depth, (k, s, p, d) = int(x.shape[-3]), (kernel[0], steps[0], pads[0], dilations[0])
    reach = d * (k - 1) + 1
    count = windows_rounded_up(depth, k, s, p, d) if ceil_mode else (depth + 2 * p - reach) // s + 1
    after = max((count - 1) * s + reach - p - depth, 0)
    padded = f.pad(pooled, (0, 0, 0, 0, p, after), value=torch.finfo(x.dtype).min)
    return _largest([padded[..., n * d : n * d + (count - 1) * s + 1 : s, :, :] for n in range(k)])


def adaptive_max_pool2d(x: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """The largest of each window, which need not be whole; of equal ones the first has the gradient."""
    sizes = [int(side) for side in x.shape[-2:]]
    pair = (output_size, output_size) if output_size is None or isinstance(output_size, int) else output_size
    wanted = [size if side is None else int(side) for side, size in zip(pair, sizes, strict=True)]
    if return_indices or all(size % side == 0 for size, side in zip(sizes, wanted, strict=True)):
        return _adaptive(x, output_size, return_indices)
    for dim, size, side in ((-1, sizes[1], wanted[1]), (-2, sizes[0], wanted[0])):
        windows = [range(n * size // side, -(-(n + 1) * size // side)) for n in range(side)]
        x = torch.stack([_largest([x.select(dim, place) for place in window]) for window in windows], dim)
    return x


def _largest(parts: Sequence[Tensor]) -> Tensor:
    largest = parts[0]
    for part in parts[1:]:
        largest = torch.where(part > largest, part, largest)
    return largest


def _three(value: int | Sequence[int]) -> list[int]:
    values = [value] * 3 if isinstance(value, int) else [int(each) for each in value]
    return values * 3 if len(values) == 1 else values


def _check(count: int) -> None:
    if count > _MOST:
        raise ModelError(
            f"F.grid_sample makes {count} numbers of each sample on its way, which are too many; "
            f"expected at most {_MOST}: take fewer points at a time, or mode='bilinear' of pictures"
        )


FORMS: tuple[tuple[object, str, Callable[..., Any]], ...] = (
    (torch, "grid_sampler", grid_sampler),
    (torch, "max_pool3d", max_pool3d),
    (f, "adaptive_max_pool2d", adaptive_max_pool2d),
)

"""The gradient of ``grid_sample``, without a scatter.

A bilinear sample at (x, y) is Σ picture[i, j] · hat(y − i) · hat(x − j), with hat(d) = max(0, 1 − |d|): two
factors, each a matrix of samples × places, so both gradients are products of matrices.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from edgefill.errors import ModelError

_NEAREST = 1
_BORDER, _REFLECTION = 1, 2


def grid_sampler_2d_backward(
    grad: Tensor,
    picture: Tensor,
    grid: Tensor,
    interpolation_mode: int,
    padding_mode: int,
    align_corners: bool,
    output_mask: Sequence[bool],
) -> tuple[Tensor | None, Tensor]:
    """The gradients with respect to ``picture [N, C, H, W]`` and ``grid [N, h, w, 2]`` in [-1, 1]."""
    if interpolation_mode > _NEAREST:
        raise ModelError(
            "the gradient of F.grid_sample with mode='bicubic' cannot be exported; take mode='bilinear'"
        )
    height, width = int(picture.shape[2]), int(picture.shape[3])
    points = grid.flatten(1, 2)  # (n, k, 2)
    x, x_slope = _pixels(points[..., 0], width, padding_mode, align_corners)
    y, y_slope = _pixels(points[..., 1], height, padding_mode, align_corners)
    weight = _one if interpolation_mode == _NEAREST else _hat
    across, down = weight(x, width), weight(y, height)  # (n, k, w), (n, k, h)
    flat = grad.flatten(2)  # (n, c, k)
    to_picture = None
    if output_mask[0]:
        to_picture = (flat[:, :, None] * down.mT[:, None]) @ across[:, None]  # (n, c, h, k) · (n, 1, k, w)
    if interpolation_mode == _NEAREST or not output_mask[1]:
        return to_picture, torch.zeros_like(grid)
    rows = (down[:, None] @ picture, _hat_slope(y, height)[:, None] @ picture)  # (n, c, k, w)
    by_x = ((rows[0] * _hat_slope(x, width)[:, None]).sum(3) * flat).sum(1) * x_slope
    by_y = ((rows[1] * across[:, None]).sum(3) * flat).sum(1) * y_slope
    return to_picture, torch.stack([by_x, by_y], -1).reshape(grid.shape)


def _pixels(place: Tensor, size: int, padding_mode: int, align_corners: bool) -> tuple[Tensor, Tensor]:
    """The place in pixels of one in [-1, 1], inside of the picture where it is padded, and its slope."""
    slope = torch.full_like(place, _scale(size, align_corners))
    return _bounded(in_pixels(place, size, align_corners), slope, size, padding_mode, align_corners)


def in_pixels(place: Tensor, size: int, align_corners: bool) -> Tensor:
    """A ``place`` in [-1, 1] counted in pixels, the middle of the first of which is 0."""
    return (place + 1) * _scale(size, align_corners) - (0 if align_corners else 0.5)


def bounded(pixel: Tensor, size: int, padding_mode: int, align_corners: bool) -> Tensor:
    """``pixel`` inside of the picture where it is padded."""
    return _bounded(pixel, torch.zeros_like(pixel), size, padding_mode, align_corners)[0]


def _scale(size: int, align_corners: bool) -> float:
    return (size - 1) / 2 if align_corners else size / 2


def _bounded(
    pixel: Tensor, slope: Tensor, size: int, padding_mode: int, align_corners: bool
) -> tuple[Tensor, Tensor]:
    if padding_mode == _REFLECTION:
        low, span = (0.0, size - 1) if align_corners else (-0.5, size)
        pixel, slope = _reflected(pixel, slope, low, float(span))
    if padding_mode in (_BORDER, _REFLECTION):
        inside = (pixel > 0) & (pixel < size - 1)
        pixel, slope = pixel.clamp(0, size - 1), torch.where(inside, slope, torch.zeros_like(slope))
    return pixel, slope


def _reflected(pixel: Tensor, slope: Tensor, low: float, span: float) -> tuple[Tensor, Tensor]:
    if span == 0:
        return torch.zeros_like(pixel), torch.zeros_like(slope)
    distance = (pixel - low).abs()
    slope = torch.where(pixel < low, -slope, slope)
    flips = torch.floor(distance / span)
    rest = distance - flips * span
    back = flips - 2 * torch.floor(flips / 2) > 0.5
    return torch.where(back, span - rest, rest) + low, torch.where(back, -slope, slope)


def _distance(pixel: Tensor, size: int) -> Tensor:
    return pixel.unsqueeze(-1) - torch.arange(size, dtype=pixel.dtype)


def _hat(pixel: Tensor, size: int) -> Tensor:
    return torch.relu(1 - _distance(pixel, size).abs())


def _hat_slope(pixel: Tensor, size: int) -> Tensor:
    """Towards larger places, as PyTorch has it where a sample falls on a pixel."""
    distance = _distance(pixel, size)
    one, zero = torch.ones_like(distance), torch.zeros_like(distance)
    falling = torch.where((distance >= 0) & (distance < 1), -one, zero)
    return torch.where((distance >= -1) & (distance < 0), one, falling)


def _one(pixel: Tensor, size: int) -> Tensor:
    return (_distance(torch.round(pixel), size) == 0).to(pixel.dtype)

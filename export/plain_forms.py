"""What PyTorch does in a special way where it can, done in the plain way that can be traced and exported."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.nn import functional as f
from torch.nn.attention import SDPBackend, sdpa_kernel

from edgefill.export import programs
from edgefill.export.decompositions import whole_upsampling
from edgefill.export.decompositions.quantisation import fake_quantize_per_channel


@contextmanager
def plain_forms() -> Iterator[None]:
    """Attention, recurrent layers and warps in forms that have a gradient; compiled modules as written.

    And without the exporter's notes on itself.
    """
    with ExitStack() as forms:
        forms.enter_context(_quiet())
        forms.enter_context(as_written())
        forms.enter_context(sdpa_kernel(SDPBackend.MATH))
        forms.enter_context(torch.backends.mkldnn.flags(enabled=False))
        forms.enter_context(mock.patch.object(torch, "affine_grid_generator", affine_grid))
        forms.enter_context(mock.patch.object(f, "gaussian_nll_loss", gaussian_nll_loss))
        for owner in (torch, Tensor):
            forms.enter_context(mock.patch.object(owner, "take_along_dim", take_along_dim))
        forms.enter_context(
            mock.patch.object(torch, "fake_quantize_per_channel_affine", fake_quantize_per_channel)
        )
        forms.enter_context(whole_upsampling())
        forms.enter_context(programs.taken_as_they_are())
        yield


@contextmanager
def as_written() -> Iterator[None]:
    """Compiled modules run as they were written; and without autocast.

    The precision of a graph is what was asked for, not what a module asks of a device.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what PyTorch's compiler imports
        from torch._dynamo import config
    with (
        torch.compiler.set_stance("force_eager"),
        config.patch(error_on_nested_fx_trace=False),
        mock.patch.object(torch.autocast, "__enter__", lambda self: self),
        mock.patch.object(torch.autocast, "__exit__", lambda *_: None),
    ):
        yield


def affine_grid(theta: Tensor, size: Any, align_corners: bool) -> Tensor:
    """Where each pixel [N, H, W, 2] of pictures of ``size`` is taken from; ``theta [N, 2, 3]``.

    PyTorch's own gradient of it asks for the batch as a number.
    """
    height, width = (int(side) for side in size[-2:])
    x, y = (_centres(side, align_corners, theta.dtype) for side in (width, height))
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    points = torch.stack([columns, rows, torch.ones_like(rows)], -1).reshape(1, -1, 3)
    return (points @ theta.mT).unflatten(1, (height, width))


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """−log of the normal density of ``target``, without the constant unless ``full`` (Nix and Weigend 1994).

    PyTorch's own asks whether any variance is negative.
    """
    variance = var if isinstance(var, Tensor) else torch.full_like(input, var)
    if variance.dim() < input.dim() and variance.shape == input.shape[:-1]:
        variance = variance.unsqueeze(-1)
    # The limit is no part of the gradient.
    limited = variance + (variance.clamp(min=eps) - variance).detach()
    loss = 0.5 * (limited.log() + (input - target) ** 2 / limited)
    loss = loss + 0.5 * math.log(2 * math.pi) if full else loss
    return {"mean": loss.mean, "sum": loss.sum, "none": lambda: loss}[reduction]()


def take_along_dim(x: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """What ``x`` has at ``indices`` of ``dim``; other dimensions of one place count for all.

    PyTorch's own asks for the batch as a number.
    """
    if dim is None:
        return x.flatten()[indices.flatten()]
    for axis in range(x.dim()):
        if axis != dim % x.dim():
            one, other = x.shape[axis], indices.shape[axis]
            x = x.expand(*(other if place == axis and one == 1 else -1 for place in range(x.dim())))
            indices = indices.expand(
                *(one if place == axis and other == 1 else -1 for place in range(x.dim()))
            )
    return x.gather(dim, indices)


def _centres(side: int, align_corners: bool, dtype: torch.dtype) -> Tensor:
    edge = 1.0 if align_corners else 1.0 - 1.0 / side
    return torch.linspace(-edge, edge, side, dtype=dtype) if side > 1 else torch.zeros(1, dtype=dtype)


@contextmanager
def _quiet() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "torch._subclasses")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

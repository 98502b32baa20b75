"""What PyTorch does in a special way where it can, done in the plain way that can be traced and exported."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
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

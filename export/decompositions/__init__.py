"""Operators of PyTorch, most of them backward, written in operators that ONNX and TensorRT both know.

PyTorch's own table (``core_aten_decompositions``) covers most of them. Ours replaces those that have no ONNX
form, whose form needs ScatterND with a reduction (which TensorRT does not parse), or that overflow in fp16.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._decomp import core_aten_decompositions, get_decompositions

from edgefill.export.decompositions.convolution import convolution_backward
from edgefill.export.decompositions.fourier import fft_c2c, fft_c2r, fft_r2c
from edgefill.export.decompositions.max_pooling import (
    adaptive_max_pool2d,
    adaptive_max_pool2d_backward,
    max_pool2d_backward,
    max_pool2d_with_indices,
)
from edgefill.export.decompositions.resampling import (
    adaptive_avg_pool2d_backward,
    avg_pool2d,
    avg_pool2d_backward,
    upsample,
    upsample_bicubic2d_backward,
    upsample_bilinear2d_backward,
    upsample_nearest2d_backward,
    whole_upsampling,
)
from edgefill.export.decompositions.slices import select_backward, slice_backward

__all__ = ["decomposition_table", "whole_upsampling"]

aten = torch.ops.aten

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
        aten._fft_r2c.default: fft_r2c,
        aten._fft_c2c.default: fft_c2c,
        aten._fft_c2r.default: fft_c2r,
        aten.upsample_nearest2d.default: functools.partial(upsample, aten.upsample_nearest2d),
        aten.upsample_bilinear2d.default: functools.partial(upsample, aten.upsample_bilinear2d),
        aten.upsample_bicubic2d.default: functools.partial(upsample, aten.upsample_bicubic2d),
        aten.upsample_nearest2d_backward.default: upsample_nearest2d_backward,
        aten.upsample_bilinear2d_backward.default: upsample_bilinear2d_backward,
        aten.upsample_bicubic2d_backward.default: upsample_bicubic2d_backward,
    }


def softplus_backward(grad: Tensor, x: Tensor, beta: float, threshold: float) -> Tensor:
    """grad · sigmoid(βx): the stock form exp/(exp + 1) is NaN in fp16 between 11.1 and 20."""
    slope = grad * torch.sigmoid(x * beta)
    # From the usual threshold of 20 on, the sigmoid is 1 to the last digit.
    return slope if threshold >= 20 else torch.where(x * beta > threshold, grad, slope)

"""Operators of PyTorch, most of them backward, written in operators that ONNX and TensorRT both know.

PyTorch's own table (``core_aten_decompositions``) covers most of them. Ours replaces those that have no ONNX
form, whose form needs ScatterND with a reduction (which TensorRT does not parse), or that overflow in fp16.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch._decomp import core_aten_decompositions, get_decompositions

from edgefill.export.decompositions import (
    elementary,
    elimination,
    fourier,
    indexing,
    linear_algebra,
    quantisation,
    reducing,
    resampling,
    rotations,
    special,
)
from edgefill.export.decompositions.convolution import convolution, convolution_backward
from edgefill.export.decompositions.folding import col2im, im2col
from edgefill.export.decompositions.fourier import fft_c2c, fft_c2r, fft_r2c
from edgefill.export.decompositions.max_pooling import (
    adaptive_max_pool2d,
    adaptive_max_pool2d_backward,
    max_pool2d_backward,
    max_pool2d_with_indices,
)
from edgefill.export.decompositions.resampling import BY_MATRICES, whole_upsampling
from edgefill.export.decompositions.sampling import grid_sampler_2d_backward
from edgefill.export.decompositions.slices import select_backward, slice_backward
from edgefill.export.decompositions.views import VIEWS
from edgefill.export.programs import without_form

__all__ = ["decomposition_table", "whole_upsampling"]

aten = torch.ops.aten

# Operators with an ONNX form of their own that is more exact or smaller than their decomposition.
_KEPT = (
    aten.softplus,  # log(1 + exp(x)) loses every digit for a D that is sure of itself.
    aten.upsample_nearest2d,
    aten.upsample_bilinear2d,
    aten.upsample_bicubic2d,
    aten.avg_pool2d,
    aten.pixel_shuffle,
    aten.pixel_unshuffle,
    aten._adaptive_avg_pool2d,
    aten.prod,
)


@functools.cache  # PyTorch's own are collected anew each time
def decomposition_table(*, allow_scatter: bool = False) -> dict[Any, Callable[..., Any]]:
    """Operator overload → function of the same arguments, for ``make_fx``; not to be written into.

    ``allow_scatter`` leaves writes to counted places what they are in PyTorch.
    """
    table: dict[Any, Callable[..., Any]] = {
        overload: function
        for overload, function in core_aten_decompositions().items()
        if getattr(overload, "overloadpacket", None) not in _KEPT
    }
    # Its backward reads the mean and the deviation too, which TensorRT's layer normalisation does not return.
    table |= get_decompositions([aten.native_layer_norm])
    # What writes stays a write, which is made a function of its own afterwards.
    table = {overload: form for overload, form in table.items() if not overload._schema.is_mutable}
    table = {**without_form(), **table}
    table |= {overload: form for packet, form in _FORMS.items() for overload in _overloads(packet)}
    table |= VIEWS
    for packet in (aten.upsample_nearest2d, aten.upsample_bilinear2d, aten.upsample_bicubic2d):
        table[packet.default] = functools.partial(resampling.upsample, packet)
    for packet in BY_MATRICES:
        table[packet.default] = functools.partial(resampling.by_matrices, packet)
        backward = getattr(aten, f"{packet.__name__}_backward")
        table[backward.default] = functools.partial(resampling.by_matrices_backward, packet)
    if allow_scatter:
        return {overload: form for overload, form in table.items() if form not in _INSTEAD_OF_SCATTERING}
    return table


def _overloads(packet: Any) -> Iterator[Any]:
    """The overloads of an operator, or the one that was named."""
    if isinstance(packet, torch._ops.OpOverload):
        yield packet
    else:
        yield from (getattr(packet, name) for name in packet.overloads() if "out" not in name)


def softplus_backward(grad: Tensor, x: Tensor, beta: float, threshold: float) -> Tensor:
    """grad · sigmoid(βx): the stock form exp/(exp + 1) is NaN in fp16 between 11.1 and 20."""
    slope = grad * torch.sigmoid(x * beta)
    # From the usual threshold of 20 on, the sigmoid is 1 to the last digit.
    return slope if threshold >= 20 else torch.where(x * beta > threshold, grad, slope)


_by_its_own_statistics = get_decompositions([aten._native_batch_norm_legit.no_stats])


def batch_norm_by_its_own_statistics(x: Tensor, *options: Any) -> Any:
    """Of fp16 in fp32: PyTorch's exporter mixes both, and sums of squares are beyond the range of fp16."""
    if x.dtype != torch.float16:
        return NotImplemented
    return _by_its_own_statistics[aten._native_batch_norm_legit.no_stats](x, *options)


# Operators, with all their overloads or one of them, and what they are written in.
_FORMS: dict[Any, Callable[..., Any]] = {
    aten.convolution.default: convolution,
    aten._convolution.default: lambda *arguments: aten.convolution.default(*arguments[:9]),
    aten.convolution_backward.default: convolution_backward,
    aten.slice_backward: slice_backward,
    aten.select_backward: select_backward,
    aten.diagonal_backward: indexing.diagonal_backward,
    aten.slice_scatter.default: indexing.slice_scatter,
    aten.select_scatter.default: indexing.select_scatter,
    aten.diagonal_scatter.default: indexing.diagonal_scatter,
    aten._native_batch_norm_legit.no_stats: batch_norm_by_its_own_statistics,
    aten.softplus_backward.default: softplus_backward,
    aten.avg_pool2d: resampling.avg_pool2d,
    aten.avg_pool2d_backward.default: resampling.avg_pool_backward,
    aten.avg_pool3d_backward.default: resampling.avg_pool_backward,
    aten._adaptive_avg_pool2d_backward.default: resampling.adaptive_avg_pool_backward,
    aten._adaptive_avg_pool3d.default: resampling.adaptive_avg_pool3d,
    aten._adaptive_avg_pool3d_backward.default: resampling.adaptive_avg_pool_backward,
    aten.max_pool2d_with_indices.default: max_pool2d_with_indices,
    aten.max_pool2d_with_indices_backward.default: max_pool2d_backward,
    aten.adaptive_max_pool2d.default: adaptive_max_pool2d,
    aten.adaptive_max_pool2d_backward.default: adaptive_max_pool2d_backward,
    aten.replication_pad1d_backward.default: resampling.replication_pad_backward,
    aten.replication_pad2d_backward.default: resampling.replication_pad_backward,
    aten.replication_pad3d_backward.default: resampling.replication_pad_backward,
    aten.grid_sampler_2d_backward.default: grid_sampler_2d_backward,
    aten.im2col.default: im2col,
    aten.col2im.default: col2im,
    aten._fft_r2c.default: fft_r2c,
    aten._fft_c2c.default: fft_c2c,
    aten._fft_c2r.default: fft_c2r,
    aten.fft_fftfreq.default: fourier.frequencies,
    aten.fft_rfftfreq.default: fourier.half_of_frequencies,
    aten.upsample_nearest2d_backward.default: resampling.upsample_nearest2d_backward,
    aten.upsample_bilinear2d_backward.default: resampling.upsample_bilinear2d_backward,
    aten.upsample_bicubic2d_backward.default: resampling.upsample_bicubic2d_backward,
    aten.index_put.default: indexing.index_put,
    aten._unsafe_index_put.default: indexing.index_put,
    aten.scatter_add.default: indexing.scatter_add,
    aten.scatter.src: indexing.scatter,
    aten.scatter.value: indexing.scatter,
    aten.scatter_reduce.two: reducing.scatter_reduce,
    aten.index_reduce.default: reducing.index_reduce,
    aten.max_unpool2d.default: reducing.max_unpool2d,
    aten.i0.default: special.i0,
    aten.special_i0e.default: special.i0e,
    aten.special_i1.default: special.i1,
    aten.special_i1e.default: special.i1e,
    aten.special_ndtri.default: special.ndtri,
    aten.copysign: special.copysign,
    aten.fmax.default: special.fmax,
    aten.fmin.default: special.fmin,
    aten.clamp.default: elementary.clamp,
    aten.polygamma.default: elementary.polygamma,
    aten.hypot.default: elementary.hypot,
    aten.cumprod.default: elementary.cumprod,
    aten.lgamma.default: elementary.lgamma,
    aten.digamma.default: elementary.digamma,
    aten.erfinv.default: elementary.erfinv,
    aten.rrelu_with_noise_functional.default: elementary.rrelu_with_noise_functional,
    aten._cdist_forward.default: elementary.cdist_forward,
    aten._cdist_backward.default: elementary.cdist_backward,
    aten.median.dim: elementary.median,
    aten.kthvalue.default: elementary.kth_value,
    aten.cummax.default: elementary.cumulative_maximum,
    aten.cummin.default: elementary.cumulative_minimum,
    aten.searchsorted.Tensor: elementary.searchsorted,
    aten.searchsorted.Scalar: elementary.searchsorted_of_number,
    aten.copy.default: elementary.copy,
    aten.argmax.default: elementary.argmax,
    aten.max.dim: elementary.maximum_along,
    aten.where.self: elementary.where,
    aten._trilinear.default: elementary.trilinear,
    aten.empty_permuted.default: lambda size, _, **options: aten.zeros(size, **options),
    aten.linalg_cholesky_ex.default: linear_algebra.cholesky_ex,
    aten.linalg_solve_triangular.default: linear_algebra.solve_triangular,
    aten.linalg_qr.default: linear_algebra.qr,
    aten.cholesky_solve.default: linear_algebra.cholesky_solve,
    aten.cholesky_inverse.default: linear_algebra.cholesky_inverse,
    aten.linalg_matrix_exp.default: linear_algebra.matrix_exp,
    aten._linalg_eigh.default: rotations.eigh,
    aten._linalg_svd.default: rotations.svd,
    aten.linalg_eig.default: rotations.eig,
    aten.linalg_lu.default: elimination.lu,
    aten.lu_unpack.default: elimination.lu_unpack,
    aten.linalg_lu_factor_ex.default: elimination.lu_factor_ex,
    aten.linalg_lu_solve.default: elimination.lu_solve,
    aten._linalg_solve_ex.default: elimination.solve_ex,
    aten.linalg_inv_ex.default: elimination.inv_ex,
    aten._linalg_det.default: elimination.det,
    aten._linalg_slogdet.default: elimination.slogdet,
    aten.fake_quantize_per_tensor_affine_cachemask.default: quantisation.per_tensor,
    aten._fake_quantize_per_tensor_affine_cachemask_tensor_qparams.default: quantisation.by_tensors,
    aten._fused_moving_avg_obs_fq_helper.default: quantisation.observed,
}

_INSTEAD_OF_SCATTERING = (indexing.index_put, indexing.scatter_add, indexing.scatter)

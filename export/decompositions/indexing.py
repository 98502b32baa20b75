"""Writes to places that are counted, as products with one-hot rows: not every runtime scatters.

The gradient of picking elements is a sum into the places that they were picked from. ScatterND and
ScatterElements with a reduction say that, which TensorRT does not parse. Comparing the indices with 0, 1, 2
and so on gives rows that are 1 at one place, and a product with them is the same sum. That costs as many
multiplications as there are picks times places: beyond ``MOST`` it is refused, unless scattering is allowed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from edgefill.errors import ModelError
from edgefill.export.decompositions.slices import slice_backward

aten = torch.ops.aten

MOST = 2**24  # picks times places

_COUNTED = (
    "as many values as a mask has true places are read or written, a number that depends on what is "
    "in the tensor; write torch.where(mask, new, old) instead"
)
_WHOLE = (0, 2**63 - 1, 1)  # the start, end and step of a slice that takes all


def index_put(
    x: Tensor, indices: Sequence[Tensor | None], values: Tensor, accumulate: bool = False
) -> Tensor:
    """``x`` with ``values`` written, or added, at ``indices``; of equal indices the last is written."""
    if any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in indices):
        return _written_where(x, indices, values, accumulate)
    picked = [axis for axis, index in enumerate(indices) if index is not None]
    rest = [axis for axis in range(x.dim()) if axis not in picked]
    sizes = [x.shape[axis] for axis in (*picked, *rest)]
    place, places = _place(indices, picked, x), math.prod(sizes[: len(picked)])
    _check(place.numel(), places)
    rows = x.permute(*picked, *rest).reshape(places, -1)
    given = _picks_first(values, place, picked, [x.shape[axis] for axis in rest])
    hot = place.reshape(-1, 1) == torch.arange(places)
    if accumulate:
        rows = rows + _sums(hot, given)
    else:
        hot = hot & ~_written_again(hot)
        rows = torch.where(hot.any(0)[:, None], _sums(hot, given).to(x.dtype), rows)
    order = sorted(range(x.dim()), key=[*picked, *rest].__getitem__)
    return rows.reshape(sizes).permute(order)


def scatter_add(x: Tensor, dim: int, index: Tensor, values: Tensor) -> Tensor:
    """``x`` with ``values`` added at ``index`` along ``dim``."""
    return x + grown(_put_along(values, hits_of(x, dim, index), dim), x)


def scatter(x: Tensor, dim: int, index: Tensor, values: Tensor | float) -> Tensor:
    """``x`` with ``values`` at ``index`` along ``dim``; PyTorch does not say which of two at one place."""
    hits = hits_of(x, dim, index)
    written = grown(hits.any(dim % x.dim() + 1).to(x.dtype), x) > 0
    if isinstance(values, Tensor):
        return torch.where(written, grown(_put_along(values, hits, dim), x), x)
    return torch.where(written, torch.full((), values, dtype=x.dtype), x)


def slice_scatter(
    x: Tensor, values: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    """``x`` with ``values`` in the place of one of its slices."""
    given = (start or 0, _WHOLE[1] if end is None else end, step)
    if given == _WHOLE:
        return values.expand(x.shape)
    size = int(x.shape[dim])
    first, last, _ = slice(*given).indices(size)
    place = torch.arange(size)
    inside = (place >= first) & (place < last) & ((place - first) % step == 0)
    spread = slice_backward(values, x.shape, dim, first, last, step)
    return torch.where(_along(dim, inside, x.dim()), spread, x)


def select_scatter(x: Tensor, values: Tensor, dim: int, index: int) -> Tensor:
    """``x`` with ``values`` at one place of ``dim``."""
    place = torch.arange(x.shape[dim]) - (index if index >= 0 else index + x.shape[dim])
    return torch.where(_along(dim, place == 0, x.dim()), values.unsqueeze(dim), x)


def diagonal_backward(grad: Tensor, input_sizes: Sequence[int], offset: int, dim1: int, dim2: int) -> Tensor:
    """Zeros around the diagonal."""
    rows, columns = int(input_sizes[dim1]), int(input_sizes[dim2])
    before = max(offset, 0)
    row = aten.constant_pad_nd(grad, [before, columns - before - int(grad.shape[-1])], 0.0).unsqueeze(-2)
    on_it = torch.arange(columns) - torch.arange(rows)[:, None] == offset
    square = torch.where(on_it, row, torch.zeros((), dtype=grad.dtype))
    return square.movedim((-2, -1), (dim1, dim2))


def diagonal_scatter(x: Tensor, values: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """``x`` with ``values`` on a diagonal."""
    spread = diagonal_backward(values, x.shape, offset, dim1, dim2)
    on_it = diagonal_backward(torch.ones_like(values), x.shape, offset, dim1, dim2) > 0
    return torch.where(on_it, spread, x)


def _written_where(x: Tensor, indices: Sequence[Tensor | None], values: Tensor, accumulate: bool) -> Tensor:
    """One value where a mask is true. Raises ModelError for as many as there are true places."""
    axis, mask = next((axis, index) for axis, index in enumerate(indices) if index is not None)
    if sum(index is not None for index in indices) > 1 or values.numel() != 1:
        raise ModelError(_COUNTED)
    whole = mask.bool().reshape(*mask.shape, *[1] * (x.dim() - axis - mask.dim()))
    value = values.reshape(()).to(x.dtype)
    return torch.where(whole, x + value if accumulate else value, x)


def _place(indices: Sequence[Tensor | None], picked: Sequence[int], x: Tensor) -> Tensor:
    """The place that the indices mean together, counted through the dimensions ``picked`` of ``x``."""
    place: Tensor = torch.zeros((), dtype=torch.int64)
    for axis in picked:
        index = indices[axis]
        assert index is not None
        place = place * x.shape[axis] + torch.where(index < 0, index + x.shape[axis], index)
    return place


def _picks_first(values: Tensor, place: Tensor, picked: Sequence[int], rest: Sequence[int]) -> Tensor:
    """``values`` as [picks, all else]; the picks stand where neighbouring indices stood, else first."""
    neighbours = picked[-1] - picked[0] == len(picked) - 1
    before = picked[0] if neighbours else 0
    whole = values.expand(*rest[:before], *place.shape, *rest[before:])
    axes = range(place.dim())
    return whole.movedim([before + axis for axis in axes], list(axes)).reshape(place.numel(), -1)


def _written_again(hot: Tensor) -> Tensor:
    """Which rows [picks, 1] mean a place that a later one means too."""
    number = torch.arange(hot.shape[0])
    same = (hot.float() @ hot.float().T) > 0
    return (same & (number > number[:, None])).any(1, keepdim=True)


def _sums(hot: Tensor, values: Tensor) -> Tensor:
    """The sum [places, …] of the ``values`` [picks, …] that belong to a place."""
    exact = values if values.is_floating_point() or values.is_complex() else values.double()
    return (hot.T.to(exact.dtype) @ exact).to(values.dtype)


def hits_of(x: Tensor, dim: int, index: Tensor) -> Tensor:
    """Whether a pick means a place: ``index`` with a dimension of the places before ``dim``."""
    dim %= x.dim()
    _check(index.numel() // index.shape[0] if dim else index.numel(), x.shape[dim])
    return index.unsqueeze(dim) == _along(dim, torch.arange(x.shape[dim]), x.dim() + 1)


def _put_along(values: Tensor, hits: Tensor, dim: int) -> Tensor:
    """The sum of ``values`` at each place."""
    dim %= values.dim()
    zero = torch.zeros((), dtype=values.dtype)
    return torch.where(hits, at_places(values, hits, dim), zero).sum(dim + 1).to(values.dtype)


def at_places(values: Tensor, hits: Tensor, dim: int) -> Tensor:
    """``values`` beside ``hits``; they may be larger than the index, whose part alone counts."""
    for axis in range(1, values.dim()):
        values = aten.slice(values, axis, 0, hits.shape[axis + (axis >= dim)])
    return values.unsqueeze(dim)


def grown(part: Tensor, x: Tensor) -> Tensor:
    """``part``, which lies at the beginning of each dimension of ``x``, with zeros behind it."""
    behind = [int(x.shape[axis]) - int(part.shape[axis]) for axis in range(x.dim() - 1, 0, -1)]
    pads = [side for count in behind for side in (0, count)]
    return aten.constant_pad_nd(part, pads, 0) if any(behind) else part


def _along(dim: int, row: Tensor, dims: int) -> Tensor:
    """A ``row`` of one value for each place of ``dim``, for tensors of ``dims`` dimensions."""
    return row.reshape(-1, *[1] * (dims - 1 - dim % dims))


def _check(picks: int, places: int) -> None:
    if _number(picks) * _number(places) > MOST:
        raise ModelError(
            f"{_number(picks)} picks out of {_number(places)} places are too many for a product with one-hot "
            "rows; allow_scatter=True leaves them to a scatter, which ONNX Runtime has and TensorRT in part"
        )


def _number(size: Any) -> int:
    """A size, which may be a symbol that has to stay one. Raises ModelError where values make it."""
    node = getattr(size, "node", None)
    if node is not None and node.hint is None:
        raise ModelError(_COUNTED)
    return int(size if node is None else node.hint)

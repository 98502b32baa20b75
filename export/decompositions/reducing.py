"""Sums, products, means, largest and smallest of what is picked for each place, by one-hot rows."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from edgefill.export.decompositions.indexing import at_places, grown, hits_of

aten = torch.ops.aten

# Reduction → what of it counts for nothing, and how two of its results become one.
_REDUCTIONS: dict[str, tuple[float, Any]] = {
    "sum": (0.0, torch.add),
    "mean": (0.0, torch.add),
    "prod": (1.0, torch.mul),
    "amax": (-math.inf, torch.maximum),
    "amin": (math.inf, torch.minimum),
}


def scatter_reduce(
    x: Tensor, dim: int, index: Tensor, values: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """``x`` with the ``reduce`` of all ``values`` at a place of ``dim``, its own among them or not."""
    if not x.is_floating_point():
        return NotImplemented
    hits, dim = hits_of(x, dim, index), dim % x.dim()
    nothing, merged = _REDUCTIONS[reduce]
    each = torch.where(hits, at_places(values, hits, dim), torch.full((), nothing, dtype=x.dtype))
    found = grown(_reduced(each, dim + 1, reduce), x)
    count = grown(hits.to(x.dtype).sum(dim + 1), x)
    result = merged(x, found) if include_self else found
    if reduce == "mean":
        result = result / (count + 1 if include_self else count.clamp(min=1.0))
    return torch.where(count > 0, result, x)


def index_reduce(
    x: Tensor, dim: int, index: Tensor, values: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """``scatter_reduce`` by the place of ``dim`` alone."""
    rows = index.reshape(-1, *[1] * (x.dim() - 1 - dim % x.dim())).expand(values.shape)
    return scatter_reduce(x, dim, rows, values, reduce, include_self=include_self)


def _reduced(each: Tensor, dim: int, reduce: str) -> Tensor:
    if reduce in ("amax", "amin"):
        return getattr(aten, reduce)(each, [dim])
    return each.prod(dim) if reduce == "prod" else each.sum(dim)


def max_unpool2d(x: Tensor, indices: Tensor, output_size: list[int]) -> Tensor:
    """Zeros [..., H, W] with ``x`` at ``indices``, which count through the pixels of one channel."""
    height, width = (int(side) for side in output_size)
    places = torch.zeros(1, dtype=x.dtype).expand(*x.shape[:-2], height * width)
    return aten.scatter(places, -1, indices.flatten(-2), x.flatten(-2)).unflatten(-1, (height, width))

"""Views of PyTorch's own forms, in its usual operators: its others cannot be made functions of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

aten, prims = torch.ops.aten, torch.ops.prims


def broadcast_in_dim(x: Tensor, shape: Sequence[int], places: Sequence[int]) -> Tensor:
    """``x``, whose dimensions lie at ``places`` of ``shape``, repeated along the others."""
    for place in range(len(shape)):
        if place not in places:
            x = x.unsqueeze(place)
    return x.expand(*shape)


VIEWS: dict[Any, Any] = {
    prims.broadcast_in_dim.default: broadcast_in_dim,
    prims.transpose.default: lambda x, order: x.permute(*order),
    prims.squeeze.default: lambda x, places: aten.squeeze.dims(x, list(places)),
    prims.split_dim.default: lambda x, place, outer: x.unflatten(place, (outer, -1)),
    prims.collapse_view.default: lambda x, first, last: x.flatten(first, last),
    prims.view_of.default: lambda x: aten.alias(x),
}

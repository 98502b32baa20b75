"""What a network sees of a picture and how its drawing comes back: a frame around a hole, in cells.

A frame is a rectangle of the picture, be it larger or smaller than the network's own size, which may exceed
the picture. Everything here is arithmetic on whole arrays without a shape that depends on what they hold.
``arrays`` is the module that they belong to: ``complete`` runs it with ``numpy``, and the exported pipeline
is traced through it with ``torch``, so that both do the same.

Values are float [C, H, W] in [-1, 1]; ``known`` is 1 where a pixel is kept, else 0.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np

Tensor: TypeAlias = Any  # a NumPy array or a PyTorch tensor
Sides: TypeAlias = tuple[Tensor, Tensor]  # of rows and of columns, float without axes

SHARE = 1 / 2  # of a frame's side that a hole takes where it is larger than that of the network's own size
ENLARGED = 1.25  # What is smaller than the network's size is enlarged so far; more makes it blurred.
_KNOWN_SHARE = 0.5  # of a cell, above which it counts as known
_DUST = 1e-3  # of a cell: nothing is divided by less
FEATHER = 3  # cells of a hole over which a drawing fades in from what is smooth at the seam
_SWEEPS = 2  # of relaxation at each size of a smooth filling


class Frame(NamedTuple):
    """A rectangle in pixels; a number each, or for tracing an array without axes."""

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor


class Sight(NamedTuple):
    """What is seen in a frame."""

    means: Tensor  # [C, h, w], of the known pixels under each cell; 0 where there is none
    known: Tensor  # [1, h, w], 1 where more than half of a cell is known


def scale_for(extent: Sides, size: Sides, cells: tuple[int, int], arrays: Any = np) -> Tensor:
    """Pixels of a cell, along each side, of the frame around a hole of ``extent`` in a picture of ``size``.

    One, so that the picture is seen as it is; more for a hole that would leave too little context, as far as
    there is any; a little less where the whole picture is smaller than the network's size.
    """
    one = extent[0] * 0 + 1
    wanted = arrays.maximum(extent[0] / cells[0], extent[1] / cells[1]) / SHARE
    largest = arrays.maximum(size[0] / cells[0], size[1] / cells[1])
    return arrays.maximum(arrays.minimum(arrays.maximum(wanted, one), largest), one / ENLARGED)


def placed(
    begin: Sides, end: Sides, scale: Tensor, size: Sides, cells: tuple[int, int], arrays: Any = np
) -> Frame:
    """The frame of ``scale`` pixels a cell, in whole pixels, around the middle of ``begin`` and ``end``.

    It is moved into the picture of ``size`` where it fits, else the picture lies in its middle.
    """
    starts, sides = [], []
    for first, last, whole, count in zip(begin, end, size, cells, strict=True):
        side = arrays.round(scale * count)
        side = arrays.maximum(side, side * 0 + 1)
        room = whole - side
        inside = arrays.maximum(arrays.minimum(arrays.floor((first + last - side) / 2), room), room * 0)
        starts.append(arrays.where(room > 0, inside, arrays.floor(room / 2)))
        sides.append(side)
    return Frame(starts[0], starts[1], sides[0], sides[1])


def seen(values: Tensor, known: Tensor, frame: Frame, cells: tuple[int, int], arrays: Any = np) -> Sight:
    """``values [C, H, W]`` in ``frame`` as ``cells`` (rows, columns).

    A cell is the mean of the known pixels that it covers, or lies between two of them where it is smaller
    than a pixel. What is missing has no part in it, whatever ``values`` hold there, and what lies outside the
    picture is as unknown as a hole.
    """
    rows = _shrinking(known.shape[-2], frame.top, frame.height, cells[0], arrays)
    columns = _shrinking(known.shape[-1], frame.left, frame.width, cells[1], arrays)
    there = known[None]
    share = _resampled(there, rows, columns)
    means = _resampled(values * there, rows, columns) / arrays.clip(share, _DUST, None)
    return Sight(arrays.clip(means, -1, 1), _as_float(share > _KNOWN_SHARE, means, arrays))


def joined(sight: Sight, drawn: Tensor, *, hole_only: bool, arrays: Any = np) -> Tensor:
    """``drawn [C, h, w]`` joined to what is known, without a seam: known cells as they are seen.

    Where the drawing means something at known cells, what it is off there is taken from the hole as smoothly
    as can be. Where it is for the ``hole_only``, that would be noise: there it fades in over FEATHER cells
    from the smoothest filling.
    """
    means, known = sight
    if hole_only:
        share = arrays.clip(_distance(known, FEATHER + 1, arrays) / (FEATHER + 1), 0, 1)
        filling = smooth(means, known, arrays)
        inside = filling + (drawn - filling) * share
    else:
        inside = drawn + smooth(means - drawn, known, arrays)
    return arrays.clip(arrays.where(known > 0, means, inside), -1, 1)


def pasted(sight: Sight, drawn: Tensor, arrays: Any = np) -> Tensor:
    """``drawn [C, h, w]`` with known cells as they are seen."""
    return arrays.where(sight.known > 0, sight.means, drawn)


def enlarged(values: Tensor, frame: Frame, size: tuple[Tensor, Tensor], arrays: Any = np) -> Tensor:
    """``values [C, h, w]`` of ``frame`` as pixels of a picture of ``size`` (height, width), [C, H, W].

    Cubic (Catmull-Rom) between cells, with cells that are smaller than a pixel averaged; pixels outside the
    frame continue its edge.
    """
    rows = _growing(size[0], frame.top, frame.height, values.shape[-2], arrays)
    columns = _growing(size[1], frame.left, frame.width, values.shape[-1], arrays)
    return _resampled(values, rows, columns)


def smooth(values: Tensor, known: Tensor, arrays: Any = np) -> Tensor:
    """``values [C, h, w]`` continued smoothly from where they are ``known [1, h, w]``, which they are there.

    From coarse to fine: each size is filled from the mean of what is known at the next coarser one, and
    relaxed towards the mean of the neighbours. Close to the harmonic filling, at a cost linear in the cells.
    """
    height, width = known.shape[-2:]
    if max(height, width) == 1:
        return values * known
    share = _halved(_halved(known, 1, arrays), 2, arrays)
    sums = _halved(_halved(values * known, 1, arrays), 2, arrays)
    coarse = smooth(sums / arrays.clip(share, _DUST, None), _as_float(share > 0, sums, arrays), arrays)
    filled = _doubled(_doubled(coarse, 1, height, arrays), 2, width, arrays)
    filled = arrays.where(known > 0, values, filled)
    for _ in range(_SWEEPS):
        filled = arrays.where(known > 0, values, _neighbours(filled, arrays) / 4)
    return filled


def _shrinking(size: Any, start: Tensor, extent: Tensor, cells: int, arrays: Any) -> Tensor:
    """[cells, size]: each cell as the mean of what it covers, or between two pixels if it is smaller."""
    cell = extent / cells
    width = arrays.clip(cell, 1, None)
    centre = (start + (_count(cells, arrays) + 0.5) * cell)[:, None]
    place = _count(size, arrays)[None]
    end, begin = arrays.minimum(place + 1, centre + width / 2), arrays.maximum(place, centre - width / 2)
    return arrays.clip(end - begin, 0, None) / width


def _growing(size: Any, start: Tensor, extent: Tensor, cells: int, arrays: Any) -> Tensor:
    """[size, cells]: each pixel from the cells next to it."""
    scale = cells / extent
    place = arrays.clip((_count(size, arrays) + 0.5 - start) * scale - 0.5, 0, cells - 1)
    distance = arrays.abs(place[:, None] - _count(cells, arrays)[None])
    near = distance / arrays.clip(scale, 1, None)
    inner = (1.5 * near - 2.5) * near * near + 1
    outer = ((2.5 - 0.5 * near) * near - 4) * near + 2
    weight = arrays.where(near < 1, inner, arrays.where(near < 2, outer, near * 0))
    return weight / weight.sum(1)[:, None]


def _resampled(values: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """``values [C, H, W]`` by the matrices ``rows [h, H]`` and ``columns [w, W]``, [C, h, w]."""
    return rows @ values @ columns.T


def _distance(known: Tensor, most: int, arrays: Any) -> Tensor:
    """Steps from each cell to the nearest known one, counted up to ``most``; 0 at known ones."""
    near, steps = known, known * 0
    for _ in range(most):
        steps = steps + 1 - near
        near = _as_float(near + _neighbours(near, arrays) > 0, known, arrays)
    return steps


def _neighbours(values: Tensor, arrays: Any) -> Tensor:
    """The sum of the four neighbours of each cell; beyond the edge lies what the edge holds."""
    total = values * 0
    for axis in (1, 2):
        for side in (-1, 1):
            total = total + _shifted(values, axis, side, arrays)
    return total


def _shifted(values: Tensor, axis: int, side: int, arrays: Any) -> Tensor:
    """``values [C, h, w]`` moved by one cell along ``axis``, its edge repeated."""
    first, last = _along(axis, slice(0, 1)), _along(axis, slice(-1, None))
    if side < 0:
        return arrays.concatenate([values[first], values[_along(axis, slice(0, -1))]], axis)
    return arrays.concatenate([values[_along(axis, slice(1, None))], values[last]], axis)


def _halved(values: Tensor, axis: int, arrays: Any) -> Tensor:
    """The sum of each two cells along ``axis``; a last one alone stays."""
    if values.shape[axis] % 2:
        values = arrays.concatenate([values, values[_along(axis, slice(0, 1))] * 0], axis)
    return values[_along(axis, slice(0, None, 2))] + values[_along(axis, slice(1, None, 2))]


def _doubled(coarse: Tensor, axis: int, size: int, arrays: Any) -> Tensor:
    """``coarse`` at ``size`` cells along ``axis``: linear between the centres of pairs of cells."""
    pairs = [0.75 * coarse + 0.25 * _shifted(coarse, axis, side, arrays) for side in (-1, 1)]
    shape = list(coarse.shape)
    shape[axis] *= 2
    return arrays.stack(pairs, axis + 1).reshape(shape)[_along(axis, slice(0, size))]


def _along(axis: int, part: slice) -> tuple[slice, ...]:
    return (*[slice(None)] * axis, part)


def _count(number: Any, arrays: Any) -> Tensor:
    """0, 1, 2, … as floats."""
    return arrays.arange(number, dtype=arrays.float32)


def _as_float(truth: Tensor, like: Tensor, arrays: Any) -> Tensor:
    """1 where ``truth``, else 0, of the type of ``like``."""
    return truth.astype(like.dtype) if arrays is np else truth.to(like.dtype)

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

_SHARE = 1 / 2  # of a frame's side that a hole takes where it is larger than that of the network's own size
_ENLARGED = 1.25  # What is smaller than the network's size is enlarged so far; more makes it blurred.
KNOWN_SHARE = 0.5  # of a cell, above which it counts as known
_DUST = 1e-3  # of a cell: nothing is divided by less
FEATHER = 3  # cells of a hole over which a drawing fades in from what is smooth at the seam


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
    wanted = arrays.maximum(extent[0] / cells[0], extent[1] / cells[1]) / _SHARE
    largest = arrays.maximum(size[0] / cells[0], size[1] / cells[1])
    return arrays.maximum(arrays.minimum(arrays.maximum(wanted, one), largest), one / _ENLARGED)


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
    sums = _resampled(arrays.concatenate([values * there, there]), rows, columns, arrays)
    share = sums[-1:]
    means = sums[:-1] / arrays.clip(share, _DUST, None)
    return Sight(arrays.clip(means, -1, 1), _as_float(share > KNOWN_SHARE, means, arrays))


def joined(sight: Sight, drawn: Tensor, *, hole_only: bool, arrays: Any = np) -> Tensor:
    """``drawn [C, h, w]`` joined to what is known, without a seam: known cells as they are seen.

    Where the drawing means something at known cells, what it is off there is taken from the hole as smoothly
    as can be. Where it is for the ``hole_only``, that would be noise: there it fades in over FEATHER cells
    from the smoothest filling.
    """
    means, known = sight
    if hole_only:
        filling = smooth(means, known, arrays)
        inside = filling + (drawn - filling) * _faded_in(known, arrays)
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
    return _resampled(values, rows, columns, arrays)


def smooth(values: Tensor, known: Tensor, arrays: Any = np) -> Tensor:
    """``values [C, h, w]`` continued smoothly from where they are ``known [1, h, w]``, which they are there.

    Pull and push (Gortler et al. 1996): what is known is averaged into a grid of half the size, that is
    filled, and fills what is missing. Close to the harmonic filling, in as few operations as the side has
    digits.
    """
    height, width = known.shape[-2:]
    if max(height, width) == 1:
        return values * known
    share = _halved(known, arrays)
    means = _halved(values * known, arrays) / arrays.clip(share, _DUST, None)
    coarse = smooth(means, _as_float(share > 0, means, arrays), arrays)
    return arrays.where(known > 0, values, _doubled(coarse, (height, width), arrays))


class _Taps(NamedTuple):
    """How much of which places each of h cells or pixels is made of."""

    places: Any  # int [h, k], or None: of all there are
    weights: Tensor  # [h, k]


def _shrinking(size: Any, start: Tensor, extent: Tensor, cells: int, arrays: Any) -> _Taps:
    """Each cell as the mean of the pixels that it covers, or between two of them if it is smaller."""
    cell = extent / cells
    width = arrays.clip(cell, 1, None)
    centre = (start + (_count(cells, arrays) + 0.5) * cell)[:, None]
    place = _near(centre - width / 2, width, size, arrays)
    end, begin = arrays.minimum(place + 1, centre + width / 2), arrays.maximum(place, centre - width / 2)
    return _within(place, arrays.clip(end - begin, 0, None) / width, size, arrays)


def _growing(size: Any, start: Tensor, extent: Tensor, cells: int, arrays: Any) -> _Taps:
    """Each pixel from the cells next to it."""
    scale = cells / extent
    reach = 2 * arrays.clip(scale, 1, None)
    middle = arrays.clip((_count(size, arrays) + 0.5 - start) * scale - 0.5, 0, cells - 1)[:, None]
    place = _near(middle - reach, 2 * reach, cells, arrays)
    near = arrays.abs(middle - place) / (reach / 2)
    inner = (1.5 * near - 2.5) * near * near + 1
    outer = ((2.5 - 0.5 * near) * near - 4) * near + 2
    weight = arrays.where(near < 1, inner, arrays.where(near < 2, outer, near * 0))
    taps = _within(place, weight, cells, arrays)
    return taps._replace(weights=taps.weights / taps.weights.sum(1)[:, None])


def _near(first: Tensor, extent: Tensor, size: Any, arrays: Any) -> Tensor:
    """The places that may count from ``first [h, 1]`` on, [h, k]; for a tracer all there are, [1, size].

    Few of a row do: NumPy need not look at the others, and a graph has no shape that depends on values.
    """
    if arrays is not np:
        return _count(size, arrays)[None]
    return np.floor(first) + _count(int(np.ceil(extent)) + 1, np)


def _within(place: Tensor, weights: Tensor, size: Any, arrays: Any) -> _Taps:
    """``weights`` of each ``place``, of which those beyond the ``size`` count nothing."""
    if arrays is not np:
        return _Taps(None, weights)
    weights = np.where((place >= 0) & (place < size), weights, np.float32(0))
    counts = weights.any(0)
    counts[0] = True  # of a frame beyond the picture none does
    return _Taps(np.clip(place[:, counts], 0, size - 1).astype(np.intp), weights[:, counts])


def _resampled(values: Tensor, rows: _Taps, columns: _Taps, arrays: Any) -> Tensor:
    """``values [C, H, W]`` as [C, h, w]."""
    if arrays is not np:
        return rows.weights @ values @ columns.weights.T
    for axis, taps in ((1, rows), (2, columns)):
        shape = [1, -1, 1] if axis == 1 else [1, 1, -1]
        terms = zip(taps.places.T, taps.weights.T, strict=True)
        values = sum(np.take(values, place, axis) * weight.reshape(shape) for place, weight in terms)
    return values


def _faded_in(known: Tensor, arrays: Any) -> Tensor:
    """What is made of a drawing, [1, h, w]: d / (FEATHER + 1) at the d-th cell behind a straight seam.

    That is by how much less than half of the cells around are known, as far as FEATHER goes.
    """
    near = known
    for axis in (1, 2):
        near = _window_sums(near, axis, arrays)
    return arrays.clip(1 - near / ((2 * FEATHER + 1) * (FEATHER + 1)), 0, 1)


def _window_sums(values: Tensor, axis: int, arrays: Any) -> Tensor:
    """The sum of each cell of ``values [1, h, w]`` and FEATHER more on either side along ``axis``."""
    if axis == 2:
        return arrays.moveaxis(_window_sums(arrays.moveaxis(values, 2, 1), 1, arrays), 2, 1)
    nothing = arrays.zeros_like(values[:, :1])
    padded = arrays.concatenate([*[nothing] * (FEATHER + 1), values, *[nothing] * FEATHER], 1)
    sums = arrays.cumsum(padded, 1)
    return sums[:, 2 * FEATHER + 1 :] - sums[:, : -2 * FEATHER - 1]


def _halved(values: Tensor, arrays: Any) -> Tensor:
    """The sums of blocks of 2×2 cells of ``values [C, h, w]``; beyond an odd side lies nothing."""
    for axis in (1, 2):
        if values.shape[axis] % 2:
            first = values[:, :1] if axis == 1 else values[:, :, :1]
            values = arrays.concatenate([values, first * 0], axis)
    return values[:, ::2, ::2] + values[:, 1::2, ::2] + values[:, ::2, 1::2] + values[:, 1::2, 1::2]


def _doubled(coarse: Tensor, size: tuple[int, int], arrays: Any) -> Tensor:
    """``coarse [C, h, w]`` at twice its ``size``, linear between the middles of cells."""
    height, width = coarse.shape[1:]
    above, below = (0.75 * coarse + 0.25 * _moved(coarse, 1, side, arrays) for side in (-1, 1))
    tall = arrays.stack([above, below], 2).reshape((-1, 2 * height, width))
    left, right = (0.75 * tall + 0.25 * _moved(tall, 2, side, arrays) for side in (-1, 1))
    return arrays.stack([left, right], 3).reshape((-1, 2 * height, 2 * width))[:, : size[0], : size[1]]


def _moved(values: Tensor, axis: int, side: int, arrays: Any) -> Tensor:
    """Of each cell of ``values [C, h, w]`` the one beside it along ``axis``, or itself at the edge."""
    cells = values if axis == 1 else arrays.moveaxis(values, 2, 1)
    beside = [cells[:, :1], cells[:, :-1]] if side < 0 else [cells[:, 1:], cells[:, -1:]]
    moved = arrays.concatenate(beside, 1)
    return moved if axis == 1 else arrays.moveaxis(moved, 2, 1)


def _count(number: Any, arrays: Any) -> Tensor:
    """0, 1, 2, … as floats."""
    return arrays.arange(number, dtype=arrays.float32)


def _as_float(truth: Tensor, like: Tensor, arrays: Any) -> Tensor:
    """1 where ``truth``, else 0, of the type of ``like``."""
    return truth.astype(like.dtype) if arrays is np else truth.to(like.dtype)

"""Where the parts of a hole are, and how deep it is.

Parts are joined over corners too (8-connected): two pixels that touch diagonally share the known pixels next
to them, so that what is drawn for one is seen beside the other. The harmonic functions of the blending tie
only the four neighbours; to them such a part is two that do not know of each other, which changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from edgefill.holes.boxes import Part, grown, times

_BLOCKS = 64  # along the longer side of a picture: holes in blocks that touch are near each other
_SMALLEST_BLOCK = 16  # pixels of a side: nearer holes share a box in any picture
_FAR = 2**30  # steps; no picture has as many, and twice as many are still an int32


class _Runs(NamedTuple):
    """Where the rows of a hole are missing without a break, row by row; ``stops`` are one behind the last."""

    rows: np.ndarray
    starts: np.ndarray
    stops: np.ndarray


def islands(hole: np.ndarray) -> Iterator[tuple[Part, np.ndarray]]:
    """Parts of ``hole [H, W]`` far from each other: the box of each with the known pixels next to it, and
    the part in that box, as a view.

    Near parts share a box, and boxes have no common pixel. There are at most a thousand, whatever the hole.
    """
    for blocks in _separate(hole):
        box = grown(tight(hole, blocks), 1, hole.shape)
        yield box, hole[box]


def components(hole: np.ndarray) -> list[Part]:
    """The boxes of the connected parts of ``hole [H, W]``, without the known pixels around, row by row.

    A part has no gap, but its box may hold pixels of others. Of noise there are as many as it has dots.
    """
    runs = _runs(hole)
    extents = _extents(_labels(runs), runs.rows, runs.rows + 1, runs.starts, runs.stops)
    return [
        (slice(top, bottom), slice(left, right))
        for top, bottom, left, right in extents[np.lexsort(extents.T[[2, 0]])].tolist()
    ]


def depth(hole: np.ndarray) -> int:
    """Steps, up, down or aside, from the pixel of ``hole [H, W]`` that is farthest from all known ones.

    0 where nothing is missing, and height + width, longer than any path, where nothing is known.
    """
    return int(depths(hole).max(initial=0))


def depths(hole: np.ndarray) -> np.ndarray:
    """``depth`` of each pixel of ``hole [H, W]``, int32; 0 where it is known."""
    if hole.all():
        return np.full(hole.shape, sum(hole.shape), np.int32)
    steps: np.ndarray = np.where(hole, np.int32(_FAR), np.int32(0))
    for axis in (0, 1):
        for ahead in (steps, np.flip(steps, axis)):  # both are views of steps
            along = np.expand_dims(np.arange(ahead.shape[axis], dtype=np.int32), 1 - axis)
            ahead[:] = np.minimum.accumulate(ahead - along, axis) + along
    return steps


def _separate(hole: np.ndarray) -> list[Part]:
    """Boxes of whole blocks of pixels that hold all of ``hole``, with at least a block between any two."""
    block = max(_SMALLEST_BLOCK, -(-max(hole.shape) // _BLOCKS))
    boxes = components(any_of_blocks(hole, block))
    while True:
        sides = np.array([[*_ends(rows), *_ends(columns)] for rows, columns in boxes]).reshape(-1, 4)
        top, bottom, left, right = (side[:, None] for side in sides.T)
        touch = (top <= bottom.T) & (bottom >= top.T) & (left <= right.T) & (right >= left.T)
        one, other = np.nonzero(np.triu(touch, 1))
        if not len(one):
            return [times(box, block) for box in boxes]
        joined = _extents(_joined(len(sides), one, other), *sides.T)
        boxes = [(slice(top, bottom), slice(left, right)) for top, bottom, left, right in joined.tolist()]


def tight(hole: np.ndarray, box: Part) -> Part:
    """``box`` without its outer rows and columns of which nothing is missing."""
    inside = hole[box]
    rows, columns = (
        np.flatnonzero(inside.any(axis=axis)) + run.start for axis, run in zip((1, 0), box, strict=True)
    )
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _ends(run: slice) -> tuple[int, int]:
    return run.start, run.stop


def any_of_blocks(hole: np.ndarray, block: int) -> np.ndarray:
    """Whether something of each block of ``hole`` is missing."""
    by_rows = np.logical_or.reduceat(hole, np.arange(0, hole.shape[0], block), axis=0)
    blocks: np.ndarray = np.logical_or.reduceat(by_rows, np.arange(0, hole.shape[1], block), axis=1)
    return blocks


def _runs(hole: np.ndarray) -> _Runs:
    height, width = hole.shape
    apart = np.zeros((height, width + 1), bool)  # no run goes on into the next row
    apart[:, :width] = hole
    turns = np.flatnonzero(np.diff(apart.ravel(), prepend=False))
    rows, starts = np.divmod(turns[::2], width + 1)
    return _Runs(rows, starts, turns[1::2] - rows * (width + 1))


def _labels(runs: _Runs) -> np.ndarray:
    """One number for all runs of a connected part: that of one of them."""
    return _joined(len(runs.rows), *_touching(runs))


def _touching(runs: _Runs) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of all pairs of a run and a run of the row above that it touches, if only at a corner."""
    width = runs.stops.max(initial=0) + 2  # of a row, so that runs of different rows lie apart in one line
    starts, stops = runs.rows * width + runs.starts, runs.rows * width + runs.stops
    first = np.searchsorted(stops, starts - width, side="left")
    behind = np.searchsorted(starts, stops - width, side="right")
    counts = behind - first
    below = np.repeat(np.arange(len(counts)), counts)
    above = np.arange(len(below)) + np.repeat(first - (np.cumsum(counts) - counts), counts)
    return below, above


def _joined(count: int, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """One number for all of the nodes below ``count`` that the pairs ``one``-``other`` join: that of a node.

    In each round every node that has a lower neighbour is hung under one of them, or every node that has a
    higher one: whichever are more. That is at least half of all that still have a neighbour, so that the
    rounds are as few as the logarithm of ``count``.
    """
    parent = np.arange(count)
    while len(one):
        low, high = np.minimum(one, other), np.maximum(one, other)
        lower, upper = np.zeros(count, bool), np.zeros(count, bool)
        lower[low], upper[high] = True, True
        by_number = upper.sum() >= lower.sum()
        parent[high if by_number else low] = low if by_number else high
        _point_to_roots(parent, np.flatnonzero(upper if by_number else lower))
        one, other = parent[one], parent[other]
        apart = one != other
        one, other = one[apart], other[apart]
    _point_to_roots(parent, np.arange(count))
    return parent


def _point_to_roots(parent: np.ndarray, nodes: np.ndarray) -> None:
    """Makes the root above each of ``nodes`` its parent; with each round all paths are half as long."""
    while len(nodes):
        farther = parent[parent[nodes]]
        moved = farther != parent[nodes]
        parent[nodes] = farther
        nodes = nodes[moved]


def _extents(
    labels: np.ndarray, tops: np.ndarray, bottoms: np.ndarray, lefts: np.ndarray, rights: np.ndarray
) -> np.ndarray:
    """The least top, greatest bottom, least left and greatest right of each label, ``[labels, 4]``."""
    if not len(labels):
        return np.zeros((0, 4), int)
    order = np.argsort(labels, kind="stable")
    first = np.flatnonzero(np.diff(labels[order], prepend=-1))
    least, greatest = np.minimum.reduceat, np.maximum.reduceat
    return np.stack(
        [
            least(tops[order], first),
            greatest(bottoms[order], first),
            least(lefts[order], first),
            greatest(rights[order], first),
        ],
        axis=1,
    )

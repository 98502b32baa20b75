"""Biharmonic filling: as smooth as can be, slopes at the edge included, which is best for thin holes.

Of all fillings it is the one whose squared Laplacians, in the hole and next to it, have the least sum. It is
found by conjugate gradients over the pixels of the hole and those beside it, so that the work grows with the
hole; and with its width, fast: wide ones are for the harmonic filling.
"""

from __future__ import annotations

import numpy as np

_TOLERANCE = 4e-3  # of what the values differ: such forces are left
_MOST_STEPS = 400


def biharmonic_pixels(values: np.ndarray, hole: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows and columns ``[n]`` of the pixels of ``hole [H, W]``, and what fills them, float32 ``[n, C]``.

    ``values [H, W, C]`` are numbers of any type; what they hold in the hole does not matter. Something must
    be known. A hole at the picture's border ends there freely.
    """
    plate = _Plate(hole)
    if not plate.free.any():
        return plate.rows, plate.columns, np.zeros((0, values.shape[2]), np.float32)
    begun = plate.interpolated(values)
    forces = -plate.bent(plate.laplacian_of(values, begun))
    change = plate.solution(forces, enough=_TOLERANCE * np.std(begun[:, :-1], axis=1, dtype=np.float64))
    filled: np.ndarray = np.take(begun + change, np.flatnonzero(plate.free), axis=1).T
    return plate.rows[plate.free], plate.columns[plate.free], filled


def with_neighbours(marked: np.ndarray) -> np.ndarray:
    """``marked [H, W]`` and what is beside, above and below it."""
    spread: np.ndarray = marked.copy()
    for ahead, behind in ((slice(1, None), slice(-1)), (slice(-1), slice(1, None))):
        spread[ahead] |= marked[behind]
        spread[:, ahead] |= marked[:, behind]
    return spread


def with_corners(marked: np.ndarray) -> np.ndarray:
    """``marked [H, W]`` and the eight pixels around it."""
    across: np.ndarray = marked.copy()
    across[:, 1:] |= marked[:, :-1]
    across[:, :-1] |= marked[:, 1:]
    spread: np.ndarray = across.copy()
    spread[1:] |= across[:-1]
    spread[:-1] |= across[1:]
    return spread


class _Plate:
    """The pixels of a hole, which are free, and those beside it, row by row, with the Laplacian over them.

    Vectors are ``[C, m + 1]``, float32; the last place is nowhere, and 0.
    """

    def __init__(self, hole: np.ndarray) -> None:
        self.size = hole.shape
        self.rows, self.columns = np.nonzero(with_neighbours(hole))
        self.free = hole[self.rows, self.columns]
        self.mask = np.append(self.free, False).astype(np.float32)
        keys = self.rows * hole.shape[1] + self.columns
        self.above, self.below = (_places(keys, keys + by) for by in (-hole.shape[1], hole.shape[1]))
        self.before, self.after = (_places(keys, keys + by) for by in (-1, 1))
        self.joined = ((np.diff(keys) == 1) & (self.columns[1:] > 0)).astype(np.float32)
        count = sum(self._exist(self.rows + down, self.columns + aside) for down, aside in _BESIDE)
        self.count = np.append(count, 0).astype(np.float32)

    def interpolated(self, values: np.ndarray) -> np.ndarray:
        """``values [H, W, C]`` with the free pixels linear between known ones to both sides, and above and
        below; the nearer these are the more is made of them.
        """
        known = values[self.rows, self.columns].T.astype(np.float32)
        found, mass = np.zeros_like(known), np.zeros(len(self.free), np.float32)
        for order in (slice(None), np.lexsort((self.rows, self.columns))):
            free = self.free[order]
            ends, between = np.flatnonzero(~free), np.flatnonzero(free)
            right = np.searchsorted(ends, between)
            gap = np.take(ends, right, mode="clip") - np.take(ends, right - 1, mode="clip")
            share = 1 / np.maximum(gap, 1)
            places = np.arange(len(free))[order][between]
            mass[places] += share
            for channel, own in zip(found, known, strict=True):
                channel[places] += share * np.interp(between, ends, own[order][ends])
        found[:, self.free] /= mass[self.free]
        found[:, ~self.free] = known[:, ~self.free]
        return np.pad(found, ((0, 0), (0, 1)))

    def laplacian_of(self, values: np.ndarray, begun: np.ndarray) -> np.ndarray:
        """The Laplacian of ``values [H, W, C]`` with ``begun [C, m + 1]`` in their place."""
        found = self.laplacian(begun)
        for (down, aside), here in zip(
            _BESIDE, (self.after, self.before, self.below, self.above), strict=True
        ):
            rows, columns = self.rows + down, self.columns + aside
            seen = np.flatnonzero(self._exist(rows, columns) & (here[:-1] == len(rows)))
            found[:, seen] += values[rows[seen], columns[seen]].T
        return found

    def laplacian(self, x: np.ndarray) -> np.ndarray:
        """What the neighbours of each pixel are more than it, those that are not here being 0."""
        y, part = np.empty_like(x), np.empty_like(x)
        np.take(x, self.above, 1, out=y, mode="clip")
        y += np.take(x, self.below, 1, out=part, mode="clip")
        y -= np.multiply(self.count, x, out=part)
        y[:, 1:-1] += np.multiply(self.joined, x[:, :-2], out=part[:, 2:])
        y[:, :-2] += np.multiply(self.joined, x[:, 1:-1], out=part[:, 2:])
        return y

    def bent(self, laplacian: np.ndarray) -> np.ndarray:
        """The gradient of half the sum of the squares of ``laplacian`` by the free pixels."""
        y = self.laplacian(laplacian)
        y *= self.mask
        return y

    def solution(self, forces: np.ndarray, enough: np.ndarray) -> np.ndarray:
        """x, 0 where pixels are not free, whose bent Laplacian are ``forces [C, m + 1]``.

        Each channel on its own, until what is left of them is ``enough [C]`` a pixel, root mean square.
        """
        x, rest, direction = np.zeros_like(forces), forces, forces.copy()
        energy = _squares(rest)
        least = (enough**2 * self.free.sum())[:, None]
        for _ in range(_MOST_STEPS):
            if (energy <= least).all():
                break
            laplacian = self.laplacian(direction)
            length = _ratio(energy, _squares(laplacian))
            x += length * direction
            rest -= length * self.bent(laplacian)
            before, energy = energy, _squares(rest)
            direction *= _ratio(energy, before)
            direction += rest
        return x

    def _exist(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        exist: np.ndarray = (rows >= 0) & (columns >= 0) & (rows < self.size[0]) & (columns < self.size[1])
        return exist


_BESIDE = (0, 1), (0, -1), (1, 0), (-1, 0)


def _places(keys: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where each of ``wanted`` is among ``keys``, which rise; their number where it is not."""
    place = np.searchsorted(keys, wanted)
    place[np.take(keys, place, mode="clip") != wanted] = len(keys)
    return np.append(place, len(keys))


def _squares(x: np.ndarray) -> np.ndarray:
    """The sum of the squares of each channel, [C, 1], in double precision."""
    return np.array([[np.dot(channel, channel)] for channel in x], np.float64)


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a / b, and 0 where b is 0: a channel that is already solved takes no step."""
    ratio: np.ndarray = np.divide(a, b, out=np.zeros_like(a), where=b > 0)
    return ratio.astype(np.float32)

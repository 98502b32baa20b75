"""The Laplacian of a hole as a net of springs, and its solution by conjugate gradients with multigrid.

A net joins the cells of a hole with springs and ties them to the known pixels. A coarser net stands in for it
far away: its cells are blocks of 2×2. Their ties are the sum of those in the block; two parallel springs of
double length join neighbouring blocks, which makes half their sum.

Two kinds compute the same: ``Raster`` has a cell for each pixel of a box and works by slices, which is
quick where the hole fills the box; ``Cells`` lists the pixels of the hole alone, wherever they are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

import numpy as np

_TOLERANCE = 3e-5  # of the largest edge value; the error stays below about ten times that
_MAX_ITERATIONS = 100  # eight are usual, for any hole of any size
_DENSE_CELLS = 100  # a net of at most so many is solved outright
_DAMPING = 0.8  # of Jacobi's relaxation: best for the five-point Laplacian
_SHARES = 9 / 16, 3 / 16, 3 / 16, 1 / 16  # of a cell's block, those beside and above or below it, and across


class Net(ABC):
    """Springs between cells: A x is the force on each cell that is moved by x. Vectors are ``[C, h, w]``."""

    stiffness: np.ndarray  # [h, w], of all springs and ties of a cell; 0 where there is no cell
    coarse: Net | None  # None where there are so few cells that A is inverted

    @abstractmethod
    def force(self, x: np.ndarray) -> np.ndarray:
        """A x: stiffness · x minus what the neighbours pull."""

    @abstractmethod
    def spread(self, coarse: np.ndarray) -> np.ndarray:
        """A vector of the coarse net at the cells of this one: linear between the centres of its cells."""

    @abstractmethod
    def gathered(self, fine: np.ndarray) -> np.ndarray:
        """The transpose of ``spread``: each value goes to the coarse cells that it would be made of."""

    @cached_property
    def damping(self) -> np.ndarray:
        """Jacobi's relaxation: what a force on a cell moves it by."""
        zero = np.zeros_like(self.stiffness)
        damping: np.ndarray = np.divide(_DAMPING, self.stiffness, out=zero, where=self.stiffness > 0)
        return damping

    @cached_property
    def inverse(self) -> np.ndarray:
        """A⁻¹ as a matrix ``[h·w, h·w]``; what is no cell, and zero, stays so."""
        unit = np.eye(self.stiffness.size, dtype=self.stiffness.dtype)
        matrix = self.force(unit.reshape(-1, *self.stiffness.shape)).reshape(unit.shape)
        inverse: np.ndarray = np.linalg.inv(matrix + np.diag(self.stiffness.ravel() == 0))
        return inverse

    def approximate_solution(self, b: np.ndarray) -> np.ndarray:
        """B b ≈ A⁻¹ b by one V-cycle; B is symmetric and positive definite, as A is."""
        if self.coarse is None:
            return np.reshape(b.reshape(len(b), -1) @ self.inverse, b.shape)
        x: np.ndarray = self.damping * b
        rest = b - self.force(x)
        x += self.spread(self.coarse.approximate_solution(self.gathered(rest)))
        x += self.damping * (b - self.force(x))
        return x

    def solution(self, b: np.ndarray) -> np.ndarray:
        """x with A x = ``b [C, h, w]``, each channel on its own: conjugate gradients with the V-cycle."""
        x, rest = np.zeros_like(b), b.copy()
        step = self.approximate_solution(rest)
        direction, energy = step, total(rest * step)
        for _ in range(_MAX_ITERATIONS):
            force = self.force(direction)
            length = _ratio(energy, total(direction * force), b.dtype)
            x += length * direction
            rest -= length * force
            step = self.approximate_solution(rest)
            if (np.abs(step).max(axis=(1, 2)) <= _TOLERANCE * np.abs(x).max(axis=(1, 2))).all():
                break
            previous, energy = energy, total(rest * step)
            direction = step + _ratio(energy, previous, b.dtype) * direction
        return x


class Raster(Net):
    """A net with a place for a cell at each pixel of a box.

    ``right`` and ``down [h, w]`` are the springs between a cell and its right and lower neighbour, ``ties``
    those to the known pixels; the last column of ``right`` and row of ``down`` are zero.
    """

    def __init__(self, ties: np.ndarray, right: np.ndarray, down: np.ndarray) -> None:
        self.right, self.down = right[:, :-1], down[:-1]
        self.stiffness = ties + right + down
        self.stiffness[:, 1:] += self.right
        self.stiffness[1:] += self.down
        self.cells: np.ndarray = self.stiffness > 0
        self.coarse = None
        if ties.size <= _DENSE_CELLS:
            return
        even = [(0, size % 2) for size in ties.shape]
        ties, right, down = (np.pad(springs, even) for springs in (ties, right, down))
        self.coarse = Raster(
            ties=ties[::2, ::2] + ties[1::2, ::2] + ties[::2, 1::2] + ties[1::2, 1::2],
            right=(right[::2, 1::2] + right[1::2, 1::2]) / 2,
            down=(down[1::2, ::2] + down[1::2, 1::2]) / 2,
        )

    def force(self, x: np.ndarray) -> np.ndarray:
        y: np.ndarray = self.stiffness * x
        y[:, :, :-1] -= self.right * x[:, :, 1:]
        y[:, :, 1:] -= self.right * x[:, :, :-1]
        y[:, :-1] -= self.down * x[:, 1:]
        y[:, 1:] -= self.down * x[:, :-1]
        return y

    def spread(self, coarse: np.ndarray) -> np.ndarray:
        height, width = self.cells.shape
        fine: np.ndarray = self.cells * _spread(_spread(coarse, 1, height), 2, width)
        return fine

    def gathered(self, fine: np.ndarray) -> np.ndarray:
        return _gathered(_gathered(fine, 2), 1)


class Cells(Net):
    """A net of the cells at ``rows`` and ``columns [n]``, row by row, of a picture of ``size``.

    ``ties [n]`` are their springs to the known pixels, ``right`` and ``down [n]`` those to the right and the
    lower neighbour, 0 where there is none. Vectors are ``[C, 1, n + 1]``: the last is nowhere, and always 0.
    """

    def __init__(
        self,
        rows: np.ndarray,
        columns: np.ndarray,
        size: tuple[int, int],
        ties: np.ndarray,
        right: np.ndarray,
        down: np.ndarray,
    ) -> None:
        self.size, self.keys = size, _keys(rows, columns, size)
        steps = (0, 1), (0, -1), (1, 0), (-1, 0)
        self.neighbours = [self.places(rows + down, columns + aside) for down, aside in steps]
        ties, right, down = (np.append(springs, springs.dtype.type(0)) for springs in (ties, right, down))
        self.pulls = right, right[self.neighbours[1]], down, down[self.neighbours[3]]
        self.stiffness = (ties + right + self.pulls[1] + down + self.pulls[3])[None]
        self.coarse = None
        if len(rows) > _DENSE_CELLS:
            self.blocks, self.coarse = _blocks_of(rows, columns, size, ties[:-1], right[:-1], down[:-1])

    def places(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Which cell is at each of ``rows`` and ``columns``, and at nowhere; n where none is."""
        wanted = _keys(rows, columns, self.size)
        place = np.searchsorted(self.keys, wanted)
        place[np.take(self.keys, place, mode="clip") != wanted] = len(self.keys)
        return np.append(place, len(self.keys))

    def force(self, x: np.ndarray) -> np.ndarray:
        y: np.ndarray = self.stiffness * x
        for pull, neighbour in zip(self.pulls, self.neighbours, strict=True):
            y -= pull * np.take(x, neighbour, axis=2)
        return y

    def spread(self, coarse: np.ndarray) -> np.ndarray:
        fine = np.zeros((len(coarse), *self.stiffness.shape), coarse.dtype)
        for share, block in zip(_SHARES, self.blocks, strict=True):
            fine += share * np.take(coarse, block, axis=2)
        return fine

    def gathered(self, fine: np.ndarray) -> np.ndarray:
        count = int(self.blocks[0][-1]) + 1
        coarse = np.zeros((len(fine), 1, count), fine.dtype)
        for share, block in zip(_SHARES, self.blocks, strict=True):
            for channel, values in zip(coarse, fine, strict=True):
                channel[0] += share * np.bincount(block, values[0], count)
        coarse[:, :, -1] = 0
        return coarse


def _keys(rows: np.ndarray, columns: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A number for each place of a picture of ``size`` and of the line of pixels around it, row by row."""
    keys: np.ndarray = (rows + 1) * (size[1] + 2) + columns + 1
    return keys


def _blocks_of(
    rows: np.ndarray,
    columns: np.ndarray,
    size: tuple[int, int],
    ties: np.ndarray,
    right: np.ndarray,
    down: np.ndarray,
) -> tuple[list[np.ndarray], Cells]:
    """The coarse net of the springs of ``Cells``, and which four of its cells are around each of theirs."""
    half = (size[0] + 1) // 2, (size[1] + 1) // 2
    keys, own = np.unique((rows // 2) * half[1] + columns // 2, return_inverse=True)

    def sums(springs: np.ndarray) -> np.ndarray:
        return np.bincount(own, springs, len(keys)).astype(springs.dtype)

    crossing = right * (columns % 2 == 1) / 2, down * (rows % 2 == 1) / 2
    coarse = Cells(*np.divmod(keys, half[1]), half, sums(ties), *map(sums, crossing))
    near = np.append(own, len(keys))
    aside = np.clip(columns // 2 + columns % 2 * 2 - 1, 0, half[1] - 1)
    beyond = np.clip(rows // 2 + rows % 2 * 2 - 1, 0, half[0] - 1)
    places = coarse.places
    blocks = [near, places(rows // 2, aside), places(beyond, columns // 2), places(beyond, aside)]
    return blocks, coarse


def _spread(coarse: np.ndarray, axis: int, size: int) -> np.ndarray:
    """``coarse`` at ``size`` cells along ``axis``: linear between the centres of pairs of cells."""
    near = np.repeat(coarse, 2, axis)
    before, after = (np.take(coarse, _beside(coarse.shape[axis], side), axis) for side in (-1, 1))
    fine = 0.75 * near + 0.25 * np.stack([before, after], axis + 1).reshape(near.shape)
    cut: np.ndarray = fine[_along(axis, slice(size))]
    return cut


def _gathered(fine: np.ndarray, axis: int) -> np.ndarray:
    """The transpose of ``_spread``: each cell of ``fine`` goes to the pairs that it would be made of."""
    odd = fine.shape[axis] % 2
    fine = np.pad(fine, [(0, odd if each == axis else 0) for each in range(fine.ndim)])
    first, second = (fine[_along(axis, slice(start, None, 2))] for start in (0, 1))
    coarse: np.ndarray = 0.75 * (first + second)
    coarse[_along(axis, slice(1))] += 0.25 * first[_along(axis, slice(1))]
    coarse[_along(axis, slice(-1))] += 0.25 * first[_along(axis, slice(1, None))]
    coarse[_along(axis, slice(1, None))] += 0.25 * second[_along(axis, slice(-1))]
    coarse[_along(axis, slice(-1, None))] += 0.25 * second[_along(axis, slice(-1, None))]
    return coarse


def _beside(count: int, side: int) -> np.ndarray:
    beside: np.ndarray = np.clip(np.arange(count) + side, 0, count - 1)
    return beside


def _along(axis: int, part: slice) -> tuple[slice, ...]:
    return (*[slice(None)] * axis, part)


def total(x: np.ndarray) -> np.ndarray:
    """The sum of each channel, ``[..., 1, 1]``, in double precision."""
    total: np.ndarray = x.sum(axis=(-2, -1), keepdims=True, dtype=np.float64)
    return total


def _ratio(a: np.ndarray, b: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """a / b, and 0 where b is 0: a channel that is already solved takes no step."""
    ratio: np.ndarray = np.divide(a, b, out=np.zeros_like(a), where=b > 0)
    return ratio.astype(dtype)

"""Seamless filling: Poisson blending and harmonic interpolation, on one solver.

Poisson blending (Pérez et al. 2003) asks for the f that has the gradients of ``source`` in the hole and the
values of ``target`` at its edge. As f = source + c, where c is harmonic (every pixel of the hole is the mean
of its neighbours) and equals target − source at the edge: the correction c is smooth, whatever the source.
Pixels beyond the picture's border do not exist, so a hole that touches it ends there freely (Neumann).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy import sparse

_TOLERANCE = 3e-5  # of the largest edge value; the error stays below about ten times that
_MAX_ITERATIONS = 100  # eight are usual, for any hole of any size
_DENSE_CELLS = 100  # a grid of at most so many is solved outright
_LARGE = 2**20  # cells of a grid whose channels are solved one after another, to save memory
_MANY_ISLANDS = 8  # of a hole; more are solved as one
_SINES = 1024  # pixels of a rectangle's longer side, up to which it is solved outright
_DAMPING = 0.8  # of Jacobi's relaxation: best for the five-point Laplacian


def poisson_blend(source: np.ndarray, target: np.ndarray, known: np.ndarray) -> np.ndarray:
    """``target [H, W, C]`` whose hole continues it seamlessly with the gradients of ``source [H, W, C]``.

    Both are floats; ``known [H, W]`` is True where ``target`` is kept, bit for bit. Where nothing is known,
    there is no edge to continue and the result is ``source``.
    """
    result = np.where(known[:, :, None], target, source)
    for box, hole in _islands(~known) if known.any() else ():
        correction = _harmonic(target[box] - source[box], hole)
        result[box][hole] += correction[hole].astype(result.dtype)
    return result


def harmonic_fill(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """``values [H, W, C]`` (floats) whose hole is interpolated from its edge as smoothly as can be.

    ``known [H, W]`` is True where ``values`` are kept, bit for bit; where nothing is known, all are kept.
    """
    return poisson_blend(np.zeros_like(values), values, known) if known.any() else values.copy()


def _islands(hole: np.ndarray) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Parts of ``hole [H, W]``: the box of each with the known pixels next to it, and the part in that box.

    A few are taken one by one, as they may be small and far apart; many are one part together.
    """
    rows, columns = (np.flatnonzero(hole.any(axis)) for axis in (1, 0))
    if not len(rows):
        return
    extent = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    if hole[extent].all():
        box = _with_edge(*extent)
        yield box, hole[box]
        return
    from scipy import ndimage  # here, as importing it takes longer than completing a picture

    labels, count = ndimage.label(hole)
    if count > _MANY_ISLANDS:
        labels = hole.astype(np.uint8)
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        box = _with_edge(rows, columns)
        yield box, labels[box] == number


def _with_edge(rows: slice, columns: slice) -> tuple[slice, slice]:
    """The box one pixel larger on every side, as far as the picture goes."""
    return slice(max(rows.start - 1, 0), rows.stop + 1), slice(max(columns.start - 1, 0), columns.stop + 1)


def _harmonic(values: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The harmonic function ``[H, W, C]`` in ``hole [H, W]`` that meets ``values [H, W, C]`` at its edge."""
    values = np.moveaxis(values, 2, 0).astype(np.result_type(values, np.float32))  # [C, H, W]
    ties = _neighbour_sum(~hole, values.dtype) * hole
    pull = _neighbour_sum(np.where(hole, 0, values), values.dtype) * hole
    if _is_framed_rectangle(hole):
        return np.moveaxis(_in_rectangle(pull), 0, 2)
    mean = _total(pull) / _total(ties)
    grid = _Grid(
        ties=ties,
        right=np.pad(hole[:, 1:] & hole[:, :-1], ((0, 0), (0, 1))).astype(values.dtype),
        down=np.pad(hole[1:] & hole[:-1], ((0, 1), (0, 0))).astype(values.dtype),
    )
    # Without its mean the problem is as small as can be, and a constant edge gives that constant.
    pull -= ties * mean.astype(values.dtype)
    together = len(pull) if hole.size <= _LARGE else 1
    parts = [_conjugate_gradients(grid, pull[c : c + together]) for c in range(0, len(pull), together)]
    solution: np.ndarray = np.concatenate(parts) + mean.astype(values.dtype)
    return np.moveaxis(solution, 0, 2)


def _is_framed_rectangle(hole: np.ndarray) -> bool:
    """Whether ``hole`` is its box but for the one pixel around, and of a size that sines are quick for."""
    framed = hole[1:-1, 1:-1].all() and hole.sum() == (hole.shape[0] - 2) * (hole.shape[1] - 2)
    return bool(framed and max(hole.shape) <= _SINES)


def _in_rectangle(pull: np.ndarray) -> np.ndarray:
    """x with A x = ``pull [C, H, W]`` inside the frame of one pixel, outright: sines diagonalise A there."""
    inside = pull[:, 1:-1, 1:-1].astype(np.float64)
    (down, high), (across, wide) = (_sines(size) for size in inside.shape[1:])
    waves = down @ inside @ across / (high[:, None] + wide)
    solution = np.zeros_like(pull)
    solution[:, 1:-1, 1:-1] = down @ waves @ across
    return solution


def _sines(size: int) -> tuple[np.ndarray, np.ndarray]:
    """The orthonormal waves of a row of ``size`` cells between two that are held, and their stiffness."""
    number = np.arange(1, size + 1)
    waves = np.sin(np.pi / (size + 1) * np.outer(number, number)) * np.sqrt(2 / (size + 1))
    return waves, 2 - 2 * np.cos(np.pi / (size + 1) * number)


class _Grid:
    """The Laplacian of a hole as a net of springs, and the coarser nets that stand in for it far away.

    ``right`` and ``down [H, W]`` are the springs between a cell and its right and lower neighbour, ``ties``
    those to the known pixels. A coarse cell is a block of 2×2: its ties are the sum of theirs; two parallel
    springs of double length join neighbouring blocks, which makes half their sum.
    """

    def __init__(self, ties: np.ndarray, right: np.ndarray, down: np.ndarray) -> None:
        self.right, self.down = right[:, :-1], down[:-1]
        self.stiffness = ties + right + down
        self.stiffness[:, 1:] += self.right
        self.stiffness[1:] += self.down
        self.hole: np.ndarray = self.stiffness > 0
        self.coarse: _Grid | None = None
        if ties.size <= _DENSE_CELLS:
            self.inverse = self._invert()
            return
        self.damping = np.divide(_DAMPING, self.stiffness, out=np.zeros_like(ties), where=self.hole)
        self.rows = _interpolation(ties.shape[0], ties.dtype)
        self.columns = _interpolation(ties.shape[1], ties.dtype)
        even = [(0, size % 2) for size in ties.shape]
        ties, right, down = (np.pad(springs, even) for springs in (ties, right, down))
        self.coarse = _Grid(
            ties=ties[::2, ::2] + ties[1::2, ::2] + ties[::2, 1::2] + ties[1::2, 1::2],
            right=(right[::2, 1::2] + right[1::2, 1::2]) / 2,
            down=(down[1::2, ::2] + down[1::2, 1::2]) / 2,
        )

    def force(self, x: np.ndarray) -> np.ndarray:
        """A x for ``x [C, H, W]``: stiffness · x minus what the neighbours pull."""
        y: np.ndarray = self.stiffness * x
        y[:, :, :-1] -= self.right * x[:, :, 1:]
        y[:, :, 1:] -= self.right * x[:, :, :-1]
        y[:, :-1] -= self.down * x[:, 1:]
        y[:, 1:] -= self.down * x[:, :-1]
        return y

    def approximate_solution(self, b: np.ndarray) -> np.ndarray:
        """B b ≈ A⁻¹ b for ``b [C, H, W]`` by one V-cycle; B is symmetric and positive definite, as A is."""
        if self.coarse is None:
            return np.reshape(b.reshape(len(b), -1) @ self.inverse, b.shape)
        x: np.ndarray = self.damping * b
        rest = b - self.force(x)
        coarse = self.coarse.approximate_solution(np.stack([self.rows.T @ c @ self.columns for c in rest]))
        x += self.hole * np.stack([self.rows @ c @ self.columns.T for c in coarse])
        x += self.damping * (b - self.force(x))
        return x

    def _invert(self) -> np.ndarray:
        """A⁻¹ as a matrix ``[H·W, H·W]``; cells outside the hole, which are zero, stay so."""
        unit = np.eye(self.hole.size, dtype=self.stiffness.dtype)
        matrix = self.force(unit.reshape(-1, *self.hole.shape)).reshape(unit.shape)
        return np.linalg.inv(matrix + np.diag(~self.hole.ravel()))


def _interpolation(size: int, dtype: np.dtype) -> sparse.csr_array:
    """The matrix ``[size, ⌈size/2⌉]`` of linear interpolation between the centres of pairs of cells."""
    from scipy import sparse

    cell = np.arange(size)
    count = (size + 1) // 2
    near = cell // 2
    far = np.clip(near + np.where(cell % 2, 1, -1), 0, count - 1)
    weights = np.repeat(np.array([0.75, 0.25], dtype), size)
    places = np.tile(cell, 2), np.concatenate([near, far])
    return sparse.csr_array((weights, places), shape=(size, count))


def _conjugate_gradients(grid: _Grid, b: np.ndarray) -> np.ndarray:
    """x with A x = ``b [C, H, W]``, each channel on its own, preconditioned by the V-cycle."""
    x, rest = np.zeros_like(b), b.copy()
    step = grid.approximate_solution(rest)
    direction, energy = step, _total(rest * step)
    for _ in range(_MAX_ITERATIONS):
        force = grid.force(direction)
        length = _ratio(energy, _total(direction * force), b.dtype)
        x += length * direction
        rest -= length * force
        step = grid.approximate_solution(rest)
        if (np.abs(step).max(axis=(1, 2)) <= _TOLERANCE * np.abs(x).max(axis=(1, 2))).all():
            break
        previous, energy = energy, _total(rest * step)
        direction = step + _ratio(energy, previous, b.dtype) * direction
    return x


def _neighbour_sum(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The sum of the up to four neighbours of each cell of ``x [..., H, W]``."""
    total = np.zeros(x.shape, dtype)
    total[..., 1:] += x[..., :-1]
    total[..., :-1] += x[..., 1:]
    total[..., 1:, :] += x[..., :-1, :]
    total[..., :-1, :] += x[..., 1:, :]
    return total


def _total(x: np.ndarray) -> np.ndarray:
    """The sum of each channel, ``[..., 1, 1]``, in double precision."""
    total: np.ndarray = x.sum(axis=(-2, -1), keepdims=True, dtype=np.float64)
    return total


def _ratio(a: np.ndarray, b: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """a / b, and 0 where b is 0: a channel that is already solved takes no step."""
    ratio: np.ndarray = np.divide(a, b, out=np.zeros_like(a), where=b > 0)
    return ratio.astype(dtype)

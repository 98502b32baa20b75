"""Seamless filling: Poisson blending and harmonic interpolation, on one solver.

Poisson blending (Pérez et al. 2003) asks for the f that has the gradients of ``source`` in the hole and the
values of ``target`` at its edge. As f = source + c, where c is harmonic (every pixel of the hole is the mean
of its neighbours) and equals target − source at the edge: the correction c is smooth, whatever the source.
Pixels beyond the picture's border do not exist, so a hole that touches it ends there freely (Neumann).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_TOLERANCE = 3e-5  # of the largest edge value; the error stays below about ten times that
_MAX_ITERATIONS = 100  # eight are usual, for any hole of any size
_DENSE_CELLS = 100  # a grid of at most so many is solved outright
_LARGE = 2**20  # cells of a grid whose channels are solved one after another, to save memory
_MANY_ISLANDS = 8  # of a hole; more are solved as one
Box = tuple[slice, slice]
_SINES = 1024  # pixels of a rectangle's longer side, up to which it is solved outright
_DAMPING = 0.8  # of Jacobi's relaxation: best for the five-point Laplacian


def poisson_blend(source: np.ndarray, target: np.ndarray, known: np.ndarray) -> np.ndarray:
    """``target [H, W, C]`` whose hole continues it seamlessly with the gradients of ``source [H, W, C]``.

    Both are floats; ``known [H, W]`` is True where ``target`` is kept, bit for bit. Where nothing is known,
    there is no edge to continue and the result is ``source``.
    """
    result = np.where(known[:, :, None], target, source)
    for box, hole in islands(~known) if known.any() else ():
        correction = _harmonic(target[box] - source[box], hole)
        result[box][hole] += correction[hole].astype(result.dtype)
    return result


def harmonic_fill(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """``values [H, W, C]`` (floats) whose hole is interpolated from its edge as smoothly as can be.

    ``known [H, W]`` is True where ``values`` are kept, bit for bit; where nothing is known, all are kept.
    """
    return poisson_blend(np.zeros_like(values), values, known) if known.any() else values.copy()


def islands(hole: np.ndarray) -> Iterator[tuple[Box, np.ndarray]]:
    """Parts of ``hole [H, W]``: the box of each with the known pixels next to it, and the part in that box.

    A few are taken one by one, as they may be small and far apart; many are one part together.
    """
    boxes = list(_boxes(hole, 0, 0))
    if len(boxes) > _MANY_ISLANDS:
        boxes = [(_extent([rows for rows, _ in boxes]), _extent([columns for _, columns in boxes]))]
    for rows, columns in boxes:
        part = np.zeros_like(hole)
        part[rows, columns] = hole[rows, columns]
        box = _with_edge(rows), _with_edge(columns)
        yield box, part[box]


def _boxes(hole: np.ndarray, top: int, left: int) -> Iterator[Box]:
    """Boxes that hold all of ``hole``, as many as whole rows and columns without a hole can part."""
    all_rows, all_columns = (_runs(np.any(hole, axis=axis, keepdims=False)) for axis in (1, 0))
    for rows in all_rows:
        for columns in all_columns:
            if len(all_rows) == len(all_columns) == 1:
                yield (
                    slice(top + rows.start, top + rows.stop),
                    slice(left + columns.start, left + columns.stop),
                )
            else:
                yield from _boxes(hole[rows, columns], top + rows.start, left + columns.start)


def _runs(there: np.ndarray) -> list[slice]:
    """Where ``there`` is True without a break."""
    turns = np.flatnonzero(np.diff(there, prepend=False, append=False))
    return [slice(int(begin), int(end)) for begin, end in turns.reshape(-1, 2)]


def _extent(runs: list[slice]) -> slice:
    return slice(min(run.start for run in runs), max(run.stop for run in runs))


def _with_edge(run: slice) -> slice:
    """One pixel longer at each end, as far as the picture goes."""
    return slice(max(run.start - 1, 0), run.stop + 1)


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
        height, width = self.hole.shape
        coarse = self.coarse.approximate_solution(_gathered(_gathered(rest, 2), 1))
        x += self.hole * _spread(_spread(coarse, 1, height), 2, width)
        x += self.damping * (b - self.force(x))
        return x

    def _invert(self) -> np.ndarray:
        """A⁻¹ as a matrix ``[H·W, H·W]``; cells outside the hole, which are zero, stay so."""
        unit = np.eye(self.hole.size, dtype=self.stiffness.dtype)
        matrix = self.force(unit.reshape(-1, *self.hole.shape)).reshape(unit.shape)
        return np.linalg.inv(matrix + np.diag(~self.hole.ravel()))


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

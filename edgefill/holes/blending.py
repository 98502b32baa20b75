"""Seamless filling: Poisson blending and harmonic interpolation, on one solver.

Poisson blending (Pérez et al. 2003) asks for the f that has the gradients of ``source`` in the hole and the
values of ``target`` at its edge. As f = source + c, where c is harmonic (every pixel of the hole is the mean
of its neighbours) and equals target − source at the edge: the correction c is smooth, whatever the source.
Pixels beyond the picture's border do not exist, so a hole that touches it ends there freely (Neumann).
"""

from __future__ import annotations

import numpy as np

from edgefill.holes.boxes import Part
from edgefill.holes.islands import islands
from edgefill.holes.nets import Cells, Raster, total

_LARGE = 2**20  # cells of a box whose channels are solved one after another, to save memory
_SINES = 1024  # pixels of a rectangle's longer side, up to which it is solved outright
_FULL = 1 / 3  # of a box, from which on it is quicker to solve all of it than the pixels of its hole alone
_WORTHWHILE = 4096  # pixels of a part, from which on it is worth a solution of its own
_FEW = 8  # parts: so many are worth it, however small


def poisson_blend(source: np.ndarray, target: np.ndarray, known: np.ndarray) -> np.ndarray:
    """``target [H, W, C]`` whose hole continues it seamlessly with the gradients of ``source [H, W, C]``.

    Both are floats; ``known [H, W]`` is True where ``target`` is kept, bit for bit. Where nothing is known,
    there is no edge to continue and the result is ``source``.
    """
    result = np.where(known[:, :, None], target, source)
    if not known.any():
        return result
    rest = ~known
    for box, hole in _solid(~known):
        correction = _in_box(target[box] - source[box], hole)
        result[box][hole] += correction[hole].astype(result.dtype)
        rest[box] = False
    if rest.any():
        rows, columns = np.nonzero(rest)
        result[rows, columns] += _of_pixels(source, target, rest, rows, columns).astype(result.dtype)
    return result


def harmonic_fill(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """``values [H, W, C]`` (floats) whose hole is interpolated from its edge as smoothly as can be.

    ``known [H, W]`` is True where ``values`` are kept, bit for bit; where nothing is known, all are kept.
    """
    return poisson_blend(np.zeros_like(values), values, known) if known.any() else values.copy()


def _solid(hole: np.ndarray) -> list[tuple[Part, np.ndarray]]:
    """Those of the ``islands`` of a ``hole`` that are solved each in its box: it is full, and that pays.

    All others are solved together, pixel by pixel, so that thousands of specks and thin lines take no longer
    than one hole of as many pixels.
    """
    parts = list(islands(hole))
    least = 1 if len(parts) <= _FEW else _WORTHWHILE
    return [(box, part) for box, part in parts if part.sum() >= max(least, _FULL * part.size)]


def _in_box(values: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The harmonic function ``[H, W, C]`` in ``hole [H, W]`` that meets ``values [H, W, C]`` at its edge."""
    values = np.moveaxis(values, 2, 0).astype(np.result_type(values, np.float32))  # [C, H, W]
    ties = _neighbour_sum(~hole, values.dtype) * hole
    pull = _neighbour_sum(np.where(hole, 0, values), values.dtype) * hole
    if _is_framed_rectangle(hole):
        return np.moveaxis(_in_rectangle(pull), 0, 2)
    mean = total(pull) / total(ties)
    net = Raster(
        ties=ties,
        right=np.pad(hole[:, 1:] & hole[:, :-1], ((0, 0), (0, 1))).astype(values.dtype),
        down=np.pad(hole[1:] & hole[:-1], ((0, 1), (0, 0))).astype(values.dtype),
    )
    # Without its mean the problem is as small as can be, and a constant edge gives that constant.
    pull -= ties * mean.astype(values.dtype)
    together = len(pull) if hole.size <= _LARGE else 1
    parts = [net.solution(pull[c : c + together]) for c in range(0, len(pull), together)]
    solution: np.ndarray = np.concatenate(parts) + mean.astype(values.dtype)
    return np.moveaxis(solution, 0, 2)


def _of_pixels(
    source: np.ndarray, target: np.ndarray, hole: np.ndarray, rows: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """The correction ``[n, C]`` at the pixels of ``hole [H, W]``: those at ``rows, columns [n]``."""
    dtype = np.result_type(source, target, np.float32)
    missing, held = np.pad(hole, 1), np.pad(~hole, 1)  # neither beyond the border
    ties, pull = np.zeros(len(rows), dtype), np.zeros((len(rows), source.shape[2]), dtype)
    for down, aside in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        tied = held[rows + down + 1, columns + aside + 1]
        edge = rows[tied] + down, columns[tied] + aside
        ties += tied
        pull[tied] += target[edge] - source[edge]
    mean = pull.sum(axis=0, dtype=np.float64) / ties.sum(dtype=np.float64)
    pull -= ties[:, None] * mean.astype(dtype)  # as in a box
    net = Cells(
        rows,
        columns,
        hole.shape,
        ties=ties,
        right=missing[rows + 1, columns + 2].astype(dtype),
        down=missing[rows + 2, columns + 1].astype(dtype),
    )
    forces = np.pad(pull.T, ((0, 0), (0, 1)))[:, None]
    together = len(forces) if len(rows) <= _LARGE else 1
    parts = [net.solution(forces[c : c + together]) for c in range(0, len(forces), together)]
    solution: np.ndarray = np.concatenate(parts)[:, 0, :-1].T + mean.astype(dtype)
    return solution


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


def _neighbour_sum(x: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The sum of the up to four neighbours of each cell of ``x [..., H, W]``."""
    total = np.zeros(x.shape, dtype)
    total[..., 1:] += x[..., :-1]
    total[..., :-1] += x[..., 1:]
    total[..., 1:, :] += x[..., :-1, :]
    total[..., :-1, :] += x[..., 1:, :]
    return total

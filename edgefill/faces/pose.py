"""How a face lies in a picture: the similarity by which its eyes come to where a model expects them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from edgefill.faces.eyes import Eyes
from edgefill.model.manifest import Alignment
from edgefill.pictures.images import to_unit

_MOST_SAMPLES = 32  # along each side of a cell or pixel


@dataclass(frozen=True)
class Pose:
    """The frame of ``cells`` (rows, columns) that a face is seen in, turned and scaled in a picture.

    The middle of the cell in row r and column c lies at (``x``, ``y``) + (c + ½)·a + (r + ½)·b, where
    a = (``along``, ``across``) and b = (−across, along), in pixels from the picture's upper left corner.
    """

    eyes: Eyes
    cells: tuple[int, int]
    x: float
    y: float
    along: float
    across: float

    @classmethod
    def of(cls, eyes: Eyes, alignment: Alignment, cells: tuple[int, int]) -> Pose:
        """The pose in which ``eyes`` (0 is the middle of the first pixel) lie where ``alignment`` says."""
        height, width = cells
        left_x, left_y, right_x, right_y = alignment.eyes
        own = complex((right_x - left_x) * width, (right_y - left_y) * height)
        there = complex(eyes.right_x - eyes.left_x, eyes.right_y - eyes.left_y)
        turn = there / own
        left = complex(left_x * width, left_y * height)
        start = complex(eyes.left_x + 0.5, eyes.left_y + 0.5) - turn * left
        return cls(eyes, cells, start.real, start.imag, turn.real, turn.imag)

    @property
    def scale(self) -> float:
        """Pixels of a cell's side."""
        return math.hypot(self.along, self.across)

    def scaled(self, share: float) -> Pose:
        """The same in the picture made smaller by ``share``."""
        return replace(
            self, x=self.x * share, y=self.y * share, along=self.along * share, across=self.across * share
        )

    def places(self, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns in the frame, in cells from its corner, of places in the picture, in pixels."""
        x, y = columns - self.x, rows - self.y
        size = self.scale**2
        return (y * self.along - x * self.across) / size, (x * self.along + y * self.across) / size

    def away(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """How far from the frame's middle pixels lie: 1 on its edge, inf outside of it."""
        row, column = self.places(rows + 0.5, columns + 0.5)
        height, width = self.cells
        away: np.ndarray = np.maximum(np.abs(2 * row / height - 1), np.abs(2 * column / width - 1))
        away[away > 1] = np.inf
        return away

    def seen(self, values: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The mean of the known pixels under each cell, [C, h, w] in [-1, 1], and their share, [h, w].

        ``values [H, W, C]`` are those of a picture, ``known [H, W]`` is where they count. Nothing is known
        beyond the picture.
        """
        height, width = self.cells
        count = min(_MOST_SAMPLES, max(1, math.ceil(self.scale)))
        steps = (np.arange(count) + 0.5) / count
        total = np.zeros((height, width, values.shape[2]), np.float32)
        share = np.zeros((height, width), np.float32)
        rows, columns = np.arange(height)[:, None], np.arange(width)[None]
        for down in steps:
            for right in steps:
                x = self.x + (columns + right) * self.along - (rows + down) * self.across
                y = self.y + (columns + right) * self.across + (rows + down) * self.along
                _add_between(total, share, values, known, y - 0.5, x - 0.5)
        means = np.divide(total, share[:, :, None], out=np.zeros_like(total), where=share[:, :, None] > 1e-4)
        return np.clip(means, -1, 1).transpose(2, 0, 1), np.minimum(share / count**2, 1)

    def drawn(self, generated: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """``generated [C, h, w]``, drawn in the frame, at pixels of the picture, [n, C]; cubic between cells.

        Where pixels are larger than cells they are means of what they cover.
        """
        count = min(_MOST_SAMPLES, max(1, math.ceil(1 / self.scale)))
        steps = (np.arange(count) + 0.5) / count
        total = np.zeros((len(rows), len(generated)), np.float32)
        for down in steps:
            for right in steps:
                total += _cubic(generated, *self.places(rows + down, columns + right))
        total /= np.float32(count**2)
        return total


def _add_between(
    total: np.ndarray, share: np.ndarray, values: np.ndarray, known: np.ndarray, y: np.ndarray, x: np.ndarray
) -> None:
    """Adds to ``total`` and ``share`` what is known at ``y`` and ``x``, linear between four pixels."""
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    for down in (0, 1):
        for right in (0, 1):
            row, column = top + down, left + right
            weight = (1 - np.abs(y - row)) * (1 - np.abs(x - column))
            inside = (row >= 0) & (row < known.shape[0]) & (column >= 0) & (column < known.shape[1])
            row, column = np.where(inside, row, 0), np.where(inside, column, 0)
            weight = np.where(inside & known[row, column], weight, 0).astype(np.float32)
            total += weight[:, :, None] * to_unit(values[row, column])
            share += weight


def _cubic(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """``values [C, h, w]`` between its cells (Catmull-Rom), whose edge goes on, [n, C]."""
    height, width = values.shape[1:]
    y, x = np.clip(rows - 0.5, 0, height - 1), np.clip(columns - 0.5, 0, width - 1)
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    total = np.zeros((len(rows), len(values)), np.float32)
    for down, weight_y in zip(range(-1, 3), _catmull_rom(y - top), strict=True):
        row = np.clip(top + down, 0, height - 1)
        for right, weight_x in zip(range(-1, 3), _catmull_rom(x - left), strict=True):
            column = np.clip(left + right, 0, width - 1)
            total += (weight_y * weight_x).astype(np.float32)[:, None] * values[:, row, column].T
    return total


def _catmull_rom(t: np.ndarray) -> tuple[np.ndarray, ...]:
    """The weights of the four cells around a place that is ``t`` behind the second."""
    return (
        ((2 - t) * t - 1) * t / 2,
        ((3 * t - 5) * t * t + 2) / 2,
        ((4 - 3 * t) * t + 1) * t / 2,
        (t - 1) * t * t / 2,
    )

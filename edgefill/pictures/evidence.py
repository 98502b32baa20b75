"""What is known of pictures: the one form in which the search fits it and the encoder sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Evidence(NamedTuple):
    """Known pixels, and known means of pixel blocks, of N pictures; float32 arrays."""

    target: np.ndarray  # [N, C, H, W], in [-1, 1]; anything where nothing is known
    weight: np.ndarray  # [N, 1, H, W], the share of each pixel that is known
    block_weight: np.ndarray  # [N, 1, H/b, W/b], 1 where the mean of a block is known, else 0

    @classmethod
    def stacked(cls, parts: Sequence[Evidence]) -> Evidence:
        """That of all pictures of ``parts``, one after the other."""
        return cls(*map(np.concatenate, zip(*parts, strict=True)))

    def rows(self) -> list[Evidence]:
        """That of each picture."""
        return [Evidence(*(part[row : row + 1] for part in self)) for row in range(len(self.target))]

    def seen(self) -> tuple[np.ndarray, np.ndarray]:
        """What an encoder is given: the target, 0 where it is unknown, and how much of each pixel is known.

        Of a pixel of a block whose mean is known as much is known as one number says of them all.
        """
        block = self.weight.shape[2] // self.block_weight.shape[2]
        spread = self.block_weight.repeat(block, axis=2).repeat(block, axis=3)
        known = self.weight + spread / np.float32(block * block)
        return np.where(known > 0, self.target, np.float32(0)), known

    def weighed(self, window: int) -> Evidence:
        """With each pixel's weight times the missing share of the ``window`` around it; 0 changes nothing.

        Yeh et al. 2017, equation 3: known pixels near the hole say more about it than those far away, which
        get no weight at all. Where nothing is missing all pixels count alike.
        """
        if not window:
            return self
        missing = _window_sums(1 - self.weight, window)
        inside = _window_sums(np.ones_like(self.weight[:1]), window)
        share = np.where(missing.any(axis=(1, 2, 3), keepdims=True), missing / inside, 1)
        return self._replace(weight=(self.weight * share).astype(np.float32))

    def distance(self) -> np.ndarray:
        """How many pixels what is missing lies from what is known, on average over it, [N].

        Counted in steps up, down, left and right. A pixel of a block whose mean is known lies as far from
        that as from the middle of the block, on average; where nothing is known, it is the picture's side.
        """
        block = self.weight.shape[2] / self.block_weight.shape[2]
        distances = _mean_distance(self.weight[:, 0] == 0)
        coarse = self.block_weight.any(axis=(1, 2, 3))
        return np.where(coarse, np.float32(block / 2), distances)


def _window_sums(values: np.ndarray, window: int) -> np.ndarray:
    """The sum of ``values [N, 1, H, W]`` over the ``window`` × ``window`` around each, zeros beyond them."""
    window = min(window, 2 * max(values.shape[2:]) - 1)  # which reaches from every pixel to every other
    half = window // 2
    sums = np.pad(values.astype(np.float64), ((0, 0), (0, 0), (half + 1, half), (half + 1, half)))
    for axis in (2, 3):
        sums = sums.cumsum(axis)
        sums = np.delete(sums, np.s_[:window], axis) - np.delete(sums, np.s_[-window:], axis)
    return sums


def _mean_distance(missing: np.ndarray) -> np.ndarray:
    """Steps from a True of ``missing [N, H, W]`` to the nearest False of its picture, mean over all, [N].

    The False spread by a step at a time; what is still missing then is a step further away.
    """
    counted = missing.sum((1, 2))
    steps = np.zeros(len(missing))
    left = missing
    for _ in range(max(missing.shape[1:])):
        still = left.sum((1, 2))
        if not still.any():
            break
        steps += still
        around = np.pad(left, ((0, 0), (1, 1), (1, 1)), constant_values=True)
        left = left & around[:, :-2, 1:-1] & around[:, 2:, 1:-1] & around[:, 1:-1, :-2] & around[:, 1:-1, 2:]
    mean: np.ndarray = np.divide(steps, counted, out=np.zeros_like(steps), where=counted > 0)
    return mean.astype(np.float32)

"""What is known of pictures: the one form in which the search fits it and the encoder sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage


class Evidence(NamedTuple):
    """Known pixels, and known means of pixel blocks, of N pictures; float32 arrays."""

    target: np.ndarray  # [N, C, H, W], in [-1, 1]; anything where nothing is known
    weight: np.ndarray  # [N, 1, H, W], the share of each pixel that is known
    block_weight: np.ndarray  # [N, 1, H/b, W/b], 1 where the mean of a block is known, else 0

    @classmethod
    def stacked(cls, parts: Sequence[Evidence]) -> Evidence:
        """That of all pictures of ``parts``, one after the other."""
        return cls(*map(np.concatenate, zip(*parts, strict=True)))

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
        get no weight at all.
        """
        if not window:
            return self
        sides = (0, 0, window, window)
        missing = ndimage.uniform_filter(1 - self.weight, sides, mode="constant")
        inside = ndimage.uniform_filter(np.ones_like(self.weight[:1]), sides, mode="constant")
        return self._replace(weight=(self.weight * missing / inside).astype(np.float32))

    def distance(self) -> np.ndarray:
        """How far, in pixels, what is missing lies from what is known, on average over it, [N]."""
        return np.array([self._distance(row) for row in range(len(self.weight))], np.float32)

    def _distance(self, row: int) -> float:
        missing, blocks = self.weight[row, 0] == 0, self.block_weight[row, 0]
        if blocks.any():  # a pixel lies in a block whose mean is known, a quarter of its side from the middle
            return missing.shape[0] / blocks.shape[0] / 4
        if missing.all() or not missing.any():
            return float(missing.all() * max(missing.shape))
        return float(ndimage.distance_transform_edt(missing)[missing].mean())
